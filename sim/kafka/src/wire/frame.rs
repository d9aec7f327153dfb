//! Headers of requests and responses. A frame is a size of four bytes, a header, and a body.
//!
//! Request header 1 and 2 (version 0, without a client id, was of `ControlledShutdown` alone), response header 0 and 1.
//! Version 2 and 1 add tagged fields, of which none is known.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;

use super::Malformed;

/// Bytes of a frame's size.
pub const SIZE: usize = 4;

pub(super) struct RequestHeader {
    pub api: ApiKey,
    pub version: i16,
    pub correlation: i32,
    pub client_id: StrBytes,
}

/// Whether this version has tagged fields and compact lengths (KIP-482).
pub(super) fn is_flexible(api: ApiKey, version: i16) -> bool {
    api.request_header_version(version) >= 2
}

impl RequestHeader {
    /// Splits a frame into its header and the body. A client id is of the old kind of text in every version.
    pub fn take(mut frame: Bytes) -> Result<(RequestHeader, Bytes), Malformed> {
        if frame.len() < 10 {
            return Err(Malformed::CutOff);
        }
        let key = frame.get_i16();
        let version = frame.get_i16();
        let correlation = frame.get_i32();
        let length = frame.get_i16();
        let api = ApiKey::try_from(key).map_err(|()| Malformed::UnknownApi { key })?;
        let client_id = match usize::try_from(length) {
            Ok(length) if length <= frame.len() => frame.split_to(length),
            Ok(_) => return Err(Malformed::CutOff),
            Err(_) if length == -1 => Bytes::new(),
            Err(_) => return Err(Malformed::NegativeLength),
        };
        let client_id = StrBytes::from_utf8(client_id).map_err(|_| Malformed::Undecodable { api })?;
        // A version from the future of ApiVersions is answered all the same, and its body is not looked at.
        if is_flexible(api, version) && super::offered(api).is_some_and(|(_, highest)| version <= highest) {
            skip_tags(&mut frame)?;
        }
        Ok((RequestHeader { api, version, correlation, client_id }, frame))
    }

    pub fn put(&self, out: &mut BytesMut) {
        out.put_i16(self.api as i16);
        out.put_i16(self.version);
        out.put_i32(self.correlation);
        let length = i16::try_from(self.client_id.len()).expect("a client id is shorter than 32 KiB");
        out.put_i16(length);
        out.put_slice(self.client_id.as_bytes());
        if is_flexible(self.api, self.version) {
            out.put_u8(0);
        }
    }
}

pub(super) fn put_response_header(out: &mut BytesMut, api: ApiKey, version: i16, correlation: i32) {
    out.put_i32(correlation);
    if api.response_header_version(version) >= 1 {
        out.put_u8(0);
    }
}

/// The correlation of a response, and its body.
pub(super) fn take_response_header(
    mut frame: Bytes,
    api: ApiKey,
    version: i16,
) -> Result<(i32, Bytes), Malformed> {
    if frame.len() < 4 {
        return Err(Malformed::CutOff);
    }
    let correlation = frame.get_i32();
    if api.response_header_version(version) >= 1 {
        skip_tags(&mut frame)?;
    }
    Ok((correlation, frame))
}

/// Writes a frame: `content` after its size.
pub(super) fn framed(content: impl FnOnce(&mut BytesMut) -> Option<()>) -> Option<Bytes> {
    let mut out = BytesMut::new();
    out.put_i32(0);
    content(&mut out)?;
    let size = i32::try_from(out.len() - SIZE).ok()?;
    out[..SIZE].copy_from_slice(&size.to_be_bytes());
    Some(out.freeze())
}

fn skip_tags(frame: &mut Bytes) -> Result<(), Malformed> {
    let count = varint(frame)?;
    for _ in 0..count {
        varint(frame)?;
        let size = usize::try_from(varint(frame)?).map_err(|_| Malformed::Varint)?;
        if size > frame.len() {
            return Err(Malformed::CutOff);
        }
        frame.advance(size);
    }
    Ok(())
}

fn varint(frame: &mut Bytes) -> Result<u32, Malformed> {
    let mut value = 0u64;
    for shift in (0..35).step_by(7) {
        let byte = if frame.is_empty() { Err(Malformed::CutOff) } else { Ok(frame.get_u8()) }?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return u32::try_from(value).map_err(|_| Malformed::Varint);
        }
    }
    Err(Malformed::Varint)
}
