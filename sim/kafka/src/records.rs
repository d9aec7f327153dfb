//! Record batches of format version 2: reading and patching their header, writing and reading their records.
//!
//! `kafka-protocol` has a codec too; this one exists because a broker must look at headers alone and a consumer
//! must not copy, and because record headers may repeat a key. The tests hold the two against each other. Compressed
//! batches are understood with the feature `tcp`. Omits the older formats. Layout: <https://kafka.apache.org/documentation/#recordbatch>.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;

use crate::cluster::TimestampMs;

mod compression;
mod control;
mod inside;
mod retained;

#[cfg(feature = "tcp")]
pub use compression::compress;
pub use compression::{Compression, MAX_DECOMPRESSED};

pub use control::EndTxnMarker;
pub(crate) use retained::retain;

const BASE_OFFSET: usize = 0;
const BATCH_LENGTH: usize = 8;
const PARTITION_LEADER_EPOCH: usize = 12;
const MAGIC: usize = 16;
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const BASE_TIMESTAMP: usize = 27;
const MAX_TIMESTAMP: usize = 35;
const PRODUCER_ID: usize = 43;
const PRODUCER_EPOCH: usize = 51;
const BASE_SEQUENCE: usize = 53;
const RECORDS_COUNT: usize = 57;
const HEADER_SIZE: usize = 61;

/// A length, attributes, two deltas, a key, a value and the count of headers, of a byte each.
const SMALLEST_RECORD: usize = 7;
/// A name and a value of no bytes.
const SMALLEST_HEADER: usize = 2;

const LOG_APPEND_TIME: i16 = 1 << 3;
const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;
const DELETE_HORIZON: i16 = 1 << 6;

/// "No producer id, epoch or sequence."
pub const NONE: i64 = -1;

/// The fields of a batch header that anyone here asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: i64,
    /// Of the leader that appended it; -1 as a producer sends it.
    pub leader_epoch: i32,
    pub last_offset_delta: i32,
    pub base_timestamp: TimestampMs,
    pub max_timestamp: TimestampMs,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub records_count: i32,
    attributes: i16,
}

impl BatchHeader {
    /// The header of the batch that `bytes` begins with, without any check but the length.
    pub fn read(bytes: &[u8]) -> Option<BatchHeader> {
        (bytes.len() >= HEADER_SIZE).then(|| BatchHeader {
            base_offset: i64::from_be_bytes(array(bytes, BASE_OFFSET)),
            leader_epoch: i32::from_be_bytes(array(bytes, PARTITION_LEADER_EPOCH)),
            last_offset_delta: i32::from_be_bytes(array(bytes, LAST_OFFSET_DELTA)),
            base_timestamp: i64::from_be_bytes(array(bytes, BASE_TIMESTAMP)),
            max_timestamp: i64::from_be_bytes(array(bytes, MAX_TIMESTAMP)),
            producer_id: i64::from_be_bytes(array(bytes, PRODUCER_ID)),
            producer_epoch: i16::from_be_bytes(array(bytes, PRODUCER_EPOCH)),
            base_sequence: i32::from_be_bytes(array(bytes, BASE_SEQUENCE)),
            records_count: i32::from_be_bytes(array(bytes, RECORDS_COUNT)),
            attributes: i16::from_be_bytes(array(bytes, ATTRIBUTES)),
        })
    }

    /// Reads the header of a batch as a producer sends it, and checks everything that a broker checks before it
    /// looks at producer state: one batch, format 2, CRC, a codec that is understood, as many records as it says.
    pub fn validate(bytes: &[u8]) -> Result<BatchHeader, ResponseError> {
        let header = BatchHeader::read(bytes).ok_or(ResponseError::CorruptMessage)?;
        if bytes[MAGIC] != 2 {
            return Err(ResponseError::InvalidRecord);
        }
        match batch_size(bytes) {
            Some(size) if size == bytes.len() => {}
            Some(size) if size < bytes.len() => return Err(ResponseError::InvalidRecord),
            _ => return Err(ResponseError::CorruptMessage),
        }
        if u32::from_be_bytes(array(bytes, CRC)) != crc32c::crc32c(&bytes[ATTRIBUTES..]) {
            return Err(ResponseError::CorruptMessage);
        }
        let compression = Compression::of(header.attributes).filter(|codec| codec.is_understood());
        let compression = compression.ok_or(ResponseError::UnsupportedCompressionType)?;
        let counts_agree = header.records_count > 0 && header.last_offset_delta == header.records_count - 1;
        let sequence_missing = header.producer_id >= 0 && header.base_sequence < 0;
        if !counts_agree || sequence_missing || header.attributes & CONTROL != 0 {
            return Err(ResponseError::InvalidRecord);
        }
        let records =
            inner(compression, &bytes[HEADER_SIZE..]).map_err(|Corrupt| ResponseError::CorruptMessage)?;
        inside::check(&records, header.records_count).map_err(|Corrupt| ResponseError::InvalidRecord)?;
        Ok(header)
    }

