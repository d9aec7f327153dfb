//! What a Kafka must and must not promise, as behaviours that judge a simulated one and a real one alike.
//!
//! Each behaviour is a function over a [`Stage`]: raw requests to brokers, clients, and hands that stop brokers; its
//! number is that of the table in `sim/kafka/README.md`. Who can offer a [`Cluster`] runs [`all`] of them: this
//! crate's own tests on simulated brokers and clients under virtual time, `platform/live/tests/kafka` with librdkafka
//! on our brokers over TCP and on Apache Kafka. `sim/kafka/README.md` has the table of who shows what.

mod batch;
mod behaviours;
mod clients;
mod cluster;
mod group;
pub mod history;
mod kind;
mod list;
mod stage;
mod table;
mod topic;
mod transaction;

pub use clients::{ClientError, Code, Consumer, GroupMetadata, Polled, Producer, Read, Report, ToSend};
pub use cluster::{BROKERS, Cluster, Power, SETTINGS, Settings};
pub use kind::Kind;
pub use list::{Behaviour, all};
pub use stage::Stage;
pub use table::{readme_has, table};

/// Raw requests in short words, for tests that are more than a behaviour.
pub mod raw {
    pub use crate::batch::{Batch, applications, batch, value};
    pub use crate::topic::{EARLIEST, Fetched, Isolation, LATEST, Produced, Topic};
    pub use crate::transaction::{Member, Transactional};
}
