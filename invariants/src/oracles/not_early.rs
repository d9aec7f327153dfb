//! Nothing settles before 18:00 New York time on its settlement date.
//!
//! Why it can break: a batch scheduled in UTC, so that it runs an hour early on one side of a clock change; a
//! database clock that runs ahead; a cut-off taken from a node's clock. Judged by true time, and by the
//! database's.

use std::collections::BTreeMap;

use contracts::events::{payment_stored, settlement_stored};

use crate::book::{entry, likeness};
use crate::day::{Day, utc};
use crate::fact::{BankKind, BankMovement, Committed};
use crate::read::{payment, settlement, subject};
use crate::{Fact, FactKind, Invariant, Record, Verdict, Violation};

#[derive(Clone, Default)]
pub struct NotEarly {
    /// Payments that the bank has not executed yet, by `debtor creditor amount`: no UETR names its leg.
    awaited: BTreeMap<String, Vec<Awaited>>,
}

#[derive(Clone)]
struct Awaited {
    leg: String,
    opens_ns: i64,
    instructed_at: u64,
}

impl NotEarly {
    fn batches(fact: &Fact, committed: &Committed, record: &Record<'_>) -> Result<(), Violation> {
        for (row, event) in settlement(fact) {
            let (what, date, own_clock_ns) = match event {
                settlement_stored::Event::BatchStarted(batch) => {
                    ("the batch", &batch.settlement_date, Some(batch.at_ms.saturating_mul(1_000_000)))
                }
                settlement_stored::Event::AttemptStarted(attempt) => ("an attempt", &attempt.batch, None),
                _ => continue,
            };
            let Some(opens_ns) = Day::parse(date).map(Day::settlement_opens_ns) else { continue };
            let clocks = [
                ("true", Some(record.at_ns)),
                ("database", Some(committed.database_time_ns)),
                ("recorded", own_clock_ns),
            ];
            if let Some((clock, Some(at_ns))) =
                clocks.into_iter().find(|(_, at_ns)| at_ns.is_some_and(|at| at < opens_ns))
            {
                let why = format!(
                    "{what} of {date} started at {} {clock} time, settlement opens at {}",
                    utc(at_ns),
                    utc(opens_ns)
                );
                return Err(Violation::new(why)
                    .about([subject(&row.stream), date])
                    .seen_at([record.sequence]));
            }
        }
        Ok(())
    }

    fn instructed(&mut self, fact: &Fact, at: u64) {
        for (row, event) in payment(fact) {
            let payment_stored::Event::Instructed(payment) = event else { continue };
            let Some(day) = Day::parse(&payment.settlement_date) else { continue };
            let leg = subject(&row.stream);
            let alike =
                entry(&mut self.awaited, &likeness(&payment.debtor, &payment.creditor, &payment.amount));
            let opens_ns = day.settlement_opens_ns();
            match alike.iter_mut().find(|awaited| awaited.leg == leg) {
                // Another attempt, after a refusal: it may belong to a later batch.
                Some(awaited) => (awaited.opens_ns, awaited.instructed_at) = (opens_ns, at),
                None => alike.push(Awaited { leg: leg.to_owned(), opens_ns, instructed_at: at }),
            }
        }
    }

    /// The earliest of the legs that it may be is taken: an early payment must be early for all of them.
    fn executed(&mut self, moved: &BankMovement, record: &Record<'_>) -> Result<(), Violation> {
        let likeness = likeness(&moved.debtor, &moved.creditor, &moved.amount);
        let Some(alike) = self.awaited.get_mut(&likeness) else { return Ok(()) };
        let earliest = (0..alike.len()).min_by_key(|index| alike[*index].opens_ns);
        let Some(awaited) = earliest.map(|index| alike.remove(index)) else { return Ok(()) };
        if alike.is_empty() {
            self.awaited.remove(&likeness);
        }
        if record.at_ns >= awaited.opens_ns {
            return Ok(());
        }
        let (at, opens) = (utc(record.at_ns), utc(awaited.opens_ns));
        let why = format!("the bank executed {} at {at}, its settlement opens at {opens}", awaited.leg);
        Err(Violation::new(why)
            .about([&awaited.leg, &moved.uetr])
            .seen_at([awaited.instructed_at, record.sequence]))
    }
}

