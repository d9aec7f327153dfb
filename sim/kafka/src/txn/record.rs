//! Records of `__transaction_state` in Kafka's binary format: `TransactionLogKey` 0, `TransactionLogValue` 0 and 1.
//!
//! Version 1 is the flexible one, written from transaction.version 1 on: its tagged fields keep the previous and the next
//! producer id and the client's transaction.version. The last producer epoch is in neither, so a retry of
//! `InitProducerId` with a given epoch is not recognised by the next coordinator, as in Kafka. Left out: the next
//! producer epoch of two-phase commit (KIP-939), which is skipped when read.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::metadata::{Metadata, NO_PRODUCER_EPOCH, NO_PRODUCER_ID};
use super::state::{TransactionState, TransactionVersion};
use crate::cluster::TopicPartition;
use crate::coordination::StateRecord;

const KEY_VERSION: i16 = 0;
const TAG_PREVIOUS_PRODUCER_ID: u32 = 0;
const TAG_NEXT_PRODUCER_ID: u32 = 1;
const TAG_CLIENT_TRANSACTION_VERSION: u32 = 2;

/// The record of an id's state.
pub(super) fn record(id: &StrBytes, metadata: &Metadata, version: TransactionVersion) -> StateRecord {
    StateRecord { key: key(id), value: Some(value(metadata, version)) }
}

/// The record that makes an id forgotten.
pub(super) fn tombstone(id: &StrBytes) -> StateRecord {
    StateRecord { key: key(id), value: None }
}

fn key(id: &StrBytes) -> Bytes {
    let mut bytes = BytesMut::with_capacity(4 + id.len());
    bytes.put_i16(KEY_VERSION);
    put_string(&mut bytes, id);
    bytes.freeze()
}

fn value(metadata: &Metadata, version: TransactionVersion) -> Bytes {
    let is_flexible = version >= TransactionVersion::V1;
    let mut bytes = BytesMut::with_capacity(64);
    bytes.put_i16(i16::from(is_flexible));
    bytes.put_i64(metadata.producer_id);
    bytes.put_i16(metadata.producer_epoch);
    bytes.put_i32(metadata.timeout_ms);
    bytes.put_i8(metadata.state.id());
    put_partitions(&mut bytes, metadata, is_flexible);
    bytes.put_i64(metadata.last_update_timestamp);
    bytes.put_i64(metadata.start_timestamp);
    if is_flexible {
        put_tagged(&mut bytes, metadata);
    }
    bytes.freeze()
}

/// `null` in the state Empty.
fn put_partitions(bytes: &mut BytesMut, metadata: &Metadata, is_flexible: bool) {
    if metadata.state == TransactionState::Empty {
        if is_flexible {
            bytes.put_u8(0)
        } else {
            bytes.put_i32(-1)
        }
        return;
    }
    let mut topics: BTreeMap<&TopicName, Vec<i32>> = BTreeMap::new();
    for at in &metadata.partitions {
        topics.entry(&at.topic).or_default().push(at.partition);
    }
    put_count(bytes, topics.len(), is_flexible);
    for (topic, partitions) in topics {
        if is_flexible {
            put_count(bytes, topic.len(), true);
            bytes.put_slice(topic.as_bytes());
        } else {
            put_string(bytes, topic);
        }
        put_count(bytes, partitions.len(), is_flexible);
        partitions.iter().for_each(|partition| bytes.put_i32(*partition));
        if is_flexible {
            bytes.put_u8(0); // no tagged fields
        }
    }
}

fn put_tagged(bytes: &mut BytesMut, metadata: &Metadata) {
    let previous = metadata.previous_producer_id.to_be_bytes();
    let next = metadata.next_producer_id.to_be_bytes();
    let client_version = metadata.client_version.level().to_be_bytes();
    let mut fields: Vec<(u32, &[u8])> = Vec::new();
    if metadata.previous_producer_id != NO_PRODUCER_ID {
        fields.push((TAG_PREVIOUS_PRODUCER_ID, &previous));
    }
    if metadata.next_producer_id != NO_PRODUCER_ID {
        fields.push((TAG_NEXT_PRODUCER_ID, &next));
    }
    if metadata.client_version != TransactionVersion::V0 {
        fields.push((TAG_CLIENT_TRANSACTION_VERSION, &client_version));
    }
    put_unsigned(bytes, small(fields.len()));
    for (tag, field) in fields {
        put_unsigned(bytes, tag);
        put_unsigned(bytes, small(field.len()));
        bytes.put_slice(field);
    }
}

