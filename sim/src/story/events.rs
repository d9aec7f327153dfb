//! Stored events in plain words, service by service.

use contracts::events::*;
use contracts::{Message, StoredEvent};

/// What a stored event says, without its id.
pub fn describe(event: &StoredEvent) -> String {
    match event {
        StoredEvent::Reference(event) => reference(event),
        StoredEvent::Trade(event) => trade(event),
        StoredEvent::Position(event) => position(event),
        StoredEvent::Clearing(event) => clearing(event),
        StoredEvent::Settlement(event) => settlement(event),
        StoredEvent::Ledger(event) => ledger(event),
        StoredEvent::Payment(event) => payment(event),
        StoredEvent::Notification(event) => notification(event),
    }
}

/// The trade that a message is about.
pub fn trade_of(message: &Message) -> Option<&str> {
    let trade = match message {
        Message::TradeSubmitted(message) => &message.trade,
        Message::TradeValidated(message) => &message.trade,
        Message::TradeRejected(message) => &message.trade,
        Message::TradeNovated(message) => &message.trade,
        Message::SettlementInstruction(message) => &message.trade,
        Message::DeliveryRequest(message) => &message.trade,
        Message::SettlementCompleted(message) => &message.trade,
        Message::SettlementFailed(message) => &message.trade,
        Message::PositionUpdated(message) => return Some(&message.trade_id),
        Message::PaymentInstruction(message) => return Some(&message.trade_id),
        Message::PaymentEvent(message) => return Some(&message.trade_id),
        _ => return None,
    };
    trade.as_ref().map(|trade| trade.trade_id.as_str()).filter(|id| !id.is_empty())
}

fn terms(trade: &Option<Trade>) -> String {
    let Some(trade) = trade else { return "a trade without terms".to_owned() };
    let Trade { instrument_id, buyer_account_id, seller_account_id, quantity, price, .. } = trade;
    format!("{buyer_account_id} buys {quantity} {instrument_id} at {price} of {seller_account_id}")
}

fn id_of(trade: &Option<Trade>) -> &str {
    trade.as_ref().map_or("?", |trade| trade.trade_id.as_str())
}

/// ` (why)`, or nothing.
fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" ({reason})") }
}

/// The name of an enum's value without the enum's: `REJECT_REASON_OVERSELL` is `OVERSELL`.
fn bare<'n>(name: &'n str, prefix: &str) -> &'n str {
    name.strip_prefix(prefix).unwrap_or(name)
}

fn listed(listed: &InstrumentListed) -> String {
    format!("listed {} in {}, tick {}", listed.instrument_id, listed.currency, listed.tick)
}

fn opened(opened: &AccountOpened) -> String {
    format!("opened {} of {}", opened.account_id, opened.participant_id)
}

fn reference(event: &reference_stored::Event) -> String {
    match event {
        reference_stored::Event::InstrumentListed(event) => listed(event),
        reference_stored::Event::AccountOpened(event) => opened(event),
    }
}

fn trade(event: &trade_stored::Event) -> String {
    use trade_stored::Event;
    match event {
        Event::Received(event) => {
            let waits = if event.waits_until_ms > 0 { ", waits for reference data" } else { "" };
            format!("received from {}: {}{waits}", event.client, terms(&event.trade))
        }
        Event::Accepted(event) => format!("accepted for trade date {}", event.trade_date),
        Event::Refused(event) => {
            let reason = bare(event.reason().as_str_name(), "REJECT_REASON_");
            format!("REJECTED by {}: {reason}{}", event.by, because(&event.detail))
        }
        Event::Advanced(event) => {
            let name = |state: TradeState| bare(state.as_str_name(), "TRADE_STATE_");
            let date = if event.settlement_date.is_empty() {
                String::new()
            } else {
                format!(", settles {}", event.settlement_date)
            };
            let stays = if event.step == event.state {
                String::new()
            } else {
                format!(", stays {}", name(event.state()))
            };
            format!("{}{date}{stays}{}", name(event.step()), because(&event.reason))
        }
        Event::VenueOpened(event) => format!("venue opened {}", event.trade_date),
        Event::VenueClosed(event) => format!("venue closed {}", event.trade_date),
        Event::VenueSealed(event) => {
            format!(
                "sealed {} with {} trades; open is {}",
                event.trade_date, event.accepted, event.next_trade_date
            )
        }
        Event::InstrumentListed(event) => listed(event),
        Event::AccountOpened(event) => opened(event),
    }
}

