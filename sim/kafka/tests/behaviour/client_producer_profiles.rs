//! The queueing producer with librdkafka's and Java's defaults: batching, pipelining, retries, gaps.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use kafka::client::{
    Acks, DeliveryReport, ErrorCode, LinkError, MessageStatus, ProduceError, Producer, ProducerConfig,
    ProducerRecord,
};
use kafka::records::decode_batch;
use kafka::{RequestKind, ResponseError, TopicSpec, topic_name};
use kafka_protocol::messages::ProduceResponse;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};

use crate::client_producer::{TOPIC, record, written};
use crate::world::{BROKERS, SimLink, World};

type Shared = Rc<RefCell<Producer<SimLink>>>;

fn librdkafka() -> ProducerConfig {
    ProducerConfig::librdkafka(BROKERS.to_vec(), "c")
}

fn java() -> ProducerConfig {
    ProducerConfig::java(BROKERS.to_vec(), "c")
}

fn one_partition() -> World {
    World::new(vec![TopicSpec::new(TOPIC, 1)])
}

fn producer(world: &World, config: ProducerConfig) -> Shared {
    Rc::new(RefCell::new(Producer::create(world.link(), config).expect("settings that go together")))
}

fn to(partition: i32, value: &str) -> ProducerRecord {
    ProducerRecord { partition: Some(partition), ..record("k", value) }
}

#[expect(clippy::await_holding_refcell_ref, reason = "one task at a time uses the producer")]
fn flush(world: &mut World, producer: &Shared, ms: i64) -> Vec<DeliveryReport> {
    let flushed = Rc::clone(producer);
    let _ = world.block_on(async move { flushed.borrow_mut().flush(ms).await });
    producer.borrow_mut().take_reports()
}

/// Lets the producer run for a while.
fn drive(world: &mut World, producer: &Shared, ms: i64) {
    use futures::FutureExt;
    let (driven, link) = (Rc::clone(producer), world.link());
    world.block_on({
        #[expect(clippy::await_holding_refcell_ref, reason = "one task at a time uses the producer")]
        async move {
            let mut driven = driven.borrow_mut();
            futures::select_biased! {
                () = driven.drive().fuse() => {}
                () = kafka::client::Link::sleep_ms(&*link, ms).fuse() => {}
            }
        }
    });
}

fn offsets(reports: &[DeliveryReport]) -> Vec<i64> {
    reports.iter().map(|report| report.result.expect("written").offset).collect()
}

fn produce(producer: &Shared, records: impl IntoIterator<Item = ProducerRecord>) {
    for record in records {
        producer.borrow_mut().produce(record).expect("queued");
    }
}

/// The values of each `Produce` as leaders get them, and what they answer: `None` is what the broker says itself.
type Judge = Box<dyn FnMut(usize, &[String]) -> Option<Result<i16, LinkError>>>;

/// Values of the batches in the order they came.
fn judged(world: &World, mut judge: Judge) -> Rc<RefCell<Vec<Vec<String>>>> {
    let seen: Rc<RefCell<Vec<Vec<String>>>> = Rc::default();
    let log = Rc::clone(&seen);
    world.state.borrow_mut().script = Some(Box::new(move |_, request| {
        let RequestKind::Produce(request) = &request.kind else { return None };
        let topic = &request.topic_data[0];
        let bytes = topic.partition_data[0].records.clone().expect("records");
        let (_, records) = decode_batch(&bytes).expect("a batch");
        let values: Vec<String> = records
            .iter()
            .map(|record| String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned())
            .collect();
        let number = log.borrow().len();
        log.borrow_mut().push(values.clone());
        let code = match judge(number, &values)? {
            Ok(code) => code,
            Err(error) => return Some(Err(error)),
        };
        let partition = PartitionProduceResponse::default()
            .with_index(topic.partition_data[0].index)
            .with_error_code(code);
        let answer = TopicProduceResponse::default()
            .with_name(topic.name.clone())
            .with_partition_responses(vec![partition]);
        Some(Ok(ProduceResponse::default().with_responses(vec![answer]).into()))
    }));
    seen
}

#[test]
fn a11_records_linger_and_go_out_in_one_batch_with_contiguous_offsets() {
    for config in [librdkafka(), java()] {
        let mut world = one_partition();
        let producer = producer(&world, config);
        produce(&producer, ["a", "b", "c"].map(|value| to(0, value)));
        drive(&mut world, &producer, 100);
        let reports = producer.borrow_mut().take_reports();
        assert_eq!(offsets(&reports), [0, 1, 2]);
        assert_eq!(world.state.borrow().sent["Produce"], 1);
    }
}