fn small(count: usize) -> u32 {
    u32::try_from(count).expect("a record stays far below 4 GiB")
}

fn put_string(bytes: &mut BytesMut, text: &StrBytes) {
    bytes.put_i16(i16::try_from(text.len()).expect("ids and topics come from requests that count so"));
    bytes.put_slice(text.as_bytes());
}

/// The length of an array or string, in the compact format one larger.
fn put_count(bytes: &mut BytesMut, count: usize, is_flexible: bool) {
    if is_flexible {
        put_unsigned(bytes, small(count + 1));
    } else {
        bytes.put_i32(i32::try_from(count).expect("a record stays far below 2 GiB"));
    }
}

fn put_unsigned(bytes: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        bytes.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.put_u8(value as u8);
}

/// The transactional id of a key; `None` where the key is of an unknown version.
pub(super) fn read_key(key: &Bytes) -> Option<StrBytes> {
    let mut cursor = Cursor(key.clone());
    if cursor.short()? != KEY_VERSION {
        return None;
    }
    let length = usize::try_from(cursor.short()?).ok()?;
    cursor.text(length)
}

/// The metadata of a value; `None` where the value is of an unknown version or damaged.
pub(super) fn read_value(value: &Bytes) -> Option<Metadata> {
    let mut cursor = Cursor(value.clone());
    let is_flexible = match cursor.short()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let mut metadata = Metadata {
        producer_id: cursor.long()?,
        previous_producer_id: NO_PRODUCER_ID,
        next_producer_id: NO_PRODUCER_ID,
        producer_epoch: cursor.short()?,
        last_producer_epoch: NO_PRODUCER_EPOCH,
        timeout_ms: cursor.int()?,
        state: TransactionState::of_id(cursor.byte()?)?,
        partitions: cursor.partitions(is_flexible)?,
        last_update_timestamp: cursor.long()?,
        start_timestamp: cursor.long()?,
        client_version: TransactionVersion::V0,
    };
    if is_flexible {
        for _ in 0..cursor.unsigned()? {
            let tag = cursor.unsigned()?;
            let length = usize::try_from(cursor.unsigned()?).ok()?;
            let mut field = Cursor(cursor.take(length)?);
            match tag {
                TAG_PREVIOUS_PRODUCER_ID => metadata.previous_producer_id = field.long()?,
                TAG_NEXT_PRODUCER_ID => metadata.next_producer_id = field.long()?,
                TAG_CLIENT_TRANSACTION_VERSION => {
                    metadata.client_version = TransactionVersion::of_level(field.short()?);
                }
                _ => {}
            }
        }
    }
    Some(metadata)
}

struct Cursor(Bytes);

impl Cursor {
    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    fn byte(&mut self) -> Option<i8> {
        self.take(1).map(|mut bytes| bytes.get_i8())
    }

    fn short(&mut self) -> Option<i16> {
        self.take(2).map(|mut bytes| bytes.get_i16())
    }

    fn int(&mut self) -> Option<i32> {
        self.take(4).map(|mut bytes| bytes.get_i32())
    }

    fn long(&mut self) -> Option<i64> {
        self.take(8).map(|mut bytes| bytes.get_i64())
    }

    fn text(&mut self, length: usize) -> Option<StrBytes> {
        StrBytes::from_utf8(self.take(length)?).ok()
    }

