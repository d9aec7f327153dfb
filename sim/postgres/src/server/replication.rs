//! The link between primary and standby, which the caller carries: log one way, acknowledgements the other
//! (manual 27.2.5).

use host::ports::store::StoreError;

use super::{Life, Server, ServerRole};
use crate::error::sqlstate;
use crate::output::{Lsn, Output, WalAck, WalPosition, WalRecord};

impl Server {
    /// On the standby: a record arrives from the primary. A record after a gap is ignored, as is a known one;
    /// the standby then has to connect again with its [`Self::wal_status`]. Ignored is also what a primary of an
    /// earlier timeline still sends.
    pub fn wal(&mut self, now_ns: u64, record: WalRecord, out: &mut Vec<Output>) {
        let database = &mut self.database;
        let follows = self.role == ServerRole::Standby && record.timeline >= database.log.timeline;
        if self.life != Life::Running || !follows || record.lsn > database.log.lsn.next() {
            return;
        }
        if record.lsn == database.log.lsn.next() {
            database.checkpoint.wrote(now_ns, record.changes.len());
            database.log.append(record);
            database.request_flush(now_ns, out);
            if database.panicked {
                return self.panic(now_ns, out);
            }
            self.apply(now_ns, out);
        }
        out.push(Output::AckWal(self.database.wal_status()));
    }

    /// On the primary: how far the standby has come.
    pub fn wal_ack(&mut self, now_ns: u64, ack: WalAck, out: &mut Vec<Output>) {
        let position = WalPosition { timeline: ack.timeline, lsn: ack.written };
        let meant = self.role == ServerRole::Primary && self.database.log.contains(position);
        if self.life != Life::Running || !meant {
            return;
        }
        self.database.log.release(ack.flushed);
        self.database.durability.ack(ack);
        self.release_commits(now_ns, out);
    }

    /// On the primary: a standby (again) asks for the log after what it has written. A synchronous standby is
    /// connected from the beginning without this call. Error 58P01: the log is not kept that far back, or the
    /// standby has records that are not in this server's past; then it needs [`Self::rewind_to`].
    pub fn standby_connected(
        &mut self,
        now_ns: u64,
        status: WalAck,
        out: &mut Vec<Output>,
    ) -> Result<(), StoreError> {
        if self.life != Life::Running || self.role != ServerRole::Primary {
            return Err(StoreError::Refused);
        }
        let WalAck { timeline, written, .. } = status;
        let received = WalPosition { timeline, lsn: written };
        self.database.log.connect(received, out).map_err(|error| error.at(0))?;
        self.wal_ack(now_ns, status, out);
        Ok(())
    }

    /// On the primary: nothing is sent until a standby connects again. Commits wait for it.
    pub fn standby_disconnected(&mut self, _now_ns: u64) {
        self.database.log.disconnect();
    }

    /// On the standby: what it asks for the log with, and how far it has come.
    pub fn wal_status(&self) -> WalAck {
        self.database.wal_status()
    }

    /// The standby leaves `synchronous_standby_names` or joins it, while the primary runs. When it leaves,
    /// commits that wait for it go through; a standby that has joined holds up commits also while it is away.
    pub fn set_synchronous_standby(&mut self, now_ns: u64, present: bool, out: &mut Vec<Output>) {
        self.database.durability.synchronous_standby = present;
        if self.life == Life::Running {
            self.release_commits(now_ns, out);
        }
    }

    /// On the standby: what it applies lags this much behind what it has received.
    pub fn set_replay_delay(&mut self, now_ns: u64, delay_ns: u64, out: &mut Vec<Output>) {
        self.database.replay.delay_ns = delay_ns;
        if self.life == Life::Running {
            self.replay(now_ns, out);
        }
    }

    /// On the standby: applies what is due, and says how far it has come.
    pub(super) fn replay(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        let before = self.database.replay.applied;
        self.apply(now_ns, out);
        if self.database.replay.applied != before {
            out.push(Output::AckWal(self.database.wal_status()));
        }
    }

    /// Applies what is due. Sessions whose snapshots have held it up for too long end with 40001 (26.4.2).
    pub(super) fn apply(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        while let Some(removed) = self.database.replay(now_ns) {
            let sessions = self.sessions.iter();
            let conflicting = sessions.filter(|(_, session)| {
                session.transaction.snapshot.is_some_and(|snapshot| snapshot.is_before(removed))
            });
            for conn in conflicting.map(|(conn, _)| *conn).collect::<Vec<_>>() {
                self.end_session(conn, sqlstate::SERIALIZATION_FAILURE, out);
            }
        }
    }

    /// On the primary: VACUUM, or what autovacuum does from time to time. Nothing is left to remove here, since
    /// old versions are dropped with the last snapshot that sees them; but standbys have to follow.
    pub fn vacuum(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        if self.life != Life::Running || self.role != ServerRole::Primary {
            return;
        }
        self.database.log_removal(now_ns, out);
        if self.database.panicked {
            self.panic(now_ns, out);
        }
    }

    /// The end of this server's log: on the standby what it has received.
    pub fn lsn(&self) -> Lsn {
        self.database.log.lsn
    }

    /// What is applied: on the standby what reads show.
    pub fn replay_lsn(&self) -> Lsn {
        match self.role {
            ServerRole::Primary => self.database.log.lsn,
            ServerRole::Standby => self.database.replay.applied,
        }
    }

    pub fn timeline(&self) -> u32 {
        self.database.log.timeline
    }

    /// Whether it takes sessions: it is neither down nor replaying its log after a start.
    pub fn is_running(&self) -> bool {
        self.life == Life::Running
    }

    /// Whether its settings name a synchronous standby, whether or not one is waited for now.
    pub fn wants_synchronous_standby(&self) -> bool {
        self.settings.has_synchronous_standby()
    }

    pub fn is_in_recovery(&self) -> bool {
        self.role == ServerRole::Standby
    }
}
