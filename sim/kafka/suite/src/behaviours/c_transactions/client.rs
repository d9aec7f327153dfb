//! Transactions as a client sees them.

use bytes::Bytes;

use crate::clients::{Polled, ToSend};
use crate::list::behaviours;
use crate::stage::Stage;
use crate::topic::Topic;

behaviours! {
    "a commit that got no answer in time may be repeated, and is then known"
        => c29_a_commit_without_an_answer_is_repeated [Producer, Transactions, Pause];
    "what does not fit the producer's state is refused by the client: _STATE"
        => c36_the_client_knows_its_state [Producer, Transactions];
    "an abort does not take the consumer's position back"
        => c37_an_abort_leaves_the_position [Producer, Transactions, Consumer];
}

const WAIT_MS: i64 = 30_000;

pub fn record(topic: &Topic, partition: i32, value: &str) -> ToSend {
    ToSend {
        topic: topic.name.clone(),
        partition: Some(partition),
        key: None,
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        headers: Vec::new(),
        timestamp: None,
    }
}

async fn c29_a_commit_without_an_answer_is_repeated(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let id = stage.name("p");
    let producer = stage.producer(&[("transactional.id", &id)]);
    producer.init_transactions(WAIT_MS).await.expect("a coordinator");
    producer.begin_transaction().expect("initialised");
    producer.produce(record(&topic, 0, "v")).expect("begun");
    producer.flush(WAIT_MS).await.expect("all reported");
    let coordinator = stage.transaction_coordinator(&id).await;
    stage.cluster.pause(coordinator).await;
    let unknown = producer.commit_transaction(2_000).await.expect_err("nobody answers");
    assert!(unknown.retriable && !unknown.fatal && !unknown.abortable, "{unknown}");
    stage.cluster.resume(coordinator).await;
    producer.commit_transaction(WAIT_MS).await.expect("committed once");
    topic.wait_until_stable(0).await;
    let records = topic.read(0, crate::topic::Isolation::ReadCommitted).await;
    assert_eq!(records.iter().filter(|record| !record.control).count(), 1);
    assert_eq!(records.len(), 2, "with one marker");
}

async fn c36_the_client_knows_its_state(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let producer = stage.producer(&[("transactional.id", &stage.name("p"))]);
    assert!(producer.begin_transaction().expect_err("not initialised").is_local("_STATE"));
    producer.init_transactions(WAIT_MS).await.expect("a coordinator");
    assert!(producer.produce(record(&topic, 0, "v")).expect_err("not begun").is_local("_STATE"));
    assert!(producer.commit_transaction(WAIT_MS).await.expect_err("not begun").is_local("_STATE"));
    producer.begin_transaction().expect("initialised");
    assert!(producer.begin_transaction().expect_err("begun").is_local("_STATE"));
    producer.produce(record(&topic, 0, "v")).expect("begun");
    producer.commit_transaction(WAIT_MS).await.expect("committed");
    assert!(producer.produce(record(&topic, 0, "v")).expect_err("committed").is_local("_STATE"));
}

async fn c37_an_abort_leaves_the_position(stage: Stage) {
    let input = stage.topic("in", 1, &[]).await;
    for _ in 0..3 {
        input.produce(0, -1, crate::batch::batch(&["v"])).await.expect("appended");
    }
    let consumer = stage.consumer("g", &[]);
    consumer.subscribe(&[&input.name]).expect("a topic");
    let producer = stage.producer(&[("transactional.id", &stage.name("p"))]);
    producer.init_transactions(WAIT_MS).await.expect("a coordinator");
    producer.begin_transaction().expect("initialised");
    let read = stage
        .eventually("a record", async || match consumer.poll(1_000).await {
            Some(Polled::Record(read)) => Some(read),
            _ => None,
        })
        .await;
    assert_eq!(read.offset, 0);
    let next = [(input.partition(0), 1)];
    let group = consumer.group_metadata();
    producer.send_offsets_to_transaction(&next, &group, WAIT_MS).await.expect("a member");
    producer.abort_transaction(WAIT_MS).await.expect("aborted");
    stage
        .eventually("nothing is committed, for certain", async || {
            (consumer.committed(&input.partition(0), WAIT_MS).await == Ok(None)).then_some(())
        })
        .await;
    assert_eq!(consumer.position(&input.partition(0)), Some(1), "nobody took it back");
    let read = stage
        .eventually("a record", async || match consumer.poll(1_000).await {
            Some(Polled::Record(read)) => Some(read),
            _ => None,
        })
        .await;
    assert_eq!(read.offset, 1, "so the first one is skipped by who does not seek");
}
