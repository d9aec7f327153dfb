//! F: isolation and the last stable offset.

use bytes::Bytes;

use super::c_transactions::record;
use crate::batch::{batch, value};
use crate::clients::Polled;
use crate::list::behaviours;
use crate::stage::Stage;
use crate::topic::Isolation::{ReadCommitted, ReadUncommitted};
use crate::topic::{LATEST, Topic};

behaviours! {
    "read_committed ends at the first open transaction, and holds back other records behind it"
        => f57_the_last_stable_offset_holds_back_what_is_behind_an_open_transaction;
    "aborted records are sent, with a list of aborted transactions to read_committed only"
        => f58_readers_leave_out_aborted_records_themselves;
    "librdkafka reads committed records unless told otherwise; read_uncommitted sees open and aborted ones"
        => f59_isolation_is_the_readers_choice [Producer, Transactions, Consumer];
    "the end that read_committed is told is the last stable offset"
        => f60_the_end_depends_on_the_isolation [Consumer];
    "transactions interleave in a partition: nobody waits for another's end"
        => f61_transactions_interleave;
    "records stay in the order of their appends, not of their commits"
        => f62_a_partition_has_the_order_of_appends;
}

const WAIT_MS: i64 = 30_000;

async fn f57_the_last_stable_offset_holds_back_what_is_behind_an_open_transaction(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    topic.produce(0, -1, batch(&["before"])).await.expect("appended");
    let producer = stage.transactional("p", 60_000).await;
    producer.write(&topic, 0, 0, &["open"]).await;
    topic.produce(0, -1, batch(&["behind"])).await.expect("appended");
    let fetched = topic.fetch(0, 0, ReadCommitted).await;
    assert_eq!((fetched.last_stable_offset, fetched.high_watermark), (1, 3));
    assert_eq!(fetched.records.iter().map(value).collect::<Vec<_>>(), ["before"]);
    assert_eq!(topic.offset(0, LATEST, ReadCommitted).await.0, 1);
    assert_eq!(topic.read(0, ReadUncommitted).await.len(), 3);
    producer.end_in(true, &topic, &[0]).await;
    assert_eq!(data(&topic).await, ["before", "open", "behind"]);
}

/// All records but the control records.
async fn data(topic: &Topic) -> Vec<String> {
    topic.read(0, ReadCommitted).await.iter().filter(|record| !record.control).map(value).collect()
}

async fn f58_readers_leave_out_aborted_records_themselves(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let producer = stage.transactional("p", 60_000).await;
    producer.write(&topic, 0, 0, &["aborted"]).await;
    producer.end_in(false, &topic, &[0]).await;
    producer.write(&topic, 0, 1, &["committed"]).await;
    producer.end_in(true, &topic, &[0]).await;
    let committed = topic.fetch(0, 0, ReadCommitted).await;
    assert_eq!(committed.aborted, [(producer.producer_id, 0)]);
    assert_eq!(committed.records.len(), 4, "records and markers, aborted or not");
    assert!(topic.fetch(0, 0, ReadUncommitted).await.aborted.is_empty());
    let behind = topic.fetch(0, 2, ReadCommitted).await;
    assert!(behind.aborted.is_empty(), "none of those is behind offset 2: {:?}", behind.aborted);
}

async fn f59_isolation_is_the_readers_choice(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let producer = stage.producer(&[("transactional.id", &stage.name("p"))]);
    producer.init_transactions(WAIT_MS).await.expect("a coordinator");
    for (value, commits) in [("aborted", false), ("committed", true)] {
        producer.begin_transaction().expect("initialised");
        producer.produce(record(&topic, 0, value)).expect("begun");
        producer.flush(WAIT_MS).await.expect("all reported");
        match commits {
            true => producer.commit_transaction(WAIT_MS).await.expect("committed"),
            false => producer.abort_transaction(WAIT_MS).await.expect("aborted"),
        }
    }
    topic.wait_until_stable(0).await;
    producer.begin_transaction().expect("initialised");
    producer.produce(record(&topic, 0, "open")).expect("begun");
    producer.flush(WAIT_MS).await.expect("all reported");
    assert_eq!(read_by(&stage, "default", &[], &topic, 1).await, ["committed"]);
    let uncommitted = [("isolation.level", "read_uncommitted")];
    let seen = read_by(&stage, "uncommitted", &uncommitted, &topic, 3).await;
    assert_eq!(seen, ["aborted", "committed", "open"]);
    producer.abort_transaction(WAIT_MS).await.expect("aborted");
}

/// What a consumer is handed until there is as much as wanted, and a while later.
async fn read_by(
    stage: &Stage,
    group: &str,
    settings: &[(&str, &str)],
    topic: &Topic,
    wanted: usize,
) -> Vec<String> {
    let consumer = stage.consumer(group, settings);
    consumer.subscribe(&[&topic.name]).expect("a topic");
    let mut seen = Vec::new();
    stage
        .eventually("all that it may see", async || {
            if let Some(Polled::Record(read)) = consumer.poll(500).await {
                seen.push(read.value.unwrap_or_else(Bytes::new));
            }
            (seen.len() >= wanted).then_some(())
        })
        .await;
    if let Some(Polled::Record(read)) = consumer.poll(1_500).await {
        panic!("and then {read:?}");
    }
    consumer.close().await;
    seen.iter().map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

async fn f60_the_end_depends_on_the_isolation(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    topic.produce(0, -1, batch(&["before"])).await.expect("appended");
    let producer = stage.transactional("p", 60_000).await;
    producer.write(&topic, 0, 0, &["open"]).await;
    for (level, end) in [("read_committed", 1), ("read_uncommitted", 2)] {
        let consumer = stage.consumer(level, &[("isolation.level", level)]);
        consumer.subscribe(&[&topic.name]).expect("a topic");
        stage
            .eventually("a record", async || match consumer.poll(500).await {
                Some(Polled::Record(read)) => Some(read),
                _ => None,
            })
            .await;
        let watermarks = stage
            .eventually("the leader answers", async || {
                consumer.watermarks(&topic.partition(0), WAIT_MS).await.ok()
            })
            .await;
        assert_eq!(watermarks, (0, end), "{level}");
        consumer.close().await;
    }
    producer.end_in(false, &topic, &[0]).await;
}

async fn f61_transactions_interleave(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let first = stage.transactional("first", 60_000).await;
    let second = stage.transactional("second", 60_000).await;
    first.write(&topic, 0, 0, &["a1"]).await;
    second.write(&topic, 0, 0, &["b1"]).await;
    first.write(&topic, 0, 1, &["a2"]).await;
    second.write(&topic, 0, 1, &["b2"]).await;
    second.end(true).await;
    first.end_in(true, &topic, &[0]).await;
    assert_eq!(data(&topic).await, ["a1", "b1", "a2", "b2"]);
}

async fn f62_a_partition_has_the_order_of_appends(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let long = stage.transactional("long", 60_000).await;
    let short = stage.transactional("short", 60_000).await;
    long.write(&topic, 0, 0, &["long"]).await;
    short.write(&topic, 0, 0, &["short"]).await;
    short.end(true).await;
    topic.produce(0, -1, batch(&["plain"])).await.expect("appended");
    assert_eq!(topic.offset(0, LATEST, ReadCommitted).await.0, 0, "the long one is open");
    long.end_in(true, &topic, &[0]).await;
    assert_eq!(data(&topic).await, ["long", "short", "plain"]);
}
