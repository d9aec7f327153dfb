//! A batch starts with all that its date's seals promise, tries while it runs, and closes when nothing is due.
//!
//! Why it can break: a batch that starts at 18:00 sharp, although clearing has not sealed a trade date; pages
//! by offset over a table that changes; a boundary that is included on one side and excluded on the other; a
//! restart that skips what the first run had under way. Which trade dates settle on a date is read from a table
//! made elsewhere, see `data/README.md`.

use std::collections::BTreeMap;

use contracts::events::{BatchStarted, clearing_stored, settlement_stored};

use crate::day::Day;
use crate::read::{clearing, settlement, subject};
use crate::settlement_dates::SettlementDates;
use crate::{Fact, FactKind, Invariant, Record, Verdict, Violation};

#[derive(Clone, Default)]
pub struct BatchComplete {
    dates: SettlementDates,
    /// Instructions of each trade date that clearing has cleared, by trade date.
    cleared: BTreeMap<String, u64>,
    /// Instructions that settlement has, by their first settlement date.
    instructed: BTreeMap<String, u64>,
    batches: BTreeMap<String, Batch>,
    /// Obligations that have not ended.
    open: BTreeMap<String, Obligation>,
}

#[derive(Clone, Copy)]
struct Batch {
    started: u64,
    closed: Option<u64>,
}

#[derive(Clone)]
struct Obligation {
    due: String,
    since: u64,
}

impl BatchComplete {
    fn start(&mut self, batch: &BatchStarted, at: u64) -> Result<(), Violation> {
        let date = &batch.settlement_date;
        // A second start is the subject of `batch_once_per_date`.
        if self.batches.contains_key(date) {
            return Ok(());
        }
        self.batches.insert(date.clone(), Batch { started: at, closed: None });
        let broken = |why: String| {
            Err(Violation::new(format!("the batch of {date} starts {why}")).about([date]).seen_at([at]))
        };
        let mut promised = 0;
        for trade_date in Day::parse(date).map(|day| self.dates.settling_on(day)).unwrap_or_default() {
            match self.cleared.get(&trade_date.to_string()) {
                Some(instructions) => promised += instructions,
                None => return broken(format!("before clearing has cleared {trade_date}")),
            }
        }
        let instructed = self.instructed.get(date).copied().unwrap_or_default();
        if batch.instructions != promised || instructed != promised {
            let own = batch.instructions;
            return broken(format!(
                "with {own} instructions, clearing gave {promised}, stored are {instructed}"
            ));
        }
        Ok(())
    }

    fn close(&mut self, date: &str, at: u64) -> Result<(), Violation> {
        if let Some(batch) = self.batches.get_mut(date) {
            batch.closed.get_or_insert(at);
        }
        let mut due = self.open.iter().filter(|(_, obligation)| obligation.due.as_str() <= date);
        let Some((trade, first)) = due.next() else { return Ok(()) };
        let others = due.count();
        let why = format!(
            "the batch of {date} closes while {trade} is open and was due on {} (and {others} more)",
            first.due
        );
        Err(Violation::new(why).about([date, trade]).seen_at([first.since, at]))
    }

    fn attempt(&self, trade: &str, date: &str, at: u64) -> Result<(), Violation> {
        let broken = |why: String, since: Option<u64>| {
            let why = format!("{trade} is tried in the batch of {date}, {why}");
            Err(Violation::new(why).about([trade, date]).seen_at(since.into_iter().chain([at])))
        };
        match self.batches.get(date) {
            None => broken("which has not started".to_owned(), None),
            Some(Batch { closed: Some(closed), .. }) => broken("which is closed".to_owned(), Some(*closed)),
            Some(Batch { started, .. }) => match self.open.get(trade) {
                Some(obligation) if obligation.due.as_str() > date => {
                    let since = [*started, obligation.since].into_iter().max();
                    broken(format!("and is due on {}", obligation.due), since)
                }
                _ => Ok(()),
            },
        }
    }

    fn due(&mut self, trade: &str, due: &str, since: u64) {
        self.open.insert(trade.to_owned(), Obligation { due: due.to_owned(), since });
    }

