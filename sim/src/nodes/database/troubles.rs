//! What faults do to one server, each under its number: connections cut around a COMMIT, errors by SQLSTATE, and
//! strains on its disk, its connections and its replay. Several can be in force at once, and the server is told
//! what they come to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use host::ports::store::Statement;
use postgres::{ErrorRule, StatementKind};

/// A number below its argument.
pub type Chance = Box<dyn FnMut(u64) -> u64>;

/// When the connection of a COMMIT is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The server never sees it.
    Before,
    /// It happens, and the client does not hear so.
    After,
}

/// `commit-unknown`: odds of a COMMIT to lose its connection.
pub struct CommitUnknown {
    pub ppm: u32,
    pub chance: Chance,
}

/// `db-error`: see [`ErrorRule`].
pub struct DbErrors {
    pub sqlstate: &'static str,
    pub statements: Vec<StatementKind>,
    pub ppm: u32,
    /// Goes on where it was when the server gets its rules anew.
    pub chance: Rc<RefCell<Chance>>,
}

/// What a fault takes from a server as long as it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strain {
    /// `disk-full`.
    DiskFull,
    /// `slow-disk`: how much longer each flush takes.
    SlowDisk { by_ns: u64 },
    /// `connection-exhaustion`: how many connections are left.
    ConnectionsLeft(usize),
    /// `replica-lag`: how far a standby is behind.
    Lag { by_ns: u64 },
}

/// What all strains on a server come to. Without any: what a healthy server has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strained {
    /// If any fault fills the disk.
    pub disk_full: bool,
    /// Delays of the disk add up, as those of links do.
    pub flush_delay_ns: u64,
    /// The least that any fault leaves; `None`: all that there are.
    pub connections_left: Option<usize>,
    /// The longest lag: who is ten seconds behind is also five seconds behind.
    pub replay_delay_ns: u64,
}

impl Strained {
    fn and(mut self, strain: Strain) -> Self {
        match strain {
            Strain::DiskFull => self.disk_full = true,
            Strain::SlowDisk { by_ns } => self.flush_delay_ns = self.flush_delay_ns.saturating_add(by_ns),
            Strain::ConnectionsLeft(left) => {
                self.connections_left = Some(self.connections_left.map_or(left, |least| least.min(left)));
            }
            Strain::Lag { by_ns } => self.replay_delay_ns = self.replay_delay_ns.max(by_ns),
        }
        self
    }
}

/// The troubles of one server. They outlive its process.
#[derive(Default)]
pub struct SeatTroubles {
    strains: BTreeMap<u32, Strain>,
    commits: BTreeMap<u32, CommitUnknown>,
    errors: BTreeMap<u32, DbErrors>,
}

impl SeatTroubles {
    pub fn cut_commits(&mut self, id: u32, trouble: CommitUnknown) {
        self.commits.insert(id, trouble);
    }

    pub fn give_errors(&mut self, id: u32, errors: DbErrors) {
        self.errors.insert(id, errors);
    }

    pub fn strain(&mut self, id: u32, strain: Strain) {
        self.strains.insert(id, strain);
    }

    pub fn strained(&self) -> Strained {
        self.strains.values().fold(Strained::default(), |sum, strain| sum.and(*strain))
    }

    pub fn end(&mut self, id: u32) {
        self.strains.remove(&id);
        self.commits.remove(&id);
        self.errors.remove(&id);
    }

    /// What becomes of a call's connection.
    pub fn cut(&mut self, statements: &[Statement]) -> Option<Cut> {
        if self.commits.is_empty()
            || !statements.iter().any(|statement| matches!(statement, Statement::Commit))
        {
            return None;
        }
        let hit = self.commits.values_mut().find_map(|trouble| {
            let hit = (trouble.chance)(1_000_000) < u64::from(trouble.ppm);
            hit.then(|| (trouble.chance)(2))
        })?;
        Some(if hit == 0 { Cut::Before } else { Cut::After })
    }

    /// The rules for the server, in the order of the faults: the first that strikes a statement decides.
    pub fn error_rules(&self) -> Vec<ErrorRule> {
        let rule = |errors: &DbErrors| {
            let (chance, ppm) = (errors.chance.clone(), u64::from(errors.ppm));
            let strikes = Box::new(move || (chance.borrow_mut())(1_000_000) < ppm);
            let (sqlstate, statements) = (errors.sqlstate, errors.statements.clone());
            ErrorRule { sqlstate, statements, tables: Vec::new(), strikes }
        };
        self.errors.values().map(rule).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first fault lasts from 1 to 3, the second from 2 to 4: what the server has at each moment.
    fn overlap(first: Strain, second: Strain) -> [Strained; 4] {
        let mut troubles = SeatTroubles::default();
        troubles.strain(1, first);
        let alone = troubles.strained();
        troubles.strain(2, second);
        let both = troubles.strained();
        troubles.end(1);
        let still = troubles.strained();
        troubles.end(2);
        [alone, both, still, troubles.strained()]
    }

    #[test]
    fn a_disk_is_full_until_the_last_fault_lets_go() {
        let full = Strained { disk_full: true, ..Strained::default() };
        assert_eq!(overlap(Strain::DiskFull, Strain::DiskFull), [full, full, full, Strained::default()]);
    }

    #[test]
    fn delays_of_a_disk_add_up() {
        let slow = |flush_delay_ns| Strained { flush_delay_ns, ..Strained::default() };
        let states = overlap(Strain::SlowDisk { by_ns: 5 }, Strain::SlowDisk { by_ns: 7 });
        assert_eq!(states, [slow(5), slow(12), slow(7), slow(0)]);
    }

    #[test]
    fn the_least_number_of_connections_counts() {
        let left = |connections_left| Strained { connections_left, ..Strained::default() };
        let states = overlap(Strain::ConnectionsLeft(3), Strain::ConnectionsLeft(8));
        assert_eq!(states, [left(Some(3)), left(Some(3)), left(Some(8)), left(None)]);
    }

    #[test]
    fn the_longest_lag_counts() {
        let lags = |replay_delay_ns| Strained { replay_delay_ns, ..Strained::default() };
        let states = overlap(Strain::Lag { by_ns: 5 }, Strain::Lag { by_ns: 10 });
        assert_eq!(states, [lags(5), lags(10), lags(10), lags(0)]);
    }

    #[test]
    fn strains_of_different_kinds_leave_each_other_alone() {
        let [_, both, still, none] = overlap(Strain::DiskFull, Strain::SlowDisk { by_ns: 7 });
        assert_eq!(both, Strained { disk_full: true, ..still });
        assert_eq!((still.disk_full, still.flush_delay_ns, none), (false, 7, Strained::default()));
    }

    #[test]
    fn errors_of_several_faults_are_in_force_together() {
        let errors = |sqlstate| DbErrors {
            sqlstate,
            statements: Vec::new(),
            ppm: 1_000_000,
            chance: Rc::new(RefCell::new(Box::new(|_| 0))),
        };
        let mut troubles = SeatTroubles::default();
        let in_force = |troubles: &SeatTroubles| -> Vec<&str> {
            troubles.error_rules().iter().map(|rule| rule.sqlstate).collect()
        };
        troubles.give_errors(1, errors("40001"));
        troubles.give_errors(2, errors("57014"));
        assert_eq!(in_force(&troubles), ["40001", "57014"]);
        troubles.end(1);
        assert_eq!(in_force(&troubles), ["57014"]);
        troubles.end(2);
        assert!(in_force(&troubles).is_empty());
    }
}
