//! A simulated PostgreSQL: one server as a plain state machine behind the Store port.
//!
//! Called by the simulator, which brings connections, time and the link between primary and standby.
//! Requests go in through [`Server`]'s methods, everything that the server does comes out as [`Output`]s.
//! Sans-IO: no clock, no randomness, no tasks, no sockets, no async.
//!
//! What it fakes: the three isolation levels with row locks (manual 13.2, 13.3), unique keys and upserts, sequences
//! (9.17), LISTEN/NOTIFY, the lifetime of sessions (20.3), every `synchronous_commit` (20.5.1), crashes and recovery
//! (28), write-ahead log shipped to one standby (27.2), promotion and rewind (26.3), disks that are slow, full or
//! broken. What it omits: SQL text and planner, the time that statements take, fencing. The `README.md` beside this
//! crate says which behaviour is shown by which test.

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
