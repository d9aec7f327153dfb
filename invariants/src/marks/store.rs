//! Marks of databases: who took over, what was lost, and commits of which nobody heard.

use super::{Mark, follow, when};
use crate::{Fact, FactKind};

/// The mark of one database.
macro_rules! commit_unknown_of {
    ($database:literal) => {
        follow::<()>(
            concat!("store:commit_unknown_of_", $database),
            concat!("The database of ", $database, " committed a decision, and its client did not hear of it."),
            &[FactKind::Promoted],
            |(), record| matches!(record.fact, Fact::CommitUnheard { database } if database == $database)
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
        commit_unknown_of!("reference-data"),
        commit_unknown_of!("settlement"),
        commit_unknown_of!("trade"),
        when!("store:failed_over", "A standby became primary.", &[FactKind::Promoted], |record| {
            matches!(record.fact, Fact::Promoted { .. })
        }),
        when!(
            "store:panicked",
            "A database server ended because its disk failed, and recovered.",
            &[FactKind::Promoted],
            |record| matches!(record.fact, Fact::ServerPanicked { .. })
        ),
        when!(
            "store:standby_joined",
            "A primary waits for a standby again that it had done without.",
            &[FactKind::Promoted],
            |record| matches!(record.fact, Fact::StandbyJoined { .. })
        ),
        when!(
            "store:standby_left",
            "A primary did not wait for its standby any more.",
            &[FactKind::Promoted],
            |record| matches!(record.fact, Fact::StandbyLeft { .. })
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use crate::testing::history;

    #[test]
    fn databases_fail() {
        let promoted = Fact::Promoted { database: "trade".to_owned(), timeline: 2 };
        check("store:failed_over", history![promoted], true);
        let lost = Fact::CommitLost { database: "trade".to_owned(), transaction: 1 };
        check("store:commit_lost", history![lost], true);
        let (left, joined) = (
            Fact::StandbyLeft { database: "trade".to_owned() },
            Fact::StandbyJoined { database: "trade".to_owned() },
        );
        check("store:standby_left", history![left], true);
        let panicked = Fact::ServerPanicked { database: "trade".to_owned() };
        check("store:panicked", history![panicked], true);
        check("store:standby_joined", history![joined], true);
    }

    #[test]
    fn nobody_hears_of_a_commit() {
        let unheard = |database: &str| Fact::CommitUnheard { database: database.to_owned() };
        check("store:commit_unknown_of_position", history![unheard("position")], true);
        check("store:commit_unknown_of_position", history![unheard("trade")], false);
    }
}
