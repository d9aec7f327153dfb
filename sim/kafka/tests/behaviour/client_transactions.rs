//! The producer's transactions against scripted coordinators: which requests go out, and what each refusal means.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use kafka::client::{
    ConsumerGroupMetadata, Error, LinkError, ProduceError, Producer, ProducerConfig, ProducerRecord,
};
use kafka::records::decode_batch;
use kafka::{Request, RequestKind, Response, ResponseError, StrBytes, TopicPartition, TopicSpec};
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::api_versions_response::FinalizedFeatureKey;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ApiVersionsResponse,
    BrokerId, EndTxnResponse, FindCoordinatorResponse, InitProducerIdResponse, ProduceResponse, ProducerId,
    TxnOffsetCommitResponse,
};

use crate::client_producer::{TOPIC, record};
use crate::world::{BROKERS, SimLink, World};

const SECOND_MS: i64 = 1_000;

/// What coordinators and leaders say instead of doing as asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refusal {
    Code(ResponseError),
    Lost,
}

/// Coordinators that do nothing but answer.
#[derive(Default)]
struct Script {
    is_v2: bool,
    epoch: i16,
    refusals: BTreeMap<&'static str, VecDeque<Refusal>>,
    /// Requests but for metadata, one line each.
    log: Vec<String>,
}

type Shared = Rc<RefCell<Script>>;

impl Script {
    fn answer(&mut self, request: &Request) -> Option<Result<Response, LinkError>> {
        let name = request.kind.name();
        if name == "Metadata" {
            return None;
        }
        self.log.push(line(request));
        let refusal = self.refusals.get_mut(name).and_then(VecDeque::pop_front);
        let code = match refusal {
            Some(Refusal::Lost) => return Some(Err(LinkError::Reset)),
            Some(Refusal::Code(error)) => error.code(),
            None => 0,
        };
        Some(Ok(self.respond(request, code)))
    }

    fn respond(&mut self, request: &Request, code: i16) -> Response {
        match &request.kind {
            RequestKind::ApiVersions(_) => {
                let feature = FinalizedFeatureKey::default()
                    .with_name(StrBytes::from_static_str("transaction.version"))
                    .with_max_version_level(if self.is_v2 { 2 } else { 1 });
                ApiVersionsResponse::default().with_finalized_features(vec![feature]).into()
            }
            RequestKind::FindCoordinator(_) => FindCoordinatorResponse::default()
                .with_coordinators(vec![
                    Coordinator::default().with_node_id(BrokerId(0)).with_error_code(code),
                ])
                .into(),
            RequestKind::InitProducerId(_) => {
                self.epoch += i16::from(code == 0);
                InitProducerIdResponse::default()
                    .with_error_code(code)
                    .with_producer_id(ProducerId(7))
                    .with_producer_epoch(self.epoch)
                    .into()
            }
            RequestKind::AddPartitionsToTxn(request) => added(request, code),
            RequestKind::AddOffsetsToTxn(_) => {
                AddOffsetsToTxnResponse::default().with_error_code(code).into()
            }
            RequestKind::TxnOffsetCommit(_) => {
                let partition = TxnOffsetCommitResponsePartition::default().with_error_code(code);
                let topic = TxnOffsetCommitResponseTopic::default().with_partitions(vec![partition]);
                TxnOffsetCommitResponse::default().with_topics(vec![topic]).into()
            }
            RequestKind::EndTxn(_) => {
                let is_bumped = self.is_v2 && code == 0;
                self.epoch += i16::from(is_bumped);
                EndTxnResponse::default()
                    .with_error_code(code)
                    .with_producer_id(ProducerId(if is_bumped { 7 } else { -1 }))
                    .with_producer_epoch(self.epoch)
                    .into()
            }
            RequestKind::Produce(request) => {
                let topics = request.topic_data.iter().map(|topic| {
                    let partitions = topic.partition_data.iter().map(|data| {
                        PartitionProduceResponse::default().with_index(data.index).with_error_code(code)
                    });
                    TopicProduceResponse::default()
                        .with_name(topic.name.clone())
                        .with_partition_responses(partitions.collect())
                });
                ProduceResponse::default().with_responses(topics.collect()).into()
            }
            other => panic!("not scripted: {other:?}"),
        }
    }
}

