//! Marks of the log and of consumer groups: what was shown twice, lost and filled, unreadable, and who came back.

use std::collections::{BTreeMap, BTreeSet};

use super::{Mark, follow};
use crate::fact::Visible;
use crate::{Fact, FactKind, Record};

const SHOWN: &[FactKind] = &[FactKind::Visible];
const SHOWN_AND_COMMITS: &[FactKind] = &[FactKind::Visible, FactKind::Committed];
const GROUPS: &[FactKind] = &[FactKind::Rebalanced];
const ELECTIONS: &[FactKind] = &[FactKind::LeaderElected];
const TRUNCATIONS: &[FactKind] = &[FactKind::LogTruncated];
const TRUNCATIONS_AND_NODES: &[FactKind] = &[FactKind::LogTruncated, FactKind::Node];
const GROUPS_AND_NODES: &[FactKind] = &[FactKind::Rebalanced, FactKind::Node];

/// A consumer bears with a gap for so long before it asks the source. A relay that only repeats itself, because
/// nobody told it that it had been heard, has its first message taken in by then.
const PATIENCE_NS: i64 = 60_000_000_000;

pub fn marks() -> Vec<Box<dyn Mark>> {
    vec![
        follow("kafka:duplicate_visible", "A topic showed a message twice.", SHOWN, duplicate_visible),
        follow(
            "kafka:gap_filled",
            "A message was decided on more than a minute after a topic showed it, once it was shown again.",
            SHOWN_AND_COMMITS,
            gap_filled,
        ),
        follow(
            "kafka:leader_elected",
            "A partition got another leader, which was in sync.",
            ELECTIONS,
            |(): &mut (), record| {
                matches!(record.fact, Fact::LeaderElected { leader: Some(_), unclean: false, .. })
            },
        ),
        follow(
            "kafka:leaderless",
            "A partition had no leader: no in-sync replica was alive.",
            ELECTIONS,
            |(): &mut (), record| matches!(record.fact, Fact::LeaderElected { leader: None, .. }),
        ),
        follow(
            "kafka:log_truncated",
            "A broker cut off the end of a log, for its leader's went another way.",
            TRUNCATIONS,
            |(): &mut (), record| matches!(record.fact, Fact::LogTruncated { .. }),
        ),
        follow(
            "kafka:log_dir_failed",
            "A broker could not write its log, and ended itself.",
            &[FactKind::LogDirFailed],
            |(): &mut (), record| matches!(record.fact, Fact::LogDirFailed),
        ),
        follow(
            "kafka:poison_passed",
            "A topic showed what nobody can decode, and what came later in its partition was decided on.",
            SHOWN_AND_COMMITS,
            poison_passed,
        ),
        follow(
            "kafka:rebalanced",
            "A consumer group rebalanced again after all its members had joined.",
            GROUPS,
            rebalanced,
        ),
        follow(
            "kafka:unclean_election",
            "A partition got a leader that was not in sync.",
            ELECTIONS,
            |(): &mut (), record| matches!(record.fact, Fact::LeaderElected { unclean: true, .. }),
        ),
        follow(
            "kafka:unflushed_lost",
            "A broker's machine lost its power, and records with it that were not on the disk.",
            TRUNCATIONS_AND_NODES,
            unflushed_lost,
        ),
        follow(
            "kafka:zombie_returned",
            "A member that its group had dropped came back, and its node had not died.",
            GROUPS_AND_NODES,
            zombie_returned,
        ),
    ]
}

/// The highest sequence that each source has shown in each topic.
fn duplicate_visible(shown: &mut BTreeMap<(String, String), u64>, record: &Record<'_>) -> bool {
    let Fact::Visible(visible) = record.fact else { return false };
    let Some(headers) = &visible.headers else { return false };
    let highest = shown.entry((headers.source.clone(), visible.topic.clone())).or_default();
    let again = headers.sequence <= *highest;
    *highest = headers.sequence.max(*highest);
    again
}

