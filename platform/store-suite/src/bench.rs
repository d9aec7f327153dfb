//! What a store must offer so that the suite can judge it: sessions on two servers, time, and ways to break it.

use std::time::Duration;

use futures::future::LocalBoxFuture;
use host::ports::store::{Session, StoreError};

/// A server of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// The primary at the beginning.
    First,
    /// Its standby at the beginning.
    Second,
}

/// Sessions by the order of opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionNumber(pub usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SynchronousCommit {
    Off,
    Local,
    RemoteWrite,
    On,
    RemoteApply,
}

/// Settings of the first node, by PostgreSQL's names. Timeouts of 0 are off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    pub deadlock_timeout_ms: u64,
    pub lock_timeout_ms: u64,
    pub statement_timeout_ms: u64,
    pub idle_in_transaction_session_timeout_ms: u64,
    pub synchronous_commit: SynchronousCommit,
    /// Besides those that administrators keep for themselves.
    pub max_connections: u64,
    pub wal_writer_delay_ms: u64,
    /// `CACHE` of the tables' sequences.
    pub sequence_cache: u32,
}

impl Setup {
    pub const DEFAULT: Self = Self {
        deadlock_timeout_ms: 300,
        lock_timeout_ms: 0,
        statement_timeout_ms: 0,
        idle_in_transaction_session_timeout_ms: 0,
        synchronous_commit: SynchronousCommit::On,
        max_connections: 50,
        wal_writer_delay_ms: 200,
        sequence_cache: 1,
    };
}

/// What a behaviour needs besides sessions at READ COMMITTED on the first node. Not every store can do all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Power {
    RepeatableRead,
    Serializable,
    StatementTimeout,
    SequenceCache,
    /// Sessions on the second node, or its end.
    Standby,
    HoldLog,
    HoldFlush,
    HoldReplay,
    /// Of single sessions.
    Terminate,
    Cancel,
    Mute,
    CrashBackend,
    /// Of a whole server, and starting it again.
    Crash,
    Stop,
    HoldRecovery,
    MaxConnections,
    Promote,
    Rewind,
    FullDisk,
    FailingFsync,
    Vacuum,
}

/// Something that is done to the store, not through the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// The log stays on its way from the first node to the second.
    HoldLog,
    ReleaseLog,
    /// The second node writes the log, and its disk does not make it safe.
    HoldFlush,
    /// Of what comes from now on.
    ReleaseFlush,
    /// The second node takes the log in, and does not show what it says.
    HoldReplay,
    ReleaseReplay,
    /// `pg_terminate_backend`
    Terminate(SessionNumber),
    /// `pg_cancel_backend`
    Cancel(SessionNumber),
    /// The server does not read what the client sends any more.
    Mute(SessionNumber),
    /// The server's process of this session dies of a segmentation fault.
    CrashBackend(SessionNumber),
    /// All processes die at once.
    Crash(Node),
    /// A fast shutdown.
    Stop(Node),
    /// Starts what is down, and does not wait for it.
    Start(Node),
    /// The first node, which is down, will start and not recover before [`Deed::ReleaseRecovery`].
    HoldRecovery,
    ReleaseRecovery,
    /// The second node becomes a primary.
    Promote,
    /// The first node, which is down, becomes a standby of the second one, and starts.
    Rewind,
    FillDisk,
    EmptyDisk,
    FailFsync,
    Vacuum,
}

/// A store with two servers, in the middle of one behaviour.
pub trait Bench {
    /// Connects. The number is the session's name in [`Deed`]s.
    fn open(
        &mut self,
        node: Node,
        number: SessionNumber,
    ) -> LocalBoxFuture<'static, Result<Box<dyn Session>, StoreError>>;

    /// Runs the task besides others, whenever one of the methods below is called.
    fn spawn(&mut self, task: LocalBoxFuture<'static, ()>);

    /// Lets time pass until `is_done`. Gives up, with false, after a time in which everything should be done.
    fn run_until(&mut self, is_done: &dyn Fn() -> bool) -> bool;

    /// Lets tasks run, but no more time pass than that takes, until each of the calls that are `under_way` waits
    /// inside the server, for a lock or for the standby.
    fn settle(&mut self, under_way: &dyn Fn() -> Vec<SessionNumber>);

    /// Lets time pass.
    fn pass(&mut self, time: Duration);

    fn act(&mut self, deed: Deed);

    /// The second node, if there is one, shows everything that is committed on the first.
    fn catch_up(&mut self);

    /// The SQLSTATE with which a server last closed a session of its own accord.
    fn last_closing(&self) -> Option<&'static str>;
}