fn added(request: &AddPartitionsToTxnRequest, code: i16) -> Response {
    let topics = request.v3_and_below_topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(code)
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics.collect()).into()
}

/// A request as one line: name, version where it matters, and what matters of the rest.
fn line(request: &Request) -> String {
    let name = request.kind.name();
    let detail = match &request.kind {
        RequestKind::FindCoordinator(request) => request.coordinator_keys[0].to_string(),
        RequestKind::InitProducerId(request) => format!("epoch {}", request.producer_epoch),
        RequestKind::EndTxn(request) if request.committed => "commit".to_owned(),
        RequestKind::EndTxn(_) => "abort".to_owned(),
        RequestKind::Produce(request) => {
            let bytes = request.topic_data[0].partition_data[0].records.clone().expect("records");
            let (header, records) = decode_batch(&bytes).expect("a batch");
            assert!(header.is_transactional());
            format!("epoch {} sequence {}+{}", header.producer_epoch, header.base_sequence, records.len())
        }
        RequestKind::TxnOffsetCommit(request) => {
            format!("generation {} member {}", request.generation_id, request.member_id)
        }
        _ => String::new(),
    };
    if matches!(name, "ApiVersions" | "FindCoordinator") {
        return format!("{name} {detail}").trim().to_owned();
    }
    format!("{name} {} {detail}", request.version).trim().to_owned()
}

struct Bench {
    world: World,
    script: Shared,
    producer: Rc<RefCell<Producer<SimLink>>>,
}

fn group() -> ConsumerGroupMetadata {
    ConsumerGroupMetadata {
        generation_id: 3,
        member_id: StrBytes::from_static_str("m"),
        ..ConsumerGroupMetadata::of_group("clearing")
    }
}

fn input() -> Vec<(TopicPartition, i64)> {
    vec![(TopicPartition::new("input", 0), 42)]
}

fn one() -> ProducerRecord {
    ProducerRecord { partition: Some(0), ..record("AAPL", "v") }
}

impl Bench {
    fn new(config: ProducerConfig, is_v2: bool) -> Bench {
        let world = World::new(vec![TopicSpec::new(TOPIC, 1)]);
        let script: Shared = Rc::new(RefCell::new(Script { is_v2, epoch: -1, ..Script::default() }));
        let scripted = Rc::clone(&script);
        world.state.borrow_mut().script =
            Some(Box::new(move |_, request| scripted.borrow_mut().answer(request)));
        let config = ProducerConfig { transactional_id: Some("matching-0".to_owned()), ..config };
        let producer = Rc::new(RefCell::new(Producer::new(world.link(), config)));
        Bench { world, script, producer }
    }

    fn librdkafka() -> Bench {
        Bench::new(ProducerConfig::librdkafka(BROKERS.to_vec(), "matching"), false)
    }

    fn java() -> Bench {
        Bench::new(ProducerConfig::java(BROKERS.to_vec(), "matching"), true)
    }

    /// Initialised, with a transaction begun.
    fn begun(mut self) -> Bench {
        self.init().expect("initialised");
        self.begin().expect("begun");
        self
    }

    fn refuse(&self, api: &'static str, refusals: &[Refusal]) {
        self.script.borrow_mut().refusals.entry(api).or_default().extend(refusals);
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.producer.borrow_mut().begin_transaction()
    }

    fn produce(&mut self) -> Result<(), Error> {
        self.producer.borrow_mut().produce(one()).map(drop)
    }

    #[expect(clippy::await_holding_refcell_ref, reason = "one task at a time uses the producer")]
    fn init(&mut self) -> Result<(), Error> {
        let producer = Rc::clone(&self.producer);
        self.world.block_on(async move { producer.borrow_mut().init_transactions(30 * SECOND_MS).await })
    }

    fn offsets(&mut self) -> Result<(), Error> {
        self.offsets_of(group())
    }

    #[expect(clippy::await_holding_refcell_ref, reason = "one task at a time uses the producer")]
    fn offsets_of(&mut self, group: ConsumerGroupMetadata) -> Result<(), Error> {
        let producer = Rc::clone(&self.producer);
        self.world.block_on(async move {
            producer.borrow_mut().send_offsets_to_transaction(&input(), &group, 30 * SECOND_MS).await
        })
    }

