//! A sealed trade date takes no more trades, and each seal counts all of them.
//!
//! Why it can break: an acceptance that does not read the open trade date under lock, so that a trade slips in
//! behind the count; a day that is ended by a clock instead of by the venue; clearing that takes a date for
//! complete while answers are on their way. Trade seals on the venue's end of day, with the trades it accepted;
//! clearing clears the date when each of them is answered, with those it novated.

use std::collections::{BTreeMap, BTreeSet};

use contracts::events::{clearing_stored, trade_stored};

use crate::book::entry;
use crate::fact::VenueMessage;
use crate::read::{clearing, subject, trade};
use crate::{Fact, FactKind, Invariant, Record, Verdict, Violation};

/// The cause of what a run begins with.
const OPENING: &str = "opening";

#[derive(Clone, Default)]
pub struct TradeDateSealed {
    dates: BTreeMap<String, TradeDate>,
    /// Trade dates that the venue has ended, by its own books.
    ended: BTreeSet<String>,
    /// Without a word of the venue its end of day cannot be judged.
    venue_told: bool,
}

#[derive(Clone, Default)]
struct TradeDate {
    accepted: u64,
    sealed: Option<Seal>,
    novated: u64,
    rejected: u64,
    /// Where clearing cleared it.
    cleared: Option<u64>,
}

#[derive(Clone, Copy)]
struct Seal {
    accepted: u64,
    at: u64,
}

fn broken(why: String, about: &str, since: Option<u64>, at: u64) -> Result<(), Violation> {
    Err(Violation::new(why).about([about]).seen_at(since.into_iter().chain([at])))
}

impl TradeDateSealed {
    fn accept(&mut self, id: &str, date: &str, at: u64) -> Result<(), Violation> {
        let of_date = entry(&mut self.dates, date);
        of_date.accepted += 1;
        match of_date.sealed {
            None => Ok(()),
            Some(seal) => {
                let why = format!(
                    "trade {id} is accepted for {date}, which was sealed with {} trades",
                    seal.accepted
                );
                broken(why, id, Some(seal.at), at)
            }
        }
    }

    fn seal(&mut self, date: &str, accepted: u64, at: u64) -> Result<(), Violation> {
        let is_early = self.venue_told && !self.ended.contains(date);
        let of_date = entry(&mut self.dates, date);
        let (counted, first) = (of_date.accepted, of_date.sealed.replace(Seal { accepted, at }));
        if let Some(first) = first {
            return broken(format!("{date} is sealed twice"), date, Some(first.at), at);
        }
        if is_early {
            return broken(format!("{date} is sealed before the venue has ended it"), date, None, at);
        }
        if counted != accepted {
            let why = format!("{date} is sealed with {accepted} trades, accepted were {counted}");
            return broken(why, date, None, at);
        }
        Ok(())
    }

    fn answer(&mut self, id: &str, date: &str, is_novated: bool, at: u64) -> Result<(), Violation> {
        let of_date = entry(&mut self.dates, date);
        *(if is_novated { &mut of_date.novated } else { &mut of_date.rejected }) += 1;
        match of_date.cleared {
            None => Ok(()),
            Some(cleared) => {
                let why = format!("clearing hears of trade {id} of {date} after it had cleared that date");
                broken(why, id, Some(cleared), at)
            }
        }
    }

    fn clear(&mut self, date: &str, instructions: u64, at: u64) -> Result<(), Violation> {
        let of_date = entry(&mut self.dates, date);
        of_date.cleared = Some(at);
        let TradeDate { novated, rejected, sealed, .. } = *of_date;
        let Some(seal) = sealed else {
            return broken(format!("clearing clears {date}, which is not sealed"), date, None, at);
        };
        if novated + rejected != seal.accepted || novated != instructions {
            let why = format!(
                "clearing clears {date} with {instructions} instructions: accepted were {}, novated {novated}, \
                 rejected {rejected}",
                seal.accepted
            );
            return broken(why, date, Some(seal.at), at);
        }
        Ok(())
    }

