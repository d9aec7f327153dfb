//! One invariant per file; [`all`] is the registry that scenarios and the command line name them from.
//!
//! A test holds the files, the modules and the registry together.

pub mod acknowledged_is_durable;
pub mod answers_are_true;
pub mod batch_complete;
pub mod batch_once_per_date;
pub mod cash_conserved;
pub mod delivery_versus_payment;
pub mod effects_follow_validation;
pub mod every_trade_terminates;
pub mod inputs_taken_once;
pub mod ledger_balances;
pub mod no_oversell;
pub mod node_panicked;
pub mod not_early;
pub mod notified_once_after_commit;
pub mod payment_once_per_leg;
pub mod reconciled;
pub mod settlement_date_correct;
pub mod settles_exactly_once;
pub mod shares_conserved;
pub mod stream_events_in_order;
pub mod trade_date_sealed;
pub mod trade_legs_atomic;
pub mod trade_states_monotone;

use crate::Invariant;

/// Every invariant, fresh, in alphabetical order.
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(acknowledged_is_durable::AcknowledgedIsDurable::default()),
        Box::new(answers_are_true::AnswersAreTrue::default()),
        Box::new(batch_complete::BatchComplete::default()),
        Box::new(batch_once_per_date::BatchOncePerDate::default()),
        Box::new(cash_conserved::CashConserved::default()),
        Box::new(delivery_versus_payment::DeliveryVersusPayment::default()),
        Box::new(effects_follow_validation::EffectsFollowValidation::default()),
        Box::new(every_trade_terminates::EveryTradeTerminates::default()),
        Box::new(inputs_taken_once::InputsTakenOnce::default()),
        Box::new(ledger_balances::LedgerBalances::default()),
        Box::new(no_oversell::NoOversell::default()),
        Box::new(node_panicked::NodePanicked),
        Box::new(not_early::NotEarly::default()),
        Box::new(notified_once_after_commit::NotifiedOnceAfterCommit::default()),
        Box::new(payment_once_per_leg::PaymentOncePerLeg::default()),
        Box::new(reconciled::Reconciled::default()),
        Box::new(settlement_date_correct::SettlementDateCorrect::default()),
        Box::new(settles_exactly_once::SettlesExactlyOnce::default()),
        Box::new(shares_conserved::SharesConserved::default()),
        Box::new(stream_events_in_order::StreamEventsInOrder::default()),
        Box::new(trade_date_sealed::TradeDateSealed::default()),
        Box::new(trade_legs_atomic::TradeLegsAtomic::default()),
        Box::new(trade_states_monotone::TradeStatesMonotone::default()),
    ]
}

/// A fresh invariant by its name in scenarios.
pub fn find(name: &str) -> Option<Box<dyn Invariant>> {
    all().into_iter().find(|invariant| invariant.name() == name)
}
