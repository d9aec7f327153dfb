//! Taking lost commits back: the last records, and every invariant as it was before them.
//!
//! A database that fails over may lose commits that were told as facts. No invariant undoes anything by
//! itself: the panel keeps a copy of each that is [`WINDOW`] records behind, and where a commit is lost, goes on
//! with a copy of the copy that was shown everything since but that commit. Verdicts on records that were
//! judged before are not given twice.
//!
//! Left out: commits that are lost after more than [`WINDOW`] records. By then a client or a topic has been told
//! of them, which is `acknowledged_is_durable`'s violation; and marks, which say that something happened.

use std::collections::VecDeque;

use crate::judges::KINDS;
use crate::{Fact, Invariant, Record};

/// How many records can be looked back on: several minutes of a busy session.
pub const WINDOW: usize = 16_384;

/// Which invariants listen, by kind of fact.
type Listeners = [Vec<usize>; KINDS];

pub struct Lookback {
    /// By the panel's index; nothing for those that follow losses themselves.
    behind: Vec<Option<Box<dyn Invariant>>>,
    records: VecDeque<Kept>,
    /// A commit was lost, and the panel has not been made anew yet: often many are lost at once.
    is_stale: bool,
}

struct Kept {
    sequence: u64,
    at_ns: i64,
    node: String,
    cause: String,
    fact: Fact,
}

impl Kept {
    fn of(record: &Record<'_>) -> Self {
        Self {
            sequence: record.sequence,
            at_ns: record.at_ns,
            node: record.node.to_owned(),
            cause: record.cause.to_owned(),
            fact: record.fact.clone(),
        }
    }

    fn record(&self) -> Record<'_> {
        Record {
            sequence: self.sequence,
            at_ns: self.at_ns,
            node: &self.node,
            cause: &self.cause,
            fact: &self.fact,
        }
    }

    fn is_commit(&self, database: &str, transaction: u64) -> bool {
        matches!(&self.fact, Fact::Committed(committed)
            if committed.transaction == transaction && committed.database == database)
    }
}

impl Lookback {
    /// Copies of invariants that have seen nothing yet.
    pub fn new(invariants: &[Box<dyn Invariant>]) -> Self {
        let behind = invariants.iter().map(|invariant| invariant.fork()).collect();
        Self { behind, records: VecDeque::new(), is_stale: false }
    }

    /// Takes in a record before the panel judges it.
    pub fn keep(
        &mut self,
        record: &Record<'_>,
        listeners: &Listeners,
        invariants: &mut [Box<dyn Invariant>],
    ) {
        if let Fact::CommitLost { database, transaction } = record.fact {
            // The latest: a new timeline counts transactions on from what the standby knew.
            if let Some(lost) = self.records.iter().rposition(|kept| kept.is_commit(database, *transaction)) {
                self.records.remove(lost);
                self.is_stale = true;
            }
            return;
        }
        self.take_back(listeners, invariants);
        if listeners[record.fact.kind() as usize].is_empty() {
            return;
        }
        if self.records.len() == WINDOW
            && let Some(oldest) = self.records.pop_front()
        {
            show(&oldest, listeners, &mut self.behind);
        }
        self.records.push_back(Kept::of(record));
    }

    /// Makes the panel anew, if a commit was lost since the last time.
    pub fn take_back(&mut self, listeners: &Listeners, invariants: &mut [Box<dyn Invariant>]) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        let mut anew: Vec<Option<Box<dyn Invariant>>> =
            self.behind.iter().map(|behind| behind.as_ref().and_then(|behind| behind.fork())).collect();
        for kept in &self.records {
            show(kept, listeners, &mut anew);
        }
        for (invariant, anew) in invariants.iter_mut().zip(anew) {
            if let Some(anew) = anew {
                *invariant = anew;
            }
        }
    }

    pub fn is_up_to_date(&self) -> bool {
        !self.is_stale
    }
}

