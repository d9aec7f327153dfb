//! Which commits of a database have been told of, over all its servers.
//!
//! A standby that is promoted cannot know whether the old primary has said that the last transactions it
//! received are committed, so it says so itself; and an old primary that lives on may say it later. Whoever
//! looks at several servers of a database asks here whether it is news.

use std::collections::BTreeMap;

use crate::output::{CommitLost, CommittedTx, Lsn};

/// The last commit told on each timeline: each server tells in the order of its log.
#[derive(Default)]
pub struct Told(BTreeMap<u32, Lsn>);

impl Told {
    /// Whether nobody has told of this commit yet. Asked once for each.
    pub fn is_news(&mut self, committed: &CommittedTx) -> bool {
        let last = self.0.entry(committed.timeline).or_default();
        let news = committed.lsn > *last;
        *last = committed.lsn.max(*last);
        news
    }

    /// Positions of lost commits are used again by others.
    pub fn lost(&mut self, lost: &CommitLost) {
        let last = self.0.entry(lost.timeline).or_default();
        *last = Lsn(lost.lsn.0 - 1).min(*last);
    }
}
