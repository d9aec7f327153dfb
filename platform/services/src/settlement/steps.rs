//! The saga of a unit: what each answer leads to.
//!
//! An answer that the unit waits for is a step. One that it has heard before changes nothing. Any other
//! contradicts what is settled: it opens a reconciliation break, for people, and is never a transition.
//! While a payment's outcome is unknown no answer arrives, and so nothing happens.

use contracts::events::settlement_stored::Event;
use contracts::events::{
    AccountStep, AttemptStarted, AttemptStep, Carried, DeliveryAction, DeliveryRequest, Failed, LegStep,
    PaymentInstruction, ReconciliationBreak, Settled, SettlementCompleted, SettlementFailed,
    SettlementInstruction, settlement_failed,
};
use host::{Decision, View};
use model::{AccountId, Date, Timestamp};

use super::batch::{is_running, seals};
use super::unit::{Answer, Leg, Phase, Unit};
use super::{Heard, OBLIGATIONS, Settlement, State, reads, stream};
use crate::support::contract;

impl Settlement {
    pub(super) fn instruct(
        &self,
        instruction: &SettlementInstruction,
        view: &View<'_, State>,
    ) -> Decision<Event> {
        let stream = stream::unit(&contract::trade(&instruction.trade).trade_id);
        if !matches!(view.state(&stream), State::Absent) {
            return Decision::none();
        }
        let unit = Unit::instructed(instruction);
        let decision = Decision::none()
            .event(stream, Event::Instructed(instruction.clone()))
            .put(&OBLIGATIONS, reads::obligation_row(&unit, ""));
        // A seal that came first has armed the batch, which may wait for this instruction.
        match seals(view.state(&stream::seals(unit.due))).is_empty() {
            true => decision,
            false => self.arm_batch(decision, unit.due, view.database_time),
        }
    }

    pub(super) fn attempt(&self, date: Date, trade: &str, view: &View<'_, State>) -> Decision<Event> {
        let State::Unit(unit) = view.state(&stream::unit(trade)) else {
            return Decision::none();
        };
        if unit.phase != Phase::Waiting || unit.due > date || !is_running(view.state(&stream::batch(date))) {
            return Decision::none();
        }
        let attempt = unit.attempt + 1;
        let started = AttemptStarted { attempt, batch: date.to_string() };
        let decision = Decision::none().event(stream::unit(trade), Event::AttemptStarted(started));
        request_delivery(decision, unit, DeliveryAction::Block, attempt, false)
    }

    pub(super) fn hear(&self, heard: &Heard, view: &View<'_, State>) -> Decision<Event> {
        let State::Unit(unit) = view.state(&stream::unit(&heard.trade)) else {
            return Decision::none();
        };
        if !concerns(unit, heard) || unit.knows(&heard.answer, heard.attempt) {
            return Decision::none();
        }
        if !unit.expects(&heard.answer, heard.attempt, payouts(unit, view)) {
            return open_break(unit, heard);
        }
        let now = view.database_time;
        match &heard.answer {
            Answer::Blocked => {
                let blocked = event(unit, Event::SharesBlocked(step(heard)));
                self.pay(blocked, unit, Leg::Buyer, unit.refusals(Leg::Buyer) + 1, now)
            }
            Answer::BlockRefused => self.block_refused(unit, heard, view),
            Answer::Paid(Leg::Buyer) => {
                let paid = event(unit, Event::BuyerPaid(leg_step(heard)));
                self.pay(paid, unit, Leg::Seller, unit.refusals(Leg::Seller) + 1, now)
            }
            Answer::Paid(Leg::Seller) => {
                let requested = AttemptStep { attempt: unit.attempt, ..AttemptStep::default() };
                let paid = event(unit, Event::SellerPaid(leg_step(heard)));
                let paid = paid.event(stream_of(unit), Event::DeliveryRequested(requested));
                request_delivery(paid, unit, DeliveryAction::Deliver, unit.attempt, false)
            }
            Answer::Paid(Leg::Return) => fail(event(unit, Event::Returned(leg_step(heard))), unit),
            Answer::PaymentRefused(leg) => self.payment_refused(unit, *leg, heard, view),
            Answer::Delivered(account) => delivered(unit, account),
            Answer::Released => self.released(unit, heard, view),
        }
    }

    pub(super) fn pay_again(&self, trade: &str, view: &View<'_, State>) -> Decision<Event> {
        let State::Unit(unit) = view.state(&stream::unit(trade)) else {
            return Decision::none();
        };
        let Phase::Paying(leg) = unit.phase else {
            return Decision::none();
        };
        // Only a definite refusal of the last attempt makes way for the next one.
        let refusals = unit.refusals(leg);
        if refusals == 0 || refusals != unit.instructions(leg, payouts(unit, view)) {
            return Decision::none();
        }
        self.pay(Decision::none(), unit, leg, refusals + 1, view.database_time)
    }