    fn settlement(&mut self, fact: &Fact, at: u64) -> Result<(), Violation> {
        use settlement_stored::Event;
        for (row, event) in settlement(fact) {
            let about = subject(&row.stream);
            match event {
                Event::Instructed(instruction) => {
                    self.due(about, &instruction.settlement_date, at);
                    *self.instructed.entry(instruction.settlement_date.clone()).or_default() += 1;
                }
                Event::Carried(carried) => self.due(about, &carried.to, at),
                Event::Settled(_) | Event::Failed(_) => {
                    self.open.remove(about);
                }
                Event::AttemptStarted(attempt) => self.attempt(about, &attempt.batch, at)?,
                Event::BatchStarted(batch) => self.start(batch, at)?,
                Event::BatchClosed(batch) => self.close(&batch.settlement_date, at)?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl Invariant for BatchComplete {
    fn name(&self) -> &'static str {
        "batch_complete"
    }

    fn about(&self) -> &'static str {
        "A batch starts when clearing has cleared every trade date that settles on its date, with all their \
         instructions, and closes when each obligation due has settled, failed or been carried. It breaks when a \
         seal is not waited for, or a page skips a row."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn fork(&self) -> Option<Box<dyn Invariant>> {
        Some(Box::new(self.clone()))
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        for (_, event) in clearing(record.fact) {
            if let clearing_stored::Event::DateCleared(cleared) = event {
                self.cleared.insert(cleared.trade_date.clone(), cleared.instructions);
            }
        }
        self.settlement(record.fact, record.sequence).into()
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::{AttemptStarted, BatchClosed, Carried, SettlementInstruction, TradeDateCleared};
    use settlement_stored::Event;

    use super::*;
    use crate::testing::{Commit, breaks, failed, history, holds, settled, trade};

    /// Monday; the trade dates of Columbus Day's Tuesday are Friday and Monday.
    const MONDAY: &str = "2026-03-09";

    fn cleared(trade_date: &str, instructions: u64) -> Commit {
        let (trade_date, settlement_date) = (trade_date.to_owned(), MONDAY.to_owned());
        let cleared = TradeDateCleared { trade_date, settlement_date, instructions };
        Commit::by("clearing").event("trade-date", clearing_stored::Event::DateCleared(cleared))
    }

    fn stored(stream: &str, event: Event) -> Commit {
        Commit::by("settlement").event(stream, event)
    }

    fn instructed(id: &str) -> Commit {
        let settlement_date = MONDAY.to_owned();
        let instruction =
            SettlementInstruction { trade: Some(trade(id)), settlement_date, ..Default::default() };
        stored(&format!("obligation/{id}"), Event::Instructed(instruction))
    }

    fn started_on(date: &str, instructions: u64) -> Commit {
        let settlement_date = date.to_owned();
        let batch = BatchStarted { settlement_date, at_ms: 0, instructions };
        stored(&format!("settlement/{date}"), Event::BatchStarted(batch))
    }

    fn started(instructions: u64) -> Commit {
        started_on(MONDAY, instructions)
    }

    fn attempt(id: &str, batch: &str) -> Commit {
        let attempt = AttemptStarted { attempt: 1, batch: batch.to_owned() };
        stored(&format!("obligation/{id}"), Event::AttemptStarted(attempt))
    }

    fn carried(id: &str, to: &str) -> Commit {
        let carried = Carried { from: MONDAY.to_owned(), to: to.to_owned(), ..Carried::default() };
        stored(&format!("obligation/{id}"), Event::Carried(carried))
    }

    fn closed() -> Commit {
        stored(
            "settlement/2026-03-09",
            Event::BatchClosed(BatchClosed { settlement_date: MONDAY.to_owned() }),
        )
    }

    #[test]
    fn holds_when_all_are_settled_carried_or_failed() {
        let told = history![
            instructed("T-1"),
            instructed("T-2"),
            instructed("T-3"),
            cleared("2026-03-06", 3),
            started(3),
            attempt("T-1", MONDAY),
            attempt("T-2", MONDAY),
            settled("T-1"),
            carried("T-2", "2026-03-10"),
            failed("T-3"),
            closed(),
        ];
        holds(BatchComplete::default(), told);
    }

    #[test]
    fn holds_when_a_batch_runs_days_late_with_what_was_carried() {
        let told = history![
            instructed("T-1"),
            cleared("2026-03-06", 1),
            started(1),
            carried("T-1", "2026-03-10"),
            cleared("2026-03-09", 0),
            started_on("2026-03-10", 0),
            attempt("T-1", "2026-03-10"),
            settled("T-1"),
            closed(),
        ];
        holds(BatchComplete::default(), told);
    }

    #[test]
    fn breaks_when_a_seal_is_not_waited_for() {
        let told = history![instructed("T-1"), started(1)];
        breaks(BatchComplete::default(), told, "before clearing has cleared 2026-03-06");
        // Tuesday after Columbus Day: of its two trade dates one is missing.
        let told = history![cleared("2025-10-10", 0), started_on("2025-10-14", 0)];
        breaks(BatchComplete::default(), told, "before clearing has cleared 2025-10-13");
    }

    #[test]
    fn breaks_when_an_instruction_is_missing() {
        let told = history![instructed("T-1"), cleared("2026-03-06", 2), started(1)];
        breaks(BatchComplete::default(), told, "with 1 instructions, clearing gave 2, stored are 1");
    }

    #[test]
    fn breaks_when_a_batch_closes_too_soon() {
        let told = history![instructed("T-1"), cleared("2026-03-06", 1), started(1), closed()];
        breaks(BatchComplete::default(), told, "closes while T-1 is open and was due on 2026-03-09");
    }

    #[test]
    fn breaks_when_an_attempt_is_in_no_running_batch() {
        let told = history![instructed("T-1"), attempt("T-1", MONDAY)];
        breaks(BatchComplete::default(), told, "which has not started");
        let told = history![cleared("2026-03-06", 0), started(0), closed(), attempt("T-1", MONDAY)];
        breaks(BatchComplete::default(), told, "which is closed");
        let told = history![
            instructed("T-1"),
            cleared("2026-03-06", 1),
            started(1),
            carried("T-1", "2026-03-10"),
            attempt("T-1", MONDAY)
        ];
        breaks(BatchComplete::default(), told, "and is due on 2026-03-10");
    }
}