/// By the id of a message, when a topic showed it first, and how often.
fn gap_filled(shown: &mut BTreeMap<String, (i64, u32)>, record: &Record<'_>) -> bool {
    if let Fact::Visible(Visible { headers: Some(headers), .. }) = record.fact {
        shown.entry(headers.event_id.clone()).or_insert((record.at_ns, 0)).1 += 1;
    }
    let Fact::Committed(committed) = record.fact else { return false };
    committed.events.iter().any(|row| {
        let shown = shown.get(&row.cause);
        shown.is_some_and(|(first_ns, times)| *times > 1 && record.at_ns - first_ns > PATIENCE_NS)
    })
}

#[derive(Default)]
struct Poison {
    /// Topics and partitions with something unreadable.
    partitions: BTreeSet<(String, i32)>,
    /// Ids of messages that stand behind it.
    behind: BTreeSet<String>,
}

fn poison_passed(poison: &mut Poison, record: &Record<'_>) -> bool {
    match record.fact {
        Fact::Visible(visible) => {
            let partition = (visible.topic.clone(), visible.partition);
            match (&visible.headers, &visible.message) {
                (Some(headers), Some(_)) if poison.partitions.contains(&partition) => {
                    poison.behind.insert(headers.event_id.clone());
                }
                (Some(_), Some(_)) => {}
                _ => {
                    poison.partitions.insert(partition);
                }
            }
            false
        }
        Fact::Committed(committed) => committed.events.iter().any(|row| poison.behind.contains(&row.cause)),
        _ => false,
    }
}

/// Members by group. While somebody joins whom it has never had, a group is forming.
fn rebalanced(known: &mut BTreeMap<String, BTreeSet<String>>, record: &Record<'_>) -> bool {
    let Fact::Rebalanced { group, members, .. } = record.fact else { return false };
    let known = known.entry(group.clone()).or_default();
    members.iter().fold(!known.is_empty(), |again, member| !known.insert(member.clone()) && again)
}

/// Who is dead cuts off nothing by itself.
fn unflushed_lost(dead: &mut BTreeSet<String>, record: &Record<'_>) -> bool {
    match record.fact {
        Fact::NodeDied | Fact::NodePanicked { .. } => drop(dead.insert(record.node.to_owned())),
        Fact::NodeStarted => drop(dead.remove(record.node)),
        Fact::LogTruncated { .. } => return dead.contains(record.node),
        _ => {}
    }
    false
}

#[derive(Default)]
struct Groups {
    members: BTreeMap<String, BTreeSet<String>>,
    /// By group, members that it lost.
    dropped: BTreeMap<String, BTreeSet<String>>,
}

