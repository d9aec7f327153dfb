//! A batch of which only some records are kept: what compaction writes.
//!
//! Real: `MemoryRecords.filterTo`, `DefaultRecordBatch.writeEmptyHeader`. Offsets, sequence, producer and codec stay as they
//! were, even if no record does. Keeps the base timestamp too, where Kafka takes that of the first record that stays.

use bytes::{Bytes, BytesMut};

use super::{
    ATTRIBUTES, BASE_TIMESTAMP, BATCH_LENGTH, BatchHeader, Compression, DELETE_HORIZON, HEADER_SIZE,
    LOG_APPEND_TIME, MAX_TIMESTAMP, RECORDS_COUNT, Record, RecordView, fill_crc, put_record,
};
use crate::cluster::TimestampMs;

/// The batch with these of its records. From `delete_horizon` on its tombstones, or its marker, may go (KIP-534).
pub(crate) fn retain(batch: &Bytes, records: &[Record], delete_horizon: Option<TimestampMs>) -> Bytes {
    let header = BatchHeader::read(batch).expect("stored batches were validated");
    let base_timestamp = delete_horizon.unwrap_or(header.base_timestamp);
    let mut out = BytesMut::from(&batch[..HEADER_SIZE]);
    out.extend_from_slice(&body(&header, records, base_timestamp));
    let length = i32::try_from(out.len() - BATCH_LENGTH - 4).expect("a batch stays below 2 GiB");
    out[BATCH_LENGTH..BATCH_LENGTH + 4].copy_from_slice(&length.to_be_bytes());
    if delete_horizon.is_some() {
        let attributes = header.attributes | DELETE_HORIZON;
        out[ATTRIBUTES..ATTRIBUTES + 2].copy_from_slice(&attributes.to_be_bytes());
        out[BASE_TIMESTAMP..BASE_TIMESTAMP + 8].copy_from_slice(&base_timestamp.to_be_bytes());
    }
    let max_timestamp = records.iter().map(|record| record.timestamp).max();
    if let Some(max_timestamp) = max_timestamp.filter(|_| header.attributes & LOG_APPEND_TIME == 0) {
        out[MAX_TIMESTAMP..MAX_TIMESTAMP + 8].copy_from_slice(&max_timestamp.to_be_bytes());
    }
    let count = i32::try_from(records.len()).expect("no more than there were");
    out[RECORDS_COUNT..RECORDS_COUNT + 4].copy_from_slice(&count.to_be_bytes());
    fill_crc(&mut out);
    out.freeze()
}

fn body(header: &BatchHeader, records: &[Record], base_timestamp: TimestampMs) -> Bytes {
    let mut body = BytesMut::new();
    for record in records {
        let headers: Vec<(String, Bytes)> =
            record.headers.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
        let view = RecordView {
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        };
        let delta = usize::try_from(record.offset - header.base_offset).expect("a record of this batch");
        put_record(&mut body, &view, delta, base_timestamp);
    }
    match header.compression() {
        None | Some(Compression::None) => body.freeze(),
        #[cfg(feature = "tcp")]
        Some(_) if records.is_empty() => body.freeze(),
        #[cfg(feature = "tcp")]
        Some(codec) => Bytes::from(super::compress(codec, &body)),
        #[cfg(not(feature = "tcp"))]
        Some(_) => panic!("such a batch was never let in"),
    }
}
