//! What the services say to each other: protobuf messages, the topics that carry them, and the headers.
//!
//! Used by services (to speak), by the simulator (to fill facts) and by invariants (to judge). Holds no
//! behaviour: only shapes. Decimals and dates stay text here; a service reads them into `model`'s value types.

pub mod headers;
pub mod message;
pub mod stored;
pub mod topics;

/// Messages of the topics and stored events, as generated from `proto/`.
pub mod events {
    #![allow(missing_docs)]
    include!(concat!(env!("OUT_DIR"), "/bellwether.v1.rs"));
}

pub use headers::Headers;
pub use message::Message;
pub use stored::StoredEvent;
pub use topics::{TOPICS, Topic};

/// Version of the shapes in this crate; carried by every message.
pub const SCHEMA_VERSION: u32 = 1;