    /// The codec of the batch's records; `None` if nobody knows it.
    pub fn compression(&self) -> Option<Compression> {
        Compression::of(self.attributes)
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// From when on its tombstones, or its marker, may go (KIP-534). `None` before the first compaction that saw them.
    pub fn delete_horizon(&self) -> Option<TimestampMs> {
        (self.attributes & DELETE_HORIZON != 0).then_some(self.base_timestamp)
    }

    pub fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }
}

/// Writes what the leader decides into a batch: offset, epoch, and with `log_append_time` the time of all its
/// records. Copies the batch only if somebody else (a producer that may retry) still holds it.
pub fn stamp(
    batch: Bytes,
    base_offset: i64,
    leader_epoch: i32,
    log_append_time: Option<TimestampMs>,
) -> Bytes {
    let mut batch = match batch.try_into_mut() {
        Ok(batch) => batch,
        Err(shared) => BytesMut::from(&shared[..]),
    };
    batch[BASE_OFFSET..BASE_OFFSET + 8].copy_from_slice(&base_offset.to_be_bytes());
    batch[PARTITION_LEADER_EPOCH..PARTITION_LEADER_EPOCH + 4].copy_from_slice(&leader_epoch.to_be_bytes());
    if let Some(time) = log_append_time {
        let attributes = i16::from_be_bytes(array(&batch, ATTRIBUTES)) | LOG_APPEND_TIME;
        batch[ATTRIBUTES..ATTRIBUTES + 2].copy_from_slice(&attributes.to_be_bytes());
        batch[MAX_TIMESTAMP..MAX_TIMESTAMP + 8].copy_from_slice(&time.to_be_bytes());
        fill_crc(&mut batch);
    }
    batch.freeze()
}

/// The records behind a batch's header, as they were before they were compressed.
fn inner(compression: Compression, bytes: &[u8]) -> Result<Cow<'_, [u8]>, Corrupt> {
    match compression {
        Compression::None => Ok(Cow::Borrowed(bytes)),
        codec => compression::decompress(codec, bytes).map(Cow::Owned),
    }
}

/// Whether any of these batches is compressed with zstd, which readers of old versions do not know.
#[cfg(feature = "tcp")]
pub(crate) fn has_zstd(batches: &Bytes) -> bool {
    let mut rest = batches.clone();
    std::iter::from_fn(|| next_batch(&mut rest)).any(|batch| {
        BatchHeader::read(&batch).and_then(|header| header.compression()) == Some(Compression::Zstd)
    })
}

/// The same batch with its records compressed, as a producer sends it. Panics if it is compressed already.
#[cfg(feature = "tcp")]
pub fn compress_batch(batch: &Bytes, codec: Compression) -> Bytes {
    let attributes = i16::from_be_bytes(array(batch, ATTRIBUTES));
    assert_eq!(Compression::of(attributes), Some(Compression::None), "a batch is compressed once");
    let mut out = BytesMut::from(&batch[..HEADER_SIZE]);
    out.extend_from_slice(&compress(codec, &batch[HEADER_SIZE..]));
    out[ATTRIBUTES..ATTRIBUTES + 2].copy_from_slice(&(attributes | codec.attribute()).to_be_bytes());
    let length = i32::try_from(out.len() - BATCH_LENGTH - 4).expect("a batch stays below 2 GiB");
    out[BATCH_LENGTH..BATCH_LENGTH + 4].copy_from_slice(&length.to_be_bytes());
    fill_crc(&mut out);
    out.freeze()
}

