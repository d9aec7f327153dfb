//! Marks of what the world did to the platform: nodes, databases, the log.

use std::collections::{BTreeMap, BTreeSet};

use super::{Mark, follow, when};
use crate::{Fact, FactKind, Record};

pub fn marks() -> Vec<Box<dyn Mark>> {
    vec![
        follow(
            "kafka:duplicate_visible",
            "A topic showed a message twice.",
            &[FactKind::Visible],
            duplicate_visible,
        ),
        when!(
            "kafka:rebalanced",
            "A consumer group completed a rebalance.",
            &[FactKind::Rebalanced],
            |record| { matches!(record.fact, Fact::Rebalanced { .. }) }
        ),
        when!("kafka:truncated", "A partition lost records.", &[FactKind::Truncated], |record| {
            matches!(record.fact, Fact::Truncated { .. })
        }),
        follow("node:restarted", "A node came back after it had died.", &[FactKind::Node], restarted),
        when!(
            "store:commit_lost",
            "A database lost an acknowledged commit.",
            &[FactKind::CommitLost],
            |record| { matches!(record.fact, Fact::CommitLost { .. }) }
        ),
        when!("store:failed_over", "A standby became primary.", &[FactKind::Promoted], |record| {
            matches!(record.fact, Fact::Promoted { .. })
        }),
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

/// The highest sequence that each source has shown in each topic.
fn duplicate_visible(shown: &mut BTreeMap<(String, String), u64>, record: &Record<'_>) -> bool {
    let Fact::Visible(visible) = record.fact else { return false };
    let Some(headers) = &visible.headers else { return false };
    let highest = shown.entry((headers.source.clone(), visible.topic.clone())).or_default();
    let again = headers.sequence <= *highest;
    *highest = headers.sequence.max(*highest);
    again
}

#[cfg(test)]
mod tests {
    use contracts::Headers;

    use super::super::check;
    use super::*;
    use crate::fact::Visible;
    use crate::testing::history;

    #[test]
    fn a_dead_node_comes_back() {
        check("node:restarted", history![Fact::NodeStarted, Fact::NodeDied], false);
        check("node:restarted", history![Fact::NodeStarted, Fact::NodeDied, Fact::NodeStarted], true);
    }

    #[test]
    fn a_message_is_shown_twice() {
        let shown = |sequence| {
            let headers = Headers { source: "trade/trade/T-1".to_owned(), sequence, ..Headers::default() };
            Fact::Visible(Visible {
                topic: "trade-submitted".to_owned(),
                partition: 0,
                offset: 0,
                leader_epoch: 0,
                key: String::new(),
                headers: Some(headers),
                message: None,
                payload: Default::default(),
            })
        };
        check("kafka:duplicate_visible", history![shown(1), shown(2)], false);
        check("kafka:duplicate_visible", history![shown(1), shown(2), shown(1)], true);
    }

    #[test]
    fn databases_and_logs_fail() {
        let promoted = Fact::Promoted { database: "trade".to_owned(), timeline: 2 };
        check("store:failed_over", history![promoted], true);
        let lost = Fact::CommitLost { database: "trade".to_owned(), transaction: 1 };
        check("store:commit_lost", history![lost], true);
        let truncated = Fact::Truncated { topic: "trade-submitted".to_owned(), partition: 0, offset: 1 };
        check("kafka:truncated", history![truncated], true);
        let rebalanced = Fact::Rebalanced { group: "trade".to_owned(), generation: 1, members: Vec::new() };
        check("kafka:rebalanced", history![rebalanced], true);
    }
}