#[test]
fn a11_a_full_batch_does_not_linger() {
    let mut world = one_partition();
    let config = ProducerConfig { linger_ms: 60_000, batch_num_messages: 2, ..librdkafka() };
    let producer = producer(&world, config);
    produce(&producer, ["a", "b", "c"].map(|value| to(0, value)));
    drive(&mut world, &producer, 1_000);
    assert_eq!(offsets(&producer.borrow_mut().take_reports()), [0, 1]);
    drive(&mut world, &producer, 60_000);
    assert_eq!(offsets(&producer.borrow_mut().take_reports()), [2]);
}

#[test]
fn a12_librdkafka_asks_once_per_partition_and_java_once_per_leader() {
    for (config, requests) in [(librdkafka(), 6), (java(), 3)] {
        let mut world = World::new(vec![TopicSpec::new(TOPIC, 6)]);
        let producer = producer(&world, config);
        produce(&producer, (0..6).map(|partition| to(partition, "v")));
        assert_eq!(flush(&mut world, &producer, 1_000).len(), 6);
        assert_eq!(world.state.borrow().sent["Produce"], requests);
    }
}

#[test]
fn a1_without_acknowledgement_success_is_told_without_an_offset_and_a_loss_is_not_seen() {
    let mut world = World::with(vec![TopicSpec::new(TOPIC, 1)], |config| config.message_max_bytes = 300);
    let producer = producer(&world, ProducerConfig { acks: Some(Acks::None), ..librdkafka() });
    produce(&producer, [to(0, &"x".repeat(400))]);
    assert_eq!(offsets(&flush(&mut world, &producer, 1_000)), [-1]);
    produce(&producer, [to(0, "small")]);
    assert_eq!(offsets(&flush(&mut world, &producer, 1_000)), [-1]);
    world.run_for(100);
    assert_eq!(written(&world)[&0], ["small"]);
}

#[test]
fn a10_retries_without_idempotence_reorder_and_duplicate() {
    let mut world = one_partition();
    let config = ProducerConfig { linger_ms: 0, batch_num_messages: 1, ..librdkafka() };
    let producer = producer(&world, config);
    let refused = ResponseError::NotEnoughReplicas.code();
    judged(&world, Box::new(move |number, _| (number == 0).then_some(Ok(refused))));
    produce(&producer, ["a", "b"].map(|value| to(0, value)));
    let reports = flush(&mut world, &producer, 10_000);
    assert_eq!(written(&world)[&0], ["b", "a"], "the second overtook the first");
    assert_eq!(offsets(&reports), [0, 1]);

    world.state.borrow_mut().script = None;
    world.state.borrow_mut().lose_answers.insert("Produce", 1);
    produce(&producer, [to(0, "c")]);
    assert_eq!(offsets(&flush(&mut world, &producer, 10_000)), [3]);
    assert_eq!(written(&world)[&0], ["b", "a", "c", "c"], "nobody can tell the repetition");
}

#[test]
fn b20_idempotent_retries_keep_order_with_five_in_flight() {
    for base in [librdkafka(), java()] {
        let mut world = one_partition();
        let config =
            ProducerConfig { linger_ms: 0, batch_num_messages: 1, enable_idempotence: Some(true), ..base };
        let producer = producer(&world, config);
        let refused = ResponseError::NotEnoughReplicas.code();
        let seen = judged(&world, Box::new(move |number, _| (number == 1).then_some(Ok(refused))));
        let values: Vec<String> = (0..12).map(|number| number.to_string()).collect();
        produce(&producer, values.iter().map(|value| to(0, value)));
        let reports = flush(&mut world, &producer, 20_000);
        assert_eq!(written(&world)[&0], values);
        assert_eq!(offsets(&reports), (0..12).collect::<Vec<_>>(), "told in the order of sending");
        assert!(seen.borrow().len() > 12, "the ones behind were refused as out of order, and sent again");
    }
}

#[test]
fn b20_an_answer_that_is_lost_neither_duplicates_nor_reorders_what_is_told() {
    let mut world = one_partition();
    let config = ProducerConfig {
        linger_ms: 0,
        batch_num_messages: 1,
        enable_idempotence: Some(true),
        ..librdkafka()
    };
    let producer = producer(&world, config);
    world.state.borrow_mut().lose_answers.insert("Produce", 1);
    produce(&producer, (0..4).map(|number| to(0, &number.to_string())));
    let reports = flush(&mut world, &producer, 20_000);
    assert_eq!(offsets(&reports), [0, 1, 2, 3]);
    assert_eq!(written(&world)[&0], ["0", "1", "2", "3"]);
}

