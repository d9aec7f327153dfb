//! One database server: sessions, transactions and committed tables; the surface that the simulator drives.

use host::ports::store::{Row, Statement, StoreError, Table};

use crate::output::{Lsn, Output, WalRecord};
use crate::settings::Settings;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerRole {
    Primary,
    /// A hot standby (26.4): applies the primary's log, answers reads, refuses writes with 25006.
    Standby,
}

pub struct Server {
    settings: Settings,
    role: ServerRole,
    tables: Vec<&'static Table>,
}

/// Every method takes the server's own clock, in nanoseconds since 1970, and appends what the server does.
impl Server {
    /// A running server with empty tables. Only these tables exist: others give 42P01.
    pub fn new(settings: Settings, role: ServerRole, tables: Vec<&'static Table>) -> Self {
        Self { settings, role, tables }
    }

    pub fn role(&self) -> ServerRole {
        self.role
    }

    /// Opening data, the same on primary and standby, before anything else happens.
    pub fn seed(&mut self, _table: &'static Table, _rows: Vec<Row>) {}

    /// A session begins. `conn` is never used again for another one. Errors: 57P03 while starting, 53300 when
    /// there are too many, [`StoreError::Refused`] when the process is down.
    pub fn connect(&mut self, _now_ns: u64, _conn: u64) -> Result<(), StoreError> {
        Ok(())
    }

    /// A pipeline arrives. Exactly one [`Output::Reply`] follows, now or at a later call of any method, unless
    /// the session ends before. Calls of one session run one after the other.
    pub fn run(
        &mut self,
        _now_ns: u64,
        _conn: u64,
        _call: u64,
        _statements: Vec<Statement>,
        _out: &mut Vec<Output>,
    ) {
    }

    /// The server notices that the client has gone: its transaction rolls back, its locks are freed. A commit
    /// that is under way happens all the same.
    pub fn disconnected(&mut self, _now_ns: u64, _conn: u64, _out: &mut Vec<Output>) {}

    /// On the standby: a record arrives from the primary. A record after a gap is ignored, as is a known one.
    pub fn wal(&mut self, _now_ns: u64, _record: WalRecord, _out: &mut Vec<Output>) {}

    /// On the primary: the standby has everything up to `lsn`.
    pub fn wal_ack(&mut self, _now_ns: u64, _lsn: Lsn, _out: &mut Vec<Output>) {}

    /// On the primary: a standby (again) asks for the log after `received`. A synchronous standby is connected
    /// from the beginning without this call.
    pub fn standby_connected(&mut self, _now_ns: u64, _received: Lsn, _out: &mut Vec<Output>) {}

    /// On the primary: nothing is sent until a standby connects again.
    pub fn standby_disconnected(&mut self, _now_ns: u64) {}

    /// The end of this server's log: on the standby what it has received.
    pub fn lsn(&self) -> Lsn {
        Lsn(0)
    }

    /// To be called at [`Self::next_deadline`] or later; earlier is harmless.
    pub fn tick(&mut self, _now_ns: u64, _out: &mut Vec<Output>) {}

    /// When a timeout is due next. Changes with every call of another method.
    pub fn next_deadline(&self) -> Option<u64> {
        None
    }

    /// The process dies: sessions, locks and open transactions vanish, what was flushed stays. Nobody accepts
    /// connections until [`Self::start`].
    pub fn crash(&mut self) {}

    /// The process starts and recovers: connections get 57P03 until [`Self::ready`].
    pub fn start(&mut self) {}

    /// Recovery ends: commits that were flushed but not yet visible become visible (and are put out).
    pub fn ready(&mut self, _now_ns: u64, _out: &mut Vec<Output>) {}

    /// A hash over all committed rows: equal on primary and standby at rest.
    pub fn digest(&self) -> u128 {
        let _ = (&self.settings, &self.tables);
        0
    }

    /// The committed rows of a table, in key order: for inspection by the simulator, never for services.
    pub fn rows(&self, _table: &str) -> impl Iterator<Item = &crate::StoredRow> {
        std::iter::empty()
    }
}
