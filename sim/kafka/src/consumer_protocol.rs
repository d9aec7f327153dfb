//! The bytes inside Join and Sync: a version number, then Kafka's consumer protocol message of that version.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Encodable};

/// Encodes with the version in front.
pub(crate) fn encode_versioned<M: Encodable>(message: &M, version: i16) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(version);
    message.encode(&mut bytes, version).expect("a consumer protocol message of a version that it has");
    bytes.freeze()
}

/// `None` where the bytes are not such a message. A newer version is read as the newest known, as Kafka does.
pub(crate) fn decode_versioned<M: Decodable + kafka_protocol::protocol::Message>(
    mut bytes: Bytes,
) -> Option<M> {
    if bytes.len() < 2 {
        return None;
    }
    let version = bytes.get_i16();
    if version < M::VERSIONS.min {
        return None;
    }
    M::decode(&mut bytes, version.min(M::VERSIONS.max)).ok()
}