    #[expect(clippy::await_holding_refcell_ref, reason = "one task at a time uses the producer")]
    fn commit_within(&mut self, ms: i64) -> Result<(), Error> {
        let producer = Rc::clone(&self.producer);
        self.world.block_on(async move { producer.borrow_mut().commit_transaction(ms).await })
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.commit_within(30 * SECOND_MS)
    }

    #[expect(clippy::await_holding_refcell_ref, reason = "one task at a time uses the producer")]
    fn abort(&mut self) -> Result<(), Error> {
        let producer = Rc::clone(&self.producer);
        self.world.block_on(async move { producer.borrow_mut().abort_transaction(30 * SECOND_MS).await })
    }

    fn results(&self) -> Vec<Result<(), ProduceError>> {
        let reports = self.producer.borrow_mut().take_reports();
        reports.into_iter().map(|report| report.result.map(drop)).collect()
    }

    /// Takes the lines so far.
    fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.script.borrow_mut().log)
    }
}

/// An error as code and class.
fn told(result: Result<(), Error>) -> (String, &'static str) {
    let error = result.expect_err("refused");
    let class = match (error.is_fatal(), error.txn_requires_abort(), error.is_retriable()) {
        (true, false, false) => "fatal",
        (false, true, false) => "abort",
        (false, false, true) => "retry",
        (false, false, false) => "plain",
        _ => "more than one class",
    };
    (error.code().name(), class)
}

#[test]
fn c33_version_1_adds_partitions_and_offsets_before_it_sends_them() {
    let mut bench = Bench::librdkafka().begun();
    bench.produce().expect("queued");
    bench.offsets().expect("sent");
    bench.commit().expect("committed");
    assert_eq!(
        bench.log(),
        [
            "FindCoordinator matching-0",
            "InitProducerId 4 epoch -1",
            "AddOffsetsToTxn 3",
            "AddPartitionsToTxn 3",
            "FindCoordinator clearing",
            "Produce 11 epoch 0 sequence 0+1",
            "TxnOffsetCommit 3 generation 3 member m",
            "EndTxn 4 commit",
        ],
        "the topic was not known yet when the offsets were sent"
    );
    assert_eq!(bench.results(), [Ok(())]);
    bench.begin().expect("begun");
    bench.produce().expect("queued");
    bench.commit().expect("committed");
    assert_eq!(
        bench.log(),
        ["AddPartitionsToTxn 3", "Produce 11 epoch 0 sequence 1+1", "EndTxn 4 commit"],
        "the sequence goes on"
    );
}

#[test]
fn c33_version_2_adds_by_itself_and_every_transaction_has_its_epoch() {
    let mut bench = Bench::java().begun();
    for _ in 0..2 {
        bench.produce().expect("queued");
        bench.offsets().expect("sent");
        bench.commit().expect("committed");
        bench.begin().expect("begun");
    }
    assert_eq!(
        bench.log(),
        [
            "ApiVersions",
            "FindCoordinator matching-0",
            "InitProducerId 4 epoch -1",
            "FindCoordinator clearing",
            "TxnOffsetCommit 5 generation 3 member m",
            "Produce 12 epoch 0 sequence 0+1",
            "EndTxn 5 commit",
            "FindCoordinator clearing",
            "TxnOffsetCommit 5 generation 3 member m",
            "Produce 12 epoch 1 sequence 0+1",
            "EndTxn 5 commit",
        ]
    );
}

#[test]
fn c33_javas_client_does_as_version_1_where_the_cluster_has_not_more() {
    let mut bench = Bench::new(ProducerConfig::java(BROKERS.to_vec(), "matching"), false).begun();
    bench.produce().expect("queued");
    bench.commit().expect("committed");
    let log = bench.log();
    assert_eq!(log[3..], ["AddPartitionsToTxn 3", "Produce 11 epoch 0 sequence 0+1", "EndTxn 4 commit"]);
}

