//! An input is taken in once: no stream stores the same event twice for the same cause.
//!
//! Why it can break: an inbox that is forgotten, or stored apart from the effects; a redelivery after a
//! rebalance that nobody knows again; a timer or an answer of the bank that two instances take. One cause may
//! well lead to several events, and the message of one event to two topics: equal is only what repeats stream,
//! cause and content. What one transaction repeats was decided so, once: a rule is wrong then, and others judge it.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::Xxh3;

use crate::fact::{Committed, EventRow};
use crate::{Fact, FactKind, Invariant, Record, Verdict, Violation};

#[derive(Clone, Default)]
pub struct InputsTakenOnce {
    /// Hashes of stream, cause and content, and where each was stored.
    taken: BTreeMap<u128, u64>,
}

/// Parts are told apart: each ends with a byte that no text has.
fn identity(database: &str, row: &EventRow) -> u128 {
    let mut hash = Xxh3::new();
    for text in [database, &row.stream, &row.cause] {
        hash.update(text.as_bytes());
        hash.update(&[0xff]);
    }
    hash.update(&row.payload);
    hash.digest128()
}

impl InputsTakenOnce {
    fn take(&mut self, committed: &Committed, at: u64) -> Result<(), Violation> {
        for row in committed.events.iter().filter(|row| !row.cause.is_empty()) {
            let first = self.taken.insert(identity(&committed.database, row), at);
            let Some(first) = first.filter(|first| *first < at) else { continue };
            let (stream, cause) = (&row.stream, &row.cause);
            let why = format!("{}/{stream} stores what follows from {cause} twice", committed.database);
            return Err(Violation::new(why).about([stream, cause]).seen_at([first, at]));
        }
        Ok(())
    }
}

impl Invariant for InputsTakenOnce {
    fn name(&self) -> &'static str {
        "inputs_taken_once"
    }

    fn about(&self) -> &'static str {
        "No stream stores the same event twice for the same input: a message, a request, a timer or an answer. \
         It breaks when an inbox is forgotten, or stored apart from the effects, and the input comes again."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn fork(&self) -> Option<Box<dyn Invariant>> {
        Some(Box::new(self.clone()))
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        match record.fact {
            Fact::Committed(committed) => self.take(committed, record.sequence).into(),
            _ => Verdict::Holds,
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::{PositionTrade, TradeState, position_stored};

    use super::*;
    use crate::testing::{Commit, advanced, breaks, history, holds, trade, validated};

    fn reserved(version: u64) -> Commit {
        let reserved = position_stored::Event::Reserved(PositionTrade { trade: Some(trade("T-1")) });
        Commit::by("position").version(version, "account/S", reserved).caused_by("trade/trade/T-1@2")
    }

    #[test]
    fn holds_for_several_events_of_one_cause() {
        let step = |step| {
            Commit::by("trade")
                .event("trade/T-1", advanced(step, TradeState::Instructed))
                .caused_by("clearing/trade/T-1@1")
        };
        let told = history![
            validated("T-1").caused_by("trade/trade/T-1@2"),
            // Novated and instructed are messages of one event.
            step(TradeState::Cleared),
            step(TradeState::Instructed),
        ];
        holds(InputsTakenOnce::default(), told);
    }

    #[test]
    fn holds_for_equal_events_of_several_causes() {
        holds(InputsTakenOnce::default(), history![reserved(1), reserved(2).caused_by("trade/trade/T-2@2")]);
    }

    #[test]
    fn breaks_when_an_input_is_taken_again() {
        let told = history![reserved(1), reserved(2)];
        breaks(
            InputsTakenOnce::default(),
            told,
            "account/S stores what follows from trade/trade/T-1@2 twice",
        );
    }

    #[test]
    fn holds_for_what_was_decided_twice_at_once() {
        let mut twice = reserved(1);
        twice.0.events.extend(reserved(2).0.events);
        holds(InputsTakenOnce::default(), history![twice]);
    }
}
