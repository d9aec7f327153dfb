//! Kafka's wire: frames, headers, requests and responses as bytes, in every version that is offered.
//!
//! Called by [`crate::tcp`] for brokers, and through [`client`] by tests that send raw requests. A request's bytes are
//! walked over first (`shape`), decoded by `kafka-protocol`, and translated into the meaning that brokers
//! understand (`versions`); the [`Origin`] that comes with it takes the answer back the same way. Format:
//! <https://kafka.apache.org/protocol>. Omits SASL, and the APIs that only controllers serve.

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;

pub mod client;
mod codec;
mod frame;
mod shape;
mod shapes;
#[cfg(test)]
mod tests;
mod versions;

pub use versions::{Lowered, NoTopicIds, Origin, TopicIds};

use crate::protocol::{Request, SUPPORTED};
use frame::RequestHeader;

/// The frame is not a request that is served here. The connection it came on is closed, as Kafka does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the request is cut off")]
    CutOff,
    #[error("the request has too many elements")]
    TooManyElements,
    #[error("a length is negative")]
    NegativeLength,
    #[error("a number of varying length is too long")]
    Varint,
    #[error("a tagged field is not what its number says")]
    Tag,
    #[error("no API of number {key} is offered")]
    UnknownApi { key: i16 },
    #[error("version {version} of {api:?} is not offered")]
    UnknownVersion { api: ApiKey, version: i16 },
    #[error("the fields of {api:?} make no sense")]
    Undecodable { api: ApiKey },
}

/// A frame, understood.
#[expect(clippy::large_enum_variant, reason = "made once per request, and taken apart at once")]
pub enum Incoming {
    Request {
        request: Request,
        origin: Origin,
    },
    /// `ApiVersions` in a version that nobody speaks: this is sent back, and the client asks again (KIP-511).
    Answered(Bytes),
}

/// Reads what follows a frame's size.
pub fn decode_request(frame: Bytes, ids: &impl TopicIds) -> Result<Incoming, Malformed> {
    let (header, mut body) = RequestHeader::take(frame)?;
    let RequestHeader { api, version, correlation, client_id } = header;
    let (lowest, highest) = offered(api).ok_or(Malformed::UnknownApi { key: api as i16 })?;
    if !(lowest..=highest).contains(&version) {
        if api == ApiKey::ApiVersions {
            return Ok(Incoming::Answered(codec::unsupported_api_versions(correlation)));
        }
        return Err(Malformed::UnknownVersion { api, version });
    }
    let shape = shapes::shape_of(api).ok_or(Malformed::UnknownApi { key: api as i16 })?;
    shape::check(shape, version, frame::is_flexible(api, version), &body)?;
    let kind = codec::decode_request(api, version, &mut body).ok_or(Malformed::Undecodable { api })?;
    let (kind, origin) = versions::raise(version, correlation, client_id.clone(), kind, ids);
    Ok(Incoming::Request { request: Request { client_id, version, kind }, origin })
}

/// The versions in which clients may use this API. `None`: not at all.
pub fn offered(api: ApiKey) -> Option<(i16, i16)> {
    shapes::shape_of(api)?;
    SUPPORTED.iter().find(|(key, ..)| *key == api).map(|(_, lowest, highest)| (*lowest, *highest))
}

/// Reads the name that a client gives itself, for the log of a connection.
pub fn client_of(frame: &Bytes) -> Option<StrBytes> {
    RequestHeader::take(frame.clone()).ok().map(|(header, _)| header.client_id)
}
