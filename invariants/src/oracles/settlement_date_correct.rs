//! A trade settles on the date that a table made elsewhere gives for its trade date, and batches run on such
//! dates.
//!
//! Why it can break: one calendar for exchange, banks and settlement; adding 24 hours; a holiday list read
//! once at boot. Columbus Day, Good Friday and days of mourning are where platforms differ. See
//! `data/README.md`.

use contracts::Message;
use contracts::events::{Trade, clearing_stored, settlement_stored};

use crate::day::Day;
use crate::read::{clearing, messages, settlement, subject};
use crate::settlement_dates::SettlementDates;
use crate::{Fact, FactKind, Invariant, Record, Verdict, Violation};

#[derive(Default)]
pub struct SettlementDateCorrect {
    dates: SettlementDates,
}

impl SettlementDateCorrect {
    /// Trades of `trade_date` are said to settle on `claimed`.
    fn check(&self, subject: &str, trade_date: &str, claimed: &str) -> Result<(), String> {
        let Some(day) = Day::parse(trade_date) else {
            return Err(format!("{subject} has the trade date `{trade_date}`, which is no date"));
        };
        match self.dates.of_trade_date(day) {
            Some(expected) if expected.to_string() == claimed => Ok(()),
            Some(expected) => {
                Err(format!("{subject} of {trade_date} settles on {expected}, not on {claimed}"))
            }
            None if self.dates.covers(day) => {
                Err(format!("{subject} is of {trade_date}, which is no session"))
            }
            None => Ok(()),
        }
    }

    fn trade(&self, trade: Option<&Trade>, claimed: &str) -> Result<(), String> {
        trade.map_or(Ok(()), |trade| {
            self.check(&format!("trade {}", trade.trade_id), &trade.trade_date, claimed)
        })
    }

    fn settlement_day(&self, what: &str, date: &str) -> Result<(), String> {
        match Day::parse(date) {
            Some(day) if self.dates.is_settlement_day(day) || !self.dates.covers(day) => Ok(()),
            _ => Err(format!("{what} {date}, which is no settlement date")),
        }
    }

    fn judge(&self, fact: &Fact) -> Result<(), (String, String)> {
        for (row, event) in clearing(fact) {
            let judged = match event {
                clearing_stored::Event::Novated(novated) => {
                    self.trade(novated.trade.as_ref(), &novated.settlement_date)
                }
                clearing_stored::Event::DateCleared(cleared) => {
                    self.check("the trade date", &cleared.trade_date, &cleared.settlement_date)
                }
                _ => Ok(()),
            };
            judged.map_err(|why| (why, subject(&row.stream).to_owned()))?;
        }
        for message in messages(fact) {
            if let Message::SettlementInstruction(told) = message {
                let about = told.trade.as_ref().map_or_else(String::new, |trade| trade.trade_id.clone());
                self.trade(told.trade.as_ref(), &told.settlement_date).map_err(|why| (why, about))?;
            }
        }
        for (row, event) in settlement(fact) {
            let judged = match event {
                settlement_stored::Event::BatchStarted(batch) => {
                    self.settlement_day("a batch starts for", &batch.settlement_date)
                }
                settlement_stored::Event::Carried(carried) if carried.to <= carried.from => {
                    Err(format!("{} is carried from {} back to {}", row.stream, carried.from, carried.to))
                }
                settlement_stored::Event::Carried(carried) => {
                    self.settlement_day("an obligation is carried to", &carried.to)
                }
                _ => Ok(()),
            };
            judged.map_err(|why| (why, subject(&row.stream).to_owned()))?;
        }
        Ok(())
    }
}

impl Invariant for SettlementDateCorrect {
    fn name(&self) -> &'static str {
        "settlement_date_correct"
    }

    fn about(&self) -> &'static str {
        "Every trade settles on the date that a committed table gives for its trade date, and batches run \
         on settlement dates only. It breaks when exchange, bank and settlement calendars are taken for \
         one."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        let judged = self.judge(record.fact);
        judged.map_err(|(why, about)| Violation::new(why).about([about]).seen_at([record.sequence])).into()
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::{BatchStarted, SettlementInstruction, TradeNovated};

    use super::*;
    use crate::testing::{Commit, breaks, history, holds, trade};

    fn novated(trade_date: &str, settlement_date: &str) -> Commit {
        let trade = Some(Trade { trade_date: trade_date.to_owned(), ..trade("T-1") });
        let settlement_date = settlement_date.to_owned();
        let instruction = SettlementInstruction {
            trade: trade.clone(),
            settlement_date: settlement_date.clone(),
            amount: String::new(),
        };
        let event = TradeNovated { trade, settlement_date, obligations: Vec::new() };
        Commit::by("clearing").event("trade/T-1", clearing_stored::Event::Novated(event)).message(instruction)
    }

    fn batch(date: &str) -> Commit {
        let event = BatchStarted { settlement_date: date.to_owned(), ..BatchStarted::default() };
        Commit::by("settlement")
            .event(&format!("settlement/{date}"), settlement_stored::Event::BatchStarted(event))
    }

    #[test]
    fn holds_for_the_dates_of_the_table() {
        let told = history![
            novated("2026-03-06", "2026-03-09"),
            novated("2025-10-13", "2025-10-14"),
            batch("2026-03-09")
        ];
        holds(SettlementDateCorrect::default(), told);
    }

    #[test]
    fn breaks_on_a_bank_holiday() {
        let told = history![novated("2025-10-10", "2025-10-13")];
        breaks(
            SettlementDateCorrect::default(),
            told,
            "trade T-1 of 2025-10-10 settles on 2025-10-14, not on 2025-10-13",
        );
        breaks(
            SettlementDateCorrect::default(),
            history![batch("2025-10-13")],
            "a batch starts for 2025-10-13",
        );
    }

    #[test]
    fn breaks_on_a_trade_date_without_session() {
        breaks(
            SettlementDateCorrect::default(),
            history![novated("2026-04-03", "2026-04-06")],
            "which is no session",
        );
    }
}
