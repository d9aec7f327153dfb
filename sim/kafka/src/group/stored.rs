//! What stands in `__consumer_offsets`: the binary formats of its keys and values.
//!
//! Real: `OffsetCommitKey` v1, `OffsetCommitValue` v3 (v1 where the client named a retention time), `GroupMetadataKey` v2,
//! `GroupMetadataValue` v3, in `group-coordinator/src/main/resources/common/message`. Reads what it writes and the
//! values between; records of other kinds (KIP-848's) are left out when a partition is loaded.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{GroupId, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::cluster::{TimestampMs, TopicPartition};
use crate::coordination::StateRecord;

/// Longest text that a record takes, less what a member id adds to its client's id.
pub(super) const TEXT_MAX: usize = 32_000;

const OFFSET_COMMIT_KEY: i16 = 1;
const GROUP_METADATA_KEY: i16 = 2;
const VALUE_VERSION: i16 = 3;
/// The only version that knows an expiry.
const EXPIRING_VALUE_VERSION: i16 = 1;

/// What a record is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Offset { group: GroupId, at: TopicPartition },
    Group(GroupId),
}

/// `OffsetAndMetadata`: a position that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommittedOffset {
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: StrBytes,
    pub committed_at: TimestampMs,
    /// Where the client asked for a retention time of its own, as versions 2 to 4 of `OffsetCommit` could.
    pub expires_at: Option<TimestampMs>,
    /// Of the record in `__consumer_offsets`.
    pub record_offset: i64,
}

/// A group as it is written when a generation is finished.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct StoredGroup {
    pub protocol_type: Option<StrBytes>,
    pub generation: i32,
    pub protocol: Option<StrBytes>,
    pub leader: Option<StrBytes>,
    pub state_since: Option<TimestampMs>,
    pub members: Vec<StoredMember>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredMember {
    pub member_id: StrBytes,
    pub group_instance_id: Option<StrBytes>,
    pub client_id: StrBytes,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub subscription: Bytes,
    pub assignment: Bytes,
}

pub(super) fn offset_record(
    group: &GroupId,
    at: &TopicPartition,
    committed: &CommittedOffset,
) -> StateRecord {
    StateRecord { key: offset_key(group, at), value: Some(committed.to_value()) }
}

pub(super) fn offset_tombstone(group: &GroupId, at: &TopicPartition) -> StateRecord {
    StateRecord { key: offset_key(group, at), value: None }
}

pub(super) fn group_record(group: &GroupId, stored: &StoredGroup) -> StateRecord {
    StateRecord { key: group_key(group), value: Some(stored.to_value()) }
}

pub(super) fn group_tombstone(group: &GroupId) -> StateRecord {
    StateRecord { key: group_key(group), value: None }
}

fn offset_key(group: &GroupId, at: &TopicPartition) -> Bytes {
    let mut bytes = BytesMut::with_capacity(10 + group.len() + at.topic.len());
    bytes.put_i16(OFFSET_COMMIT_KEY);
    put_text(&mut bytes, group);
    put_text(&mut bytes, &at.topic);
    bytes.put_i32(at.partition);
    bytes.freeze()
}

fn group_key(group: &GroupId) -> Bytes {
    let mut bytes = BytesMut::with_capacity(4 + group.len());
    bytes.put_i16(GROUP_METADATA_KEY);
    put_text(&mut bytes, group);
    bytes.freeze()
}

/// `None` where the record is of a kind that is not known here.
pub(super) fn read_key(mut bytes: Bytes) -> Option<Key> {
    match bytes.try_get_i16().ok()? {
        0 | OFFSET_COMMIT_KEY => {
            let group = GroupId(text(&mut bytes)?);
            let topic = TopicName(text(&mut bytes)?);
            let partition = bytes.try_get_i32().ok()?;
            Some(Key::Offset { group, at: TopicPartition { topic, partition } })
        }
        GROUP_METADATA_KEY => Some(Key::Group(GroupId(text(&mut bytes)?))),
        _ => None,
    }
}

