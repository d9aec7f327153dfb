//! One database server: sessions and what they share; the surface that the simulator drives.
//!
//! `pipeline` runs statements, `commit` answers what has become durable, `wait` ends waits that nobody else ends
//! (deadlocks and timeouts), `replication` is the link to the other server, `failover` changes roles, `life` is
//! about crashes, `faults` about what the caller breaks.

mod commit;
mod failover;
mod faults;
mod life;
mod pipeline;
mod replication;
mod wait;

use std::collections::{BTreeMap, BTreeSet};

use host::ports::store::{Row, Statement, StoreError, Table, Value};
use xxhash_rust::xxh3::Xxh3;

use crate::database::Database;
use crate::error::{SqlError, sqlstate};
use crate::error_rule::ErrorRule;
use crate::key::{KeyBytes, encode};
use crate::output::{Output, StoredRow};
use crate::session::{Pipeline, Session, State, Timer, Wait};
use crate::settings::Settings;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerRole {
    Primary,
    /// A hot standby (26.4): applies the primary's log, answers reads, refuses writes with 25006.
    Standby,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Down,
    Starting,
    Running,
}

pub struct Server {
    settings: Settings,
    role: ServerRole,
    life: Life,
    database: Database,
    /// When recovery ends.
    recovered_ns: Option<u64>,
    sessions: BTreeMap<u64, Session>,
    timers: BTreeSet<(u64, u64, Timer)>,
}

/// What is due at a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Recovery,
    Flush,
    WalWriter,
    Replay,
    Session(u64, Timer),
}

/// Methods take the server's own clock, in nanoseconds since 1970, and append what the server does.
impl Server {
    /// A running server with empty tables. Only these tables exist: others give 42P01. Primary and
    /// standby are given the same ones in the same order.
    pub fn new(settings: Settings, role: ServerRole, tables: Vec<&'static Table>) -> Self {
        let mut database = Database::new(&settings, &tables);
        database.read_only = role == ServerRole::Standby;
        if role == ServerRole::Primary && settings.has_synchronous_standby() {
            database.log.connect_first();
        }
        let (sessions, timers) = (BTreeMap::new(), BTreeSet::new());
        Self { settings, role, life: Life::Running, database, recovered_ns: None, sessions, timers }
    }

    pub fn role(&self) -> ServerRole {
        self.role
    }

    /// Opening data, the same on primary and standby, before anything else happens. Serial columns that are
    /// NULL are numbered from the sequence, which afterwards goes on behind the highest one.
    pub fn seed(&mut self, table: &'static Table, rows: Vec<Row>) {
        let number = self.database.table(table).unwrap_or_else(|error| panic!("seed: {}", error.message));
        let data = &mut self.database.tables[number];
        let mut scratch = Vec::new();
        for mut row in rows {
            assert_eq!(row.len(), table.columns.len(), "a seeded row of {} has all columns", table.name);
            if table.serial {
                let id = match row[0] {
                    Value::Int(id) => id.max(data.sequence.last),
                    _ => data.sequence.last + 1,
                };
                data.sequence.replay(id);
                if row[0] == Value::Null {
                    row[0] = Value::Int(id);
                }
            }
            scratch.clear();
            encode(&row[..table.key], &mut scratch);
            let key = KeyBytes::new(&scratch);
            data.apply(key, Some(row.into()), &mut scratch);
        }
    }

    /// A session begins. `conn` is never used again for another one. Errors: 57P03 while starting, 53300 when
    /// there are too many, [`StoreError::Refused`] when the process is down.
    pub fn connect(&mut self, _now_ns: u64, conn: u64) -> Result<(), StoreError> {
        match self.life {
            Life::Down => return Err(StoreError::Refused),
            Life::Starting => {
                let message = "the database system is starting up";
                return Err(SqlError::new(sqlstate::CANNOT_CONNECT_NOW, message).at(0));
            }
            Life::Running => {}
        }
        if let Some(error) = self.database.error_rules.iter_mut().find_map(ErrorRule::on_connect) {
            return Err(if error.is_silent() { StoreError::Refused } else { error.at(0) });
        }
        if self.sessions.len() >= self.settings.max_connections {
            return Err(
                SqlError::new(sqlstate::TOO_MANY_CONNECTIONS, "sorry, too many clients already").at(0)
            );
        }
        let before = self.sessions.insert(conn, Session::default());
        assert!(before.is_none(), "connection {conn} is used twice");
        Ok(())
    }

