//! How a server ends and comes back: crashes, shutdown, PANIC, recovery (manual 18.5, 28.1).

use super::{Life, Server, ServerRole};
use crate::error::{SqlError, sqlstate};
use crate::output::{Lsn, Output};
use crate::serializable::Serializable;
use crate::session::Wait;

impl Server {
    /// The machine dies: sessions, locks and open transactions vanish, what was flushed stays. Nobody accepts
    /// connections until [`Self::start`]. Reports commits told of that were not flushed.
    pub fn crash(&mut self, out: &mut Vec<Output>) {
        self.life = Life::Down;
        self.recovered_ns = None;
        self.sessions.clear();
        self.timers.clear();
        let database = &mut self.database;
        database.panicked = false;
        database.locks.clear();
        database.ready.clear();
        database.notices.clear();
        database.versions.crash();
        database.serializable = Serializable::default();
        database.disk.crash();
        database.lose_unflushed(out);
        for data in &mut database.tables {
            data.sequence.crash();
        }
        for pending in &mut database.durability.commits {
            pending.conn = None;
        }
    }

    /// The process starts and recovers: connections get 57P03. Gives how long that takes: [`Self::tick`] ends it
    /// at [`Self::next_deadline`], or [`Self::ready`] before.
    pub fn start(&mut self, now_ns: u64) -> u64 {
        assert_eq!(self.life, Life::Down, "the process runs already");
        self.life = Life::Starting;
        let recovery_ns = self.database.checkpoint.recovery_ns();
        self.recovered_ns = Some(now_ns + recovery_ns);
        recovery_ns
    }

    /// Recovery ends. Commits that were flushed become visible, whether the standby has them or not. They are
    /// told of when it has, or when it is not waited for any more.
    pub fn ready(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        if self.life != Life::Starting {
            return;
        }
        self.life = Life::Running;
        self.recovered_ns = None;
        self.database.checkpoint.done();
        match self.role {
            ServerRole::Primary => {
                let commits = self.database.durability.commits.iter();
                let hidden = commits.filter(|pending| !pending.visible).map(|pending| pending.flushed.lsn);
                for lsn in hidden.collect::<Vec<_>>() {
                    self.database.show_early(lsn);
                }
                self.release_commits(now_ns, out);
            }
            ServerRole::Standby => self.apply(now_ns, out),
        }
    }

    /// A fast shutdown: open transactions roll back, sessions end with 57P01, everything is flushed and sent.
    /// Then the server is down, and a start has nothing to replay.
    pub fn shutdown(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        if self.life != Life::Running {
            return self.crash(out);
        }
        // Who waits ends first, so that nobody goes on because another one has ended.
        let (waiting, others): (Vec<_>, Vec<_>) =
            self.sessions.iter().partition(|(_, session)| session.wait.is_some());
        let order: Vec<u64> = waiting.into_iter().chain(others).map(|(conn, _)| *conn).collect();
        for conn in order {
            self.terminate(now_ns, conn, out);
        }
        let database = &mut self.database;
        if let Some(flush) = database.disk.flush.take() {
            database.flushed(now_ns, flush, out);
        }
        let delay_ns = std::mem::take(&mut database.disk.flush_delay_ns);
        database.request_flush(now_ns, out);
        database.disk.flush_delay_ns = delay_ns;
        database.checkpoint.done();
        self.release_commits(now_ns, out);
        self.crash(out);
    }

    /// `pg_terminate_backend`: the session ends with 57P01, a statement of it that waits fails with it. A commit
    /// that waits for the standby is left in place, and its client is not answered.
    pub fn terminate(&mut self, now_ns: u64, conn: u64, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get_mut(&conn).filter(|session| !session.gone) else { return };
        match session.wait {
            Some(Wait::Commit(lsn)) => {
                session.gone = true;
                out.push(Output::Closed { conn, sqlstate: sqlstate::ADMIN_SHUTDOWN });
                self.stop_waiting_for_standby(conn, lsn);
            }
            Some(Wait::Lock(_) | Wait::Transaction(_)) => {
                let message = "terminating connection due to administrator command";
                self.fail(conn, SqlError::new(sqlstate::ADMIN_SHUTDOWN, message), out);
                self.end_session(conn, sqlstate::ADMIN_SHUTDOWN, out);
            }
            None => self.end_session(conn, sqlstate::ADMIN_SHUTDOWN, out),
        }
        self.proceed(now_ns, out);
    }

    /// A client's cancel request, or `pg_cancel_backend`. A statement that waits fails with 57014. A commit that
    /// waits for the standby is left in place and answered, though the standby may not have it: PostgreSQL warns
    /// of that. A flush cannot be cancelled.
    pub fn cancel(&mut self, now_ns: u64, conn: u64, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get_mut(&conn).filter(|session| !session.gone) else { return };
        match session.wait {
            Some(Wait::Commit(lsn)) => self.stop_waiting_for_standby(conn, lsn),
            Some(Wait::Lock(_) | Wait::Transaction(_)) => {
                let message = "canceling statement due to user request";
                self.fail(conn, SqlError::new(sqlstate::QUERY_CANCELED, message), out);
            }
            None => {}
        }
        self.proceed(now_ns, out);
    }

    fn stop_waiting_for_standby(&mut self, conn: u64, lsn: Lsn) {
        if lsn <= self.database.log.flushed {
            self.database.show_early(lsn);
            self.committed(conn);
        }
    }

    /// A backend crashes (a segmentation fault, the OOM killer): all sessions end with 57P02, since shared memory
    /// may be damaged, and the server recovers by itself.
    pub fn crash_backend(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        if self.life == Life::Running {
            self.panic(now_ns, out);
        }
    }

    /// A PANIC of one process is a crash of all, after which they start again (`restart_after_crash`).
    pub(super) fn panic(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        let sqlstate = sqlstate::CRASH_SHUTDOWN;
        let open = self.sessions.iter().filter(|(_, session)| !session.gone);
        out.extend(open.map(|(conn, _)| Output::Closed { conn: *conn, sqlstate }));
        self.crash(out);
        let recovery_ns = self.start(now_ns);
        out.push(Output::Crashed { recovery_ns });
    }

    pub(super) fn end_session(&mut self, conn: u64, sqlstate: &'static str, out: &mut Vec<Output>) {
        self.close(conn);
        out.push(Output::Closed { conn, sqlstate });
    }
}