    fn block_refused(&self, unit: &Unit, heard: &Heard, view: &View<'_, State>) -> Decision<Event> {
        let refused = event(unit, Event::BlockRefused(step(heard)));
        match self.is_last_attempt(unit) {
            // The reservation itself has to end.
            true => release(refused, unit, &heard.reason, true),
            false => self.carry(refused, unit, &heard.reason, view),
        }
    }

    fn payment_refused(
        &self,
        unit: &Unit,
        leg: Leg,
        heard: &Heard,
        view: &View<'_, State>,
    ) -> Decision<Event> {
        let refused = event(unit, Event::PaymentRefused(leg_step(heard)));
        match leg {
            Leg::Buyer => release(refused, unit, &heard.reason, self.is_last_attempt(unit)),
            Leg::Seller if unit.refusals(leg) + 1 >= self.max_payouts => {
                release(refused, unit, &heard.reason, true)
            }
            // The cash is at the CCP: it goes out, to one party or the other.
            Leg::Seller | Leg::Return => {
                let again = format!("pay-again/{}", unit.trade.trade_id);
                refused.arm(again, view.database_time + self.payment_retry_after)
            }
        }
    }

    fn released(&self, unit: &Unit, heard: &Heard, view: &View<'_, State>) -> Decision<Event> {
        let released = event(unit, Event::Released(step(heard)));
        let (reason, is_final) = unit.failing.as_ref().expect("a release is requested for a reason");
        match (is_final, unit.holds_cash()) {
            (false, _) => self.carry(released, unit, reason, view),
            (true, false) => fail(released, unit),
            (true, true) => self.pay(released, unit, Leg::Return, 1, view.database_time),
        }
    }

    fn is_last_attempt(&self, unit: &Unit) -> bool {
        unit.carries >= self.max_carries
    }

    /// Instructs an attempt at a payment, from the stream whose messages have that participant's key.
    fn pay(
        &self,
        decision: Decision<Event>,
        unit: &Unit,
        leg: Leg,
        attempt: u32,
        now: Timestamp,
    ) -> Decision<Event> {
        let trade = &unit.trade;
        let ccp = AccountId::ccp().to_string();
        let (buyer, seller) = (trade.buyer_account_id.clone(), trade.seller_account_id.clone());
        let (stream, key, debtor, creditor) = match leg {
            Leg::Buyer => (stream_of(unit), buyer.clone(), buyer, ccp),
            Leg::Return => (stream_of(unit), buyer.clone(), ccp, buyer),
            Leg::Seller => (stream::seller(&trade.trade_id), seller.clone(), ccp, seller),
        };
        let leg_id = leg.id(&trade.trade_id);
        let instruction = PaymentInstruction {
            leg_id: leg_id.clone(),
            trade_id: trade.trade_id.clone(),
            debtor,
            creditor,
            amount: unit.amount.clone(),
            currency: trade.currency.clone(),
            settlement_date: unit.batch.to_string(),
            attempt,
            valid_until_ms: contract::millis(now + self.payment_valid_for),
            trade_date: trade.trade_date.clone(),
        };
        let instructed = LegStep { leg_id, attempt, ..LegStep::default() };
        decision.event(stream.clone(), Event::PaymentInstructed(instructed)).publish(
            stream,
            key,
            &trade.trade_date,
            instruction,
        )
    }

    /// To the first settlement date that has not opened. It may have no instructions of its own to arm it.
    fn carry(
        &self,
        decision: Decision<Event>,
        unit: &Unit,
        reason: &str,
        view: &View<'_, State>,
    ) -> Decision<Event> {
        let State::Open(open) = view.state(&stream::open()) else {
            panic!("obligation {} is tried although no settlement date has opened", unit.trade.trade_id);
        };
        let to = self.calendar.next_settlement_day_after(*open).expect("a run ends before the calendar does");
        let carried = Carried {
            from: unit.due.to_string(),
            to: to.to_string(),
            reason: reason.to_owned(),
            carries: unit.carries + 1,
        };
        let outcome = settlement_failed::Outcome::CarriedTo(to.to_string());
        let decision = shown(decision, unit, Event::Carried(carried), reason);
        let decision = publish_failed(decision, unit, reason, outcome);
        self.arm_batch(decision, to, view.database_time)
    }
}