/// Verdicts are left: the panel has given its own on this record.
fn show(kept: &Kept, listeners: &Listeners, invariants: &mut [Option<Box<dyn Invariant>>]) {
    let record = kept.record();
    for &index in &listeners[record.fact.kind() as usize] {
        if let Some(invariant) = &mut invariants[index] {
            let _judged_before = invariant.observe(&record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::Book;
    use crate::testing::{Commit, Told, delivered, history, opening, settled, validated};
    use crate::{Judges, Violation, oracles};

    fn lost(database: &str, transaction: u64) -> Fact {
        Fact::CommitLost { database: database.to_owned(), transaction }
    }

    fn panel(names: &[&str]) -> Judges {
        let named = |name: &&str| oracles::find(name).expect("an invariant");
        Judges::of(names.iter().map(named).collect(), Vec::new()).taking_back()
    }

    fn judge(judges: &mut Judges, history: Vec<Told>) -> Option<(&'static str, Violation)> {
        (1..).zip(history).find_map(|(sequence, Told { at_ns, fact })| {
            judges.observe(&Record { sequence, at_ns, node: "node", cause: "", fact: &fact })
        })
    }

    fn shares() -> Fact {
        opening(Book::Position, "S", "ACME", "10")
    }

    #[test]
    fn a_lost_promise_can_be_made_again() {
        let mut judges = panel(&["no_oversell"]);
        let told = history![
            shares(),
            validated("T-1").transaction(7),
            lost("position", 7),
            validated("T-2").transaction(7)
        ];
        assert_eq!(judge(&mut judges, told), None);
        let again = history![validated("T-1").transaction(8)];
        let (name, _) = judge(&mut judges, again).expect("the second promise is one too many");
        assert_eq!(name, "no_oversell");
    }

    #[test]
    fn only_the_lost_transaction_of_that_database_is_taken_back() {
        for (database, transaction) in [("position", 6), ("trade", 7)] {
            let told = history![
                shares(),
                validated("T-1").transaction(7),
                lost(database, transaction),
                validated("T-2").transaction(8)
            ];
            assert!(judge(&mut panel(&["no_oversell"]), told).is_some(), "{database} {transaction}");
        }
    }

    #[test]
    fn many_are_lost_and_what_came_between_stays() {
        let mut judges = panel(&["settles_exactly_once", "no_oversell"]);
        let told = history![
            shares(),
            validated("T-1").transaction(1),
            delivered("T-1").transaction(2),
            settled("T-2").transaction(2),
            lost("position", 1),
            lost("position", 2),
            validated("T-1").transaction(1),
            delivered("T-1").transaction(2),
            settled("T-1").transaction(3),
        ];
        let (name, violation) = judge(&mut judges, told.clone()).expect("T-2 settled without its shares");
        assert_eq!((name, violation.subjects), ("settles_exactly_once", vec!["T-2".to_owned()]));
        let told: Vec<Told> =
            told.into_iter().filter(|told| told.fact != Fact::from(settled("T-2").transaction(2))).collect();
        let mut judges = panel(&["settles_exactly_once", "no_oversell"]);
        assert_eq!(judge(&mut judges, told), None);
        assert_eq!(judges.at_rest(), []);
    }

    #[test]
    fn nothing_is_settled_until_a_loss_is_taken_back() {
        let mut judges = panel(&["every_trade_terminates"]);
        let received = Commit::by("trade").transaction(3).event("trade/T-1", crate::testing::received("T-1"));
        assert_eq!(judge(&mut judges, history![received]), None);
        assert!(!judges.is_settled());
        assert_eq!(judge(&mut judges, history![lost("trade", 3)]), None);
        assert!(!judges.is_settled());
        assert_eq!(judge(&mut judges, history![Fact::NodeStarted]), None);
        assert!(judges.is_settled());
    }

    #[test]
    fn the_window_moves_on() {
        let mut judges = panel(&["no_oversell"]);
        assert_eq!(judge(&mut judges, history![shares(), validated("T-1").transaction(1)]), None);
        let idle = Fact::from(Commit::by("ledger"));
        for sequence in 3..=(WINDOW as u64 + 3) {
            let record = Record { sequence, at_ns: 0, node: "node", cause: "", fact: &idle };
            assert_eq!(judges.observe(&record), None);
        }
        let told = history![lost("position", 1), validated("T-2").transaction(2)];
        assert!(judge(&mut judges, told).is_some(), "too long ago to be taken back");
    }
}