impl CommittedOffset {
    fn to_value(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(32 + self.metadata.len());
        let version = if self.expires_at.is_some() { EXPIRING_VALUE_VERSION } else { VALUE_VERSION };
        bytes.put_i16(version);
        bytes.put_i64(self.offset);
        if version == VALUE_VERSION {
            bytes.put_i32(self.leader_epoch);
        }
        put_text(&mut bytes, &self.metadata);
        bytes.put_i64(self.committed_at);
        if let Some(expires_at) = self.expires_at {
            bytes.put_i64(expires_at);
        }
        bytes.freeze()
    }

    pub fn read(mut bytes: Bytes, record_offset: i64) -> Option<CommittedOffset> {
        let version = bytes.try_get_i16().ok()?;
        if !(0..=VALUE_VERSION).contains(&version) {
            return None;
        }
        let offset = bytes.try_get_i64().ok()?;
        let leader_epoch = if version >= 3 { bytes.try_get_i32().ok()? } else { -1 };
        let metadata = text(&mut bytes)?;
        let committed_at = bytes.try_get_i64().ok()?;
        let expires_at = if version == EXPIRING_VALUE_VERSION { bytes.try_get_i64().ok() } else { None };
        let expires_at = expires_at.filter(|at| *at >= 0);
        Some(CommittedOffset { offset, leader_epoch, metadata, committed_at, expires_at, record_offset })
    }
}

impl StoredGroup {
    fn to_value(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_i16(VALUE_VERSION);
        put_text(&mut bytes, self.protocol_type.as_deref().unwrap_or_default());
        bytes.put_i32(self.generation);
        put_optional_text(&mut bytes, self.protocol.as_deref());
        put_optional_text(&mut bytes, self.leader.as_deref());
        bytes.put_i64(self.state_since.unwrap_or(-1));
        put_length(&mut bytes, self.members.len());
        for member in &self.members {
            put_text(&mut bytes, &member.member_id);
            put_optional_text(&mut bytes, member.group_instance_id.as_deref());
            put_text(&mut bytes, &member.client_id);
            put_text(&mut bytes, ""); // the client's host: no broker here knows it
            bytes.put_i32(member.rebalance_timeout_ms);
            bytes.put_i32(member.session_timeout_ms);
            put_block(&mut bytes, &member.subscription);
            put_block(&mut bytes, &member.assignment);
        }
        bytes.freeze()
    }

    pub fn read(mut bytes: Bytes) -> Option<StoredGroup> {
        let version = bytes.try_get_i16().ok()?;
        if !(2..=VALUE_VERSION).contains(&version) {
            return None;
        }
        let protocol_type = Some(text(&mut bytes)?).filter(|text| !text.is_empty());
        let generation = bytes.try_get_i32().ok()?;
        let protocol = optional_text(&mut bytes)?;
        let leader = optional_text(&mut bytes)?;
        let state_since = Some(bytes.try_get_i64().ok()?).filter(|since| *since >= 0);
        let mut members = Vec::new();
        for _ in 0..bytes.try_get_i32().ok()? {
            members.push(StoredMember::read(&mut bytes, version)?);
        }
        Some(StoredGroup { protocol_type, generation, protocol, leader, state_since, members })
    }
}

impl StoredMember {
    fn read(bytes: &mut Bytes, version: i16) -> Option<StoredMember> {
        let member_id = text(bytes)?;
        let group_instance_id = if version >= 3 { optional_text(bytes)? } else { None };
        let client_id = text(bytes)?;
        let _client_host = text(bytes)?;
        let rebalance_timeout_ms = bytes.try_get_i32().ok()?;
        let session_timeout_ms = bytes.try_get_i32().ok()?;
        Some(StoredMember {
            member_id,
            group_instance_id,
            client_id,
            rebalance_timeout_ms: if rebalance_timeout_ms < 0 {
                session_timeout_ms
            } else {
                rebalance_timeout_ms
            },
            session_timeout_ms,
            subscription: block(bytes)?,
            assignment: block(bytes)?,
        })
    }
}

fn put_text(bytes: &mut BytesMut, text: &str) {
    bytes.put_i16(i16::try_from(text.len()).expect("requests with longer texts are refused"));
    bytes.put_slice(text.as_bytes());
}

fn put_optional_text(bytes: &mut BytesMut, text: Option<&str>) {
    match text {
        None => bytes.put_i16(-1),
        Some(text) => put_text(bytes, text),
    }
}

fn put_length(bytes: &mut BytesMut, length: usize) {
    bytes.put_i32(i32::try_from(length).expect("lengths in a request fit an i32"));
}

