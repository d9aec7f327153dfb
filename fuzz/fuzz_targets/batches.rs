//! Record batches in every codec: no panic, no more than the bound of memory, and what is let through can be read.
//!
//! Run it with `-malloc_limit_mb=512`. The first byte chooses between bytes as they are and records behind a header that
//! fits them, whose checksum no fuzzer would find by itself.

#![no_main]

use bytes::{BufMut, Bytes, BytesMut};
use kafka::records::{BatchHeader, decode_batch, next_batch, stamp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [choice, count, rest @ ..] = data else { return };
    let batch = if choice & 0x80 != 0 {
        Bytes::copy_from_slice(rest)
    } else {
        behind_a_header(choice & 7, *count, rest)
    };
    let mut batches = batch.clone();
    while next_batch(&mut batches).is_some() {}
    let read = decode_batch(&batch);
    if let Ok(header) = BatchHeader::validate(&batch) {
        let (_, records) = read.expect("what a broker stores can be read");
        assert_eq!(i32::try_from(records.len()), Ok(header.records_count));
    }
});

fn behind_a_header(codec: u8, count: u8, records: &[u8]) -> Bytes {
    let mut batch = BytesMut::new();
    batch.put_i64(0);
    batch.put_i32(i32::try_from(49 + records.len()).expect("inputs are small"));
    batch.put_i32(-1);
    batch.put_i8(2);
    batch.put_u32(0); // CRC, filled by `stamp`
    batch.put_i16(i16::from(codec));
    batch.put_i32(i32::from(count) - 1);
    batch.put_i64(0);
    batch.put_i64(0);
    batch.put_i64(-1);
    batch.put_i16(-1);
    batch.put_i32(-1);
    batch.put_i32(i32::from(count));
    batch.put_slice(records);
    stamp(batch.freeze(), 0, 0, Some(1))
}
