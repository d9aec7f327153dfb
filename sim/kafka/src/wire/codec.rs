//! Bodies as bytes, for every API of the table in [`crate::protocol`]. `None` is "does not fit this version".

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable};

use super::frame;
use crate::protocol::{RequestKind, Response, with_every_kind};

macro_rules! codec {
    ($($kind:ident: $request:ident => $response:ident, $min:literal..=$max:literal;)*) => {
        /// Only for bytes that [`super::shape`] let through.
        pub(super) fn decode_request(api: ApiKey, version: i16, body: &mut Bytes) -> Option<RequestKind> {
            match api {
                $(ApiKey::$kind => $request::decode(body, version).ok().map(RequestKind::$kind),)*
                _ => None,
            }
        }

        pub(super) fn encode_request(kind: &RequestKind, version: i16, out: &mut BytesMut) -> Option<()> {
            match kind { $(RequestKind::$kind(request) => request.encode(out, version).ok(),)* }
        }

        /// Believes the lengths it reads: the peer is a broker that the caller chose.
        pub(super) fn decode_response(api: ApiKey, version: i16, body: &mut Bytes) -> Option<Response> {
            match api {
                $(ApiKey::$kind => $response::decode(body, version).ok().map(Response::$kind),)*
                _ => None,
            }
        }

        pub(super) fn encode_response(response: &Response, version: i16, out: &mut BytesMut) -> Option<()> {
            match response { $(Response::$kind(response) => response.encode(out, version).ok(),)* }
        }

        #[cfg(test)]
        pub(super) fn empty_response(api: ApiKey) -> Option<Response> {
            match api { $(ApiKey::$kind => Some($response::default().into()),)* _ => None }
        }
    };
}

with_every_kind!(codec);

/// What a client hears that asks for versions in a version from the future: version 0, with the versions of
/// `ApiVersions` itself (KIP-511).
pub(super) fn unsupported_api_versions(correlation: i32) -> Bytes {
    let (lowest, highest) = super::offered(ApiKey::ApiVersions).unwrap_or_default();
    let itself = ApiVersion::default()
        .with_api_key(ApiKey::ApiVersions as i16)
        .with_min_version(lowest)
        .with_max_version(highest);
    let response = ApiVersionsResponse::default()
        .with_error_code(ResponseError::UnsupportedVersion.code())
        .with_api_keys(vec![itself]);
    frame::framed(|out| {
        frame::put_response_header(out, ApiKey::ApiVersions, 0, correlation);
        response.encode(out, 0).ok()
    })
    .expect("version 0 has these fields")
}
