//! Errors and their classes, and a pattern that depends on them.

use std::rc::Rc;

use bytes::Bytes;

use super::super::c_transactions::record;
use crate::batch::batch;
use crate::clients::{Consumer, Polled, Producer, Read, ToSend};
use crate::list::behaviours;
use crate::stage::Stage;

behaviours! {
    "errors have the class that programs branch on: fatal, to be aborted, or to be tried again"
        => i80_errors_have_their_class [Producer, Transactions, Consumer];
    "a record that cannot be processed and its offset go in one transaction, with key, headers and where it came from"
        => i81_a_dead_letter_and_its_offset_are_one_transaction [Producer, Transactions, Consumer];
}

const WAIT_MS: i64 = 30_000;

async fn transactional(stage: &Stage, id: &str, settings: &[(&str, &str)]) -> Rc<dyn Producer> {
    let id = stage.name(id);
    let mut all = vec![("transactional.id", id.as_str())];
    all.extend(settings);
    let producer = stage.producer(&all);
    producer.init_transactions(WAIT_MS).await.expect("a coordinator");
    producer
}

async fn next_record(stage: &Stage, consumer: &Rc<dyn Consumer>) -> Read {
    stage
        .eventually("a record", async || match consumer.poll(500).await {
            Some(Polled::Record(read)) => Some(read),
            _ => None,
        })
        .await
}

async fn i80_errors_have_their_class(stage: Stage) {
    let topic = stage.topic("t", 1, &[("max.message.bytes", "500")]).await;
    // To be aborted: a record that the broker refuses for good.
    let producer = transactional(&stage, "refused", &[]).await;
    producer.begin_transaction().expect("initialised");
    producer.produce(record(&topic, 0, &"x".repeat(1_000))).expect("begun");
    let error = producer.commit_transaction(WAIT_MS).await.expect_err("a record failed");
    assert!(error.abortable && !error.fatal && !error.retriable, "{error}");
    let again = producer.commit_transaction(WAIT_MS).await.expect_err("it can only be aborted");
    assert!(!again.fatal, "{again}");
    producer.abort_transaction(WAIT_MS).await.expect("aborted");
    // The first one after it may still meet the gap in the sequences that the refused record has left.
    stage
        .eventually("after the abort it goes on", async || {
            producer.begin_transaction().expect("the one before is over");
            producer.produce(record(&topic, 0, "v")).expect("begun");
            let Err(error) = producer.commit_transaction(WAIT_MS).await else { return Some(()) };
            assert!(error.abortable && !error.fatal, "{error}");
            producer.abort_transaction(WAIT_MS).await.expect("aborted");
            None
        })
        .await;
    // To be aborted: offsets of a member that is none any more.
    let consumer = stage.consumer("g", &[]);
    consumer.subscribe(&[&topic.name]).expect("a topic");
    next_record(&stage, &consumer).await;
    let stale = consumer.group_metadata();
    consumer.close().await;
    drop(consumer);
    producer.begin_transaction().expect("initialised");
    let offsets = [(topic.partition(0), 1)];
    let error = producer.send_offsets_to_transaction(&offsets, &stale, WAIT_MS).await;
    let error = error.expect_err("nobody of that name is a member");
    assert!(error.abortable && !error.fatal, "{error}");
    producer.abort_transaction(WAIT_MS).await.expect("aborted");
    // Fatal: another process has taken the id.
    producer.begin_transaction().expect("initialised");
    transactional(&stage, "refused", &[]).await;
    producer.produce(record(&topic, 0, "v")).expect("begun");
    let error = producer.commit_transaction(WAIT_MS).await.expect_err("fenced");
    assert!(error.fatal && error.is_local("_FENCED"), "{error}");
    let error = producer.abort_transaction(WAIT_MS).await.expect_err("nothing goes any more");
    assert!(error.fatal, "{error}");
}

async fn i81_a_dead_letter_and_its_offset_are_one_transaction(stage: Stage) {
    let input = stage.topic("in", 1, &[]).await;
    let letters = stage.topic("letters", 1, &[]).await;
    let poison = ToSend {
        topic: input.name.clone(),
        partition: Some(0),
        key: Some(Bytes::from_static(b"key")),
        value: Some(Bytes::from_static(b"poison")),
        headers: vec![("trace".into(), Bytes::from_static(b"7"))],
        timestamp: None,
    };
    let plain = stage.producer(&[]);
    plain.produce(poison).expect("queued");
    plain.flush(WAIT_MS).await.expect("all reported");
    input.produce(0, -1, batch(&["good"])).await.expect("appended");
    let consumer = stage.consumer("g", &[]);
    consumer.subscribe(&[&input.name]).expect("a topic");
    let read = next_record(&stage, &consumer).await;
    let producer = transactional(&stage, "p", &[]).await;
    producer.begin_transaction().expect("initialised");
    let mut headers = read.headers.clone();
    for (name, value) in [("topic", read.topic.clone()), ("offset", read.offset.to_string())] {
        headers.push((name.into(), Bytes::from(value)));
    }
    let letter = ToSend {
        topic: letters.name.clone(),
        partition: Some(0),
        key: read.key.clone(),
        value: read.value.clone(),
        headers,
        timestamp: None,
    };
    producer.produce(letter).expect("begun");
    let next = [(input.partition(0), read.offset + 1)];
    let group = consumer.group_metadata();
    producer.send_offsets_to_transaction(&next, &group, WAIT_MS).await.expect("a member");
    producer.commit_transaction(WAIT_MS).await.expect("committed");
    assert_eq!(next_record(&stage, &consumer).await.value, Some(Bytes::from_static(b"good")));
    stage
        .eventually("the offset is committed with it", async || {
            let committed = consumer.committed(&input.partition(0), WAIT_MS).await;
            (committed == Ok(Some(1))).then_some(())
        })
        .await;
    let reader = stage.consumer("operators", &[]);
    reader.subscribe(&[&letters.name]).expect("a topic");
    let found = next_record(&stage, &reader).await;
    assert_eq!(found.key, Some(Bytes::from_static(b"key")));
    let names: Vec<&str> = found.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["trace", "topic", "offset"]);
    consumer.close().await;
    reader.close().await;
}
