//! The wire against itself, against the decoder it guards, and against bytes that mean nothing.

mod garbage;
mod generate;
mod shapes;
mod versions;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;

use super::frame;

/// A frame without its size: header and body.
fn request_frame(api: ApiKey, version: i16, body: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(api as i16);
    out.put_i16(version);
    out.put_i32(7);
    out.put_i16(2);
    out.put_slice(b"me");
    if frame::is_flexible(api, version) {
        out.put_u8(0);
    }
    out.put_slice(body);
    out.freeze()
}
