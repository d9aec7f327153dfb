//! The anomalies, each a function over a history.

use std::collections::{BTreeMap, BTreeSet};

use super::cycles::cycle;
use super::{History, Outcome, Seen, Step};

/// What must not be, with the values that show it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Anomaly {
    /// Acknowledged, and not in the log at the end.
    LostWrite { partition: i32, value: u64 },
    /// Read, although its transaction was aborted, or its send refused.
    AbortedRead { partition: i32, offset: i64, value: u64 },
    /// One value at two places.
    Duplicate { value: u64, places: Vec<(i32, i64)> },
    /// One place with two values: two readers, or the report and a reader, do not agree.
    InconsistentOffset { partition: i32, offset: i64, values: Vec<u64> },
    /// A process that did not move was handed an offset at or below an earlier one.
    NonMonotonicPoll { process: u32, partition: i32, from: i64, to: i64 },
    /// Transactions that read each other's writes in a circle: numbers of operations.
    G1c { ops: Vec<usize> },
}

impl Anomaly {
    /// In Jepsen's words.
    pub fn name(&self) -> &'static str {
        match self {
            Anomaly::LostWrite { .. } => "lost write",
            Anomaly::AbortedRead { .. } => "aborted read",
            Anomaly::Duplicate { .. } => "duplicate",
            Anomaly::InconsistentOffset { .. } => "inconsistent offset",
            Anomaly::NonMonotonicPoll { .. } => "non-monotonic poll",
            Anomaly::G1c { .. } => "G1c",
        }
    }
}

/// All anomalies, in order. An empty answer says nothing of a history that saw nothing.
pub fn check(history: &History) -> Vec<Anomaly> {
    let mut found = Vec::new();
    lost_writes(history, &mut found);
    aborted_reads(history, &mut found);
    duplicates(history, &mut found);
    inconsistent_offsets(history, &mut found);
    non_monotonic_polls(history, &mut found);
    circular_reads(history, &mut found);
    found.sort();
    found
}

fn lost_writes(history: &History, found: &mut Vec<Anomaly>) {
    let kept: BTreeSet<(i32, u64)> =
        history.logs.values().flatten().map(|seen| (seen.partition, seen.value)).collect();
    for (_, op, partition, value, _) in history.sends() {
        let is_judged = op.outcome == Outcome::Committed && history.logs.contains_key(&partition);
        if is_judged && !kept.contains(&(partition, value)) {
            found.push(Anomaly::LostWrite { partition, value });
        }
    }
}

fn aborted_reads(history: &History, found: &mut Vec<Anomaly>) {
    let sends = history.sends().filter(|(_, op, ..)| op.outcome == Outcome::Aborted);
    let aborted: BTreeSet<u64> = sends.map(|(_, _, _, value, _)| value).collect();
    let read: BTreeSet<Seen> = history.all_seen().copied().collect();
    for Seen { partition, offset, value } in read {
        if aborted.contains(&value) {
            found.push(Anomaly::AbortedRead { partition, offset, value });
        }
    }
}

fn duplicates(history: &History, found: &mut Vec<Anomaly>) {
    let mut places: BTreeMap<u64, BTreeSet<(i32, i64)>> = BTreeMap::new();
    for seen in history.all_seen() {
        places.entry(seen.value).or_default().insert((seen.partition, seen.offset));
    }
    for (value, places) in places.into_iter().filter(|(_, places)| places.len() > 1) {
        found.push(Anomaly::Duplicate { value, places: places.into_iter().collect() });
    }
}

fn inconsistent_offsets(history: &History, found: &mut Vec<Anomaly>) {
    let mut values: BTreeMap<(i32, i64), BTreeSet<u64>> = BTreeMap::new();
    for seen in history.all_seen() {
        values.entry((seen.partition, seen.offset)).or_default().insert(seen.value);
    }
    for (_, op, partition, value, offset) in history.sends() {
        if let (Outcome::Committed, Some(offset)) = (op.outcome, offset) {
            values.entry((partition, offset)).or_default().insert(value);
        }
    }
    for ((partition, offset), values) in values.into_iter().filter(|(_, values)| values.len() > 1) {
        let values = values.into_iter().collect();
        found.push(Anomaly::InconsistentOffset { partition, offset, values });
    }
}

fn non_monotonic_polls(history: &History, found: &mut Vec<Anomaly>) {
    let mut last: BTreeMap<(u32, i32), i64> = BTreeMap::new();
    for op in &history.ops {
        let process = op.process;
        for step in &op.steps {
            match step {
                Step::Moved => last.retain(|(other, _), _| *other != process),
                Step::Send { .. } => {}
                Step::Poll(seen) => {
                    for Seen { partition, offset, .. } in seen {
                        let before = last.insert((process, *partition), *offset);
                        if let Some(from) = before.filter(|before| offset <= before) {
                            let (partition, to) = (*partition, *offset);
                            found.push(Anomaly::NonMonotonicPoll { process, partition, from, to });
                        }
                    }
                }
            }
        }
    }
}