#[test]
fn c36_calls_out_of_turn_are_refused() {
    let mut bench = Bench::librdkafka();
    let state = |class: &'static str| ("_STATE".to_owned(), class);
    assert_eq!(told(bench.begin()), state("plain"));
    assert_eq!(told(bench.produce()), state("plain"));
    assert_eq!(told(bench.commit()), state("plain"));
    bench.init().expect("initialised");
    assert_eq!(told(bench.init()), state("plain"));
    assert_eq!(told(bench.produce()), state("plain"), "outside of a transaction");
    assert_eq!(told(bench.offsets()), state("plain"));
    assert_eq!(told(bench.abort()), state("plain"));
    bench.begin().expect("begun");
    assert_eq!(told(bench.begin()), state("plain"));
}

#[test]
fn c36_an_empty_transaction_asks_nobody() {
    let mut bench = Bench::librdkafka().begun();
    bench.log();
    bench.commit().expect("committed");
    bench.begin().expect("begun");
    bench.abort().expect("aborted");
    assert_eq!(bench.log(), Vec::<String>::new());
}

#[test]
fn c24_concurrent_transactions_are_waited_for() {
    let bench = Bench::librdkafka();
    let busy = [Refusal::Code(ResponseError::ConcurrentTransactions); 3];
    for api in ["InitProducerId", "AddPartitionsToTxn", "EndTxn", "TxnOffsetCommit", "AddOffsetsToTxn"] {
        bench.refuse(api, &busy);
    }
    let mut bench = bench.begun();
    bench.produce().expect("queued");
    bench.offsets().expect("sent");
    bench.commit().expect("committed");
    let count = |api: &str, log: &[String]| log.iter().filter(|line| line.starts_with(api)).count();
    let log = bench.log();
    assert_eq!((count("InitProducerId", &log), count("EndTxn", &log)), (4, 4));
    assert_eq!(count("FindCoordinator", &log), 2, "they stay where they are");
}

#[test]
fn c29_a_commit_of_unknown_outcome_is_resumed() {
    let mut bench = Bench::librdkafka().begun();
    bench.produce().expect("queued");
    bench.refuse("EndTxn", &[Refusal::Lost; 20]);
    assert_eq!(told(bench.commit_within(5 * SECOND_MS)), ("_TIMED_OUT".to_owned(), "retry"));
    assert_eq!(told(bench.abort()), ("_STATE".to_owned(), "plain"), "it may have been committed");
    assert_eq!(told(bench.produce()), ("_STATE".to_owned(), "plain"));
    bench.commit().expect("committed");
    assert!(!bench.log().iter().any(|line| line.ends_with("abort")));
    bench.begin().expect("begun");
}

#[test]
fn c29_a_coordinator_that_moved_is_looked_for() {
    let mut bench = Bench::librdkafka().begun();
    bench.produce().expect("queued");
    bench.refuse("EndTxn", &[Refusal::Code(ResponseError::NotCoordinator), Refusal::Lost]);
    bench.commit().expect("committed");
    let log = bench.log();
    let find = "FindCoordinator matching-0";
    assert_eq!(log[4..], ["EndTxn 4 commit", find, "EndTxn 4 commit", find, "EndTxn 4 commit"]);
}

#[test]
fn d38_a_fenced_producer_hears_it_from_coordinators_as_fatal() {
    for error in [ResponseError::ProducerFenced, ResponseError::InvalidProducerEpoch] {
        for api in ["AddPartitionsToTxn", "EndTxn"] {
            let mut bench = Bench::librdkafka().begun();
            bench.produce().expect("queued");
            bench.refuse(api, &[Refusal::Code(error)]);
            let fenced = ("_FENCED".to_owned(), "fatal");
            assert_eq!(told(bench.commit()), fenced, "{api} {error:?}");
            assert_eq!(told(bench.abort()), fenced);
            assert_eq!(told(bench.begin()), fenced);
            assert_eq!(told(bench.produce()), fenced);
        }
    }
}

#[test]
fn d38_an_old_epoch_on_produce_is_abortable_and_the_abort_tells_who_is_fenced() {
    let mut bench = Bench::librdkafka().begun();
    bench.produce().expect("queued");
    bench.refuse("Produce", &[Refusal::Code(ResponseError::InvalidProducerEpoch)]);
    assert_eq!(told(bench.commit()), ("INVALID_PRODUCER_EPOCH".to_owned(), "abort"));
    assert_eq!(bench.results(), [Err(ProduceError::Refused(ResponseError::InvalidProducerEpoch))]);
    assert_eq!(told(bench.begin()).1, "abort", "only an abort is allowed");
    bench.refuse("InitProducerId", &[Refusal::Code(ResponseError::ProducerFenced)]);
    assert_eq!(told(bench.abort()), ("_FENCED".to_owned(), "fatal"));
}