fn zombie_returned(groups: &mut Groups, record: &Record<'_>) -> bool {
    match record.fact {
        Fact::NodeDied | Fact::NodePanicked { .. } => {
            for set in groups.members.values_mut().chain(groups.dropped.values_mut()) {
                set.remove(record.node);
            }
            false
        }
        Fact::Rebalanced { group, members, .. } => {
            let now: BTreeSet<String> = members.iter().cloned().collect();
            let dropped = groups.dropped.entry(group.clone()).or_default();
            let is_back = !dropped.is_disjoint(&now);
            dropped.retain(|member| !now.contains(member));
            let before = groups.members.insert(group.clone(), now.clone()).unwrap_or_default();
            dropped.extend(before.difference(&now).cloned());
            is_back
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use contracts::Headers;
    use contracts::events::{TradeSubmitted, position_stored};

    use super::super::{check, check_on};
    use super::*;
    use crate::testing::{Commit, Told, history, shown, step};

    fn joined(members: &[&str]) -> Fact {
        let members = members.iter().map(ToString::to_string).collect();
        Fact::Rebalanced { group: "position".to_owned(), generation: 1, members }
    }

    fn submitted(event_id: &str, partition: i32) -> Fact {
        let headers = Headers { event_id: event_id.to_owned(), ..Headers::default() };
        Fact::Visible(Visible {
            topic: "trade-submitted".to_owned(),
            partition,
            offset: 0,
            leader_epoch: 0,
            key: String::new(),
            headers: Some(headers),
            message: Some(TradeSubmitted::default().into()),
            payload: Default::default(),
        })
    }

    fn garbage(partition: i32) -> Fact {
        let Fact::Visible(message) = submitted("", partition) else { unreachable!("it shows a message") };
        Fact::Visible(Visible { headers: None, message: None, ..message })
    }

    fn decided(event_id: &str) -> Commit {
        Commit::by("position")
            .event("account/S", position_stored::Event::Blocked(step("T-1")))
            .caused_by(event_id)
    }

    #[test]
    fn a_message_is_shown_twice() {
        let shown = |sequence| shown("trade/trade/T-1", sequence);
        check("kafka:duplicate_visible", history![shown(1), shown(2)], false);
        check("kafka:duplicate_visible", history![shown(1), shown(2), shown(1)], true);
    }

    #[test]
    fn a_gap_is_filled_by_what_is_shown_again() {
        let (mark, late) = ("kafka:gap_filled", PATIENCE_NS + 1);
        let (message, decided) = (|| submitted("E-1", 0), || decided("E-1"));
        check(mark, history![message(), (late, decided())], false);
        check(mark, history![message(), (late, message()), (late, decided())], true);
        check(mark, history![message(), message(), (PATIENCE_NS, decided())], false);
        check(mark, history![message(), decided(), (late, message())], false);
    }

    #[test]
    fn poison_is_passed_by_what_comes_behind_it() {
        let mark = "kafka:poison_passed";
        check(mark, history![garbage(0), submitted("E-1", 0), decided("E-1")], true);
        check(mark, history![garbage(0), submitted("E-1", 0)], false);
        check(mark, history![garbage(1), submitted("E-1", 0), decided("E-1")], false);
        check(mark, history![submitted("E-1", 0), garbage(0), decided("E-1")], false);
    }

    #[test]
    fn a_group_that_forms_does_not_rebalance() {
        let mark = "kafka:rebalanced";
        check(mark, history![joined(&["position/1"]), joined(&["position/1", "position/2"])], false);
        check(mark, history![joined(&["position/1", "position/2"]), joined(&["position/2"])], true);
        check(mark, history![joined(&["position/1"]), joined(&["position/1"])], true);
        check(mark, history![joined(&["position/1"]), joined(&[])], true);
    }

    #[test]
    fn a_zombie_comes_back_without_having_died() {
        let both = || Told::from(joined(&["position/1", "position/2"]));
        let one = || Told::from(joined(&["position/2"]));
        let mark = "kafka:zombie_returned";
        check_on(mark, &[("kafka/2", both()), ("kafka/2", one())], false);
        check_on(mark, &[("kafka/2", both()), ("kafka/2", one()), ("kafka/2", both())], true);
        for dies_first in [true, false] {
            let dies = ("position/1", Told::from(Fact::NodeDied));
            let (first, second) =
                if dies_first { (dies, ("kafka/2", one())) } else { (("kafka/2", one()), dies) };
            check_on(mark, &[("kafka/2", both()), first, second, ("kafka/2", both())], false);
        }
    }

    fn elected(leader: Option<&str>, unclean: bool) -> Fact {
        Fact::LeaderElected {
            topic: "trade-submitted".to_owned(),
            partition: 0,
            leader: leader.map(str::to_owned),
            leader_epoch: 1,
            unclean,
        }
    }

    #[test]
    fn leaders_come_and_go() {
        check("kafka:leader_elected", history![elected(None, false), elected(Some("kafka/2"), true)], false);
        check("kafka:leader_elected", history![elected(Some("kafka/2"), false)], true);
        check("kafka:leaderless", history![elected(Some("kafka/2"), false)], false);
        check("kafka:leaderless", history![elected(None, false)], true);
        check("kafka:unclean_election", history![elected(Some("kafka/2"), false)], false);
        check("kafka:unclean_election", history![elected(Some("kafka/2"), true)], true);
    }

    #[test]
    fn logs_are_cut_off() {
        let cut = || Fact::LogTruncated { topic: "trade-submitted".to_owned(), partition: 0, from: 3, to: 5 };
        check("kafka:log_truncated", history![elected(None, false)], false);
        check("kafka:log_truncated", history![cut()], true);
        let mark = "kafka:unflushed_lost";
        check(mark, history![cut(), Fact::NodeDied, Fact::NodeStarted, cut()], false);
        check(mark, history![Fact::NodeDied, cut()], true);
    }

    #[test]
    fn a_full_disk_ends_a_broker() {
        check("kafka:log_dir_failed", history![Fact::NodeDied], false);
        check("kafka:log_dir_failed", history![Fact::LogDirFailed, Fact::NodeDied], true);
    }
}