/// Only reads make edges: writes of transactions interleave in a partition, and that is allowed (behaviour 61).
fn circular_reads(history: &History, found: &mut Vec<Anomaly>) {
    let is_committed = |index: usize| history.ops[index].outcome == Outcome::Committed;
    let writers: BTreeMap<u64, usize> =
        history.sends().map(|(index, _, _, value, _)| (value, index)).collect();
    let mut edges: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (reader, _, seen) in history.polls() {
        if let Some(writer) = writers.get(&seen.value).copied()
            && writer != reader
            && is_committed(writer)
            && is_committed(reader)
        {
            edges.entry(writer).or_default().insert(reader);
        }
    }
    if let Some(ops) = cycle(&edges) {
        found.push(Anomaly::G1c { ops });
    }
}

#[cfg(test)]
mod tests {
    use super::super::Op;
    use super::*;

    fn seen(offset: i64, value: u64) -> Seen {
        Seen { partition: 0, offset, value }
    }

    fn send(value: u64, offset: i64) -> Step {
        Step::Send { partition: 0, value, offset: Some(offset) }
    }

    fn op(process: u32, outcome: Outcome, steps: Vec<Step>) -> Op {
        Op { process, outcome, steps }
    }

    fn history(ops: Vec<Op>, log: Vec<Seen>) -> History {
        History { ops, logs: BTreeMap::from([(0, log)]) }
    }

    #[test]
    fn a_history_without_anomalies_has_none() {
        let ops = vec![
            op(0, Outcome::Committed, vec![send(10, 0), send(11, 1)]),
            op(1, Outcome::Aborted, vec![send(12, 3)]),
            op(0, Outcome::Unknown, vec![send(13, 5)]),
            op(2, Outcome::Committed, vec![Step::Poll(vec![seen(0, 10), seen(1, 11)])]),
            op(2, Outcome::Committed, vec![Step::Moved, Step::Poll(vec![seen(0, 10)])]),
        ];
        assert_eq!(check(&history(ops, vec![seen(0, 10), seen(1, 11)])), []);
    }

    #[test]
    fn an_acknowledged_value_that_is_not_in_the_log_is_a_lost_write() {
        let ops = vec![
            op(0, Outcome::Committed, vec![send(10, 0)]),
            op(0, Outcome::Unknown, vec![send(11, 1)]),
            op(0, Outcome::Committed, vec![send(12, 2)]),
        ];
        let found = check(&history(ops, vec![seen(2, 12)]));
        assert_eq!(found, [Anomaly::LostWrite { partition: 0, value: 10 }]);
    }

    #[test]
    fn a_value_of_an_aborted_transaction_that_was_read_is_an_aborted_read() {
        let ops = vec![
            op(0, Outcome::Aborted, vec![send(10, 0)]),
            op(1, Outcome::Committed, vec![Step::Poll(vec![seen(0, 10)])]),
        ];
        let found = check(&history(ops, Vec::new()));
        assert_eq!(found, [Anomaly::AbortedRead { partition: 0, offset: 0, value: 10 }]);
    }

    #[test]
    fn a_value_at_two_places_is_a_duplicate() {
        let ops = vec![op(0, Outcome::Committed, vec![send(10, 0)])];
        let found = check(&history(ops, vec![seen(0, 10), seen(1, 10)]));
        assert_eq!(found, [Anomaly::Duplicate { value: 10, places: vec![(0, 0), (0, 1)] }]);
    }

    #[test]
    fn a_place_with_two_values_is_an_inconsistent_offset() {
        let ops = vec![
            op(1, Outcome::Committed, vec![Step::Poll(vec![seen(0, 10)])]),
            op(2, Outcome::Committed, vec![Step::Poll(vec![seen(0, 11)])]),
        ];
        let found = check(&history(ops, Vec::new()));
        let expected = Anomaly::InconsistentOffset { partition: 0, offset: 0, values: vec![10, 11] };
        assert_eq!(found, [expected]);
        let reported = vec![op(0, Outcome::Committed, vec![send(10, 4)])];
        let found = check(&history(reported, vec![seen(4, 12), seen(5, 10)]));
        let expected = Anomaly::InconsistentOffset { partition: 0, offset: 4, values: vec![10, 12] };
        assert_eq!(found, [expected], "the report says otherwise");
    }

    #[test]
    fn an_offset_at_or_below_the_last_is_a_non_monotonic_poll() {
        let polled = |offsets: &[i64]| {
            let all = offsets.iter().map(|offset| seen(*offset, 10 + offset.unsigned_abs())).collect();
            op(3, Outcome::Committed, vec![Step::Poll(all)])
        };
        let backwards = |from, to| Anomaly::NonMonotonicPoll { process: 3, partition: 0, from, to };
        assert_eq!(check(&history(vec![polled(&[0, 1, 0])], Vec::new())), [backwards(1, 0)]);
        assert_eq!(check(&history(vec![polled(&[4, 5]), polled(&[5, 6])], Vec::new())), [backwards(5, 5)]);
    }

    #[test]
    fn transactions_that_read_each_other_are_g1c() {
        let ops = vec![
            op(0, Outcome::Committed, vec![send(10, 0), Step::Poll(vec![seen(1, 11)])]),
            op(1, Outcome::Committed, vec![send(11, 1), Step::Poll(vec![seen(0, 10)])]),
        ];
        let log = vec![seen(0, 10), seen(1, 11)];
        assert_eq!(check(&history(ops.clone(), log.clone())), [Anomaly::G1c { ops: vec![0, 1] }]);
        let mut one_way = ops;
        one_way[0].steps.pop();
        assert_eq!(check(&history(one_way, log)), []);
    }
}
