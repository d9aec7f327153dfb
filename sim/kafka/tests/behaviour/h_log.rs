//! H: order, retention, timestamps, fetch sizes, long polls.

use bytes::Bytes;
use kafka::broker::{EARLIEST_TIMESTAMP, LATEST_TIMESTAMP};
use kafka::records::{decode_batch, next_batch};
use kafka::{CleanupPolicy, MessageTimestampType, ResponseError, topic_name};
use kafka_protocol::messages::fetch_response::FetchResponse;
use kafka_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kafka_protocol::messages::list_offsets_response::ListOffsetsResponse;

use crate::bench::{Bench, CONN, TOPIC, answer, batch, fetch_request, plain, produce_request};

const NOTHING: [i64; 0] = [];

fn list_offset(bench: &mut Bench, timestamp: i64) -> (i64, i64) {
    let partition = ListOffsetsPartition::default()
        .with_partition_index(0)
        .with_current_leader_epoch(-1)
        .with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default().with_name(topic_name(TOPIC)).with_partitions(vec![partition]);
    let response: ListOffsetsResponse = bench.call(ListOffsetsRequest::default().with_topics(vec![topic]));
    let found = &response.topics[0].partitions[0];
    assert_eq!(found.error_code, 0);
    (found.timestamp, found.offset)
}

fn offsets(bytes: Option<Bytes>) -> Vec<i64> {
    let mut bytes = bytes.unwrap_or_default();
    let mut offsets = Vec::new();
    while let Some(batch) = next_batch(&mut bytes) {
        let (_, records) = decode_batch(&batch).expect("a stored batch");
        offsets.extend(records.iter().map(|record| record.offset));
    }
    offsets
}

#[test]
fn h66_a_fetch_begins_with_the_batch_that_holds_the_offset() {
    let mut bench = Bench::new();
    bench.append(0, plain(&["a", "b", "c"])).expect("appended");
    bench.append(0, plain(&["d", "e"])).expect("appended");
    assert_eq!(
        offsets(bench.read(0, 1, 10_000).records),
        [0, 1, 2, 3, 4],
        "the client skips what it did not ask for"
    );
    assert_eq!(offsets(bench.read(0, 3, 10_000).records), [3, 4]);
    assert_eq!(offsets(bench.read(0, 5, 10_000).records), NOTHING);
}

#[test]
fn h67_retention_goes_by_record_timestamps_and_whole_segments() {
    let mut bench = Bench::with(|config| {
        let topic = &mut config.cluster.topics[0];
        (topic.retention_ms, topic.segment_bytes) = (1_000, 180);
    });
    let now = bench.now;
    bench.append(0, batch(&["old"], now - 5_000, None)).expect("appended");
    bench.append(0, batch(&["new, in the same segment"], now, None)).expect("appended");
    bench.append(0, batch(&["a new segment with an old timestamp"], now - 5_000, None)).expect("appended");
    assert_eq!(bench.read(0, 0, 1_000).log_start_offset, 0);
    bench.broker.expire(now);
    assert_eq!(bench.read(0, 0, 1_000).log_start_offset, 0, "the first segment holds back the second");
    bench.now = now + 1_001;
    bench.broker.expire(bench.now);
    let data = bench.read(0, 3, 1_000);
    assert_eq!((data.log_start_offset, data.high_watermark), (3, 3), "the active segment goes too");
    assert_eq!(bench.append(0, plain(&["next"])), Ok(3));
}

#[test]
fn h68_a_consumer_behind_the_log_start_is_out_of_range() {
    let mut bench = Bench::with(|config| config.cluster.topics[0].retention_ms = 1_000);
    bench.append(0, plain(&["a", "b"])).expect("appended");
    bench.broker.expire(bench.now);
    bench.append(0, plain(&["c"])).expect("appended");
    let out_of_range = ResponseError::OffsetOutOfRange.code();
    let codes: Vec<i16> = (0..5).map(|offset| bench.read(0, offset, 1_000).error_code).collect();
    assert_eq!(codes, [out_of_range, out_of_range, 0, 0, out_of_range]);
}

#[test]
fn h69_a_compacted_topic_refuses_records_without_a_key() {
    let mut bench = Bench::with(|config| config.cluster.topics[0].cleanup_policy = CleanupPolicy::Compact);
    let keyless = kafka::records::RecordView { timestamp: 0, key: None, value: Some(b"v"), headers: &[] };
    let batch = kafka::records::encode_batch(&[keyless], None);
    assert_eq!(bench.append(0, batch), Err(ResponseError::InvalidRecord));
    assert_eq!(bench.append(0, plain(&["with a key"])), Ok(0));
}

