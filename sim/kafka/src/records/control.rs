//! Control batches: the markers that end a transaction in a partition (`EndTransactionMarker`, `ControlRecordType`).
//!
//! One record each, by the transaction's producer, without a sequence. Key: version and type (0 abort, 1 commit); value:
//! version and the epoch of the coordinator that decided. Leaves out the control records of KRaft's own log.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{BatchProducer, CONTROL, Record, RecordView, TRANSACTIONAL, encode};
use crate::cluster::TimestampMs;

const ABORT: i16 = 0;
const COMMIT: i16 = 1;
const VERSION: i16 = 0;
const KEY_SIZE: usize = 4;
const VALUE_SIZE: usize = 6;

/// What a control record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTxnMarker {
    pub commit: bool,
    /// The leader epoch of the coordinator's partition of `__transaction_state`.
    pub coordinator_epoch: i32,
}

impl EndTxnMarker {
    /// The batch that ends a transaction of this producer, at offset 0, to be stamped by the leader.
    pub fn encode(self, timestamp: TimestampMs, producer_id: i64, producer_epoch: i16) -> Bytes {
        let mut key = BytesMut::with_capacity(KEY_SIZE);
        key.put_i16(VERSION);
        key.put_i16(if self.commit { COMMIT } else { ABORT });
        let mut value = BytesMut::with_capacity(VALUE_SIZE);
        value.put_i16(VERSION);
        value.put_i32(self.coordinator_epoch);
        let record = RecordView { timestamp, key: Some(&key), value: Some(&value), headers: &[] };
        let producer = BatchProducer { producer_id, producer_epoch, base_sequence: -1 };
        encode(&[record], Some(producer), TRANSACTIONAL | CONTROL)
    }

    /// Reads a record of a control batch. `None`: it is of another type, or damaged.
    pub fn of(record: &Record) -> Option<EndTxnMarker> {
        let mut key = record.key.as_deref().filter(|key| key.len() >= KEY_SIZE)?;
        let mut value = record.value.as_deref().filter(|value| value.len() >= VALUE_SIZE)?;
        key.advance(2); // newer versions only add fields
        let commit = match key.get_i16() {
            ABORT => false,
            COMMIT => true,
            _ => return None,
        };
        value.advance(2);
        Some(EndTxnMarker { commit, coordinator_epoch: value.get_i32() })
    }
}
