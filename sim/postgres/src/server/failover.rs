//! Promotion and its opposite (manual 26.3, pg_rewind, pg_basebackup).
//!
//! What it leaves out: fencing. An old primary goes on until somebody stops it; what it commits after the fork is
//! lost when it is rewound.

use std::collections::VecDeque;

use super::{Life, Server, ServerRole};
use crate::log::Log;
use crate::output::{CommitLost, CommittedTx, Lsn, Output};
use crate::snapshot::Versions;
use crate::vacuum::Vacuum;

/// Each timeline numbers its transactions from here on, so that no id is used on two of them.
const TRANSACTIONS_PER_TIMELINE: u64 = 1 << 40;

impl Server {
    /// The standby becomes the primary of a new timeline, with all that it has received. Sessions stay: new
    /// transactions of theirs may write. It has no synchronous standby until [`Self::set_synchronous_standby`].
    ///
    /// Tells of the commits that it received and that the old primary perhaps has not told of: [`crate::Told`]
    /// knows which are news.
    pub fn promote(&mut self, now_ns: u64, out: &mut Vec<Output>) -> u32 {
        assert_eq!(self.role, ServerRole::Standby, "only a standby is promoted");
        assert_eq!(self.life, Life::Running, "only a running server is promoted");
        let database = &mut self.database;
        database.disk.flush = None;
        while let Some(record) = database.log.flush_next(database.log.lsn) {
            database.replay.receive(now_ns, record);
        }
        database.replay_all();
        database.versions.advance_to(database.log.lsn);
        database.log.fork();
        let timeline = database.log.timeline;
        let first = u64::from(timeline - 1) * TRANSACTIONS_PER_TIMELINE;
        database.last_transaction = database.last_transaction.max(first);
        database.read_only = false;
        database.durability.synchronous_standby = false;
        database.durability.acked = Lsn(0);
        self.role = ServerRole::Primary;
        out.push(Output::Promoted { timeline, lsn: database.log.lsn });
        let untold = std::mem::take(&mut database.replay.untold);
        out.extend(untold.into_iter().map(Output::CommittedTx));
        timeline
    }

    /// Whether a transaction is in this server's past.
    pub fn has(&self, transaction: &CommittedTx) -> bool {
        let CommittedTx { transaction, timeline, lsn, .. } = *transaction;
        self.database.log.has(&CommitLost { transaction, timeline, lsn })
    }

    /// Commits that this server has told of and that `survivor`, promoted in its place, does not have: what its rewind
    /// will report as lost is lost already.
    pub fn lost_to(&self, survivor: &Self) -> Vec<CommitLost> {
        let (mine, theirs) = (&self.database, &survivor.database);
        let mut lost = mine.log.told_beyond(&theirs.log);
        let unflushed = mine.durability.unflushed.iter().map(|undo| undo.lost);
        lost.extend(unflushed.filter(|commit| !theirs.log.has(commit)));
        lost.sort_by_key(|commit| commit.lsn);
        lost.dedup();
        lost
    }

    /// A server that is down becomes a standby of `source`: with all that this one has flushed, and nothing else.
    /// Then [`Self::start`]; it follows with its [`Self::wal_status`]. Commits that this server told of and that
    /// `source` does not have are reported as lost.
    ///
    /// Serves also as a new base backup for a standby that is too far behind.
    pub fn rewind_to(&mut self, source: &Self, out: &mut Vec<Output>) {
        assert_eq!(self.life, Life::Down, "a running server is not rewound");
        assert_eq!(source.role, ServerRole::Primary, "the source of a rewind is a primary");
        let (mine, theirs) = (&mut self.database, &source.database);
        mine.log.report_lost(&theirs.log, out);
        mine.tables.clone_from(&theirs.tables);
        // What the source shows and has not flushed is not in its log yet.
        let unflushed = theirs.durability.unflushed.iter().rev();
        for (table, key, before) in unflushed.flat_map(|undo| undo.rows.iter().rev()) {
            mine.tables[*table].apply(key.clone(), before.clone(), &mut mine.scratch);
        }
        let mut untold = VecDeque::new();
        let flushed = theirs.log.flushed;
        for pending in theirs.durability.commits.iter().filter(|pending| pending.flushed.lsn <= flushed) {
            if !pending.visible {
                mine.install(&pending.flushed);
            }
            untold.push_back(CommittedTx::from(&pending.flushed));
        }
        for data in &mut mine.tables {
            data.sequence.crash();
        }
        mine.log = Log::continuing(&theirs.log, mine.log.kept_max);
        mine.replay.restart_at(flushed, untold);
        mine.versions = Versions::default();
        mine.versions.advance_to(flushed);
        mine.vacuum = Vacuum::default();
        mine.durability.commits.clear();
        mine.durability.acked = Lsn(0);
        mine.last_transaction = theirs.last_transaction;
        mine.read_only = true;
        mine.checkpoint.done();
        self.role = ServerRole::Standby;
    }
}