fn put_block(bytes: &mut BytesMut, block: &Bytes) {
    put_length(bytes, block.len());
    bytes.put_slice(block);
}

fn take(bytes: &mut Bytes, length: usize) -> Option<Bytes> {
    (length <= bytes.len()).then(|| bytes.split_to(length))
}

fn optional_text(bytes: &mut Bytes) -> Option<Option<StrBytes>> {
    let length = bytes.try_get_i16().ok()?;
    let Ok(length) = usize::try_from(length) else { return Some(None) };
    Some(Some(StrBytes::from_utf8(take(bytes, length)?).ok()?))
}

fn text(bytes: &mut Bytes) -> Option<StrBytes> {
    optional_text(bytes)?
}

fn block(bytes: &mut Bytes) -> Option<Bytes> {
    let length = usize::try_from(bytes.try_get_i32().ok()?).ok()?;
    take(bytes, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &'static str) -> StrBytes {
        StrBytes::from_static_str(text)
    }

    #[test]
    fn an_offset_is_written_as_kafka_writes_it() {
        let group = GroupId(words("g"));
        let at = TopicPartition::new("t", 7);
        let committed = CommittedOffset {
            offset: 5,
            leader_epoch: 2,
            metadata: words("m"),
            committed_at: 1_000,
            expires_at: None,
            record_offset: 9,
        };
        let record = offset_record(&group, &at, &committed);
        // version, group, topic, partition
        assert_eq!(record.key, &b"\0\x01\0\x01g\0\x01t\0\0\0\x07"[..]);
        // version, offset, leader epoch, metadata, commit time
        let value = record.value.expect("not a tombstone");
        assert_eq!(value, &b"\0\x03\0\0\0\0\0\0\0\x05\0\0\0\x02\0\x01m\0\0\0\0\0\0\x03\xe8"[..]);
        assert_eq!(read_key(record.key), Some(Key::Offset { group, at }));
        assert_eq!(CommittedOffset::read(value, 9), Some(committed.clone()));
        let expiring = CommittedOffset { expires_at: Some(2_000), leader_epoch: -1, ..committed };
        assert_eq!(CommittedOffset::read(expiring.to_value(), 9), Some(expiring));
    }

    #[test]
    fn a_group_is_written_as_kafka_writes_it() {
        let member = StoredMember {
            member_id: words("a-1"),
            group_instance_id: Some(words("i")),
            client_id: words("a"),
            rebalance_timeout_ms: 60_000,
            session_timeout_ms: 10_000,
            subscription: Bytes::from_static(b"s"),
            assignment: Bytes::new(),
        };
        let stored = StoredGroup {
            protocol_type: Some(words("consumer")),
            generation: 3,
            protocol: Some(words("range")),
            leader: Some(words("a-1")),
            state_since: Some(1_000),
            members: vec![member],
        };
        let record = group_record(&GroupId(words("g")), &stored);
        assert_eq!(record.key, &b"\0\x02\0\x01g"[..]);
        let expected = b"\0\x03\0\x08consumer\0\0\0\x03\0\x05range\0\x03a-1\0\0\0\0\0\0\x03\xe8\0\0\0\x01\
            \0\x03a-1\0\x01i\0\x01a\0\0\0\0\xea\x60\0\0\x27\x10\0\0\0\x01s\0\0\0\0";
        let value = record.value.expect("not a tombstone");
        assert_eq!(value, &expected[..]);
        assert_eq!(StoredGroup::read(value), Some(stored));
        let empty = StoredGroup { generation: 4, ..StoredGroup::default() };
        assert_eq!(StoredGroup::read(empty.to_value()), Some(empty));
    }

    #[test]
    fn what_is_not_known_or_cut_off_is_not_read() {
        assert_eq!(read_key(Bytes::from_static(b"\0\x03\0\x01g")), None, "a consumer group's (KIP-848)");
        assert_eq!(read_key(Bytes::from_static(b"\0\x02\0\x09g")), None);
        let many = b"\0\x03\0\0\0\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0\x7f\xff\xff\xff";
        assert_eq!(StoredGroup::read(Bytes::from_static(many)), None);
        assert_eq!(CommittedOffset::read(Bytes::from_static(b"\0\x04"), 0), None);
    }
}
