//! COMMIT, the log to the standby, and what a restart finds (manual 27.2.8, 28.1).
//!
//! A transaction is flushed, acknowledged by the synchronous standby, visible, answered: in this order. Until it
//! is visible it keeps its locks.

use host::ports::store::{Reply, StoreError};

use super::{Life, Server, ServerRole};
use crate::database::Database;
use crate::key::{KeyBytes, encode};
use crate::output::{Lsn, Output, WalRecord};
use crate::session::{Session, State, Step, Wait};
use crate::transaction::Flushed;

impl Database {
    /// Ends the session's transaction for good, or begins to.
    pub(super) fn commit(&mut self, conn: u64, session: &mut Session, out: &mut Vec<Output>) -> Step {
        if session.state == State::Failed {
            session.state = State::Idle;
            return Step::Done(Reply::RolledBack);
        }
        let (changes, places) = session.transaction.writes.take(&self.tables);
        if changes.is_empty() {
            self.finish(conn, session);
            return Step::Done(Reply::Committed);
        }
        let (transaction, now_ns) = (session.transaction.id, session.transaction.began_ns);
        let lsn = self.log.lsn.next();
        let sequences = self.tables.iter_mut().enumerate();
        let sequences = sequences.filter_map(|(table, data)| Some((table, data.sequence.flush()?)));
        let record = WalRecord {
            timeline: self.log.timeline,
            lsn,
            transaction,
            now_ns,
            changes: changes.clone(),
            sequences: sequences.collect(),
        };
        self.log.append(record, out);
        let flushed = Flushed { transaction, lsn, now_ns, changes, places };
        if self.commit_waits_for_standby {
            self.commits.push_back((conn, flushed));
            return Step::Wait(Wait::Standby);
        }
        self.make_visible(flushed, out);
        self.finish(conn, session);
        Step::Done(Reply::Committed)
    }

    /// The transaction is visible, or had nothing to show.
    fn finish(&mut self, conn: u64, session: &mut Session) {
        let transaction = &mut session.transaction;
        for channel in transaction.listens.drain(..) {
            if !session.listening.contains(&channel) {
                session.listening.push(channel);
            }
        }
        self.notices.append(&mut transaction.notifies);
        self.end(conn, session, State::Idle);
    }
}

impl Server {
    /// On the standby: a record arrives from the primary. A record after a gap is ignored, as is a known one;
    /// the standby then has to connect again from [`Self::lsn`].
    pub fn wal(&mut self, _now_ns: u64, record: WalRecord, out: &mut Vec<Output>) {
        assert_eq!(self.role, ServerRole::Standby, "a primary receives no log");
        let database = &mut self.database;
        if self.life != Life::Running || record.lsn > database.log.lsn.next() {
            return;
        }
        if record.lsn == database.log.lsn.next() {
            for change in &*record.changes {
                let table = database.table(change.table);
                let table =
                    table.unwrap_or_else(|error| panic!("primary and standby differ: {}", error.message));
                database.scratch.clear();
                encode(&change.row[..change.table.key], &mut database.scratch);
                let key = KeyBytes::new(&database.scratch);
                database.tables[table].apply(key, change.after(), &mut database.scratch);
            }
            for (table, logged) in &record.sequences {
                database.tables[*table].sequence.replay(*logged);
            }
            database.last_transaction = database.last_transaction.max(record.transaction);
            database.log.append(record, out);
        }
        out.push(Output::AckWal { lsn: database.log.lsn });
    }

    /// On the primary: the standby has everything up to `lsn`.
    pub fn wal_ack(&mut self, now_ns: u64, lsn: Lsn, out: &mut Vec<Output>) {
        assert_eq!(self.role, ServerRole::Primary, "a standby sends no log");
        if self.life != Life::Running {
            return;
        }
        self.database.log.ack(lsn);
        while self.database.commits.front().is_some_and(|(_, flushed)| flushed.lsn <= lsn) {
            let Some((conn, flushed)) = self.database.commits.pop_front() else { break };
            self.database.make_visible(flushed, out);
            let session = self.sessions.get_mut(&conn).expect("a session stays until its commit is through");
            self.database.finish(conn, session);
            if session.gone {
                self.close(conn);
                continue;
            }
            let pipeline = session.pipeline.as_mut().expect("a session that waits has a pipeline");
            pipeline.done(Reply::Committed);
            self.database.ready.push_back(conn);
        }
        self.proceed(now_ns, out);
    }

    /// On the primary: a standby (again) asks for the log after `received`. A synchronous standby is connected
    /// from the beginning without this call. Error: 58P01 if the log is not kept that far back.
    pub fn standby_connected(
        &mut self,
        now_ns: u64,
        received: Lsn,
        out: &mut Vec<Output>,
    ) -> Result<(), StoreError> {
        if self.life != Life::Running {
            return Err(StoreError::Refused);
        }
        self.database.log.connect(received, out).map_err(|error| error.at(0))?;
        self.wal_ack(now_ns, received, out);
        Ok(())
    }

    /// On the primary: nothing is sent until a standby connects again. Commits wait for it.
    pub fn standby_disconnected(&mut self, _now_ns: u64) {
        self.database.log.disconnect();
    }

    /// The process dies: sessions, locks and open transactions vanish, what was flushed stays. Nobody accepts
    /// connections until [`Self::start`].
    pub fn crash(&mut self) {
        self.life = Life::Down;
        self.sessions.clear();
        self.timers.clear();
        let database = &mut self.database;
        database.locks.clear();
        database.ready.clear();
        database.notices.clear();
        database.log.disconnect();
        for data in &mut database.tables {
            data.sequence.crash();
        }
    }

    /// The process starts and recovers: connections get 57P03 until [`Self::ready`].
    pub fn start(&mut self) {
        assert_eq!(self.life, Life::Down, "the process runs already");
        self.life = Life::Starting;
    }

    /// Recovery ends. Commits that were flushed become visible, whether the standby has them or not: nobody
    /// waits for it any more.
    pub fn ready(&mut self, _now_ns: u64, out: &mut Vec<Output>) {
        assert_eq!(self.life, Life::Starting, "only a start becomes ready");
        self.life = Life::Running;
        for (_, flushed) in std::mem::take(&mut self.database.commits) {
            self.database.make_visible(flushed, out);
        }
    }
}