fn fill_crc(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[ATTRIBUTES..]);
    batch[CRC..CRC + 4].copy_from_slice(&crc.to_be_bytes());
}

/// Bytes of the batch that `bytes` begins with, by its own account.
fn batch_size(bytes: &[u8]) -> Option<usize> {
    if bytes.len() < HEADER_SIZE {
        return None;
    }
    let length = usize::try_from(i32::from_be_bytes(array(bytes, BATCH_LENGTH))).ok()?;
    let size = length + BATCH_LENGTH + 4;
    (size >= HEADER_SIZE).then_some(size)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has exactly this length")
}

/// Who wrote a batch, for the leader's de-duplication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchProducer {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
}

/// A record to be encoded.
pub struct RecordView<'a> {
    pub timestamp: TimestampMs,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(String, Bytes)],
}

/// Encodes one batch at offset 0, to be stamped by the leader. `producer: None` is a producer without idempotence.
pub fn encode_batch(records: &[RecordView<'_>], producer: Option<BatchProducer>) -> Bytes {
    encode(records, producer, 0)
}

/// Encodes one batch of a transaction, as [`encode_batch`] does.
pub fn encode_transactional_batch(records: &[RecordView<'_>], producer: BatchProducer) -> Bytes {
    encode(records, Some(producer), TRANSACTIONAL)
}

fn encode(records: &[RecordView<'_>], producer: Option<BatchProducer>, attributes: i16) -> Bytes {
    assert!(!records.is_empty(), "a batch holds at least one record");
    let count = i32::try_from(records.len()).expect("a batch holds fewer than 2^31 records");
    let base_timestamp = records[0].timestamp;
    let max_timestamp = records.iter().map(|record| record.timestamp).max().unwrap_or(base_timestamp);
    let sizes = records.iter().zip(0..).map(|(record, delta)| size_of(record, delta, base_timestamp));
    let payload: usize = sizes.map(|size| varint_size(len(size)) + size).sum();
    let mut batch = BytesMut::with_capacity(HEADER_SIZE + payload);
    let producer =
        producer.unwrap_or(BatchProducer { producer_id: NONE, producer_epoch: -1, base_sequence: -1 });
    batch.put_i64(0); // base offset
    batch.put_i32(0); // length, filled below
    batch.put_i32(-1); // leader epoch
    batch.put_i8(2);
    batch.put_u32(0); // CRC, filled below
    batch.put_i16(attributes);
    batch.put_i32(count - 1);
    batch.put_i64(base_timestamp);
    batch.put_i64(max_timestamp);
    batch.put_i64(producer.producer_id);
    batch.put_i16(producer.producer_epoch);
    batch.put_i32(producer.base_sequence);
    batch.put_i32(count);
    for (delta, record) in records.iter().enumerate() {
        put_record(&mut batch, record, delta, base_timestamp);
    }
    let length = i32::try_from(batch.len() - BATCH_LENGTH - 4).expect("a batch stays below 2 GiB");
    batch[BATCH_LENGTH..BATCH_LENGTH + 4].copy_from_slice(&length.to_be_bytes());
    fill_crc(&mut batch);
    batch.freeze()
}

fn put_record(batch: &mut BytesMut, record: &RecordView<'_>, delta: usize, base_timestamp: TimestampMs) {
    let timestamp_delta = record.timestamp - base_timestamp;
    put_varint(batch, len(size_of(record, delta, base_timestamp)));
    batch.put_i8(0); // attributes
    put_varint(batch, timestamp_delta);
    put_varint(batch, len(delta));
    put_nullable(batch, record.key);
    put_nullable(batch, record.value);
    put_varint(batch, len(record.headers.len()));
    for (name, value) in record.headers {
        put_nullable(batch, Some(name.as_bytes()));
        put_nullable(batch, Some(value));
    }
}

/// Size of a record, without its length.
fn size_of(record: &RecordView<'_>, delta: usize, base_timestamp: TimestampMs) -> usize {
    1 + varint_size(record.timestamp - base_timestamp) + varint_size(len(delta)) + body_size(record)
}

/// Size of key, value and headers with their lengths.
fn body_size(record: &RecordView<'_>) -> usize {
    let headers: usize = record
        .headers
        .iter()
        .map(|(name, value)| nullable_size(Some(name.as_bytes())) + nullable_size(Some(value)))
        .sum();
    nullable_size(record.key) + nullable_size(record.value) + varint_size(len(record.headers.len())) + headers
}

fn nullable_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint_size(len(bytes.len())) + bytes.len())
}

fn put_nullable(batch: &mut BytesMut, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(batch, -1),
        Some(bytes) => {
            put_varint(batch, len(bytes.len()));
            batch.put_slice(bytes);
        }
    }
}

