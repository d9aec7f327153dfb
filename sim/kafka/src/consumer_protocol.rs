//! The bytes inside Join and Sync: a version number, then Kafka's consumer protocol message of that version.

use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::{Decodable, Encodable, Message, StrBytes};

use crate::cluster::TopicPartition;

/// Encodes with the version in front.
pub(crate) fn encode_versioned<M: Encodable>(message: &M, version: i16) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(version);
    message.encode(&mut bytes, version).expect("a consumer protocol message of a version that it has");
    bytes.freeze()
}

/// `None` where the bytes are not such a message. A newer version is read as the newest known, as Kafka does.
pub(crate) fn decode_versioned<M: Decodable + Message>(mut bytes: Bytes) -> Option<M> {
    if bytes.len() < 2 {
        return None;
    }
    let version = bytes.get_i16();
    if version < M::VERSIONS.min {
        return None;
    }
    M::decode(&mut bytes, version.min(M::VERSIONS.max)).ok()
}

/// The partitions of a `ConsumerProtocolAssignment` of any version; `None` where the bytes are not one.
///
/// Read by hand: a broker is handed these bytes by clients and must not trust the counts in them, for which
/// `kafka-protocol` would reserve memory.
pub(crate) fn assigned_partitions(mut bytes: Bytes) -> Option<Vec<TopicPartition>> {
    let mut partitions = Vec::new();
    if bytes.is_empty() {
        return Some(partitions);
    }
    let version = bytes.try_get_i16().ok()?;
    let topics = bytes.try_get_i32().ok()?;
    if version < 0 || topics < 0 {
        return None;
    }
    for _ in 0..topics {
        let topic = read_topic(&mut bytes)?;
        read_partitions(&mut bytes, &topic, &mut partitions).ok()?;
    }
    Some(partitions)
}

/// The topics of a `ConsumerProtocolSubscription` of any version; `None` where the bytes are not one.
pub(crate) fn subscribed_topics(mut bytes: Bytes) -> Option<Vec<TopicName>> {
    let version = bytes.try_get_i16().ok()?;
    let count = bytes.try_get_i32().ok()?;
    if version < 0 || count < 0 {
        return None;
    }
    let mut topics = Vec::new();
    for _ in 0..count {
        topics.push(read_topic(&mut bytes)?);
    }
    Some(topics)
}

fn read_topic(bytes: &mut Bytes) -> Option<TopicName> {
    let name = usize::from(bytes.try_get_u16().ok()?);
    let name = (name <= bytes.len()).then(|| bytes.split_to(name))?;
    Some(TopicName(StrBytes::from_utf8(name).ok()?))
}

fn read_partitions(
    bytes: &mut Bytes,
    topic: &TopicName,
    partitions: &mut Vec<TopicPartition>,
) -> Result<(), TryGetError> {
    for _ in 0..bytes.try_get_i32()? {
        partitions.push(TopicPartition { topic: topic.clone(), partition: bytes.try_get_i32()? });
    }
    Ok(())
}