#[test]
fn h70_list_offsets_finds_the_first_record_at_or_after_a_time() {
    let mut bench = Bench::new();
    for timestamp in [100, 300, 200, 400] {
        bench.append(0, batch(&["v"], timestamp, None)).expect("appended");
    }
    assert_eq!(list_offset(&mut bench, 150), (300, 1), "timestamps need not rise");
    assert_eq!(list_offset(&mut bench, 350), (400, 3));
    assert_eq!(list_offset(&mut bench, 401), (-1, -1));
    assert_eq!(list_offset(&mut bench, EARLIEST_TIMESTAMP), (-1, 0));
    assert_eq!(list_offset(&mut bench, LATEST_TIMESTAMP), (-1, 4));
}

#[test]
fn h70_log_append_time_overrides_the_clients_timestamp() {
    let mut bench = Bench::with(|config| {
        config.cluster.topics[0].message_timestamp_type = MessageTimestampType::LogAppendTime;
    });
    let response = bench.produce(0, batch(&["v"], 7, None));
    assert_eq!(response.log_append_time_ms, bench.now);
    let bytes = bench.read(0, 0, 1_000).records.expect("records");
    assert_eq!(decode_batch(&bytes).expect("a stored batch").1[0].timestamp, bench.now);
}

#[test]
fn h71_the_first_batch_comes_even_if_it_is_over_the_limit() {
    let mut bench = Bench::new();
    for partition in [0, 0, 1] {
        bench.append(partition, plain(&["some value"])).expect("appended");
    }
    let response: FetchResponse = bench.call(fetch_request(&[(0, 0), (1, 0)], 0, 1));
    let partitions = &response.responses[0].partitions;
    assert_eq!(offsets(partitions[0].records.clone()), [0], "one batch, over the limit");
    assert_eq!(
        offsets(partitions[1].records.clone()),
        NOTHING,
        "but only of the first partition that has any"
    );
    let response: FetchResponse = bench.call(fetch_request(&[(0, 2), (1, 0)], 0, 1));
    assert_eq!(offsets(response.responses[0].partitions[1].records.clone()), [0]);
}

#[test]
fn h_a_fetch_without_data_waits_for_a_batch() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask(fetch_request(&[(0, 0), (1, 0)], 30_000, 1_000)), []);
    let fetch = bench.correlation;
    assert_eq!(bench.broker.next_deadline(), Some(bench.now + 30_000));
    let outputs = bench.ask(produce_request(-1, 1, plain(&["v"])));
    let response: FetchResponse = answer(&outputs, fetch).expect("the parked fetch is answered");
    assert_eq!(offsets(response.responses[0].partitions[1].records.clone()), [0]);
    assert_eq!(bench.broker.next_deadline(), None);
}

#[test]
fn h_a_fetch_ends_empty_exactly_at_its_max_wait() {
    let mut bench = Bench::new();
    bench.ask(fetch_request(&[(0, 0)], 30_000, 1_000));
    let fetch = bench.correlation;
    assert_eq!(bench.pass(29_999), []);
    let response: FetchResponse = answer(&bench.pass(1), fetch).expect("time is up");
    assert_eq!(offsets(response.responses[0].partitions[0].records.clone()), NOTHING);
}

#[test]
fn h_a_fetch_waits_for_min_bytes() {
    let mut bench = Bench::new();
    let size = i32::try_from(plain(&["v"]).len()).expect("small");
    bench.ask(fetch_request(&[(0, 0), (1, 0)], 30_000, 1_000).with_min_bytes(size + 1));
    let fetch = bench.correlation;
    let first = bench.ask(produce_request(-1, 0, plain(&["v"])));
    assert_eq!(answer::<FetchResponse>(&first, fetch), None);
    let second = bench.ask(produce_request(-1, 1, plain(&["v"])));
    assert!(answer::<FetchResponse>(&second, fetch).is_some());
}

#[test]
fn h_a_closed_connection_and_a_crash_drop_parked_fetches() {
    let mut bench = Bench::new();
    bench.ask(fetch_request(&[(0, 0)], 30_000, 1_000));
    bench.broker.disconnected(CONN);
    assert_eq!(bench.broker.next_deadline(), None);
    bench.ask(fetch_request(&[(0, 0)], 30_000, 1_000));
    bench.broker.crash();
    bench.broker.restart(bench.now);
    assert_eq!(bench.broker.next_deadline(), None);
}
