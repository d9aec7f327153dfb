//! The brokers on real sockets: a Kafka for development and tests, in memory or with a data directory.
//!
//! Called by `bellwether kafka` and by tests that bring real clients. The brokers are those of the simulator; here they get
//! the host's clock, one listener each, and connections as tasks of one thread. They live in one process: what
//! they have to say to each other is delivered in memory. Like Kafka, a connection's requests are answered one by one, in
//! their order, and the next one is read when the answer is written: so a client that does not read, or that sends
//! garbage, harms nobody but itself. Omits TLS, SASL, quotas, and more than one listener per broker.

mod clock;
mod cluster;
mod config;
mod connection;
mod data;
mod host;
mod listener;
mod server;
mod settings;

pub use config::{Limits, ServerConfig, SettingError};
pub use data::DataError;
pub use server::{Server, StartError, until_interrupted};
