//! What faults do to one server beyond what the server itself can be told: connections cut around a COMMIT,
//! and errors by SQLSTATE of which several can be in force.

use std::collections::BTreeMap;

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
#[derive(Clone, Debug)]
pub struct ErrorSpec {
    pub sqlstate: &'static str,
    pub statements: Vec<StatementKind>,
    pub ppm: u32,
}

/// The troubles of one server. They outlive its process.
#[derive(Default)]
pub struct SeatTroubles {
    commits: BTreeMap<u32, CommitUnknown>,
    errors: BTreeMap<u32, ErrorSpec>,
}

impl SeatTroubles {
    pub fn cut_commits(&mut self, id: u32, trouble: CommitUnknown) {
        self.commits.insert(id, trouble);
    }

    pub fn give_errors(&mut self, id: u32, spec: ErrorSpec) {
        self.errors.insert(id, spec);
    }

    pub fn end(&mut self, id: u32) {
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

    /// The rule for the server: that of the fault that began last.
    pub fn error_rule(&self, mut chance: Chance) -> Option<ErrorRule> {
        let spec = self.errors.values().next_back()?.clone();
        let strikes = Box::new(move || chance(1_000_000) < u64::from(spec.ppm));
        Some(ErrorRule { sqlstate: spec.sqlstate, statements: spec.statements, tables: Vec::new(), strikes })
    }
}