#[test]
fn a9_what_was_never_sent_is_told_apart_from_what_may_be_there() {
    let mut world = World::new(vec![TopicSpec::new(TOPIC, 2)]);
    let producer = producer(&world, ProducerConfig { delivery_timeout_ms: Some(5_000), ..librdkafka() });
    produce(&producer, [to(0, "first"), to(1, "first")]);
    flush(&mut world, &producer, 1_000);
    let (silent, dead) = (crate::client_producer::leader(0), crate::client_producer::leader(1));
    assert_ne!(silent, dead);
    world.state.borrow_mut().silent.insert(silent);
    world.state.borrow_mut().crash(dead);
    produce(&producer, [to(0, "silent"), to(1, "dead")]);
    let reports = flush(&mut world, &producer, 10_000);
    let mut told: BTreeMap<u64, ProduceError> = BTreeMap::new();
    for report in reports {
        told.insert(report.ticket.0, report.result.expect_err("not acknowledged"));
    }
    let statuses: Vec<MessageStatus> = told.values().map(|error| error.status()).collect();
    assert_eq!(statuses, [MessageStatus::PossiblyPersisted, MessageStatus::NotPersisted]);
    assert!(told.values().all(|error| error.code() == ErrorCode::MsgTimedOut));
}

#[test]
fn b21_a_time_out_leaves_a_gap_and_a_new_epoch_and_the_rest_is_written() {
    for base in [librdkafka(), java()] {
        let mut world = one_partition();
        let config = ProducerConfig {
            linger_ms: 0,
            batch_num_messages: 1,
            enable_idempotence: Some(true),
            request_timeout_ms: 1_000,
            delivery_timeout_ms: Some(5_000),
            ..base
        };
        let producer = producer(&world, config);
        produce(&producer, [to(0, "1")]);
        flush(&mut world, &producer, 1_000);
        judged(&world, Box::new(|_, _| Some(Err(LinkError::Reset))));
        produce(&producer, ["2", "3"].map(|value| to(0, value)));
        let reports = flush(&mut world, &producer, 10_000);
        assert!(reports.iter().all(|report| report.result == Err(ProduceError::Unknown)), "{reports:?}");
        world.state.borrow_mut().script = None;
        produce(&producer, ["4", "5"].map(|value| to(0, value)));
        let reports = flush(&mut world, &producer, 10_000);
        assert_eq!(offsets(&reports), [1, 2]);
        assert_eq!(written(&world)[&0], ["1", "4", "5"]);
        assert!(producer.borrow().fatal_error().is_none());
    }
}

#[test]
fn a8_java_splits_what_is_too_large_and_librdkafka_does_not() {
    let values = ["a", "b", "c", "d"];
    for (config, refused) in [(librdkafka(), 4), (java(), 0)] {
        let mut world = World::with(vec![TopicSpec::new(TOPIC, 1)], |config| config.message_max_bytes = 120);
        let producer = producer(&world, config);
        produce(&producer, values.map(|value| to(0, value)));
        let reports = flush(&mut world, &producer, 10_000);
        let errors = reports.iter().filter(|report| report.result.is_err()).count();
        assert_eq!(errors, refused);
    }
}

#[test]
fn a13_an_unknown_topic_is_waited_for_and_then_refused_by_name() {
    let mut world = one_partition();
    let config = ProducerConfig { topic_metadata_propagation_max_ms: 1_500, ..librdkafka() };
    let producer = producer(&world, config);
    produce(&producer, [ProducerRecord { topic: topic_name("nowhere"), ..record("k", "v") }]);
    let reports = flush(&mut world, &producer, 10_000);
    assert_eq!(reports[0].result, Err(ProduceError::UnknownTopic));
    assert_eq!(world.state.borrow().now / 100, 15);
}

#[test]
fn g64_records_without_a_key_stay_for_a_time_or_a_batch() {
    let keyless = || ProducerRecord { key: None, ..record("", "v") };
    let mut world = World::new(vec![TopicSpec::new(TOPIC, 6)]);
    let producer_a = producer(&world, librdkafka());
    let mut places = Vec::new();
    for _ in 0..3 {
        produce(&producer_a, [keyless(), keyless()]);
        let reports = flush(&mut world, &producer_a, 1_000);
        places.extend(reports.iter().map(|report| report.result.expect("written").partition));
        world.run_for(20);
    }
    assert_eq!((places[0], places[2], places[4]), (places[1], places[3], places[5]));
    assert!(places[0] != places[2] && places[2] != places[4], "after sticky.partitioning.linger.ms");

    let producer_b = producer(&world, java());
    produce(&producer_b, [keyless(), keyless()]);
    let reports = flush(&mut world, &producer_b, 1_000);
    let places: Vec<i32> = reports.iter().map(|report| report.result.expect("written").partition).collect();
    assert_eq!(places[0], places[1], "until batch.size is reached");
}

#[test]
fn a_full_queue_takes_no_more() {
    let world = one_partition();
    let config = ProducerConfig { queue_buffering_max_messages: 2, ..librdkafka() };
    let producer = producer(&world, config);
    produce(&producer, ["a", "b"].map(|value| to(0, value)));
    let refused = producer.borrow_mut().produce(to(0, "c"));
    assert_eq!(refused.map_err(|error| error.code()), Err(ErrorCode::QueueFull));
    assert_eq!(producer.borrow().in_queue(), 2);
}
