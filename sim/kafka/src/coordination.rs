//! What a coordinator asks of the broker it lives in.
//!
//! Coordinators (of groups, of transactions) never touch logs or the network: they push what is to be done into a
//! [`Todo`], and the broker calls back with what came of it.

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;

use crate::broker::Output;
use crate::protocol::RequestKind;

/// What came of a call to a coordinator.
#[derive(Default)]
pub(crate) struct Todo {
    /// Answers and facts that can go out at once.
    pub outputs: Vec<Output>,
    /// Records for the coordinator's own topic.
    pub writes: Vec<StateWrite>,
    /// Requests to other brokers, or to this one.
    pub sends: Vec<PeerSend>,
}

/// One batch for a partition of the coordinator's own topic, with `acks=all`.
pub(crate) struct StateWrite {
    pub partition: i32,
    /// Names the write when its outcome is told.
    pub ticket: u64,
    /// The transaction that the records belong to, with `TxnOffsetCommit`.
    pub transaction: Option<StateTransaction>,
    pub records: Vec<StateRecord>,
}

/// The transaction of a batch of offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateTransaction {
    pub transactional_id: StrBytes,
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// The partition becomes part of the transaction by this batch, instead of having to be already (KIP-890).
    pub is_added: bool,
}

/// A record of a coordinator's topic. Without a value it is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StateRecord {
    pub key: Bytes,
    pub value: Option<Bytes>,
}

/// A request to a broker.
pub(crate) struct PeerSend {
    pub to: i32,
    /// Names the request when its outcome is told.
    pub ticket: u64,
    pub request: RequestKind,
    pub timeout_ms: i64,
}
