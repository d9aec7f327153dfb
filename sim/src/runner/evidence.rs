//! The evidence of a failure: the run once more, with a recorder attached.
//!
//! Nothing of a run is kept, so a failure is replayed twice: once for which record led to which, once for the text of
//! those that matter. The chain goes back to clients' requests, or to what the opening brought.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use invariants::{Fact, Record};

use super::pool::{self, Ended};
use super::simulate::Broken;
use super::subject::Subject;
use crate::story::concern::Concern;
use crate::story::{self, Storyteller};
use crate::world::trace::Watcher;

/// Most records of a chain that are shown; the first and the last ones.
const SHOWN_MAX: usize = 40;

/// Commits that stand for the evidence where there is none: several, for a trade moves on in services beside each other.
const LATEST_MAX: usize = 4;

/// What a reader is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Of the records, oldest first.
    pub lines: Vec<String>,
    /// Active when it broke.
    pub faults: Vec<String>,
}

impl Evidence {
    /// Replays the run for the evidence of what it broke first.
    pub fn of(subject: &Arc<Subject>, seed: u64, broken: &Broken) -> Self {
        let (subject, broken) = (subject.clone(), broken.clone());
        let replay = move || {
            let about = about(&broken);
            let tree: Rc<RefCell<Tree>> = Rc::default();
            let watcher =
                Recorder { tree: tree.clone(), concern: Concern::any_of(&about), until: broken.record };
            drop(subject.run(seed, vec![Box::new(watcher)]));
            let wanted = tree.borrow().chain(&broken);
            let faults = tree.borrow().faults.values().cloned().collect();
            (subject, about, wanted, faults)
        };
        let Ended::Returned((subject, about, wanted, faults)) = pool::alone(replay).ended else {
            return Self::default();
        };
        let tell = move || {
            let lines: Rc<RefCell<Vec<String>>> = Rc::default();
            let teller = Storyteller::new(Concern::any_of(&about));
            drop(subject.run(seed, vec![Box::new(Teller { wanted, teller, lines: lines.clone() })]));
            lines.take()
        };
        let Ended::Returned(lines) = pool::alone(tell).ended else {
            return Self { faults, ..Self::default() };
        };
        Self { lines: shortened(lines), faults }
    }
}

/// Whom the evidence follows. Where nothing broke at a record, as with trades that never end: the first of them.
fn about(broken: &Broken) -> Vec<String> {
    let subjects = &broken.violation.subjects;
    let first_only = broken.violation.evidence.is_empty();
    subjects.iter().take(if first_only { 1 } else { subjects.len() }).cloned().collect()
}

fn shortened(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > SHOWN_MAX {
        let cut = lines.len() - SHOWN_MAX;
        let note = format!("{:>8}  {cut} records are left out here", "…");
        lines.splice(SHOWN_MAX / 2..SHOWN_MAX / 2 + cut, [note]);
    }
    lines
}

/// Which record led to which.
#[derive(Default)]
struct Tree {
    /// The record that made an event, by the event's id; the request behind `request/…`.
    made: BTreeMap<String, u64>,
    /// By record: the ids of what led to it.
    causes: BTreeMap<u64, Vec<String>>,
    faults: BTreeMap<u32, String>,
    /// The latest commits that were about the subjects.
    latest: VecDeque<u64>,
}

impl Tree {
    fn see(&mut self, record: &Record<'_>, concern: &mut Concern) {
        match record.fact {
            Fact::Committed(committed) => {
                let mut causes = concern.causes(committed);
                if !causes.is_empty() {
                    self.latest.push_back(record.sequence);
                    if self.latest.len() > LATEST_MAX {
                        self.latest.pop_front();
                    }
                } else {
                    causes.push(record.cause.to_owned());
                }
                causes.sort_unstable();
                causes.dedup();
                self.causes.insert(record.sequence, causes);
                for row in &committed.events {
                    let id = format!("{}/{}@{}", committed.database, row.stream, row.version);
                    self.made.insert(id, record.sequence);
                }
            }
            Fact::Request(request) => {
                let request = request_id(&request.client, &request.idempotency_key);
                self.made.entry(request).or_insert(record.sequence);
            }
            Fact::FaultBegan { id, action, target } => {
                self.faults.insert(*id, format!("{action} on {target}"));
            }
            Fact::FaultEnded { id } => {
                self.faults.remove(id);
            }
            _ if !record.cause.is_empty() => {
                self.causes.insert(record.sequence, vec![record.cause.to_owned()]);
            }
            _ => {}
        }
    }

    /// The evidence, or else the latest of the subjects, and whatever led to each of them.
    fn chain(&self, broken: &Broken) -> BTreeSet<u64> {
        let mut open: Vec<u64> = broken.violation.evidence.clone();
        if open.is_empty() {
            open.extend(&self.latest);
        }
        let mut chain = BTreeSet::new();
        while let Some(record) = open.pop() {
            if chain.insert(record) {
                let causes = self.causes.get(&record).into_iter().flatten();
                open.extend(causes.filter_map(|cause| self.made.get(&known(cause))));
            }
        }
        chain
    }
}

fn request_id(client: &str, key: &str) -> String {
    format!("request {client} {key}")
}

/// A cause as [`Tree::made`] knows it: `request/<client> <route>/<key>` without the route.
fn known(cause: &str) -> String {
    let Some(request) = cause.strip_prefix("request/") else { return cause.to_owned() };
    let client = request.split(' ').next().unwrap_or_default();
    let key = request.rsplit('/').next().unwrap_or_default();
    request_id(client, key)
}

struct Recorder {
    tree: Rc<RefCell<Tree>>,
    concern: Concern,
    until: u64,
}

impl Watcher for Recorder {
    fn see(&mut self, record: &Record<'_>) {
        if record.sequence <= self.until {
            self.tree.borrow_mut().see(record, &mut self.concern);
        }
    }
}

struct Teller {
    wanted: BTreeSet<u64>,
    teller: Storyteller,
    lines: Rc<RefCell<Vec<String>>>,
}

impl Watcher for Teller {
    fn see(&mut self, record: &Record<'_>) {
        if self.wanted.contains(&record.sequence) {
            // Of a batch only what is about the subjects, if anything is.
            let line = self.teller.tell(record).unwrap_or_else(|| story::tell(record));
            self.lines.borrow_mut().push(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_of_a_request_is_its_first_record() {
        assert_eq!(known("request/P01 POST /trades/session-000017"), request_id("P01", "session-000017"));
        assert_eq!(known("trade/trade/T-1@1"), "trade/trade/T-1@1");
    }

    #[test]
    fn a_long_chain_keeps_both_its_ends() {
        let lines = shortened((0..100).map(|line| line.to_string()).collect());
        assert_eq!(lines.len(), SHOWN_MAX + 1);
        assert_eq!((lines[0].as_str(), lines[SHOWN_MAX].as_str()), ("0", "99"));
        assert!(lines[SHOWN_MAX / 2].contains("60 records"));
    }
}
