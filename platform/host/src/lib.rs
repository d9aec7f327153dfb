//! Hosts run services. All waiting, retrying and remembering is here, written once; a service only decides.
//!
//! The hosts speak to the world through [`ports`]: the simulator implements them on its fakes, `live` on
//! Kafka, PostgreSQL and HTTP. Nothing here names an executor, a broker's client or a SQL driver.

pub mod decision;
pub mod edge;
pub mod edge_host;
pub mod http_api;
pub mod log_host;
pub mod ports;
pub mod service;
pub mod signal;
pub mod store_host;

pub use decision::{Answer, Decision, NewEffect, Outgoing, Reject, RowChange, TimerChange};
pub use edge::{Arrived, Edge, Next, RequestNumber, Upstream};
pub use edge_host::EdgeHost;
pub use http_api::{HttpAction, HttpCommand, Problem};
pub use log_host::{LogDecision, LogHost, LogHostCounters, LogHostSettings, LogPorts, LogService, LogTopics};
pub use ports::Ports;
pub use service::{
    Access, Effect, EffectAnswer, EffectCall, EffectStep, Lookup, LookupKind, LookupResult, Service,
    StreamId, StreamRef, View,
};
pub use store_host::{HostCounters, HostSettings, StoreHost};
