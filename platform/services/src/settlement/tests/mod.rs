//! What the tests of settlement share: a bench, and the messages of its neighbours.

mod batch;
mod failures;
mod saga;

use contracts::Message;
use contracts::events::{
    PaymentEvent, PaymentOutcome, PositionChange, PositionUpdated, SettlementInstruction, TradeDateCleared,
};
use model::Calendar;

use super::Settlement;
use crate::testing::Bench;

const FRIDAY: &str = "2026-03-06";
const MONDAY: &str = "2026-03-09";
const TUESDAY: &str = "2026-03-10";
/// 18:00 of that Monday in New York, where clocks have gone forward on Sunday.
const MONDAY_1800: &str = "2026-03-09T18:00:00-04:00";
const TUESDAY_1800: &str = "2026-03-10T18:00:00-04:00";

/// On the Friday before the DST change.
fn bench() -> Bench<Settlement> {
    Bench::new(Settlement::new(Calendar::xnys()), "2026-03-06T10:00:00-05:00")
}

/// Monday 18:00, the batch started, and these trades' first attempts too.
fn started(trades: &[&str]) -> Bench<Settlement> {
    let mut bench = bench();
    for trade in trades {
        bench.message(instruction(trade));
    }
    bench.message(seal(FRIDAY, MONDAY, u64::try_from(trades.len()).expect("a few")));
    bench.at(MONDAY_1800);
    bench.due_timers();
    bench
}

/// Tuesday 18:00, with nothing new to settle.
fn start_tuesday(bench: &mut Bench<Settlement>) {
    bench.message(seal(MONDAY, TUESDAY, 0));
    bench.at(TUESDAY_1800);
    bench.due_timers();
}

fn instruction(trade: &str) -> SettlementInstruction {
    let trade = crate::testing::trade(trade, FRIDAY);
    SettlementInstruction { trade: Some(trade), settlement_date: MONDAY.into(), amount: "1025.00".into() }
}

fn seal(trade_date: &str, settlement_date: &str, instructions: u64) -> TradeDateCleared {
    let (trade_date, settlement_date) = (trade_date.into(), settlement_date.into());
    TradeDateCleared { trade_date, settlement_date, instructions }
}

/// What position says of trade T-1.
fn position(change: PositionChange, account: &str, attempt: u32) -> Message {
    let refused = change == PositionChange::BlockRefused;
    PositionUpdated {
        change: change.into(),
        account_id: account.into(),
        instrument_id: "IBM".into(),
        trade_id: "T-1".into(),
        quantity: 0,
        attempt,
        reason: if refused { "shares missing".into() } else { String::new() },
    }
    .into()
}

fn blocked(attempt: u32) -> Message {
    position(PositionChange::Blocked, "A-2", attempt)
}

fn block_refused(attempt: u32) -> Message {
    position(PositionChange::BlockRefused, "A-2", attempt)
}

fn released(attempt: u32) -> Message {
    position(PositionChange::Released, "A-2", attempt)
}

fn delivered(account: &str, attempt: u32) -> Message {
    position(PositionChange::Delivered, account, attempt)
}

/// What the bank did about a leg of trade T-1.
fn payment(leg: &str, attempt: u32, outcome: PaymentOutcome) -> Message {
    let refused = outcome == PaymentOutcome::Refused;
    PaymentEvent {
        outcome: outcome.into(),
        leg_id: format!("T-1/{leg}"),
        trade_id: "T-1".into(),
        uetr: format!("uetr-{leg}-{attempt}"),
        attempt,
        reason: if refused { "AM04".into() } else { String::new() },
        ..PaymentEvent::default()
    }
    .into()
}

fn paid(leg: &str, attempt: u32) -> Message {
    payment(leg, attempt, PaymentOutcome::Confirmed)
}

fn refused(leg: &str, attempt: u32) -> Message {
    payment(leg, attempt, PaymentOutcome::Refused)
}

/// The messages in this order, and what came of each.
fn feed(bench: &mut Bench<Settlement>, messages: impl IntoIterator<Item = Message>) -> String {
    messages.into_iter().map(|message| bench.message(message)).collect()
}
