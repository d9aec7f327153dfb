//! Waits that end without what was waited for: deadlocks (manual 13.3.4), lock_timeout, statement_timeout and
//! idle_in_transaction_session_timeout (20.11).

use std::collections::BTreeSet;

use super::Server;
use crate::durability::NS_PER_MS;
use crate::error::{SqlError, sqlstate};
use crate::output::Output;
use crate::session::{State, Timer, Wait};

impl Server {
    /// Notes whom the session waits for, and until when it may rest like this.
    pub(super) fn arm(&mut self, now_ns: u64, conn: u64) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        let settings = &self.settings;
        let (timers, holder) = match &session.wait {
            Some(Wait::Commit(_)) => return,
            None if session.state == State::Idle => return,
            None => {
                let idle_ms = settings.idle_in_transaction_session_timeout_ms;
                ([Some((Timer::IdleInTransaction, now_ns, idle_ms)), None, None], None)
            }
            Some(wait) => {
                let progress = session.pipeline.as_ref().map(|pipeline| &pipeline.progress);
                let began_ns = progress.and_then(|progress| progress.began_ns).unwrap_or(now_ns);
                let deadlock = (Timer::Deadlock, now_ns, settings.deadlock_timeout_ms);
                let lock = (Timer::Lock, now_ns, settings.lock_timeout_ms);
                let statement = (Timer::Statement, began_ns, settings.statement_timeout_ms);
                let holder = match wait {
                    Wait::Transaction(holder) => Some(*holder),
                    Wait::Lock(_) | Wait::Commit(_) => None,
                };
                ([Some(deadlock), Some(lock), Some(statement)], holder)
            }
        };
        for (timer, from_ns, after_ms) in timers.into_iter().flatten().filter(|timer| timer.2 > 0) {
            let deadline = from_ns + after_ms * NS_PER_MS;
            session.armed.push((deadline, timer));
            self.timers.insert((deadline, conn, timer));
        }
        if let Some(holder) = holder {
            let holder = self.sessions.get_mut(&holder).expect("a writer has a session");
            holder.transaction.waiters.push(conn);
        }
    }

    /// A session's timer is due, and taken from the queue.
    pub(super) fn expire(&mut self, conn: u64, due: (u64, Timer), out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        session.armed.retain(|armed| *armed != due);
        match due.1 {
            Timer::Deadlock => {
                if self.waits_for_itself(conn) {
                    self.fail(conn, SqlError::new(sqlstate::DEADLOCK_DETECTED, "deadlock detected"), out);
                }
            }
            Timer::Lock => {
                let message = "canceling statement due to lock timeout";
                self.fail(conn, SqlError::new(sqlstate::LOCK_NOT_AVAILABLE, message), out);
            }
            Timer::Statement => {
                let message = "canceling statement due to statement timeout";
                self.fail(conn, SqlError::new(sqlstate::QUERY_CANCELED, message), out);
            }
            Timer::IdleInTransaction => {
                self.close(conn);
                let sqlstate = sqlstate::IDLE_IN_TRANSACTION_SESSION_TIMEOUT;
                out.push(Output::Closed { conn, sqlstate });
            }
        }
    }

    /// Ends the statement that waits with an error.
    pub(super) fn fail(&mut self, conn: u64, error: SqlError, out: &mut Vec<Output>) {
        self.stop_waiting(conn);
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        let pipeline = session.pipeline.take().expect("a session that waits has a pipeline");
        self.database.end(conn, session, State::Failed);
        let result = Err(error.at(pipeline.next));
        out.push(Output::Reply { conn, call: pipeline.call, result });
        // Calls that arrived meanwhile are next.
        self.database.ready.push_back(conn);
    }

    /// Leaves every queue that the session stands in.
    pub(super) fn stop_waiting(&mut self, conn: u64) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        for (deadline, timer) in session.armed.drain(..) {
            self.timers.remove(&(deadline, conn, timer));
        }
        match session.wait.take() {
            Some(Wait::Lock(key)) => self.database.locks.cancel(conn, &key, &mut self.database.ready),
            Some(Wait::Transaction(holder)) => {
                if let Some(holder) = self.sessions.get_mut(&holder) {
                    holder.transaction.waiters.retain(|waiter| *waiter != conn);
                }
            }
            Some(Wait::Commit(_)) | None => {}
        }
    }

    /// Whether the sessions that this one waits for wait, directly or not, for this one.
    fn waits_for_itself(&self, conn: u64) -> bool {
        let mut reached = BTreeSet::new();
        let mut open = Vec::new();
        self.blockers(conn, &mut open);
        while let Some(next) = open.pop() {
            if next == conn {
                return true;
            }
            if reached.insert(next) {
                self.blockers(next, &mut open);
            }
        }
        false
    }

    fn blockers(&self, conn: u64, into: &mut Vec<u64>) {
        match self.sessions.get(&conn).and_then(|session| session.wait.as_ref()) {
            Some(Wait::Lock(key)) => self.database.locks.blockers(conn, key, into),
            Some(Wait::Transaction(holder)) => into.push(*holder),
            Some(Wait::Commit(_)) | None => {}
        }
    }
}
