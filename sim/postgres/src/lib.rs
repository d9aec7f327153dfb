//! A simulated PostgreSQL: one server as a plain state machine behind the Store port.
//!
//! Called by the simulator, which brings connections, time and the link between primary and standby.
//! Requests go in through [`Server`]'s methods, everything that the server does comes out as [`Output`]s.
//! Sans-IO: no clock, no randomness, no tasks, no sockets, no async.
//!
//! What it fakes: READ COMMITTED with row locks (manual 13.2.1, 13.3), unique keys and upserts, sequences
//! (9.17), LISTEN/NOTIFY, the lifetime of sessions (20.3), write-ahead log shipped to one synchronous standby
//! (27.2). What it omits: SQL text, planner, other isolation levels, fsync and disk faults, checkpoints,
//! failover. The `README.md` beside this crate says which behaviour is shown by which test, and which wait.

mod database;
mod disk;
mod durability;
mod error;
mod error_rule;
mod key;
mod locks;
mod log;
mod output;
mod overlay;
mod replay;
mod serializable;
mod server;
mod session;
mod settings;
mod snapshot;
mod statement;
mod table;
mod told;
mod transaction;
mod vacuum;

pub use error_rule::{ErrorRule, StatementKind};
pub use output::{Change, ChangeKind, CommitLost, CommittedTx, Lsn, Output, StoredRow, WalAck, WalRecord};
pub use server::{Server, ServerRole};
pub use settings::{Settings, SynchronousCommit};
pub use told::Told;
