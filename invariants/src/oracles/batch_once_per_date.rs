//! Each settlement date has one batch: its start is the first event of its own stream, and it closes once.
//!
//! Why it can break: the scheduler fires twice (a failover at 18:00, a day of 25 hours), or two instances
//! hold the lease. A batch is started under no lock but the uniqueness of that first event.

use std::collections::BTreeMap;

use contracts::events::settlement_stored::Event;

use crate::read::{settlement, subject};
use crate::{FactKind, Invariant, Pending, Record, Verdict, Violation};

#[derive(Clone, Default)]
pub struct BatchOncePerDate {
    batches: BTreeMap<String, Batch>,
    open: usize,
}

#[derive(Clone)]
struct Batch {
    started: u64,
    /// A batch without instructions has nothing to close.
    closed: Option<u64>,
    instructions: u64,
}

impl BatchOncePerDate {
    fn follow(&mut self, stream: &str, version: u64, event: &Event, at: u64) -> Result<(), Violation> {
        let broken = |why: String, seen: Option<u64>| {
            Err(Violation::new(why).about([stream]).seen_at(seen.into_iter().chain([at])))
        };
        match event {
            Event::BatchStarted(batch) => {
                let (date, instructions) = (&batch.settlement_date, batch.instructions);
                if let Some(first) = self.batches.get(date) {
                    return broken(format!("the batch of {date} is started twice"), Some(first.started));
                }
                if stream != format!("settlement/{date}") || version != 1 {
                    return broken(format!("the batch of {date} starts as {stream}@{version}"), None);
                }
                self.open += usize::from(instructions > 0);
                self.batches.insert(date.clone(), Batch { started: at, closed: None, instructions });
                Ok(())
            }
            Event::BatchClosed(_) => match self.batches.get_mut(subject(stream)) {
                None => broken(format!("{stream} is closed and was never started"), None),
                Some(Batch { closed: Some(first), .. }) => {
                    let first = *first;
                    broken(format!("{stream} is closed twice"), Some(first))
                }
                Some(batch) => {
                    batch.closed = Some(at);
                    self.open -= usize::from(batch.instructions > 0);
                    Ok(())
                }
            },
            _ => Ok(()),
        }
    }
}

impl Invariant for BatchOncePerDate {
    fn name(&self) -> &'static str {
        "batch_once_per_date"
    }

    fn about(&self) -> &'static str {
        "A settlement date has one batch: its start is version 1 of its own stream, and it closes once. It \
         breaks when a scheduler fires twice or two instances believe that they hold the lease."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed]
    }

    fn fork(&self) -> Option<Box<dyn Invariant>> {
        Some(Box::new(self.clone()))
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        settlement(record.fact)
            .try_for_each(|(row, event)| self.follow(&row.stream, row.version, event, record.sequence))
            .into()
    }

    fn pending(&self) -> Vec<Pending> {
        let open = self.batches.iter().filter(|(_, batch)| batch.closed.is_none() && batch.instructions > 0);
        open.map(|(date, batch)| {
            let why = format!("started with {} instructions and is not closed", batch.instructions);
            Pending { what: format!("batch {date}"), why }
        })
        .collect()
    }

    fn is_settled(&self) -> bool {
        self.open == 0
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::{BatchClosed, BatchStarted};

    use super::*;
    use crate::testing::{Commit, breaks, history, holds};

    fn started(version: u64, stream: &str) -> Commit {
        let settlement_date = "2026-03-09".to_owned();
        let event = BatchStarted { settlement_date, at_ms: 0, instructions: 3 };
        Commit::by("settlement").version(version, stream, Event::BatchStarted(event))
    }

    fn closed() -> Commit {
        let event = BatchClosed { settlement_date: "2026-03-09".to_owned() };
        Commit::by("settlement").version(2, "settlement/2026-03-09", Event::BatchClosed(event))
    }

    #[test]
    fn holds_for_one_start_and_one_close() {
        holds(BatchOncePerDate::default(), history![started(1, "settlement/2026-03-09"), closed()]);
    }

    #[test]
    fn breaks_when_a_batch_starts_twice() {
        let told = history![started(1, "settlement/2026-03-09"), started(2, "settlement/2026-03-09")];
        breaks(BatchOncePerDate::default(), told, "the batch of 2026-03-09 is started twice");
    }

    #[test]
    fn breaks_when_a_batch_starts_elsewhere_or_closes_twice() {
        let told = history![started(1, "settlement/open")];
        breaks(BatchOncePerDate::default(), told, "starts as settlement/open@1");
        let told = history![started(1, "settlement/2026-03-09"), closed(), closed()];
        breaks(BatchOncePerDate::default(), told, "is closed twice");
    }
}
