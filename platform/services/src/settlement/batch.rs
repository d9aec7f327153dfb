//! The batch of a settlement date: seals, start, pages, close; and what the opening of a run records.
//!
//! Counting is sound because of locks: an instruction reads `seals/<d>`, which the start writes, and a carry
//! reads `settlement/open`, which the start writes. So what a started batch has to take is all there, and
//! only becomes less: whoever looks late can only close late.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::events::settlement_stored::Event;
use contracts::events::{BatchClosed, BatchStarted, TradeDateCleared};
use host::{Decision, StreamId, View};
use model::{Calendar, Date, Timestamp};

use super::{BATCH_TIME, BATCHES, Settlement, State, reads, stream};
use crate::support::contract;

/// How long start and close wait at most before they look again.
const RECHECK: Duration = Duration::from_secs(60);
/// How soon a close looks again at the earliest.
const CLOSE_RECHECK_MIN: Duration = Duration::from_secs(1);

impl Settlement {
    pub(super) fn note_seal(&self, cleared: &TradeDateCleared, view: &View<'_, State>) -> Decision<Event> {
        let stream = stream::seals(&cleared.settlement_date);
        if seals(view.state(&stream)).contains_key(&contract::date(&cleared.trade_date)) {
            return Decision::none();
        }
        let decision = Decision::none().event(stream, Event::SealReceived(cleared.clone()));
        self.arm_batch(decision, contract::date(&cleared.settlement_date), view.database_time)
    }

    pub(super) fn start(&self, date: Date, view: &View<'_, State>) -> Decision<Event> {
        if !matches!(view.state(&stream::batch(date)), State::Absent) {
            return Decision::none();
        }
        if view.database_time < self.opens_at(date) {
            return self.arm_batch(Decision::none(), date, view.database_time);
        }
        let instructions = view.lookup(0).count();
        if self.sealed_instructions(date, seals(view.state(&stream::seals(date)))) != Some(instructions) {
            return Decision::none().arm_no_later(format!("batch/{date}"), view.database_time + RECHECK);
        }
        let at_ms = contract::millis(view.database_time);
        let started = BatchStarted { settlement_date: date.to_string(), at_ms, instructions };
        let opens = match view.state(&stream::open()) {
            // A later date has opened before this one could start.
            State::Open(open) if *open >= date => Decision::none(),
            _ => Decision::none().event(stream::open(), Event::DateOpened(started.clone())),
        };
        Decision::none()
            .put(&BATCHES, reads::batch_row(&started, false))
            .event(stream::batch(date), Event::BatchStarted(started))
            .arm(format!("page/{date}/"), view.database_time)
            .and(opens)
    }

    pub(super) fn page(&self, date: Date, view: &View<'_, State>) -> Decision<Event> {
        if !is_running(view.state(&stream::batch(date))) {
            return Decision::none();
        }
        let now = view.database_time;
        let rows = view.lookup(0).rows();
        let attempts = rows.iter().fold(Decision::none(), |decision, row| {
            decision.arm(format!("attempt/{date}/{}", reads::trade_of(row)), now)
        });
        match rows.last() {
            Some(last) if rows.len() == self.page_size => {
                attempts.arm(format!("page/{date}/{}/{}", reads::due_of(last), reads::trade_of(last)), now)
            }
            _ => attempts.arm(format!("close/{date}"), now + CLOSE_RECHECK_MIN),
        }
    }

    pub(super) fn close(&self, date: Date, view: &View<'_, State>) -> Decision<Event> {
        let stream = stream::batch(date);
        let State::Batch { started, closed: false } = view.state(&stream) else {
            return Decision::none();
        };
        if !view.lookup(0).rows().is_empty() {
            let now = view.database_time;
            return Decision::none().arm(format!("close/{date}"), now + close_recheck(started, now));
        }
        Decision::none()
            .event(stream, Event::BatchClosed(BatchClosed { settlement_date: date.to_string() }))
            .put(&BATCHES, reads::batch_row(started, true))
    }

    /// The batch of a date may start: now, or when it opens.
    pub(super) fn arm_batch(&self, decision: Decision<Event>, date: Date, now: Timestamp) -> Decision<Event> {
        decision.arm_no_later(format!("batch/{date}"), self.opens_at(date).max(now))
    }

    fn opens_at(&self, date: Date) -> Timestamp {
        self.calendar.local_instant(date, BATCH_TIME).expect("the covered years are within range")
    }

    /// How many instructions the trade dates of a settlement date gave it; `None` while one has not told.
    fn sealed_instructions(&self, date: Date, seals: &BTreeMap<Date, u64>) -> Option<u64> {
        let trade_dates = self.calendar.trade_dates_settling_on(date);
        trade_dates.iter().map(|trade_date| seals.get(trade_date).copied()).sum()
    }
}

/// What the opening of a run records here: the trade dates before the first one that settle on or after it
/// have given no instructions.
pub fn opening(calendar: &Calendar, first_trade_date: Date) -> Vec<(StreamId, Event)> {
    let mut events = Vec::new();
    let yesterday = first_trade_date.yesterday().expect("a covered date");
    let mut settlement_dates =
        std::iter::successors(calendar.next_settlement_day_after(yesterday).ok(), |date| {
            calendar.next_settlement_day_after(*date).ok()
        });
    // Settlement dates never decrease: the first one of a trade date of the run is the last of interest.
    let reached = settlement_dates.any(|settlement_date| {
        let trade_dates = calendar.trade_dates_settling_on(settlement_date);
        let earlier = trade_dates.iter().filter(|date| **date < first_trade_date);
        events.extend(earlier.map(|trade_date| {
            let seal = TradeDateCleared {
                trade_date: trade_date.to_string(),
                settlement_date: settlement_date.to_string(),
                instructions: 0,
            };
            (stream::seals(settlement_date), Event::SealReceived(seal))
        }));
        trade_dates.iter().any(|date| *date >= first_trade_date)
    });
    assert!(reached, "the calendar covers the settlement of the first trade date {first_trade_date}");
    events
}

/// A quarter of the batch's time so far. Obligations do not wake the close as they finish: ten thousand of
/// them would meet in its one timer row.
fn close_recheck(started: &BatchStarted, now: Timestamp) -> Duration {
    let running_ms = contract::millis(now).saturating_sub(started.at_ms);
    let quarter = Duration::from_millis(u64::try_from(running_ms).unwrap_or(0) / 4);
    quarter.clamp(CLOSE_RECHECK_MIN, RECHECK)
}

pub(super) fn is_running(state: &State) -> bool {
    matches!(state, State::Batch { closed: false, .. })
}

pub(super) fn seals(state: &State) -> &BTreeMap<Date, u64> {
    static NONE: BTreeMap<Date, u64> = BTreeMap::new();
    match state {
        State::Seals(seals) => seals,
        State::Absent => &NONE,
        other => panic!("not the state of seals: {other:?}"),
    }
}
