//! What a log says of offsets and times, and how much a fetch brings.

use crate::batch::{batch, value};
use crate::list::behaviours;
use crate::stage::Stage;
use crate::topic::EARLIEST;
use crate::topic::Isolation::{ReadCommitted, ReadUncommitted};

behaviours! {
    "offsets of a partition rise, with gaps"
        => h66_offsets_rise_with_gaps;
    "time stamps are the client's or the broker's; a time is looked up as the first record not before it"
        => h70_a_time_is_looked_up;
    "a fetch brings at least one batch, however large"
        => h71_a_fetch_brings_at_least_one_batch;
}

async fn h66_offsets_rise_with_gaps(stage: Stage) {
    let topic = stage.topic("t", 2, &[]).await;
    let producer = stage.transactional("p", 60_000).await;
    for round in 0..3 {
        producer.write(&topic, 0, round, &["v"]).await;
        producer.end_in(round != 1, &topic, &[0]).await;
    }
    assert_eq!(topic.produce(0, -1, batch(&["last"])).await, Ok(6));
    let records = topic.read(0, ReadCommitted).await;
    let offsets: Vec<i64> =
        records.iter().filter(|record| !record.control).map(|record| record.offset).collect();
    assert_eq!(offsets, [0, 2, 4, 6], "markers are between them");
    assert_eq!(topic.produce(1, -1, batch(&["other"])).await, Ok(0), "partitions count for themselves");
}

async fn h70_a_time_is_looked_up(stage: Stage) {
    let topic = stage.topic("t", 1, &[("retention.ms", "-1")]).await;
    let base = stage.now() - 100_000;
    for ahead in [0, 5_000, 2_000, 9_000] {
        topic.produce(0, -1, batch(&["v"]).at(base + ahead)).await.expect("appended");
    }
    let at = async |ahead: i64| topic.offset(0, base + ahead, ReadUncommitted).await;
    assert_eq!(at(-1).await, (0, base));
    assert_eq!(at(1).await, (1, base + 5_000));
    assert_eq!(at(2_000).await, (1, base + 5_000), "by offset, though a later record is nearer");
    assert_eq!(at(5_001).await, (3, base + 9_000));
    assert_eq!(at(9_001).await, (-1, -1), "none");
    let settings = [("message.timestamp.type", "LogAppendTime")];
    let stamped = stage.topic("stamped", 1, &settings).await;
    let before = stage.now();
    stamped.produce(0, -1, batch(&["v"]).at(base)).await.expect("appended");
    let (offset, timestamp) = stamped.offset(0, before - 1_000, ReadUncommitted).await;
    assert_eq!(offset, 0);
    assert!(timestamp >= before - 1_000, "the broker's time, not the client's: {timestamp}");
}

async fn h71_a_fetch_brings_at_least_one_batch(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let large = "x".repeat(5_000);
    for _ in 0..3 {
        topic.produce(0, -1, batch(&[&large])).await.expect("appended");
    }
    let leader = topic.leader(0).await;
    let narrow = topic
        .try_fetch_at(leader, 0, 0, ReadUncommitted, |mut request| {
            request.max_bytes = 100;
            request.topics[0].partitions[0].partition_max_bytes = 100;
            request
        })
        .await
        .expect("an answer");
    let seen: Vec<usize> = narrow.records.iter().map(|record| value(record).len()).collect();
    assert_eq!(seen, [5_000], "one, and whole");
    assert!(narrow.bytes > 100);
    let bottom = topic.offset(0, EARLIEST, ReadUncommitted).await;
    assert_eq!(bottom.0, 0);
}