    fn traded(&mut self, fact: &Fact, at: u64) -> Result<(), Violation> {
        for (row, event) in trade(fact) {
            match event {
                trade_stored::Event::Accepted(accepted) => {
                    self.accept(subject(&row.stream), &accepted.trade_date, at)?;
                }
                trade_stored::Event::VenueSealed(sealed) if row.cause != OPENING => {
                    self.seal(&sealed.trade_date, sealed.accepted, at)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn cleared(&mut self, fact: &Fact, at: u64) -> Result<(), Violation> {
        for (row, event) in clearing(fact).filter(|(row, _)| row.cause != OPENING) {
            match event {
                clearing_stored::Event::Novated(novated) => {
                    if let Some(trade) = &novated.trade {
                        self.answer(subject(&row.stream), &trade.trade_date, true, at)?;
                    }
                }
                clearing_stored::Event::AnsweredRejected(answered) => {
                    self.answer(&answered.trade_id, &answered.trade_date, false, at)?;
                }
                clearing_stored::Event::DateCleared(cleared) => {
                    self.clear(&cleared.trade_date, cleared.instructions, at)?;
                }
                clearing_stored::Event::DateSealed(_) => {}
            }
        }
        Ok(())
    }
}

impl Invariant for TradeDateSealed {
    fn name(&self) -> &'static str {
        "trade_date_sealed"
    }

    fn about(&self) -> &'static str {
        "A trade date is sealed after the venue has ended it, with all its trades, takes none after that, and is \
         cleared when each is answered. It breaks when an acceptance or a count reads a stream that it does not \
         lock."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn welcomes(&self) -> &'static [FactKind] {
        &[FactKind::Venue]
    }

    fn fork(&self) -> Option<Box<dyn Invariant>> {
        Some(Box::new(self.clone()))
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        if let Fact::Venue { trade_date, message, .. } = record.fact {
            self.venue_told = true;
            if *message == VenueMessage::EndOfDay {
                self.ended.insert(trade_date.clone());
            }
        }
        let traded = self.traded(record.fact, record.sequence);
        traded.and_then(|()| self.cleared(record.fact, record.sequence)).into()
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::{TradeAnswered, TradeDateCleared, VenueSealed};

    use super::*;
    use crate::testing::{Commit, breaks, history, holds, novated, taken};

    const DATE: &str = "2026-03-06";

    fn venue(message: VenueMessage) -> Fact {
        Fact::Venue { venue: "XNYS".to_owned(), trade_date: DATE.to_owned(), message }
    }

    fn ended() -> Fact {
        venue(VenueMessage::EndOfDay)
    }

    fn accepted(id: &str) -> Commit {
        Commit::by("trade").event(&format!("trade/{id}"), taken())
    }

    fn sealed(accepted: u64) -> Commit {
        let sealed = VenueSealed { trade_date: DATE.to_owned(), accepted, ..VenueSealed::default() };
        Commit::by("trade").event("venue/XNYS", trade_stored::Event::VenueSealed(sealed))
    }

    fn rejected(id: &str) -> Commit {
        let answered = TradeAnswered { trade_id: id.to_owned(), trade_date: DATE.to_owned() };
        Commit::by("clearing")
            .event(&format!("trade/{id}"), clearing_stored::Event::AnsweredRejected(answered))
    }

    fn cleared(instructions: u64) -> Commit {
        let (trade_date, settlement_date) = (DATE.to_owned(), "2026-03-09".to_owned());
        let cleared = TradeDateCleared { trade_date, settlement_date, instructions };
        Commit::by("clearing").event("trade-date/2026-03-06", clearing_stored::Event::DateCleared(cleared))
    }

    #[test]
    fn holds_when_every_trade_is_counted() {
        let told = history![
            accepted("T-1"),
            accepted("T-2"),
            novated("T-1"),
            ended(),
            sealed(2),
            rejected("T-2"),
            cleared(1),
        ];
        holds(TradeDateSealed::default(), told);
    }

    #[test]
    fn holds_for_what_a_run_begins_with() {
        let told =
            history![venue(VenueMessage::Open), sealed(0).caused_by(OPENING), cleared(0).caused_by(OPENING)];
        holds(TradeDateSealed::default(), told);
    }

    #[test]
    fn breaks_when_a_trade_comes_after_the_seal() {
        let told = history![accepted("T-1"), sealed(1), accepted("T-2")];
        breaks(TradeDateSealed::default(), told, "T-2 is accepted for 2026-03-06, which was sealed with 1");
    }

    #[test]
    fn breaks_when_the_seal_misses_a_trade() {
        let told = history![accepted("T-1"), accepted("T-2"), sealed(1)];
        breaks(TradeDateSealed::default(), told, "sealed with 1 trades, accepted were 2");
    }

    #[test]
    fn breaks_when_a_clock_ends_the_day() {
        let told = history![venue(VenueMessage::Open), venue(VenueMessage::Close), sealed(0)];
        breaks(TradeDateSealed::default(), told, "sealed before the venue has ended it");
        breaks(TradeDateSealed::default(), history![ended(), sealed(0), sealed(0)], "sealed twice");
    }

    #[test]
    fn breaks_when_clearing_does_not_wait() {
        let told = history![accepted("T-1"), accepted("T-2"), sealed(2), novated("T-1"), cleared(1)];
        breaks(TradeDateSealed::default(), told, "accepted were 2, novated 1, rejected 0");
        breaks(TradeDateSealed::default(), history![cleared(0)], "which is not sealed");
        let told = history![sealed(0), cleared(0), novated("T-1")];
        breaks(TradeDateSealed::default(), told, "after it had cleared that date");
    }
}
