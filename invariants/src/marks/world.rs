//! Marks of nodes: that they came back, and what was in their hands when they died.

use std::collections::{BTreeSet, VecDeque};

use super::{Mark, follow};
use crate::fact::Visible;
use crate::{Fact, FactKind, Record};

const NODES: &[FactKind] = &[FactKind::Node];
const NODES_AND_DECISIONS: &[FactKind] = &[FactKind::Node, FactKind::Visible, FactKind::Committed];

/// A service that reads what it is shown has it in hand for about so long, where its database is slow.
const IN_HAND_NS: i64 = 500_000_000;
/// A living instance would have decided by then.
const DECIDES_WITHIN_NS: i64 = 2_000_000_000;

pub fn marks() -> Vec<Box<dyn Mark>> {
    vec![
        follow(
            "node:died_deciding",
            "A service died within 0.5 s of a message that it had not decided on, and did so over 2 s later.",
            NODES_AND_DECISIONS,
            died_deciding,
        ),
        follow("node:restarted", "A node came back after it had died.", NODES, restarted),
    ]
}

fn restarted(dead: &mut BTreeSet<String>, record: &Record<'_>) -> bool {
    match record.fact {
        Fact::NodeDied | Fact::NodePanicked { .. } => {
            dead.insert(record.node.to_owned());
            false
        }
        Fact::NodeStarted => dead.contains(record.node),
        _ => false,
    }
}

/// Ids of messages, with times.
#[derive(Default)]
struct Hands {
    shown: VecDeque<(i64, String)>,
    /// Decided on lately, by service and message.
    decided: VecDeque<(i64, String, String)>,
    /// Undecided when an instance of the service died, by service and message.
    dropped: VecDeque<(i64, String, String)>,
}

/// How long what a dead instance had in its hands is remembered.
const MEMORY_NS: i64 = 120_000_000_000;

fn died_deciding(hands: &mut Hands, record: &Record<'_>) -> bool {
    let now = record.at_ns;
    while hands.shown.front().is_some_and(|(at, _)| now - at > IN_HAND_NS) {
        hands.shown.pop_front();
    }
    while hands.decided.front().is_some_and(|(at, ..)| now - at > IN_HAND_NS) {
        hands.decided.pop_front();
    }
    while hands.dropped.front().is_some_and(|(at, ..)| now - at > MEMORY_NS) {
        hands.dropped.pop_front();
    }
    match record.fact {
        Fact::Visible(Visible { headers: Some(headers), .. }) => {
            hands.shown.push_back((now, headers.event_id.clone()));
            false
        }
        Fact::NodeDied | Fact::NodePanicked { .. } => {
            hands.drop_of(now, record.node);
            false
        }
        Fact::Committed(committed) => {
            let service = &committed.database;
            committed.events.iter().fold(false, |met, row| {
                hands.decided.push_back((now, service.clone(), row.cause.clone()));
                met || hands.picks_up(now, service, &row.cause)
            })
        }
        _ => false,
    }
}

impl Hands {
    /// What was shown lately, and was not decided on by this node's service.
    fn drop_of(&mut self, now: i64, node: &str) {
        let Some((service, _)) = node.split_once('/') else { return };
        for (_, message) in &self.shown {
            if !self.decided.iter().any(|(_, by, on)| by == service && on == message) {
                self.dropped.push_back((now, service.to_owned(), message.clone()));
            }
        }
    }

    /// Whether this is the decision on what an instance had in its hands when it died.
    fn picks_up(&mut self, now: i64, service: &str, message: &str) -> bool {
        let Some(at) = self.dropped.iter().position(|(_, by, on)| by == service && on == message) else {
            return false;
        };
        self.dropped.remove(at).is_some_and(|(died, ..)| now - died > DECIDES_WITHIN_NS)
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::position_stored;

    use super::super::{check, check_on};
    use super::*;
    use crate::testing::{Commit, Told, history, step};

    #[test]
    fn a_dead_node_comes_back() {
        check("node:restarted", history![Fact::NodeStarted, Fact::NodeDied], false);
        check("node:restarted", history![Fact::NodeStarted, Fact::NodeDied, Fact::NodeStarted], true);
    }

    #[test]
    fn a_service_dies_with_a_message_in_its_hands() {
        let message = || {
            let Fact::Visible(mut shown) = crate::testing::shown("trade/trade/T-1", 1) else {
                unreachable!("it shows a message")
            };
            shown.headers.iter_mut().for_each(|headers| "E-1".clone_into(&mut headers.event_id));
            ("kafka/1", Told::from(Fact::Visible(shown)))
        };
        let dies = |at, node| (node, Told::from((at, Fact::NodeDied)));
        let decides = |at| {
            let event = position_stored::Event::Blocked(step("T-1"));
            let commit = Commit::by("position").event("account/S", event).caused_by("E-1");
            ("postgres/position/primary", Told::from((at, commit)))
        };
        let mark = "node:died_deciding";
        let later = DECIDES_WITHIN_NS + 1;
        check_on(mark, &[message(), dies(0, "position/1"), decides(later)], true);
        check_on(mark, &[message(), dies(0, "position/1"), decides(later - 1)], false);
        check_on(mark, &[message(), dies(0, "trade/1"), decides(later)], false);
        check_on(mark, &[message(), dies(IN_HAND_NS + 1, "position/1"), decides(later * 2)], false);
        check_on(mark, &[message(), decides(0), dies(0, "position/1"), decides(later)], false);
    }
}
