//! H69: compacted logs keep the last record of each key, and what must stay besides.

use bytes::Bytes;
use kafka::client::Link;
use kafka::records::{
    BatchHeader, BatchProducer, EndTxnMarker, Record, RecordView, decode_batch, encode_batch,
    encode_transactional_batch, next_batch,
};
use kafka::{CleanupPolicy, Output, Request, StrBytes, TopicPartition, TopicSpec, topic_name};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest,
};
use kafka_protocol::messages::write_txn_markers_response::WriteTxnMarkersResponse;
use kafka_protocol::messages::{FetchResponse, ProduceResponse, ProducerId, TransactionalId};

use crate::bench::{Bench, CONN, TOPIC, answer, fetch_request, produce_request};
use crate::world::World;

const BACKOFF_MS: i64 = 15_000;
const SEGMENT_MS: i64 = 1_000;
const DAY_MS: i64 = 24 * 3_600_000;

/// A compacted topic whose segments span a second of the records' time.
fn compacted(adjust: impl FnOnce(&mut TopicSpec)) -> Bench {
    Bench::with(|config| {
        let topic = &mut config.cluster.topics[0];
        topic.cleanup_policy = CleanupPolicy::Compact;
        topic.segment_ms = SEGMENT_MS;
        topic.min_cleanable_dirty_ratio_ppm = 10_000;
        config.transactions.transaction_partition_verification_enable = false;
        adjust(topic);
    })
}

fn views<'a>(now: i64, records: &'a [(&str, Option<&str>)]) -> Vec<RecordView<'a>> {
    let view = |(key, value): &'a (&str, Option<&str>)| RecordView {
        timestamp: now,
        key: Some(key.as_bytes()),
        value: value.map(str::as_bytes),
        headers: &[],
    };
    records.iter().map(view).collect()
}

fn put(bench: &mut Bench, records: &[(&str, Option<&str>)]) -> i64 {
    let batch = encode_batch(&views(bench.now, records), None);
    bench.append(0, batch).expect("appended")
}

fn producer(producer_id: i64, base_sequence: i32) -> BatchProducer {
    BatchProducer { producer_id, producer_epoch: 0, base_sequence }
}

/// What is written next goes to another segment.
fn roll(bench: &mut Bench) {
    bench.pass(SEGMENT_MS + 1);
}

/// Time for the cleaner, and a bit.
fn clean(bench: &mut Bench) {
    bench.pass(BACKOFF_MS + 1);
}

fn batches(data: PartitionData) -> Vec<(BatchHeader, Vec<Record>)> {
    let mut bytes = data.records.unwrap_or_default();
    std::iter::from_fn(|| next_batch(&mut bytes)).map(|batch| decode_batch(&batch).expect("whole")).collect()
}

fn stored(bench: &mut Bench) -> Vec<(BatchHeader, Vec<Record>)> {
    let data = bench.read(0, 0, 1 << 20);
    batches(data)
}

