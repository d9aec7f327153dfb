//! The Log port's first adapter, judged on every kind of brokers.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use host::ports::log::{Log, LogConsumer, LogEvent, OutRecord};
use kafka_suite::Stage;
use live::KafkaLog;

const PATIENCE: Duration = Duration::from_secs(60);

fn record(topic: &'static str, key: &str, value: usize) -> OutRecord {
    OutRecord {
        topic,
        key: Bytes::copy_from_slice(key.as_bytes()),
        value: Bytes::from(value.to_string()),
        headers: vec![("sequence", Bytes::from(value.to_string()))],
        timestamp_ms: 1_750_000_000_000,
    }
}

async fn next(consumer: &mut Box<dyn LogConsumer>) -> LogEvent {
    tokio::time::timeout(PATIENCE, consumer.poll()).await.expect("something happens")
}

/// Values of the next so many records of one partition.
async fn values(consumer: &mut Box<dyn LogConsumer>, count: usize) -> Vec<String> {
    let mut values = Vec::new();
    while values.len() < count {
        match next(consumer).await {
            LogEvent::Records { records, .. } => {
                values.extend(records.iter().map(|one| String::from_utf8_lossy(&one.value).into_owned()));
            }
            other => panic!("{other:?}"),
        }
    }
    values
}

pub async fn run(stage: Stage, bootstrap_servers: String) {
    let settings = [("retention.ms", "-1")];
    let created = stage.create_topic(&stage.name("t"), 2, 3, &settings).await;
    assert_eq!(created, Ok(()));
    // The port's topics are of a catalogue, which outlives all.
    let topic: &'static str = Box::leak(stage.name("t").into_boxed_str());
    let log = KafkaLog::new(bootstrap_servers, BTreeMap::from([(topic, 2)]));
    let mut producer = log.producer();
    let sent = producer.send((0..10).map(|number| record(topic, "k3", number)).collect()).await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    let partition = log.partition_of(topic, b"k3");
    let mut consumer = log.consumer(&stage.name("g"), &[topic]);
    let LogEvent::Assigned(mut assigned) = next(&mut consumer).await else { panic!("partitions come first") };
    assigned.sort();
    assert_eq!(assigned, [(topic.to_owned(), 0), (topic.to_owned(), 1)]);
    assert_eq!(consumer.bounds(topic, partition).await, Some((0, 10)));
    let early = tokio::time::timeout(Duration::from_secs(1), consumer.poll()).await;
    assert!(early.is_err(), "nothing comes before a seek: {early:?}");
    consumer.seek(topic, partition, 4);
    assert_eq!(values(&mut consumer, 6).await, ["4", "5", "6", "7", "8", "9"]);
    consumer.seek(topic, partition, 8);
    assert_eq!(values(&mut consumer, 2).await, ["8", "9"]);
    consumer.report(topic, partition, 10);
    consumer.seek(topic, partition, 99);
    match next(&mut consumer).await {
        LogEvent::OutOfRange { position, .. } => assert_eq!(position, 99),
        other => panic!("{other:?}"),
    }
    consumer.leave().await;
}
