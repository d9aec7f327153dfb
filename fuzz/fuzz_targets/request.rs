//! Requests of every API and version, as bytes: no panic, and no more memory than the bytes are worth.
//!
//! Run it with `-malloc_limit_mb=256 -max_len=4096`. The first two bytes choose the API and the version, so that few runs
//! are spent on headers; with an odd third one the rest is a whole frame.

#![no_main]

use bytes::{BufMut, Bytes, BytesMut};
use kafka::protocol::SUPPORTED;
use kafka::wire::{Incoming, NoTopicIds, decode_request, offered};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [api, version, whole, rest @ ..] = data else { return };
    let frame = if whole & 1 == 1 { Bytes::copy_from_slice(rest) } else { framed(*api, *version, rest) };
    if let Ok(Incoming::Request { request, .. }) = decode_request(frame, &NoTopicIds) {
        // What was understood can be looked at.
        assert!(!format!("{request:?}").is_empty());
    }
});

fn framed(api: u8, version: u8, body: &[u8]) -> Bytes {
    let (api, ..) = SUPPORTED[usize::from(api) % SUPPORTED.len()];
    let (lowest, highest) = offered(api).unwrap_or((0, 0));
    let version = lowest + i16::from(version) % (highest - lowest + 1);
    let mut frame = BytesMut::new();
    frame.put_i16(api as i16);
    frame.put_i16(version);
    frame.put_i32(1);
    frame.put_i16(-1);
    if api.request_header_version(version) >= 2 {
        frame.put_u8(0);
    }
    frame.put_slice(body);
    frame.freeze()
}
