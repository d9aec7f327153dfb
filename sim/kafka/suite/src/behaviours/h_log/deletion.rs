//! What becomes of old records: retention, DeleteRecords, compaction.

use bytes::Bytes;
use kafka::ResponseError;
use kafka_protocol::records::Record;

use crate::batch::{batch, keyed};
use crate::clients::Polled;
use crate::list::behaviours;
use crate::stage::Stage;
use crate::topic::Isolation::ReadUncommitted;
use crate::topic::{EARLIEST, LATEST};
use crate::transaction::Member;

behaviours! {
    "retention goes by the records' own time stamps: old ones are deleted early"
        => h67_retention_goes_by_the_records_time;
    "deleted records move the log's start, and who is behind it is out of range"
        => h68_deletion_moves_the_start;
    "a consumer below the log's start goes where auto.offset.reset says, in silence"
        => h68_a_consumer_below_the_start_is_reset [Consumer];
    "compaction keeps the last record of each key, in order, at its offset; records without a key are refused"
        => h69_compaction_keeps_the_last_of_each_key;
}

const WAIT_MS: i64 = 30_000;

async fn h67_retention_goes_by_the_records_time(stage: Stage) {
    let topic = stage.topic("t", 1, &[("retention.ms", "600000")]).await;
    let now = stage.now();
    let fresh = stage.topic("fresh", 1, &[("retention.ms", "600000")]).await;
    fresh.produce(0, -1, batch(&["now"]).at(now)).await.expect("appended");
    topic.produce(0, -1, batch(&["old"]).at(now - 3_600_000)).await.expect("appended");
    // log.retention.check.interval.ms is 1 s here.
    stage
        .eventually("it is deleted at once", async || {
            (topic.offset(0, EARLIEST, ReadUncommitted).await.0 == 1).then_some(())
        })
        .await;
    assert_eq!(topic.offset(0, LATEST, ReadUncommitted).await.0, 1);
    assert_eq!(fresh.offset(0, EARLIEST, ReadUncommitted).await.0, 0);
}

async fn h68_deletion_moves_the_start(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    for _ in 0..5 {
        topic.produce(0, -1, batch(&["v"])).await.expect("appended");
    }
    assert_eq!(topic.delete_before(0, 3).await, Ok(3));
    assert_eq!(topic.offset(0, EARLIEST, ReadUncommitted).await.0, 3);
    let behind = topic.fetch(0, 2, ReadUncommitted).await;
    assert_eq!(behind.error, Some(ResponseError::OffsetOutOfRange));
    let offsets: Vec<i64> = topic.read(0, ReadUncommitted).await.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, [3, 4]);
    assert_eq!(topic.delete_before(0, 9).await, Err(ResponseError::OffsetOutOfRange), "beyond the end");
    let beyond = topic.fetch(0, 6, ReadUncommitted).await;
    assert_eq!(beyond.error, Some(ResponseError::OffsetOutOfRange));
    assert_eq!(topic.delete_before(0, -1).await, Ok(5), "-1 is the high watermark");
}

async fn h68_a_consumer_below_the_start_is_reset(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    for _ in 0..5 {
        topic.produce(0, -1, batch(&["v"])).await.expect("appended");
    }
    topic.delete_before(0, 3).await.expect("deleted");
    let consumer = stage.consumer("g", &[("auto.offset.reset", "earliest")]);
    stage.commit(&Member::of(stage.name("g")), &topic, 0, 1).await;
    consumer.subscribe(&[&topic.name]).expect("a topic");
    let read = stage
        .eventually("a record", async || match consumer.poll(500).await {
            Some(Polled::Record(read)) => Some(read),
            Some(Polled::Error(error)) => panic!("{error}"),
            _ => None,
        })
        .await;
    assert_eq!(read.offset, 3, "1 and 2 are skipped in silence");
    assert_eq!(consumer.watermarks(&topic.partition(0), WAIT_MS).await, Ok((3, 5)));
    consumer.close().await;
}

async fn h69_compaction_keeps_the_last_of_each_key(stage: Stage) {
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "1000"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "600000"),
    ];
    let topic = stage.topic("t", 1, &settings).await;
    for (key, value) in [("a", Some("1")), ("b", Some("1")), ("a", Some("2")), ("b", None), ("c", Some("1"))]
    {
        topic.produce(0, -1, keyed(key, value)).await.expect("appended");
    }
    let keyless = topic.produce(0, -1, batch(&["v"])).await;
    assert_eq!(keyless, Err(ResponseError::InvalidRecord));
    stage.sleep(1_500).await;
    // The active segment is left alone: this one makes another.
    topic.produce(0, -1, keyed("d", Some("1"))).await.expect("appended");
    let expected = [(2, "a", Some("2")), (3, "b", None), (4, "c", Some("1")), (5, "d", Some("1"))];
    stage
        .eventually("it is compacted", async || {
            let records = topic.read(0, ReadUncommitted).await;
            let seen: Vec<(i64, Option<Bytes>, Option<Bytes>)> = records.into_iter().map(parts).collect();
            let expected =
                expected.map(|(offset, key, value)| (offset, Some(Bytes::from(key)), value.map(Bytes::from)));
            (seen == expected).then_some(())
        })
        .await;
    assert_eq!(topic.offset(0, LATEST, ReadUncommitted).await.0, 6, "offsets stay");
}

fn parts(record: Record) -> (i64, Option<Bytes>, Option<Bytes>) {
    (record.offset, record.key, record.value)
}
