//! Marks of the settlement batch and its obligations.

use std::collections::{BTreeMap, BTreeSet};

use contracts::events::settlement_stored::Event;

use super::{Mark, follow, when};
use crate::day::Day;
use crate::read::{settlement, subject};
use crate::{Fact, FactKind, Record};

const COMMITS: &[FactKind] = &[FactKind::Committed];
const COMMITS_AND_GROUPS: &[FactKind] = &[FactKind::Committed, FactKind::Rebalanced];
const COMMITS_AND_FAILURES: &[FactKind] = &[FactKind::Committed, FactKind::Promoted, FactKind::Node];

const HOUR_NS: i64 = 3_600_000_000_000;
/// More than clocks differ by where nothing is wrong with them.
const SKEW_NS: u64 = 30_000_000_000;

pub fn marks() -> Vec<Box<dyn Mark>> {
    vec![
        when!("settlement:batch_closed", "A settlement batch closed.", COMMITS, |record| {
            any(record, |event| matches!(event, Event::BatchClosed(_)))
        }),
        follow(
            "settlement:batch_changed_hands",
            "A batch closed although the group of settlement lost a member while it was open.",
            COMMITS_AND_GROUPS,
            batch_changed_hands,
        ),
        when!(
            "settlement:batch_late",
            "A settlement batch started more than an hour after its time.",
            COMMITS,
            batch_late
        ),
        follow(
            "settlement:batch_resumed",
            "A batch closed although settlement, or its database, went down while it was open.",
            COMMITS_AND_FAILURES,
            batch_resumed,
        ),
        when!(
            "settlement:batch_under_skew",
            "A batch started while its database's clock was more than 30 s off.",
            COMMITS,
            batch_under_skew
        ),
        when!(
            "settlement:block_refused",
            "Position refused to block shares for a settlement.",
            COMMITS,
            |record| { any(record, |event| matches!(event, Event::BlockRefused(_))) }
        ),
        when!(
            "settlement:carried",
            "An obligation was carried to a later settlement date.",
            COMMITS,
            |record| { any(record, |event| matches!(event, Event::Carried(_))) }
        ),
        follow(
            "settlement:carried_then_settled",
            "An obligation settled after it had been carried.",
            COMMITS,
            carried_then_settled,
        ),
        when!(
            "settlement:contradiction",
            "What settlement was told contradicted what it knew, and it opened a break.",
            COMMITS,
            |record| { any(record, |event| matches!(event, Event::BreakOpened(_))) }
        ),
        when!("settlement:failed_final", "An obligation failed for good.", COMMITS, |record| {
            any(record, |event| matches!(event, Event::Failed(_)))
        }),
        when!(
            "settlement:released",
            "Blocked shares were released after a failed attempt.",
            COMMITS,
            |record| { any(record, |event| matches!(event, Event::Released(_))) }
        ),
        when!("settlement:returned", "The buyer got cash back from the CCP.", COMMITS, |record| {
            any(record, |event| matches!(event, Event::Returned(_)))
        }),
        follow(
            "settlement:two_trade_dates_one_batch",
            "A batch settled instructions of two trade dates.",
            COMMITS,
            two_trade_dates_one_batch,
        ),
    ]
}

fn batch_late(record: &Record<'_>) -> bool {
    settlement(record.fact).any(|(_, event)| match event {
        Event::BatchStarted(batch) => Day::parse(&batch.settlement_date)
            .is_some_and(|day| record.at_ns - day.settlement_opens_ns() > HOUR_NS),
        _ => false,
    })
}

fn any(record: &Record<'_>, shows: fn(&Event) -> bool) -> bool {
    settlement(record.fact).any(|(_, event)| shows(event))
}

#[derive(Default)]
struct Batches {
    open: BTreeSet<String>,
    /// Open ones that met a failure.
    hit: BTreeSet<String>,
}

impl Batches {
    /// Whether a batch closes that a failure has hit.
    fn closes(&mut self, record: &Record<'_>, failed: bool) -> bool {
        if failed {
            self.hit.extend(self.open.iter().cloned());
        }
        settlement(record.fact).any(|(_, event)| match event {
            Event::BatchStarted(batch) => {
                self.open.insert(batch.settlement_date.clone());
                false
            }
            Event::BatchClosed(batch) => {
                self.open.remove(&batch.settlement_date);
                self.hit.contains(&batch.settlement_date)
            }
            _ => false,
        })
    }
}

fn batch_resumed(batches: &mut Batches, record: &Record<'_>) -> bool {
    let down = match record.fact {
        Fact::NodeDied | Fact::NodePanicked { .. } => record.node.contains("settlement"),
        Fact::Promoted { database, .. } => database == "settlement",
        _ => false,
    };
    batches.closes(record, down)
}

#[derive(Default)]
struct Hands {
    batches: Batches,
    members: BTreeSet<String>,
}

fn batch_changed_hands(hands: &mut Hands, record: &Record<'_>) -> bool {
    let lost = match record.fact {
        Fact::Rebalanced { group, members, .. } if group == "settlement" => {
            let members: BTreeSet<String> = members.iter().cloned().collect();
            let lost = !hands.members.is_subset(&members);
            hands.members = members;
            lost
        }
        _ => false,
    };
    hands.batches.closes(record, lost)
}