    fn unsigned(&mut self) -> Option<u32> {
        let mut value = 0;
        for shift in (0..32).step_by(7) {
            let byte = self.byte()? as u8;
            value |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// The length of an array; `None` within for `null`.
    fn count(&mut self, is_flexible: bool) -> Option<Option<usize>> {
        if is_flexible {
            return Some(usize::try_from(self.unsigned()?).ok()?.checked_sub(1));
        }
        match self.int()? {
            -1 => Some(None),
            count => usize::try_from(count).ok().map(Some),
        }
    }

    fn partitions(&mut self, is_flexible: bool) -> Option<BTreeSet<TopicPartition>> {
        let mut partitions = BTreeSet::new();
        for _ in 0..self.count(is_flexible)?.unwrap_or(0) {
            let length =
                if is_flexible { self.count(true)?? } else { usize::try_from(self.short()?).ok()? };
            let topic = TopicName(self.text(length)?);
            for _ in 0..self.count(is_flexible)?? {
                partitions.insert(TopicPartition { topic: topic.clone(), partition: self.int()? });
            }
            if is_flexible {
                self.skip_tagged()?;
            }
        }
        Some(partitions)
    }

    fn skip_tagged(&mut self) -> Option<()> {
        for _ in 0..self.unsigned()? {
            self.unsigned()?;
            let length = usize::try_from(self.unsigned()?).ok()?;
            self.take(length)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Metadata {
        let partitions =
            [("b", 1), ("a", 7), ("b", 0)].map(|(topic, index)| TopicPartition::new(topic, index));
        Metadata {
            previous_producer_id: 5,
            next_producer_id: 9,
            producer_epoch: 3,
            state: TransactionState::PrepareCommit,
            partitions: partitions.into(),
            start_timestamp: 40,
            last_update_timestamp: 50,
            client_version: TransactionVersion::V2,
            ..Metadata::new(8, 60_000, 0)
        }
    }

    #[test]
    fn the_flexible_value_keeps_everything_but_the_last_epoch() {
        let metadata = sample();
        for version in [TransactionVersion::V1, TransactionVersion::V2] {
            assert_eq!(read_value(&value(&metadata, version)), Some(metadata.clone()));
        }
        let empty = Metadata { producer_epoch: 0, ..Metadata::new(8, 60_000, 7) };
        assert_eq!(read_value(&value(&empty, TransactionVersion::V2)), Some(empty));
    }

    #[test]
    fn the_old_value_loses_what_came_later() {
        let metadata = sample();
        let lost = Metadata {
            previous_producer_id: NO_PRODUCER_ID,
            next_producer_id: NO_PRODUCER_ID,
            client_version: TransactionVersion::V0,
            ..metadata.clone()
        };
        assert_eq!(read_value(&value(&metadata, TransactionVersion::V0)), Some(lost));
    }

    #[test]
    fn the_bytes_are_those_of_the_schema() {
        let id = StrBytes::from_static_str("t1");
        assert_eq!(&key(&id)[..], b"\0\0\0\x02t1");
        assert_eq!(read_key(&key(&id)), Some(id));
        let partitions = [TopicPartition::new("a", 7)];
        let metadata =
            Metadata { client_version: TransactionVersion::V0, partitions: partitions.into(), ..sample() };
        let head = b"\0\0\0\0\0\0\0\x08\0\x03\0\0\xea\x60\x02";
        let times = b"\0\0\0\0\0\0\0\x32\0\0\0\0\0\0\0\x28";
        let old = [&b"\0\0"[..], head, b"\0\0\0\x01\0\x01a\0\0\0\x01\0\0\0\x07", times].concat();
        assert_eq!(&value(&metadata, TransactionVersion::V0)[..], &old[..]);
        let tagged = b"\x02\x00\x08\0\0\0\0\0\0\0\x05\x01\x08\0\0\0\0\0\0\0\x09";
        let flexible = [&b"\0\x01"[..], head, b"\x02\x02a\x02\0\0\0\x07\x00", times, tagged].concat();
        assert_eq!(&value(&metadata, TransactionVersion::V1)[..], &flexible[..]);
    }

    #[test]
    fn damaged_bytes_are_nothing() {
        for version in [TransactionVersion::V0, TransactionVersion::V2] {
            let whole = value(&sample(), version);
            for length in 0..whole.len() {
                assert_eq!(read_value(&whole.slice(..length)), None, "cut at {length}");
            }
        }
        assert_eq!(read_value(&Bytes::from_static(b"\0\x07")), None);
    }
}