fn len(length: usize) -> i64 {
    i64::try_from(length).expect("lengths in memory fit an i64")
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn varint_size(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn put_varint(batch: &mut BytesMut, value: i64) {
    let mut rest = zigzag(value);
    while rest >= 0x80 {
        batch.put_u8((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    batch.put_u8(rest as u8);
}

/// A record as read. Everything in it is a slice of the batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub offset: i64,
    pub timestamp: TimestampMs,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(StrBytes, Bytes)>,
}

/// The bytes are not a record batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("corrupt record batch")]
pub struct Corrupt;

/// Takes the next whole batch off the front of fetched bytes. A cut-off batch at the end is left out, as Kafka
/// allows a leader to send one.
pub fn next_batch(bytes: &mut Bytes) -> Option<Bytes> {
    let size = batch_size(bytes)?;
    (size <= bytes.len()).then(|| bytes.split_to(size))
}

/// The records of one batch, each decoded once.
pub fn decode_batch(batch: &Bytes) -> Result<(BatchHeader, Vec<Record>), Corrupt> {
    let header = BatchHeader::read(batch).ok_or(Corrupt)?;
    if batch[MAGIC] != 2 {
        return Err(Corrupt);
    }
    let inside = match header.compression().ok_or(Corrupt)? {
        // Also a batch that compaction has left nothing of.
        _ if header.records_count == 0 => Bytes::new(),
        Compression::None => batch.slice(HEADER_SIZE..),
        codec => Bytes::from(compression::decompress(codec, &batch[HEADER_SIZE..])?),
    };
    let count = usize::try_from(header.records_count).map_err(|_| Corrupt)?;
    let mut cursor = Cursor { batch: &inside, at: 0 };
    let mut records = Vec::with_capacity(count.min(inside.len() / SMALLEST_RECORD));
    for _ in 0..header.records_count {
        records.push(cursor.record(&header)?);
    }
    Ok((header, records))
}

struct Cursor<'a> {
    batch: &'a Bytes,
    at: usize,
}

impl Cursor<'_> {
    fn record(&mut self, header: &BatchHeader) -> Result<Record, Corrupt> {
        let size = usize::try_from(self.varint()?).map_err(|_| Corrupt)?;
        let end = self.at.checked_add(size).filter(|end| *end <= self.batch.len()).ok_or(Corrupt)?;
        self.at += 1; // attributes, unused
        let timestamp_delta = self.varint()?;
        let offset_delta = self.varint()?;
        let key = self.nullable()?;
        let value = self.nullable()?;
        let count = usize::try_from(self.varint()?).map_err(|_| Corrupt)?;
        let mut headers = Vec::with_capacity(count.min(size / SMALLEST_HEADER));
        for _ in 0..count {
            let name = StrBytes::from_utf8(self.nullable()?.ok_or(Corrupt)?).map_err(|_| Corrupt)?;
            headers.push((name, self.nullable()?.unwrap_or_default()));
        }
        if self.at != end {
            return Err(Corrupt);
        }
        let append_time = header.attributes & LOG_APPEND_TIME != 0;
        Ok(Record {
            offset: header.base_offset.wrapping_add(offset_delta),
            timestamp: if append_time {
                header.max_timestamp
            } else {
                header.base_timestamp.wrapping_add(timestamp_delta)
            },
            key,
            value,
            headers,
        })
    }

    fn varint(&mut self) -> Result<i64, Corrupt> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.batch.get(self.at).ok_or(Corrupt)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(Corrupt)
    }

    fn nullable(&mut self) -> Result<Option<Bytes>, Corrupt> {
        let length = self.varint()?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| Corrupt)?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.batch.len()).ok_or(Corrupt)?;
        let bytes = self.batch.slice(self.at..end);
        self.at = end;
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests;

#[cfg(all(test, feature = "tcp"))]
mod compressed_tests;
