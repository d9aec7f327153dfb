//! Marks of databases: who took over, what was lost, and commits of which nobody heard.

use std::collections::BTreeSet;

use super::{Mark, follow, when};
use crate::{Fact, FactKind, Record};

const FAULTS_AND_COMMITS: &[FactKind] = &[FactKind::Fault, FactKind::Committed];

/// If a third of commits is unheard of, none of so many is by one chance in 130.
const COMMITS: u32 = 12;

/// The mark of one database. Reference data commits too seldom for one.
macro_rules! commit_unknown_of {
    ($database:literal) => {
        follow(
            concat!("store:commit_unknown_of_", $database),
            concat!(
                "The database of ",
                $database,
                " committed 12 times while connections broke around COMMIT."
            ),
            FAULTS_AND_COMMITS,
            |cut, record| commit_unknown(cut, record, $database),
        )
    };
}

pub fn marks() -> Vec<Box<dyn Mark>> {
    vec![
        when!(
            "store:commit_lost",
            "A database lost an acknowledged commit.",
            &[FactKind::CommitLost],
            |record| { matches!(record.fact, Fact::CommitLost { .. }) }
        ),
        commit_unknown_of!("clearing"),
        commit_unknown_of!("ledger"),
        commit_unknown_of!("notification"),
        commit_unknown_of!("payment"),
        commit_unknown_of!("position"),
        commit_unknown_of!("settlement"),
        commit_unknown_of!("trade"),
        when!("store:failed_over", "A standby became primary.", &[FactKind::Promoted], |record| {
            matches!(record.fact, Fact::Promoted { .. })
        }),
    ]
}

#[derive(Default)]
struct Cut {
    /// Faults that break connections around COMMIT.
    faults: BTreeSet<u32>,
    /// Commits meanwhile.
    commits: u32,
}

/// Whether this database has committed often enough, while a fault breaks its connections around COMMIT, for some of
/// it to be unheard of. That nobody heard of one commit shows in no fact: where every other COMMIT is hit, and half of
/// those take effect, a third of the commits are.
fn commit_unknown(cut: &mut Cut, record: &Record<'_>, database: &str) -> bool {
    match record.fact {
        Fact::FaultBegan { id, action, target } if action == "commit-unknown" && is_of(target, database) => {
            cut.faults.insert(*id);
        }
        Fact::FaultEnded { id } => {
            cut.faults.remove(id);
        }
        Fact::Committed(committed) if !cut.faults.is_empty() && committed.database == database => {
            cut.commits += 1;
        }
        _ => {}
    }
    cut.commits >= COMMITS
}

/// Whether a target names a server of the database: `postgres/trade/primary`.
fn is_of(target: &str, database: &str) -> bool {
    let names = target.split(", ").filter_map(|server| server.strip_prefix("postgres/"));
    names.map(|server| server.split('/').next().unwrap_or(server)).any(|name| name == database)
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use crate::testing::{Told, history, validated};

    #[test]
    fn databases_fail() {
        let promoted = Fact::Promoted { database: "trade".to_owned(), timeline: 2 };
        check("store:failed_over", history![promoted], true);
        let lost = Fact::CommitLost { database: "trade".to_owned(), transaction: 1 };
        check("store:commit_lost", history![lost], true);
    }

    #[test]
    fn nobody_hears_of_a_commit() {
        let mark = "store:commit_unknown_of_position";
        let began = |action: &str, target: &str| Fact::FaultBegan {
            id: 7,
            action: action.to_owned(),
            target: target.to_owned(),
        };
        let ended = || Fact::FaultEnded { id: 7 };
        let cut = |target| began("commit-unknown", target);
        let commits = |count: u32| (0..count).map(|_| Told::from(validated("T-1")));
        let after =
            |fault: Fact, count| history![fault].into_iter().chain(commits(count)).collect::<Vec<_>>();
        check(mark, after(cut("postgres/position"), COMMITS), true);
        check(mark, after(cut("postgres/position/primary, postgres/position/standby"), COMMITS), true);
        check(mark, after(cut("postgres/position"), COMMITS - 1), false);
        check(mark, after(cut("postgres/trade"), COMMITS), false);
        check(mark, after(began("disk-full", "postgres/position"), COMMITS), false);
        check(mark, history![cut("postgres/position"), ended()].into_iter().chain(commits(COMMITS)), false);
    }
}
