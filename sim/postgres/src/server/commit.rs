//! COMMIT, and who goes on when commits become durable (manual 27.2.8, 28.3).
//!
//! A transaction is flushed, acknowledged by the synchronous standby, visible, answered: in this order. Until it
//! is visible it keeps its locks.

use host::ports::store::Reply;

use super::Server;
use crate::database::Database;
use crate::durability::Logged;
use crate::error::SqlError;
use crate::output::Output;
use crate::session::{Session, State, Step, Wait};
use crate::transaction::Flushed;

impl Database {
    /// Ends the session's transaction for good, or begins to.
    pub(super) fn commit(
        &mut self,
        now_ns: u64,
        conn: u64,
        session: &mut Session,
        out: &mut Vec<Output>,
    ) -> Result<Step, SqlError> {
        if session.state == State::Failed {
            session.state = State::Idle;
            return Ok(Step::Done(Reply::RolledBack));
        }
        if let Some(node) = session.transaction.serializable {
            self.serializable.prepare(node)?;
        }
        let (changes, places) = session.transaction.writes.take(&self.tables);
        if changes.is_empty() {
            self.finish(conn, session);
            return Ok(Step::Done(Reply::Committed));
        }
        let (transaction, began_ns) = (session.transaction.id, session.transaction.began_ns);
        let (timeline, lsn) = (self.log.timeline, self.log.lsn.next());
        let flushed = Flushed { transaction, timeline, lsn, now_ns: began_ns, changes, places };
        match self.log_commit(now_ns, conn, flushed, out) {
            Logged::Queued => return Ok(Step::Wait(Wait::Commit(lsn))),
            Logged::Durable(flushed) => {
                self.install(&flushed);
                self.tell(flushed, out);
            }
            Logged::LeftToWalWriter => {}
        }
        self.finish(conn, session);
        Ok(Step::Done(Reply::Committed))
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
        if let Some(node) = transaction.serializable.take() {
            self.serializable.committed(node, self.versions.latest());
        }
        self.end(conn, session, State::Idle);
    }
}

impl Server {
    /// Lets those go on whose commits have become durable.
    pub(super) fn release_commits(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        while let Some(waiter) = self.database.next_durable(out) {
            if let Some(conn) = waiter {
                self.committed(conn);
            }
        }
        self.proceed(now_ns, out);
    }

    /// The session's commit is visible: it is answered, unless nobody is there any more.
    pub(super) fn committed(&mut self, conn: u64) {
        let session = self.sessions.get_mut(&conn).expect("a session stays until its commit is through");
        session.wait = None;
        self.database.finish(conn, session);
        if session.gone {
            self.close(conn);
            return;
        }
        let pipeline = session.pipeline.as_mut().expect("a session that waits has a pipeline");
        pipeline.done(Reply::Committed);
        self.database.ready.push_back(conn);
    }
}