#[test]
fn c21_after_an_epoch_that_was_bumped_the_next_transaction_begins_at_sequence_0() {
    let mut bench = Bench::librdkafka().begun();
    bench.produce().expect("queued");
    bench.refuse("Produce", &[Refusal::Code(ResponseError::OutOfOrderSequenceNumber)]);
    assert_eq!(told(bench.commit()).1, "abort");
    bench.abort().expect("aborted");
    bench.begin().expect("begun");
    bench.produce().expect("queued");
    bench.commit().expect("committed");
    let log = bench.log();
    let tail = ["InitProducerId 4 epoch 0", "AddPartitionsToTxn 3", "Produce 11 epoch 1 sequence 0+1"];
    assert_eq!(log[log.len() - 4..log.len() - 1], tail);
}

#[test]
fn d41_offsets_of_a_stale_member_make_the_transaction_abortable() {
    for (error, name) in [
        (ResponseError::IllegalGeneration, "ILLEGAL_GENERATION"),
        (ResponseError::UnknownMemberId, "UNKNOWN_MEMBER_ID"),
        (ResponseError::FencedInstanceId, "FENCED_INSTANCE_ID"),
    ] {
        let mut bench = Bench::librdkafka().begun();
        bench.produce().expect("queued");
        bench.refuse("TxnOffsetCommit", &[Refusal::Code(error)]);
        assert_eq!(told(bench.offsets()), (name.to_owned(), "abort"));
        assert_eq!(told(bench.commit()), (name.to_owned(), "abort"));
        bench.abort().expect("aborted");
        assert_eq!(bench.log().last().map(String::as_str), Some("EndTxn 4 abort"));
        bench.begin().expect("and on with the next one");
    }
}

#[test]
fn d42_a_group_alone_is_sent_without_generation_and_member() {
    let mut bench = Bench::librdkafka().begun();
    bench.offsets_of(ConsumerGroupMetadata::of_group("clearing")).expect("sent");
    assert!(bench.log().contains(&"TxnOffsetCommit 3 generation -1 member".to_owned()));
}

#[test]
fn c36_a_record_that_is_not_delivered_spoils_the_transaction() {
    let mut bench = Bench::librdkafka().begun();
    bench.produce().expect("queued");
    bench.refuse("Produce", &[Refusal::Code(ResponseError::MessageTooLarge)]);
    assert_eq!(told(bench.commit()), ("MSG_SIZE_TOO_LARGE".to_owned(), "abort"));
    bench.abort().expect("aborted");
    assert_eq!(bench.log().last().map(String::as_str), Some("EndTxn 4 abort"));
}

#[test]
fn c36_an_abort_drops_what_was_not_sent() {
    let mut bench = Bench::librdkafka().begun();
    bench.produce().expect("queued");
    bench.produce().expect("queued");
    bench.abort().expect("aborted");
    assert_eq!(bench.results(), [Err(ProduceError::Purged); 2]);
    assert!(!bench.log().iter().any(|line| line.starts_with("Produce")));
}

#[test]
fn c25_a_time_out_that_is_too_long_is_fatal() {
    let mut bench = Bench::librdkafka();
    bench.refuse("InitProducerId", &[Refusal::Code(ResponseError::InvalidTransactionTimeout)]);
    assert_eq!(told(bench.init()), ("INVALID_TRANSACTION_TIMEOUT".to_owned(), "fatal"));
}

#[test]
fn c36_initialising_is_resumed_after_a_time_out() {
    let mut bench = Bench::librdkafka();
    bench.refuse("FindCoordinator", &[Refusal::Lost; 3 * 40]);
    assert_eq!(told(bench.init()), ("_TIMED_OUT".to_owned(), "retry"));
    assert_eq!(told(bench.begin()), ("_STATE".to_owned(), "plain"));
    bench.init().expect("initialised");
    bench.begin().expect("begun");
}
