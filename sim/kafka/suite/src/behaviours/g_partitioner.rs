//! G: which partition a key belongs to.

use bytes::Bytes;
use kafka::topic_name;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

use crate::clients::ToSend;
use crate::list::behaviours;
use crate::stage::{Stage, check};
use crate::topic::Topic;

behaviours! {
    "librdkafka places keys by CRC32, and with murmur2_random as Java does"
        => g63_keys_have_the_partitions_of_the_vectors [Producer];
    "records without a key stick to a partition for sticky.partitioning.linger.ms, and then to another"
        => g64_records_without_a_key_stick_for_a_while [Producer];
    "with more partitions a key belongs elsewhere"
        => g65_added_partitions_move_keys [Producer];
}

const WAIT_MS: i64 = 30_000;
/// Key, its partition of 8 by murmur2, by CRC32.
const VECTORS: [(&str, i32, i32); 7] = [
    ("order-12345", 1, 3),
    ("AAPL", 1, 4),
    ("ACC-00000042", 3, 3),
    ("k0", 1, 7),
    ("k3", 0, 5),
    ("foobar", 6, 5),
    ("21", 4, 4),
];

fn keyed(topic: &Topic, key: Option<&str>) -> ToSend {
    ToSend {
        topic: topic.name.clone(),
        partition: None,
        key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
        value: Some(Bytes::from_static(b"v")),
        headers: Vec::new(),
        timestamp: None,
    }
}

/// Where records with these keys go.
async fn places(stage: &Stage, settings: &[(&str, &str)], topic: &Topic, keys: &[Option<&str>]) -> Vec<i32> {
    let producer = stage.producer(settings);
    for key in keys {
        producer.produce(keyed(topic, *key)).expect("the queue has room");
    }
    producer.flush(WAIT_MS).await.expect("all reported");
    let mut reports = producer.reports();
    reports.sort_by_key(|report| report.number);
    assert!(reports.iter().all(|report| report.error.is_none()), "{reports:?}");
    reports.iter().map(|report| report.partition).collect()
}

async fn g63_keys_have_the_partitions_of_the_vectors(stage: Stage) {
    let topic = stage.topic("t", 8, &[]).await;
    let keys: Vec<Option<&str>> = VECTORS.iter().map(|(key, ..)| Some(*key)).collect();
    let murmur2: Vec<i32> = VECTORS.iter().map(|(_, murmur2, _)| *murmur2).collect();
    let crc32: Vec<i32> = VECTORS.iter().map(|(.., crc32)| *crc32).collect();
    assert_eq!(places(&stage, &[], &topic, &keys).await, crc32, "the default");
    assert_eq!(places(&stage, &[("partitioner", "murmur2_random")], &topic, &keys).await, murmur2);
    let empty = places(&stage, &[("partitioner", "murmur2_random")], &topic, &[Some("")]).await;
    assert_eq!(empty, [1], "murmur2 hashes the empty key");
}

async fn g64_records_without_a_key_stick_for_a_while(stage: Stage) {
    let topic = stage.topic("t", 8, &[]).await;
    let settings = [("sticky.partitioning.linger.ms", "200"), ("linger.ms", "5")];
    let producer = stage.producer(&settings);
    let mut of_rounds = Vec::new();
    for _ in 0..12 {
        for _ in 0..5 {
            producer.produce(keyed(&topic, None)).expect("the queue has room");
        }
        producer.flush(WAIT_MS).await.expect("all reported");
        let mut partitions: Vec<i32> = producer.reports().iter().map(|report| report.partition).collect();
        assert_eq!(partitions.len(), 5);
        partitions.dedup();
        of_rounds.push(partitions);
        stage.sleep(300).await;
    }
    let stuck = of_rounds.iter().filter(|partitions| partitions.len() == 1).count();
    assert!(stuck >= 10, "those of one moment go to one partition: {of_rounds:?}");
    of_rounds.sort();
    of_rounds.dedup();
    assert!(of_rounds.len() > 1, "later ones to others: {of_rounds:?}");
}

async fn g65_added_partitions_move_keys(stage: Stage) {
    let topic = stage.topic("t", 2, &[]).await;
    let keys: Vec<Option<&str>> = VECTORS.iter().map(|(key, ..)| Some(*key)).collect();
    let settings = [("partitioner", "murmur2_random")];
    let before = places(&stage, &settings, &topic, &keys).await;
    let asked = CreatePartitionsTopic::default()
        .with_name(topic_name(&topic.name))
        .with_count(8)
        .with_assignments(None);
    let request = CreatePartitionsRequest::default().with_topics(vec![asked]).with_timeout_ms(10_000);
    let controller = stage.controller().await.expect("a controller");
    let answer: CreatePartitionsResponse = stage.ask(controller, request).await;
    assert_eq!(check(answer.results[0].error_code), Ok(()));
    topic.wait_until_led(8, 3).await;
    let after = places(&stage, &settings, &topic, &keys).await;
    let murmur2: Vec<i32> = VECTORS.iter().map(|(_, murmur2, _)| *murmur2).collect();
    assert_eq!(after, murmur2);
    assert!(before.iter().all(|partition| *partition < 2));
    assert_ne!(before, after, "the order of a key's records ends here");
}