fn position(event: &position_stored::Event) -> String {
    use position_stored::Event;
    let step = |what: &str, step: &PositionStep| {
        let PositionStep { trade_id, instrument_id, quantity, attempt, r#final, reason } = step;
        let last = if *r#final { ", for good" } else { "" };
        format!(
            "{what} {quantity} {instrument_id} of trade {trade_id}, attempt {attempt}{last}{}",
            because(reason)
        )
    };
    match event {
        Event::Opened(event) => format!("opened with {} {}", event.quantity, event.instrument_id),
        Event::Reserved(event) => {
            format!("reserved for trade {}: {}", id_of(&event.trade), terms(&event.trade))
        }
        Event::Expected(event) => {
            format!("expects of trade {}: {}", id_of(&event.trade), terms(&event.trade))
        }
        Event::Refused(event) => {
            format!("refused trade {}: {}, {} free", id_of(&event.trade), terms(&event.trade), event.free)
        }
        Event::Blocked(event) => step("blocked", event),
        Event::BlockRefused(event) => step("refused to block", event),
        Event::Delivered(event) => step("delivered", event),
        Event::Received(event) => step("received", event),
        Event::Released(event) => step("released", event),
        Event::ReceiptCancelled(event) => step("expects no longer", event),
    }
}

fn clearing(event: &clearing_stored::Event) -> String {
    use clearing_stored::Event;
    match event {
        Event::Novated(event) => {
            let legs = event.obligations.iter().map(|due| {
                let Obligation { deliverer, receiver, instrument_id, quantity, amount, currency, .. } = due;
                format!(
                    "{deliverer} delivers {quantity} {instrument_id} to {receiver} for {amount} {currency}"
                )
            });
            format!("novated, settles {}: {}", event.settlement_date, legs.collect::<Vec<_>>().join("; "))
        }
        Event::AnsweredRejected(event) => {
            format!("trade {} of {} is rejected", event.trade_id, event.trade_date)
        }
        Event::DateSealed(event) => format!("{} is sealed with {} trades", event.trade_date, event.accepted),
        Event::DateCleared(event) => cleared(event),
    }
}

fn cleared(event: &TradeDateCleared) -> String {
    let TradeDateCleared { trade_date, settlement_date, instructions } = event;
    format!("{trade_date} is cleared: {instructions} instructions for {settlement_date}")
}

fn settlement(event: &settlement_stored::Event) -> String {
    use settlement_stored::Event;
    let leg = |what: &str, step: &LegStep| {
        let uetr = if step.uetr.is_empty() { String::new() } else { format!(", {}", step.uetr) };
        format!("{what} {}, attempt {}{uetr}{}", step.leg_id, step.attempt, because(&step.reason))
    };
    let attempt = |what: &str, step: &AttemptStep| {
        let last = if step.r#final { ", for good" } else { "" };
        format!("{what}, attempt {}{last}{}", step.attempt, because(&step.reason))
    };
    match event {
        Event::Instructed(event) => {
            format!("instructed for {}: {} for {}", event.settlement_date, terms(&event.trade), event.amount)
        }
        Event::AttemptStarted(event) => format!("attempt {} in the batch of {}", event.attempt, event.batch),
        Event::SharesBlocked(event) => attempt("shares blocked", event),
        Event::BlockRefused(event) => attempt("shares not blocked", event),
        Event::PaymentInstructed(event) => leg("asked to pay", event),
        Event::BuyerPaid(event) => leg("buyer paid", event),
        Event::SellerPaid(event) => leg("seller was paid", event),
        Event::PaymentRefused(event) => leg("payment refused", event),
        Event::DeliveryRequested(event) => attempt("asked to deliver", event),
        Event::AccountDelivered(event) => {
            format!("delivered by {}, attempt {}", event.account_id, event.attempt)
        }
        Event::Settled(event) => format!("SETTLED in the batch of {}", event.batch),
        Event::Carried(event) => {
            let Carried { from, to, reason, carries } = event;
            format!("carried from {from} to {to}, carry {carries}{}", because(reason))
        }
        Event::ReleaseRequested(event) => attempt("asked to release", event),
        Event::Released(event) => attempt("shares released", event),
        Event::Returned(event) => leg("payment returned", event),
        Event::Failed(event) => format!("FAILED in the batch of {}{}", event.batch, because(&event.reason)),
        Event::SealReceived(event) => cleared(event),
        Event::BatchStarted(event) => {
            format!("batch of {} started with {} instructions", event.settlement_date, event.instructions)
        }
        Event::BatchClosed(event) => format!("batch of {} closed", event.settlement_date),
        Event::DateOpened(event) => format!("{} is the last date started", event.settlement_date),
        Event::BreakOpened(event) => break_opened(event),
    }
}

fn break_opened(event: &ReconciliationBreak) -> String {
    format!("reconciliation break about {}: {}", event.subject, event.detail)
}

fn ledger(event: &ledger_stored::Event) -> String {
    let ledger_stored::Event::Booked(event) = event;
    let action = bare(event.action().as_str_name(), "LEDGER_ACTION_");
    let legs = event.legs.iter().map(|leg| format!("{} {} {}", leg.account_id, leg.amount, leg.asset));
    let undoes = &event.original_entry_id;
    let undoes = if undoes.is_empty() { String::new() } else { format!(" of {undoes}") };
    format!("{action}{undoes}: {}", legs.collect::<Vec<_>>().join(", "))
}

fn payment(event: &payment_stored::Event) -> String {
    use payment_stored::Event;
    let answer = |what: &str, answer: &PaymentAnswered| {
        format!("{what}, attempt {}, {}{}", answer.attempt, answer.uetr, because(&answer.reason))
    };
    match event {
        Event::Instructed(event) => {
            let PaymentInstruction { debtor, creditor, amount, currency, attempt, .. } = event;
            format!("to pay {amount} {currency} from {debtor} to {creditor}, attempt {attempt}")
        }
        Event::Confirmed(event) => answer("confirmed", event),
        Event::Refused(event) => answer("refused", event),
        Event::Deposited(event) => {
            format!(
                "deposited {} {} to {}, {}",
                event.amount, event.currency, event.account_id, event.bank_reference
            )
        }
        Event::WithdrawalRequested(event) => {
            format!("to pay out {} {} of {}, {}", event.amount, event.currency, event.account_id, event.uetr)
        }
        Event::WithdrawalPaid(event) => answer("paid out", event),
        Event::WithdrawalRefused(event) => answer("not paid out", event),
        Event::CreditTold(event) => {
            let source = if event.line == 0 { "a notice".to_owned() } else { format!("line {}", event.line) };
            format!("{source} tells of {} {} for {}", event.amount, event.currency, event.bank_account)
        }
        Event::RefusalTold(event) => answer("told to be refused", event),
        Event::StatementRead(event) => format!("statement settled up to line {}", event.next_entry),
        Event::BreakOpened(event) => break_opened(event),
        Event::AccountOpened(event) => opened(event),
    }
}

fn notification(event: &notification_stored::Event) -> String {
    use notification_stored::Event;
    match event {
        Event::Due(event) => format!("to tell {} by {}: {}", event.participant_id, event.channel, event.text),
        Event::Delivered(event) => format!("told of {} by {}", event.event_id, event.channel),
        Event::AccountOpened(event) => opened(event),
    }
}
