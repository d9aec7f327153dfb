//! One invariant per file; [`all`] is the registry that scenarios and the command line name them from.

use crate::Invariant;

/// Declares the files and lists their invariants: one line here is all that a new oracle needs.
macro_rules! oracles {
    ($($file:ident::$invariant:ident),* $(,)?) => {
        $(pub mod $file;)*

        /// Every invariant, fresh, in alphabetical order.
        pub fn all() -> Vec<Box<dyn Invariant>> {
            vec![$(Box::new($file::$invariant::default())),*]
        }
    };
}

oracles! {
    acknowledged_is_durable::AcknowledgedIsDurable,
    batch_once_per_date::BatchOncePerDate,
    cash_conserved::CashConserved,
    delivery_versus_payment::DeliveryVersusPayment,
    effects_follow_validation::EffectsFollowValidation,
    every_trade_terminates::EveryTradeTerminates,
    ledger_balances::LedgerBalances,
    no_oversell::NoOversell,
    node_panicked::NodePanicked,
    not_early::NotEarly,
    notified_once_after_commit::NotifiedOnceAfterCommit,
    payment_once_per_leg::PaymentOncePerLeg,
    reconciled::Reconciled,
    settlement_date_correct::SettlementDateCorrect,
    settles_exactly_once::SettlesExactlyOnce,
    shares_conserved::SharesConserved,
    stream_events_in_order::StreamEventsInOrder,
    trade_legs_atomic::TradeLegsAtomic,
    trade_states_monotone::TradeStatesMonotone,
}

/// A fresh invariant by its name in scenarios.
pub fn find(name: &str) -> Option<Box<dyn Invariant>> {
    all().into_iter().find(|invariant| invariant.name() == name)
}