fn fail(decision: Decision<Event>, unit: &Unit) -> Decision<Event> {
    let (reason, _) = unit.failing.as_ref().expect("a trade fails for a reason");
    let failed = Failed { batch: unit.batch.to_string(), reason: reason.clone() };
    let decision = shown(decision, unit, Event::Failed(failed), reason);
    publish_failed(decision, unit, reason, settlement_failed::Outcome::Final(true))
}

/// Shares and cash have passed when both parties have theirs.
fn delivered(unit: &Unit, account: &str) -> Decision<Event> {
    let step = AccountStep { attempt: unit.attempt, account_id: account.to_owned() };
    let delivered = event(unit, Event::AccountDelivered(step));
    if unit.deliveries() == 0 {
        return delivered;
    }
    let batch = unit.batch.to_string();
    let completed = SettlementCompleted {
        trade: Some(unit.trade.clone()),
        amount: unit.amount.clone(),
        settled_on: batch.clone(),
    };
    let trade = &unit.trade;
    shown(delivered, unit, Event::Settled(Settled { batch }), "").publish(
        stream_of(unit),
        &trade.trade_id,
        &trade.trade_date,
        completed,
    )
}

/// Blocking and releasing are the seller's affair; what position tells of the buyer's account meanwhile is
/// its own bookkeeping.
fn concerns(unit: &Unit, heard: &Heard) -> bool {
    match heard.answer {
        Answer::Blocked | Answer::BlockRefused | Answer::Released => {
            heard.account == unit.trade.seller_account_id
        }
        _ => true,
    }
}

fn payouts(unit: &Unit, view: &View<'_, State>) -> u32 {
    match view.state(&stream::seller(&unit.trade.trade_id)) {
        State::Payouts(payouts) => *payouts,
        _ => 0,
    }
}

fn stream_of(unit: &Unit) -> host::StreamId {
    stream::unit(&unit.trade.trade_id)
}

fn event(unit: &Unit, event: Event) -> Decision<Event> {
    Decision::none().event(stream_of(unit), event)
}

/// An event that the table of obligations shows.
fn shown(decision: Decision<Event>, unit: &Unit, event: Event, reason: &str) -> Decision<Event> {
    let row = reads::obligation_row(&unit.after(&event), reason);
    decision.event(stream_of(unit), event).put(&OBLIGATIONS, row)
}

fn step(heard: &Heard) -> AttemptStep {
    AttemptStep { attempt: heard.attempt, reason: heard.reason.clone(), r#final: false }
}

fn leg_step(heard: &Heard) -> LegStep {
    let leg = match &heard.answer {
        Answer::Paid(leg) | Answer::PaymentRefused(leg) => *leg,
        other => panic!("{other:?} is no answer of a payment"),
    };
    LegStep {
        leg_id: leg.id(&heard.trade),
        attempt: heard.attempt,
        uetr: heard.uetr.clone(),
        reason: heard.reason.clone(),
    }
}

fn release(decision: Decision<Event>, unit: &Unit, reason: &str, is_final: bool) -> Decision<Event> {
    let requested = AttemptStep { attempt: unit.attempt, reason: reason.to_owned(), r#final: is_final };
    let decision = decision.event(stream_of(unit), Event::ReleaseRequested(requested));
    request_delivery(decision, unit, DeliveryAction::Release, unit.attempt, is_final)
}

fn request_delivery(
    decision: Decision<Event>,
    unit: &Unit,
    action: DeliveryAction,
    attempt: u32,
    is_final: bool,
) -> Decision<Event> {
    let trade = &unit.trade;
    let request =
        DeliveryRequest { action: action.into(), trade: Some(trade.clone()), attempt, r#final: is_final };
    decision.publish(stream_of(unit), &trade.seller_account_id, &trade.trade_date, request)
}

fn publish_failed(
    decision: Decision<Event>,
    unit: &Unit,
    reason: &str,
    outcome: settlement_failed::Outcome,
) -> Decision<Event> {
    let trade = &unit.trade;
    let failed =
        SettlementFailed { trade: Some(trade.clone()), reason: reason.to_owned(), outcome: Some(outcome) };
    decision.publish(stream_of(unit), &trade.trade_id, &trade.trade_date, failed)
}

/// Once per contradiction, however often it is repeated.
fn open_break(unit: &Unit, heard: &Heard) -> Decision<Event> {
    let subject = format!("{} attempt {}", heard.answer.describe(), heard.attempt);
    if unit.knows_break(&subject) {
        return Decision::none();
    }
    let detail = format!("heard while {:?} in attempt {}", unit.phase, unit.attempt);
    event(unit, Event::BreakOpened(ReconciliationBreak { subject, detail }))
}
