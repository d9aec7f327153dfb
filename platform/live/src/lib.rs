//! Live adapters of the ports of `host`: the Store port on PostgreSQL 15 or later, and the Log port on Kafka by librdkafka
//! ([`KafkaLog`]). The rest of this page is about the Store port.
//!
//! Called by whoever runs services outside the simulator, and by `tests/suite/main.rs`, which judges it. It needs
//! tokio with a current-thread runtime (sessions are not `Send`), and reads the host's clock for its timeouts.
//! What it leaves out: TLS, a connection pool, looking for the primary among several servers, HTTP.
//!
//! # One statement, one SQL text
//!
//! Every [`Statement`](host::ports::store::Statement) is one fixed SQL statement, made once per table and shape
//! from the declaration (`catalogue`), prepared once per session, its values always bound. A shape is what the
//! text depends on besides the table: which index, how many columns are compared, which of these compare with
//! NULL (`IS NULL` can use an index, `IS NOT DISTINCT FROM` cannot), which columns are set. Keys travel as
//! arrays, one per key column.
//!
//! The types of columns are part of their declaration: `Kind::Int` is bigint, `Kind::Text` is text in the "C"
//! collation (so that the order of scans is that of bytes, on every server), `Kind::Bytes` is bytea. Key columns
//! are NOT NULL, all others may be NULL. A serial column is an identity, by default. A declared index gets the
//! primary key appended, unless it is unique; a declared order is ascending, NULLS LAST.
//!
//! # One call, one pipeline
//!
//! A call's statements are sent at once behind one Sync, so an error ends the pipeline at the server: nothing
//! behind it is executed (manual 55.2.4). Clients that send a Sync per statement cannot promise this: there a
//! COMMIT after an error ends the transaction, and a second transaction of the pipeline would run. Hence this
//! crate speaks the protocol itself, with `postgres-protocol` for the messages. Two statements end a round trip
//! of their own: LISTEN outside a transaction, and BEGIN above READ COMMITTED, where asking for the
//! transaction's id would already take its snapshot. The id told there is therefore that of a transaction just
//! before, and the time is that just before BEGIN.
//!
//! # What the port refuses before the server is asked
//!
//! Values of another type (42804), other numbers of values (42601), columns and indexes that are not declared
//! (42703, 42704), changes of a primary key (0A000), a second BEGIN (25001), anything but ROLLBACK and LISTEN
//! outside a transaction (25P01). As with an error of the server the transaction is then aborted.
//!
//! # Broken connections
//!
//! [`StoreError::UnknownCommit`](host::ports::store::StoreError) if a COMMIT was sent, nothing told that it was not
//! executed, and its answer did not come; `Lost` otherwise. A statement that the server ends together with the
//! session fails with the server's SQLSTATE (57P01), and the session is lost from then on; with which SQLSTATE a
//! server has closed sessions, [`Postgres::last_closing`] remembers. A connection that died while it was idle is
//! noticed before anything is sent, and is `Lost`. Silence for longer than a setting counts as lost too.

mod bind;
mod catalogue;
mod connection;
mod ddl;
mod error;
mod log;
mod pipeline;
mod session;
mod settings;
mod shape;
mod store;

pub use ddl::create_table;
pub use log::KafkaLog;
pub use settings::{Address, Settings};
pub use store::Postgres;
