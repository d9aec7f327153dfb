//! The codec against `kafka-protocol`'s, both ways, and against damaged bytes.

use kafka_protocol::records::{
    Compression, Record as TheirRecord, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions,
    TimestampType,
};

use super::*;

fn headers() -> Vec<(String, Bytes)> {
    vec![("source".to_owned(), Bytes::from_static(b"trade/7")), ("empty".to_owned(), Bytes::new())]
}

fn sample(headers: &[(String, Bytes)]) -> Bytes {
    let long = [b'x'; 300];
    let records = [
        RecordView { timestamp: 5_000, key: Some(b"k0"), value: Some(b"v0"), headers },
        RecordView { timestamp: 4_000, key: None, value: Some(&long), headers: &[] },
        RecordView { timestamp: 9_999_999_999, key: Some(b""), value: None, headers: &[] },
    ];
    let producer = BatchProducer { producer_id: 7, producer_epoch: 3, base_sequence: 11 };
    encode_batch(&records, Some(producer))
}

#[test]
fn kafka_protocol_reads_what_we_write() {
    let batch = stamp(sample(&headers()), 100, 4, None);
    let theirs = RecordBatchDecoder::decode(&mut batch.clone()).expect("a valid batch").records;
    assert_eq!(theirs.iter().map(|r| r.offset).collect::<Vec<_>>(), [100, 101, 102]);
    assert_eq!(theirs.iter().map(|r| r.timestamp).collect::<Vec<_>>(), [5_000, 4_000, 9_999_999_999]);
    assert_eq!(theirs.iter().map(|r| r.sequence).collect::<Vec<_>>(), [11, 12, 13]);
    assert_eq!(
        (theirs[0].producer_id, theirs[0].producer_epoch, theirs[0].partition_leader_epoch),
        (7, 3, 4)
    );
    assert_eq!(
        (theirs[1].key.clone(), theirs[2].key.clone(), theirs[2].value.clone()),
        (None, Some(Bytes::new()), None)
    );
    assert_eq!(
        theirs[0].headers.get(&StrBytes::from_static_str("source")),
        Some(&Some(Bytes::from_static(b"trade/7")))
    );
}

#[test]
fn we_read_what_kafka_protocol_writes() {
    let record = |offset: i64, timestamp| TheirRecord {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: 9,
        producer_epoch: 0,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: offset as i32,
        timestamp,
        key: Some(Bytes::from(format!("k{offset}"))),
        value: Some(Bytes::from_static(b"value")),
        headers: [(StrBytes::from_static_str("h"), Some(Bytes::from_static(b"1")))].into_iter().collect(),
    };
    let mut buffer = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut buffer, &[record(0, 70), record(1, 60)], &options).expect("encodable");
    let batch = buffer.freeze();
    let header = BatchHeader::validate(&batch).expect("a valid batch");
    assert_eq!((header.producer_id, header.records_count, header.max_timestamp), (9, 2, 70));
    let (_, ours) = decode_batch(&batch).expect("a valid batch");
    assert_eq!(ours.iter().map(|r| (r.offset, r.timestamp)).collect::<Vec<_>>(), [(0, 70), (1, 60)]);
    assert_eq!(ours[1].key.as_deref(), Some(&b"k1"[..]));
    assert_eq!(ours[1].headers, [(StrBytes::from_static_str("h"), Bytes::from_static(b"1"))]);
}

#[test]
fn a_repeated_header_key_survives() {
    let twice = vec![("h".to_owned(), Bytes::from_static(b"1")), ("h".to_owned(), Bytes::from_static(b"2"))];
    let (_, records) = decode_batch(&sample(&twice)).expect("a valid batch");
    assert_eq!(records[0].headers.len(), 2);
}

#[test]
fn every_flipped_byte_of_the_checked_part_is_corrupt() {
    let batch = sample(&headers());
    for at in CRC..batch.len() {
        let mut damaged = BytesMut::from(&batch[..]);
        damaged[at] ^= 0x01;
        assert_eq!(BatchHeader::validate(&damaged), Err(ResponseError::CorruptMessage), "byte {at}");
    }
}

#[test]
fn decoding_damaged_bytes_never_panics() {
    let batch = sample(&headers());
    for at in 0..batch.len() {
        for bits in [0x01, 0x80, 0xff] {
            let mut damaged = BytesMut::from(&batch[..]);
            damaged[at] ^= bits;
            let _ = decode_batch(&damaged.freeze());
        }
        let _ = decode_batch(&batch.slice(..at));
    }
}

#[test]
fn log_append_time_replaces_every_timestamp_and_keeps_the_crc_right() {
    let batch = stamp(sample(&[]), 0, 0, Some(42));
    assert!(BatchHeader::validate(&batch).is_ok());
    let (_, records) = decode_batch(&batch).expect("a valid batch");
    assert!(records.iter().all(|record| record.timestamp == 42));
}

#[test]
fn a_batch_cut_off_at_the_end_is_left_out() {
    let batch = sample(&[]);
    let mut two = BytesMut::from(&batch[..]);
    two.extend_from_slice(&batch[..batch.len() - 1]);
    let mut bytes = two.freeze();
    assert_eq!(next_batch(&mut bytes), Some(batch));
    assert_eq!(next_batch(&mut bytes), None);
}

#[test]
fn a_marker_is_a_control_batch_that_reads_back_and_that_no_client_may_send() {
    for commit in [false, true] {
        let marker = EndTxnMarker { commit, coordinator_epoch: 9 };
        let batch = marker.encode(5_000, 7, 3);
        let (header, records) = decode_batch(&batch).expect("a valid batch");
        assert!(header.is_control() && header.is_transactional());
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (7, 3, -1));
        assert_eq!(records.iter().map(EndTxnMarker::of).collect::<Vec<_>>(), [Some(marker)]);
        assert_eq!(BatchHeader::validate(&batch), Err(ResponseError::InvalidRecord));
        let theirs = RecordBatchDecoder::decode(&mut batch.clone()).expect("a valid batch").records;
        assert!(theirs[0].control && theirs[0].transactional);
        assert_eq!(theirs[0].key.as_deref(), Some(&[0, 0, 0, u8::from(commit)][..]));
        assert_eq!(theirs[0].value.as_deref(), Some(&[0, 0, 0, 0, 0, 9][..]));
    }
}

#[test]
fn a_transactional_batch_says_so() {
    let record = RecordView { timestamp: 1, key: None, value: Some(b"v"), headers: &[] };
    let producer = BatchProducer { producer_id: 7, producer_epoch: 3, base_sequence: 11 };
    let header = BatchHeader::validate(&encode_transactional_batch(&[record], producer)).expect("valid");
    assert!(header.is_transactional() && !header.is_control());
}