impl Invariant for NotEarly {
    fn name(&self) -> &'static str {
        "not_early"
    }

    fn about(&self) -> &'static str {
        "No batch starts and the bank executes no settlement payment before 18:00 New York time on the \
         settlement date. It breaks when a batch is scheduled in UTC across a clock change, or a database's \
         clock is ahead."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn welcomes(&self) -> &'static [FactKind] {
        &[FactKind::Bank]
    }

    fn fork(&self) -> Option<Box<dyn Invariant>> {
        Some(Box::new(self.clone()))
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        match record.fact {
            Fact::Bank(moved) if moved.kind == BankKind::Executed => self.executed(moved, record).into(),
            Fact::Committed(committed) => {
                self.instructed(record.fact, record.sequence);
                Self::batches(record.fact, committed, record).into()
            }
            _ => Verdict::Holds,
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::BatchStarted;

    use super::*;
    use crate::testing::{Commit, breaks, executed, history, holds, pays};

    /// Monday after the clocks went forward: 18:00 is 22:00 UTC.
    fn opens() -> i64 {
        Day::parse("2026-03-09").expect("a date").settlement_opens_ns()
    }

    fn batch(at_ns: i64) -> Commit {
        let (settlement_date, at_ms) = ("2026-03-09".to_owned(), at_ns / 1_000_000);
        let event = BatchStarted { settlement_date, at_ms, instructions: 1 };
        Commit::by("settlement").event("settlement/2026-03-09", settlement_stored::Event::BatchStarted(event))
    }

    #[test]
    fn holds_from_eighteen_hundred_on() {
        let told = history![
            (opens(), batch(opens())),
            (opens(), pays("T-1/buyer", "B", "CCP")),
            (opens() + 1, executed("U-1", "B", "CCP"))
        ];
        holds(NotEarly::default(), told);
    }

    #[test]
    fn holds_when_the_batch_runs_days_late_and_the_database_is_behind() {
        let (days, minute) = (3 * 86_400_000_000_000, 60_000_000_000);
        let Fact::Committed(mut committed) = Fact::from(batch(opens())) else {
            unreachable!("it is a commit")
        };
        committed.database_time_ns = opens();
        let behind = (opens() + minute, Fact::Committed(committed));
        holds(NotEarly::default(), history![behind]);
        let told = history![
            (opens() + days, batch(opens() + days)),
            (opens() + days, pays("T-1/buyer", "B", "CCP")),
            (opens() + days + 1, executed("U-1", "B", "CCP"))
        ];
        holds(NotEarly::default(), told);
    }

    #[test]
    fn breaks_when_the_database_is_ahead() {
        let Fact::Committed(mut committed) = Fact::from(batch(opens())) else {
            unreachable!("it is a commit")
        };
        committed.database_time_ns = opens();
        let ahead = (opens() - 1, Fact::Committed(committed));
        breaks(NotEarly::default(), history![ahead], "true time");
    }

    #[test]
    fn breaks_when_a_batch_is_early() {
        breaks(NotEarly::default(), history![(opens() - 1, batch(opens()))], "true time");
        breaks(NotEarly::default(), history![(opens(), batch(opens() - 1_000_000))], "recorded time");
    }

    #[test]
    fn breaks_when_the_bank_pays_early() {
        let told = history![
            (opens() - 5, pays("T-1/buyer", "B", "CCP")),
            (opens() - 1, executed("U-1", "B", "CCP"))
        ];
        breaks(NotEarly::default(), told, "executed T-1/buyer at 2026-03-09T21:59:59.999Z");
    }
}