    /// A pipeline arrives. Exactly one [`Output::Reply`] follows, now or at a later call of any method, unless
    /// the session ends before. Calls of one session run one after the other. A session that the server does
    /// not know (any more) gets [`StoreError::Lost`].
    pub fn run(
        &mut self,
        now_ns: u64,
        conn: u64,
        call: u64,
        statements: Vec<Statement>,
        out: &mut Vec<Output>,
    ) {
        let Some(session) = self.sessions.get_mut(&conn).filter(|session| !session.gone) else {
            out.push(Output::Reply { conn, call, result: Err(StoreError::Lost) });
            return;
        };
        if session.pipeline.is_some() {
            session.later.push_back((call, statements));
            return;
        }
        session.pipeline = Some(Pipeline::new(call, statements));
        self.database.ready.push_back(conn);
        self.proceed(now_ns, out);
    }

    /// The server notices that the client has gone: its transaction rolls back, its locks are freed. A commit
    /// that is under way happens all the same, and keeps its locks until then.
    pub fn disconnected(&mut self, now_ns: u64, conn: u64, out: &mut Vec<Output>) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        if let Some(Wait::Commit(_)) = session.wait {
            session.gone = true;
            return;
        }
        self.close(conn);
        self.proceed(now_ns, out);
    }

    /// Ends a session and its transaction.
    fn close(&mut self, conn: u64) {
        self.stop_waiting(conn);
        let Some(mut session) = self.sessions.remove(&conn) else { return };
        self.database.end(conn, &mut session, State::Idle);
    }

    /// To be called at [`Self::next_deadline`] or later; earlier is harmless. What is due happens at its time.
    pub fn tick(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        while let Some((deadline, due)) = self.next_due().filter(|(deadline, _)| *deadline <= now_ns) {
            let now_ns = deadline;
            match due {
                Due::Recovery => self.ready(now_ns, out),
                Due::Flush => self.flush_ends(now_ns, out),
                Due::WalWriter => self.wal_writer_wakes(now_ns, out),
                Due::Replay => self.replay(now_ns, out),
                Due::Session(conn, timer) => {
                    self.timers.pop_first();
                    self.expire(conn, (deadline, timer), out);
                    self.proceed(now_ns, out);
                }
            }
        }
    }

    /// When something is due next. Changes with every call of another method.
    pub fn next_deadline(&self) -> Option<u64> {
        self.next_due().map(|(deadline, _)| deadline)
    }

    fn next_due(&self) -> Option<(u64, Due)> {
        let timer =
            self.timers.first().map(|(deadline, conn, timer)| (*deadline, Due::Session(*conn, *timer)));
        let disk = &self.database.disk;
        let replay = if self.life == Life::Running { self.database.replay_due_ns() } else { None };
        let others = [
            self.recovered_ns.map(|due| (due, Due::Recovery)),
            disk.flush.map(|flush| (flush.due_ns, Due::Flush)),
            disk.wal_writer.map(|wakes| (wakes.due_ns, Due::WalWriter)),
            replay.map(|due| (due, Due::Replay)),
        ];
        others.into_iter().chain([timer]).flatten().min()
    }

    /// A hash over all committed rows: equal on primary and standby at rest.
    pub fn digest(&self) -> u128 {
        let mut hash = Xxh3::new();
        let mut encoded = Vec::new();
        for data in &self.database.tables {
            hash.update(data.table.name.as_bytes());
            for row in data.rows() {
                encoded.clear();
                encode(row.iter(), &mut encoded);
                hash.update(&encoded);
            }
        }
        hash.digest128()
    }

    /// The committed rows of a table in key order: for the simulator and its oracles, never for services.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = &StoredRow> {
        let found = self.database.tables.iter().filter(move |data| data.table.name == table);
        found.flat_map(|data| data.rows())
    }

    /// Nothing under way: no transaction open, no lock held, no commit waiting.
    pub fn is_quiet(&self) -> bool {
        self.sessions.values().all(Session::is_idle)
            && self.database.locks.is_empty()
            && self.database.durability.commits.is_empty()
    }
}
