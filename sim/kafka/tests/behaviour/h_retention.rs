//! H67, H68: logs that lose their beginning by themselves, or because somebody deletes it.

use kafka::{ResponseError, TopicPartition};

use crate::bench::{Bench, TOPIC, batch, idempotent, plain};

const MINUTE_MS: i64 = 60_000;
const CHECK_MS: i64 = 5 * MINUTE_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;

fn first() -> TopicPartition {
    TopicPartition::new(TOPIC, 0)
}

fn hourly() -> Bench {
    let mut bench = Bench::with(|config| config.cluster.topics[0].retention_ms = HOUR_MS);
    bench.now = 10 * HOUR_MS;
    bench
}

/// Log start and end of partition 0.
fn range(bench: &Bench) -> (i64, i64) {
    bench.broker.log_range(&first()).expect("led here")
}

#[test]
fn h67_a_broker_wakes_for_the_first_check_that_finds_something_and_not_before() {
    let mut bench = hourly();
    assert_eq!(bench.broker.next_deadline(), None, "an empty log costs nothing");
    bench.now += 7 * MINUTE_MS;
    bench.append(0, batch(&["a"], bench.now, None)).expect("appended");
    assert_eq!(bench.broker.next_deadline(), Some(11 * HOUR_MS + 10 * MINUTE_MS));
    bench.pass(HOUR_MS + CHECK_MS);
    assert_eq!(range(&bench), (1, 1));
    assert_eq!(bench.broker.next_deadline(), None);
    assert_eq!(bench.append(0, plain(&["next"])), Ok(1));
}

#[test]
fn h67_a_segment_that_is_written_to_is_looked_at_once_an_hour_at_most() {
    let mut bench = hourly();
    let mut wakes = 0;
    for _ in 0..240 {
        bench.append(0, batch(&["a"], bench.now, None)).expect("appended");
        let until = bench.now + MINUTE_MS;
        while let Some(due) = bench.broker.next_deadline().filter(|due| *due <= until) {
            bench.now = due;
            bench.broker.tick(due);
            wakes += 1;
        }
        bench.now = until;
    }
    assert!(wakes <= 4, "{wakes}");
    assert_eq!(range(&bench), (0, 240), "its newest record holds the segment");
}

#[test]
fn h67_a_record_that_is_old_when_it_comes_goes_with_the_next_check() {
    let mut bench = hourly();
    bench.append(0, batch(&["old"], 5, None)).expect("appended");
    assert_eq!(bench.broker.next_deadline(), Some(bench.now + CHECK_MS));
    bench.pass(CHECK_MS);
    assert_eq!(range(&bench), (1, 1));
}

#[test]
fn h67_retention_goes_by_the_brokers_clock() {
    let mut bench = hourly();
    bench.append(0, batch(&["a"], bench.now, None)).expect("appended");
    let due = bench.broker.next_deadline().expect("it expires");
    bench.broker.set_clock(-HOUR_MS);
    assert_eq!(bench.broker.next_deadline(), Some(due + HOUR_MS), "a clock that was put back: later");
    bench.pass(HOUR_MS + CHECK_MS);
    assert_eq!(range(&bench), (0, 1));
    bench.broker.set_clock(0);
    bench.pass(CHECK_MS);
    assert_eq!(range(&bench), (1, 1));
}

#[test]
fn h67_a_log_keeps_retention_bytes_in_whole_segments() {
    let mut bench = Bench::with(|config| {
        let topic = &mut config.cluster.topics[0];
        (topic.retention_ms, topic.retention_bytes, topic.segment_bytes) = (-1, 250, 150);
    });
    for _ in 0..3 {
        bench.append(0, plain(&["about seventy bytes"])).expect("appended");
    }
    bench.pass(CHECK_MS);
    assert_eq!(range(&bench), (0, 3), "without the first segment there are less");
    for _ in 0..5 {
        bench.append(0, plain(&["about seventy bytes"])).expect("appended");
    }
    assert!(bench.broker.next_deadline().is_some_and(|check| check - bench.now <= CHECK_MS));
    bench.pass(CHECK_MS);
    let (start, end) = range(&bench);
    assert!(start > 0 && end == 8, "{start} to {end}");
    assert_eq!(bench.broker.next_deadline(), None, "until another segment is full");
}

#[test]
fn h67_topics_that_are_kept_for_ever_are_never_looked_at() {
    let mut bench = Bench::new();
    bench.append(0, batch(&["a"], 5, None)).expect("appended");
    assert_eq!(bench.broker.next_deadline(), None);
}

#[test]
fn h68_deleted_records_are_out_of_range_and_the_log_goes_on() {
    let mut bench = Bench::new();
    bench.append(0, plain(&["a", "b", "c"])).expect("appended");
    bench.append(0, plain(&["d"])).expect("appended");
    bench.broker.delete_records(&first(), 2).expect("in range");
    assert_eq!(range(&bench), (2, 4));
    let codes: Vec<i16> = (0..5).map(|offset| bench.read(0, offset, 1_000).error_code).collect();
    assert_eq!(codes, [1, 1, 0, 0, 0]);
    bench.broker.delete_records(&first(), 1).expect("nothing to do");
    assert_eq!(range(&bench), (2, 4), "it does not come back");
    assert_eq!(bench.broker.delete_records(&first(), 5), Err(ResponseError::OffsetOutOfRange));
    bench.broker.delete_records(&first(), -1).expect("all of it");
    assert_eq!(range(&bench), (4, 4));
    assert_eq!(bench.append(0, plain(&["e"])), Ok(4));
    let elsewhere = TopicPartition::new("nowhere", 0);
    assert_eq!(bench.broker.delete_records(&elsewhere, 0), Err(ResponseError::UnknownTopicOrPartition));
}

#[test]
fn h68_a_time_is_translated_to_the_first_record_that_stays() {
    let mut bench = Bench::new();
    for timestamp in [100, 200, 300] {
        bench.append(0, batch(&["a"], timestamp, None)).expect("appended");
    }
    assert_eq!(bench.broker.offset_at(&first(), 150), Some(1));
    assert_eq!(bench.broker.offset_at(&first(), 301), Some(3), "nothing stays");
    bench.broker.delete_records(&first(), 2).expect("in range");
    assert_eq!(bench.broker.offset_at(&first(), 150), Some(2), "what is deleted is not found");
}

#[test]
fn b16_a_repetition_is_recognised_although_its_records_are_deleted() {
    let mut bench = Bench::new();
    bench.append(0, idempotent(7, 0, 0, &["a"])).expect("appended");
    bench.broker.delete_records(&first(), -1).expect("all of it");
    assert_eq!(bench.append(0, idempotent(7, 0, 0, &["a"])), Ok(0));
    assert_eq!(range(&bench), (1, 1));
}
