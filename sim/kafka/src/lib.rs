//! A simulated Kafka: brokers and clients as plain state machines, in Kafka's own protocol types.
//!
//! Called by the simulator: its broker nodes drive [`Broker`], its Kafka adapters implement [`client::Link`] and hold
//! [`client::Producer`] and [`client::Consumer`]. `README.md` says what is faked, what is left out, and which test
//! shows which behaviour.
//!
//! Sans-IO: no clock, no randomness, no tasks, no sockets. The host brings time, connections and a [`client::Link`].

pub mod broker;
pub mod client;
pub mod cluster;
mod consumer_protocol;
mod controller;
mod coordination;
mod epochs;
mod group;
pub mod image;
mod log;
pub mod partitioner;
mod peer;
mod producer_state;
pub mod protocol;
pub mod records;
mod replica;
mod settings;
#[cfg(feature = "tcp")]
pub mod tcp;
pub mod trouble;
mod txn;
#[cfg(feature = "tcp")]
pub mod wire;

pub use broker::{Broker, ConnectionId, MemberAssignment, Output};
pub use cluster::{
    BrokerConfig, CleanupPolicy, ClusterSettings, ClusterSpec, Listener, MessageTimestampType, TimestampMs,
    TopicPartition, TopicSpec, topic_name,
};
pub use controller::{Controller, ControllerOutput, Elected};
pub use kafka_protocol::ResponseError;
pub use kafka_protocol::messages::{ApiKey, GroupId, TopicName};
pub use kafka_protocol::protocol::StrBytes;
pub use peer::{Peer, PeerAnswer};
pub use protocol::{Request, RequestKind, Response, api_named};
pub use trouble::{Moment, Trouble};
pub use txn::TransactionConfig;