fn batch_under_skew(record: &Record<'_>) -> bool {
    let Fact::Committed(committed) = record.fact else { return false };
    committed.database_time_ns.abs_diff(record.at_ns) > SKEW_NS
        && any(record, |event| matches!(event, Event::BatchStarted(_)))
}

fn carried_then_settled(carried: &mut BTreeSet<String>, record: &Record<'_>) -> bool {
    settlement(record.fact).any(|(row, event)| match event {
        Event::Carried(_) => {
            carried.insert(subject(&row.stream).to_owned());
            false
        }
        Event::Settled(_) => carried.contains(subject(&row.stream)),
        _ => false,
    })
}

/// Trade dates with instructions, by settlement date.
fn two_trade_dates_one_batch(dates: &mut BTreeMap<String, BTreeSet<String>>, record: &Record<'_>) -> bool {
    settlement(record.fact).any(|(_, event)| match event {
        Event::SealReceived(seal) if seal.instructions > 0 => {
            dates.entry(seal.settlement_date.clone()).or_default().insert(seal.trade_date.clone());
            false
        }
        Event::BatchStarted(batch) => dates.get(&batch.settlement_date).is_some_and(|dates| dates.len() > 1),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use contracts::events::{BatchClosed, BatchStarted, Carried, ReconciliationBreak, TradeDateCleared};

    use super::super::check;
    use super::*;
    use crate::testing::{Commit, failed, history, settled};

    fn stored(event: Event) -> Commit {
        Commit::by("settlement").event("settlement/2025-10-14", event)
    }

    fn started() -> Commit {
        let settlement_date = "2025-10-14".to_owned();
        stored(Event::BatchStarted(BatchStarted { settlement_date, ..BatchStarted::default() }))
    }

    fn closed() -> Commit {
        stored(Event::BatchClosed(BatchClosed { settlement_date: "2025-10-14".to_owned() }))
    }

    fn seal(trade_date: &str, instructions: u64) -> Commit {
        let (trade_date, settlement_date) = (trade_date.to_owned(), "2025-10-14".to_owned());
        stored(Event::SealReceived(TradeDateCleared { trade_date, settlement_date, instructions }))
    }

    #[test]
    fn a_batch_that_closes_after_a_failure_was_resumed() {
        check("settlement:batch_closed", history![started(), closed()], true);
        check("settlement:batch_resumed", history![Fact::NodeDied, started(), closed()], false);
        check("settlement:batch_resumed", history![started(), Fact::NodeDied, closed()], true);
        let promoted = Fact::Promoted { database: "settlement".to_owned(), timeline: 2 };
        check("settlement:batch_resumed", history![started(), promoted, closed()], true);
    }

    #[test]
    fn a_batch_changes_hands_when_the_group_loses_a_member() {
        let joined = |members: &[&str]| {
            let members = members.iter().map(ToString::to_string).collect();
            Fact::Rebalanced { group: "settlement".to_owned(), generation: 1, members }
        };
        let (both, one) = (|| joined(&["settlement/1", "settlement/2"]), || joined(&["settlement/2"]));
        let mark = "settlement:batch_changed_hands";
        check(mark, history![both(), started(), one(), closed()], true);
        check(mark, history![both(), started(), both(), closed()], false);
        check(mark, history![both(), one(), started(), both(), closed()], false);
        check(mark, history![both(), started(), one()], false);
    }

    #[test]
    fn a_batch_starts_on_its_databases_clock() {
        let started = |database_time_ns| {
            let mut commit = started();
            commit.0.database_time_ns = database_time_ns;
            Fact::from(commit)
        };
        let skew = i64::try_from(SKEW_NS).expect("half a minute");
        check("settlement:batch_under_skew", history![started(-skew)], false);
        check("settlement:batch_under_skew", history![started(-skew - 1)], true);
    }

    #[test]
    fn a_batch_may_be_late_or_contradicted() {
        let opens_ns = Day::parse("2025-10-14").expect("a date").settlement_opens_ns();
        check("settlement:batch_late", history![(opens_ns + HOUR_NS, started())], false);
        check("settlement:batch_late", history![(opens_ns + HOUR_NS + 1, started())], true);
        let opened = Event::BreakOpened(ReconciliationBreak::default());
        check("settlement:contradiction", history![stored(opened)], true);
    }

    #[test]
    fn a_carry_may_settle_later() {
        let carried = || Commit::by("settlement").event("obligation/T-1", Event::Carried(Carried::default()));
        check("settlement:carried", history![carried()], true);
        check("settlement:carried_then_settled", history![carried(), settled("T-2"), failed("T-1")], false);
        check("settlement:carried_then_settled", history![carried(), settled("T-1")], true);
        check("settlement:failed_final", history![failed("T-1")], true);
    }

    #[test]
    fn two_trade_dates_need_instructions_both() {
        let mark = "settlement:two_trade_dates_one_batch";
        check(mark, history![seal("2025-10-10", 2), seal("2025-10-13", 1), started()], true);
        check(mark, history![seal("2025-10-10", 2), seal("2025-10-13", 0), started()], false);
    }
}