fn text(bytes: Option<Bytes>) -> String {
    bytes.map_or("-".to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Every record of data as "offset key=value".
fn data(bench: &mut Bench) -> Vec<String> {
    let batches = stored(bench).into_iter().filter(|(header, _)| !header.is_control());
    let records = batches.flat_map(|(_, records)| records);
    records.map(|record| format!("{} {}={}", record.offset, text(record.key), text(record.value))).collect()
}

/// The offsets of each batch, and how many records it has.
fn shapes(bench: &mut Bench) -> Vec<(i64, i64, usize)> {
    let shape = |(header, records): (BatchHeader, Vec<Record>)| {
        (header.base_offset, header.last_offset(), records.len())
    };
    stored(bench).into_iter().map(shape).collect()
}

fn end_transaction(bench: &mut Bench, producer_id: i64, commit: bool) {
    let topic =
        WritableTxnMarkerTopic::default().with_name(topic_name(TOPIC)).with_partition_indexes(vec![0]);
    let marker = WritableTxnMarker::default()
        .with_producer_id(ProducerId(producer_id))
        .with_producer_epoch(0)
        .with_transaction_result(commit)
        .with_topics(vec![topic]);
    let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
    let response: WriteTxnMarkersResponse = bench.call(request);
    assert_eq!(response.markers[0].topics[0].partitions[0].error_code, 0);
}

fn put_in_transaction(bench: &mut Bench, producer: BatchProducer, records: &[(&str, Option<&str>)]) {
    let batch = encode_transactional_batch(&views(bench.now, records), producer);
    let id = TransactionalId(StrBytes::from_static_str("t"));
    let produce = produce_request(-1, 0, batch).with_transactional_id(Some(id));
    // A client that knows nothing of transaction.version 2, and a broker that verifies nothing: no coordinator is needed.
    let request = Request { client_id: StrBytes::default(), version: 11, kind: produce.into() };
    bench.correlation += 1;
    let outputs = bench.broker.handle(bench.now, CONN, bench.correlation, request);
    let response: ProduceResponse = answer(&outputs, bench.correlation).expect("an answer at once");
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
}

#[test]
fn h69_the_last_record_of_each_key_stays_in_order_at_its_offset() {
    let mut bench = compacted(|_| {});
    put(&mut bench, &[("a", Some("1")), ("b", Some("1")), ("a", Some("2"))]);
    put(&mut bench, &[("c", Some("1"))]);
    put(&mut bench, &[("b", Some("2")), ("c", Some("2"))]);
    roll(&mut bench);
    put(&mut bench, &[("a", Some("3"))]);
    clean(&mut bench);
    assert_eq!(data(&mut bench), ["2 a=2", "4 b=2", "5 c=2", "6 a=3"], "the active segment does not count");
    assert_eq!(shapes(&mut bench), [(0, 2, 1), (4, 5, 2), (6, 6, 1)], "a batch that is empty is gone");
    let at = TopicPartition::new(TOPIC, 0);
    assert_eq!(bench.broker.log_range(&at), Some((0, 7)));
}

#[test]
fn h69_a_reader_in_a_hole_goes_on_at_the_next_batch() {
    let mut bench = compacted(|_| {});
    for value in ["1", "2", "3"] {
        put(&mut bench, &[("a", Some(value))]);
    }
    roll(&mut bench);
    put(&mut bench, &[("b", Some("1"))]);
    clean(&mut bench);
    let from_hole = bench.read(0, 1, 1 << 20);
    assert_eq!(from_hole.error_code, 0);
    let bases: Vec<i64> = batches(from_hole).iter().map(|(header, _)| header.base_offset).collect();
    assert_eq!(bases, [2, 3]);
}

#[test]
fn h69_a_broker_wakes_once_for_what_can_be_compacted_and_then_sleeps() {
    let mut bench = compacted(|_| {});
    put(&mut bench, &[("a", Some("1")), ("a", Some("2"))]);
    assert_eq!(bench.broker.next_deadline(), None, "the active segment is left alone");
    roll(&mut bench);
    put(&mut bench, &[("a", Some("3"))]);
    let due = bench.broker.next_deadline().expect("a segment is no longer active");
    assert!(due % BACKOFF_MS == 0 && due - bench.now <= BACKOFF_MS, "{due}");
    bench.pass(due - bench.now - 1);
    assert_eq!(data(&mut bench).len(), 3);
    bench.pass(1);
    assert_eq!(data(&mut bench), ["1 a=2", "2 a=3"]);
    assert_eq!(bench.broker.next_deadline(), None);
}

#[test]
fn h69_a_log_waits_until_it_is_dirty_enough() {
    let mut bench = compacted(|topic| topic.min_cleanable_dirty_ratio_ppm = 500_000);
    for value in ["1", "2"] {
        for key in ["a", "b", "c", "d", "e", "f"] {
            put(&mut bench, &[(key, Some(value))]);
        }
    }
    roll(&mut bench);
    put(&mut bench, &[("a", Some("3"))]);
    clean(&mut bench);
    assert_eq!(data(&mut bench).len(), 7, "all of it was dirty");
    roll(&mut bench);
    put(&mut bench, &[("a", Some("4"))]);
    clean(&mut bench);
    assert_eq!(data(&mut bench).len(), 8, "one of seven is too little");
    assert_eq!(bench.broker.next_deadline(), None);
}

#[test]
fn h69_max_compaction_lag_ms_is_soon_enough_for_any_log() {
    let mut bench = compacted(|topic| {
        topic.min_cleanable_dirty_ratio_ppm = 1_000_000;
        topic.max_compaction_lag_ms = 600_000;
    });
    put(&mut bench, &[("a", Some("1")), ("a", Some("2"))]);
    roll(&mut bench);
    put(&mut bench, &[("b", Some("1"))]);
    bench.pass(600_000 - SEGMENT_MS - BACKOFF_MS);
    assert_eq!(data(&mut bench).len(), 3);
    bench.pass(2 * BACKOFF_MS);
    assert_eq!(data(&mut bench), ["1 a=2", "2 b=1"]);
}

#[test]
fn h69_records_younger_than_min_compaction_lag_ms_stay() {
    let mut bench = compacted(|topic| topic.min_compaction_lag_ms = 600_000);
    put(&mut bench, &[("a", Some("1")), ("a", Some("2"))]);
    roll(&mut bench);
    put(&mut bench, &[("b", Some("1"))]);
    clean(&mut bench);
    assert_eq!(data(&mut bench).len(), 3);
    let due = bench.broker.next_deadline().expect("it grows old");
    assert!((1_600_000..=1_600_000 + BACKOFF_MS).contains(&due), "{due}");
    bench.pass(600_000);
    assert_eq!(data(&mut bench), ["1 a=2", "2 b=1"]);
    assert_eq!(bench.broker.next_deadline(), None);
}

#[test]
fn h69_a_tombstone_outlives_what_it_deletes_by_delete_retention_ms() {
    let mut bench = compacted(|topic| topic.delete_retention_ms = DAY_MS);
    put(&mut bench, &[("a", Some("1")), ("a", None)]);
    for _ in 0..2 {
        roll(&mut bench);
        put(&mut bench, &[("b", Some("1"))]);
        clean(&mut bench);
    }
    assert_eq!(data(&mut bench)[..1], ["1 a=-"]);
    assert_eq!(stored(&mut bench)[0].1[0].timestamp, 1_000_000, "its own time stamp stays");
    bench.pass(DAY_MS);
    assert_eq!(data(&mut bench)[..1], ["1 a=-"], "it goes when the log is compacted again, not before");
    put(&mut bench, &[("b", Some("2"))]);
    clean(&mut bench);
    assert!(!data(&mut bench).iter().any(|record| record.contains("a=")));
}

#[test]
fn h69_the_last_batch_of_a_producer_keeps_its_sequence_and_loses_its_records() {
    let mut bench = compacted(|_| {});
    for sequence in 0..2 {
        let batch = encode_batch(&views(bench.now, &[("a", Some("1"))]), Some(producer(7, sequence)));
        bench.append(0, batch).expect("appended");
    }
    put(&mut bench, &[("a", Some("2"))]);
    roll(&mut bench);
    put(&mut bench, &[("b", Some("1"))]);
    clean(&mut bench);
    assert_eq!(shapes(&mut bench), [(1, 1, 0), (2, 2, 1), (3, 3, 1)]);
    assert_eq!(stored(&mut bench)[0].0.base_sequence, 1);
}

#[test]
fn h69_nothing_at_or_above_the_last_stable_offset_is_compacted() {
    let mut bench = compacted(|_| {});
    put(&mut bench, &[("a", Some("1")), ("a", Some("2"))]);
    roll(&mut bench);
    put_in_transaction(&mut bench, producer(7, 0), &[("a", Some("3")), ("a", Some("4"))]);
    roll(&mut bench);
    put(&mut bench, &[("b", Some("1"))]);
    clean(&mut bench);
    assert_eq!(data(&mut bench), ["1 a=2", "2 a=3", "3 a=4", "4 b=1"]);
    assert_eq!(bench.broker.next_deadline(), None, "an open transaction is not asked again and again");
    end_transaction(&mut bench, 7, true);
    clean(&mut bench);
    assert_eq!(data(&mut bench), ["3 a=4", "4 b=1"]);
}

#[test]
fn h69_aborted_records_go_and_their_marker_when_nobody_needs_it() {
    let mut bench = compacted(|topic| topic.delete_retention_ms = 60_000);
    put(&mut bench, &[("a", Some("1"))]);
    put_in_transaction(&mut bench, producer(7, 0), &[("a", Some("aborted"))]);
    end_transaction(&mut bench, 7, false);
    put_in_transaction(&mut bench, producer(7, 1), &[("c", Some("1"))]);
    end_transaction(&mut bench, 7, true);
    roll(&mut bench);
    put(&mut bench, &[("b", Some("1"))]);
    clean(&mut bench);
    assert_eq!(data(&mut bench), ["0 a=1", "3 c=1", "5 b=1"], "an aborted record replaces nothing");
    assert_eq!(markers(&mut bench), [2, 4]);
    // Now it is known that nothing of the aborted transaction is there: its marker's time begins.
    put(&mut bench, &[("b", Some("2"))]);
    clean(&mut bench);
    assert_eq!(markers(&mut bench), [2, 4]);
    bench.pass(60_000);
    put(&mut bench, &[("b", Some("3"))]);
    clean(&mut bench);
    assert_eq!(markers(&mut bench), [4], "the committed record is still there");
    assert_eq!(data(&mut bench)[..2], ["0 a=1", "3 c=1"]);
}

fn markers(bench: &mut Bench) -> Vec<i64> {
    let records = stored(bench).into_iter().filter(|(header, _)| header.is_control());
    let markers =
        records.flat_map(|(_, records)| records).filter(|record| EndTxnMarker::of(record).is_some());
    markers.map(|record| record.offset).collect()
}

#[test]
fn h69_compact_and_delete_does_both() {
    let mut bench = compacted(|topic| {
        topic.cleanup_policy = CleanupPolicy::CompactAndDelete;
        topic.retention_ms = DAY_MS;
    });
    put(&mut bench, &[("a", Some("1")), ("a", Some("2"))]);
    roll(&mut bench);
    put(&mut bench, &[("b", Some("1"))]);
    clean(&mut bench);
    assert_eq!(data(&mut bench), ["1 a=2", "2 b=1"]);
    bench.pass(DAY_MS + 600_000);
    let at = TopicPartition::new(TOPIC, 0);
    assert_eq!(bench.broker.log_range(&at), Some((3, 3)));
}

#[test]
fn h69_a_new_process_goes_on_where_the_last_one_was() {
    let mut bench = compacted(|_| {});
    put(&mut bench, &[("a", Some("1")), ("a", Some("2"))]);
    roll(&mut bench);
    put(&mut bench, &[("a", Some("3"))]);
    bench.broker.crash();
    let outputs: Vec<Output> = bench.broker.restart(bench.now);
    assert!(outputs.iter().all(|output| !matches!(output, Output::Truncated { .. })));
    bench.pass(BACKOFF_MS);
    assert_eq!(data(&mut bench), ["1 a=2", "2 a=3"]);
}

fn move_leader(world: &mut World, at: &TopicPartition, to: i32) {
    let mut state = world.state.borrow_mut();
    let now = state.now;
    let (moved, outputs) = state.controller.move_leader(now, at, to);
    assert!(moved, "it is in sync");
    state.emit_controllers(outputs);
    drop(state);
    world.run_for(1_000);
}

/// Offsets and values.
fn contents(data: Option<PartitionData>) -> Vec<(i64, Option<Bytes>)> {
    let records = batches(data.expect("it leads")).into_iter().flat_map(|(_, records)| records);
    records.map(|record| (record.offset, record.value)).collect()
}

/// All batches of the test's topic at a broker, as a consumer reads them there; `None` where it does not lead.
fn read_at(world: &mut World, broker: i32, offset: i64) -> Option<PartitionData> {
    let link = world.link();
    let request = Request::new(StrBytes::default(), fetch_request(&[(0, offset)], 0, 1 << 20));
    let response = world.block_on(async move { link.call(broker, request, 5_000).await }).ok()?;
    let response = FetchResponse::try_from(response).expect("in kind");
    Some(response.responses[0].partitions[0].clone()).filter(|data| data.error_code == 0)
}

fn produce_at(world: &mut World, broker: i32, batch: Bytes) {
    let link = world.link();
    let request = Request::new(StrBytes::default(), produce_request(-1, 0, batch));
    let response = world.block_on(async move { link.call(broker, request, 5_000).await });
    let response = ProduceResponse::try_from(response.expect("an answer")).expect("in kind");
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
}

#[test]
fn h69_every_replica_compacts_for_itself_and_a_new_one_copies_the_holes() {
    let topic = TopicSpec {
        cleanup_policy: CleanupPolicy::Compact,
        segment_ms: SEGMENT_MS,
        min_cleanable_dirty_ratio_ppm: 10_000,
        ..TopicSpec::new(TOPIC, 1)
    };
    let mut world = World::replicated(vec![topic], |_| {});
    world.run_for(1_000);
    let at = TopicPartition::new(TOPIC, 0);
    let leader = world.state.borrow().leader_of(&at).expect("it has one");
    let [late, other] = [1, 2].map(|step| (leader + step) % 3);
    world.state.borrow_mut().crash(late);
    world.run_for(30_000);
    for value in ["1", "2", "3"] {
        let now = world.state.borrow().now;
        produce_at(&mut world, leader, encode_batch(&views(now, &[("a", Some(value)), ("b", None)]), None));
    }
    world.run_for(SEGMENT_MS + 1);
    let now = world.state.borrow().now;
    produce_at(&mut world, leader, encode_batch(&views(now, &[("c", Some("1"))]), None));
    world.run_for(2 * BACKOFF_MS);
    let expected = contents(read_at(&mut world, leader, 0));
    assert_eq!(expected.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [4, 5, 6]);
    // The one that was away has nothing but what the leader has now.
    world.state.borrow_mut().restart(late);
    world.run_for(30_000);
    for next in [other, late] {
        move_leader(&mut world, &at, next);
        assert_eq!(contents(read_at(&mut world, next, 1)), expected, "at {next}, from a hole on");
    }
}
#[test]
fn h69_the_coordinators_topics_are_compacted() {
    let mut bench = Bench::with(|config| {
        let settings = &mut config.cluster.settings;
        assert!(settings.set("offsets.topic.segment.bytes", "4096"));
        settings.offsets_topic_num_partitions = 1;
    });
    for offset in 0..500 {
        assert_eq!(bench.commit("", -1, 0, offset), Ok(()));
        bench.pass(1_000);
    }
    clean(&mut bench);
    let state = TopicPartition::new(kafka::cluster::CONSUMER_OFFSETS, 0);
    let (start, end) = bench.broker.log_range(&state).expect("led here");
    assert!(start == 0 && end >= 500, "{start}..{end}");
    let mut request = fetch_request(&[(0, 0)], 0, 1 << 20);
    request.topics[0].topic = state.topic;
    let response: FetchResponse = bench.call(request);
    let kept = batches(response.responses[0].partitions[0].clone());
    assert!(kept.len() < 100, "{}", kept.len());
    bench.broker.crash();
    bench.broker.restart(bench.now);
    assert_eq!(bench.committed(0), 499);
}
