//! Consumers against a scripted leader: aborted transactions, open ones, truncated logs, and how a leader is asked.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use kafka::broker::EARLIEST_TIMESTAMP;
use kafka::client::{
    AutoOffsetReset, Consumer, ConsumerConfig, ConsumerError, ConsumerEvent, IsolationLevel, LinkError,
};
use kafka::records::{
    BatchProducer, EndTxnMarker, RecordView, encode_batch, encode_transactional_batch, stamp,
};
use kafka::{Request, RequestKind, Response, ResponseError, TopicPartition, TopicSpec};
use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{
    BrokerId, FetchResponse, ListOffsetsResponse, MetadataResponse, OffsetForLeaderEpochResponse, ProducerId,
};

use crate::client_consumer::{Log, config, start, values};
use crate::client_producer::TOPIC;
use crate::world::World;

/// A leader of one partition whose log is what a test says.
#[derive(Default)]
struct Leader {
    epoch: i32,
    /// The last offset of each batch, and its bytes.
    batches: Vec<(i64, Bytes)>,
    aborted: Vec<AbortedTransaction>,
    last_stable_offset: Option<i64>,
    /// Ends of older epochs.
    ends: BTreeMap<i32, i64>,
    /// Isolation level and session epoch of fetches.
    fetches: Vec<(i8, i32)>,
    /// Gives sessions this id, and ends it when it is 0.
    session_id: i32,
}

type Shared = Rc<RefCell<Leader>>;

impl Leader {
    fn end(&self) -> i64 {
        self.batches.last().map_or(0, |(last, _)| last + 1)
    }

    fn append(&mut self, batch: Bytes, records: i64) {
        let base = self.end();
        self.batches.push((base + records - 1, stamp(batch, base, self.epoch, None)));
    }

    fn plain(&mut self, values: &[&str]) {
        let batch = encode_batch(&views(values), None);
        self.append(batch, values.len() as i64);
    }

    fn transactional(&mut self, producer_id: i64, values: &[&str]) {
        let producer = BatchProducer { producer_id, producer_epoch: 0, base_sequence: 0 };
        let batch = encode_transactional_batch(&views(values), producer);
        self.append(batch, values.len() as i64);
    }

    fn end_txn(&mut self, producer_id: i64, commit: bool) {
        let marker = EndTxnMarker { commit, coordinator_epoch: 0 };
        self.append(marker.encode(0, producer_id, 0), 1);
    }

    fn answer(&mut self, request: &Request) -> Option<Result<Response, LinkError>> {
        let response = match &request.kind {
            RequestKind::Metadata(_) => self.metadata().into(),
            RequestKind::ListOffsets(request) => {
                let timestamp = request.topics[0].partitions[0].timestamp;
                self.list_offsets(timestamp, request.isolation_level).into()
            }
            RequestKind::OffsetForLeaderEpoch(request) => {
                let asked = request.topics[0].partitions[0].leader_epoch;
                let end = self.ends.get(&asked).copied().unwrap_or(-1);
                let end = EpochEndOffset::default().with_leader_epoch(asked).with_end_offset(end);
                let topic = request.topics[0].topic.clone();
                let topic =
                    OffsetForLeaderTopicResult::default().with_topic(topic).with_partitions(vec![end]);
                OffsetForLeaderEpochResponse::default().with_topics(vec![topic]).into()
            }
            RequestKind::Fetch(request) => {
                self.fetches.push((request.isolation_level, request.session_epoch));
                let Some(topic) = request.topics.first() else {
                    return Some(Ok(FetchResponse::default().with_session_id(request.session_id).into()));
                };
                let wanted = &topic.partitions[0];
                let isolation_level = request.isolation_level;
                self.fetch(wanted.fetch_offset, wanted.current_leader_epoch, isolation_level).into()
            }
            _ => return None,
        };
        Some(Ok(response))
    }

    fn metadata(&self) -> MetadataResponse {
        let partition =
            MetadataResponsePartition::default().with_leader_id(BrokerId(0)).with_leader_epoch(self.epoch);
        let topic = MetadataResponseTopic::default()
            .with_name(Some(kafka::topic_name(TOPIC)))
            .with_partitions(vec![partition]);
        MetadataResponse::default().with_topics(vec![topic])
    }

    fn list_offsets(&self, timestamp: i64, isolation_level: i8) -> ListOffsetsResponse {
        let end = self.last_stable_offset.filter(|_| isolation_level == 1).unwrap_or_else(|| self.end());
        let offset = if timestamp == EARLIEST_TIMESTAMP { 0 } else { end };
        let partition = ListOffsetsPartitionResponse::default().with_offset(offset);
        let topic = ListOffsetsTopicResponse::default()
            .with_name(kafka::topic_name(TOPIC))
            .with_partitions(vec![partition]);
        ListOffsetsResponse::default().with_topics(vec![topic])
    }

    fn fetch(&self, offset: i64, epoch: i32, isolation_level: i8) -> FetchResponse {
        let error = match epoch {
            epoch if (0..self.epoch).contains(&epoch) => ResponseError::FencedLeaderEpoch.code(),
            _ if offset > self.end() => ResponseError::OffsetOutOfRange.code(),
            _ => 0,
        };
        let stable = self.last_stable_offset.unwrap_or_else(|| self.end());
        let limit = if isolation_level == 1 { stable } else { self.end() };
        let mut records = BytesMut::new();
        let chosen = self.batches.iter().filter(|(last, _)| *last >= offset && *last < limit && error == 0);
        chosen.for_each(|(_, bytes)| records.extend_from_slice(bytes));
        let data = PartitionData::default()
            .with_error_code(error)
            .with_high_watermark(self.end())
            .with_last_stable_offset(stable)
            .with_aborted_transactions((isolation_level == 1).then(|| self.aborted.clone()))
            .with_records(Some(records.freeze()));
        let topic = FetchableTopicResponse::default()
            .with_topic(kafka::topic_name(TOPIC))
            .with_partitions(vec![data]);
        FetchResponse::default().with_session_id(self.session_id).with_responses(vec![topic])
    }
}

fn views<'a>(values: &'a [&str]) -> Vec<RecordView<'a>> {
    let view =
        |value: &&'a str| RecordView { timestamp: 0, key: None, value: Some(value.as_bytes()), headers: &[] };
    values.iter().map(view).collect()
}

fn world(leader: &Shared) -> World {
    let world = World::new(vec![TopicSpec::new(TOPIC, 1)]);
    let scripted = Rc::clone(leader);
    world.state.borrow_mut().script = Some(Box::new(move |_, request| scripted.borrow_mut().answer(request)));
    world
}

fn reading(isolation_level: IsolationLevel) -> ConsumerConfig {
    ConsumerConfig { isolation_level, ..config("a") }
}

fn read(leader: &Shared, isolation_level: IsolationLevel) -> Vec<String> {
    let mut world = world(leader);
    let (_, log) = start(&mut world, reading(isolation_level));
    world.run_for(4_000);
    values(&log)
}

fn aborted(producer_id: i64, first_offset: i64) -> AbortedTransaction {
    AbortedTransaction::default().with_producer_id(ProducerId(producer_id)).with_first_offset(first_offset)
}

#[test]
fn f58_aborted_records_are_removed_by_the_client_and_markers_are_never_shown() {
    let leader: Shared = Rc::default();
    {
        let mut log = leader.borrow_mut();
        log.transactional(1, &["a1"]);
        log.transactional(2, &["b1"]);
        log.plain(&["plain"]);
        log.transactional(1, &["a2"]);
        log.end_txn(1, false);
        log.transactional(1, &["a3"]);
        log.end_txn(2, true);
        log.end_txn(1, true);
        log.aborted = vec![aborted(1, 0)];
    }
    assert_eq!(read(&leader, IsolationLevel::ReadCommitted), ["b1", "plain", "a3"]);
    let all = ["a1", "b1", "plain", "a2", "a3"];
    assert_eq!(read(&leader, IsolationLevel::ReadUncommitted), all, "f59: also what was aborted");
}

#[test]
fn f57_nothing_is_read_behind_the_last_stable_offset_and_f60_it_is_the_end() {
    let leader: Shared = Rc::default();
    {
        let mut log = leader.borrow_mut();
        log.plain(&["before"]);
        log.transactional(1, &["open"]);
        log.plain(&["behind"]);
        log.last_stable_offset = Some(1);
    }
    assert_eq!(read(&leader, IsolationLevel::ReadCommitted), ["before"]);
    assert_eq!(read(&leader, IsolationLevel::ReadUncommitted), ["before", "open", "behind"]);
    for (level, end) in [(IsolationLevel::ReadCommitted, 1), (IsolationLevel::ReadUncommitted, 3)] {
        let mut world = world(&leader);
        let link = world.link();
        let (bounds, cached) = world.block_on(async move {
            let mut consumer = Consumer::new(link, reading(level));
            while !matches!(consumer.poll().await, ConsumerEvent::Records { .. }) {}
            let name = TopicPartition::new(TOPIC, 0);
            (consumer.bounds(&name).await, consumer.cached_watermarks(&name))
        });
        assert_eq!(bounds.map(|(_, end)| end), Some(end), "{level:?}");
        assert_eq!(cached.map(|(_, end)| end), Some(end), "{level:?}");
    }
}

#[test]
fn c27_markers_take_offsets_and_the_position_goes_past_them() {
    let leader: Shared = Rc::default();
    {
        let mut log = leader.borrow_mut();
        log.transactional(1, &["a"]);
        log.end_txn(1, true);
    }
    let mut world = world(&leader);
    let link = world.link();
    let offset = world.block_on(async move {
        let mut consumer = Consumer::new(link, reading(IsolationLevel::ReadCommitted));
        while !matches!(consumer.poll().await, ConsumerEvent::Records { .. }) {}
        consumer.position(&TopicPartition::new(TOPIC, 0))
    });
    assert_eq!(offset, Some(2));
}

fn leader_with_five() -> (Shared, World) {
    let leader: Shared = Rc::default();
    leader.borrow_mut().plain(&["0", "1", "2"]);
    leader.borrow_mut().plain(&["3", "4"]);
    let world = world(&leader);
    (leader, world)
}

/// A leader of epoch 1 comes, whose log of epoch 0 ends at 3 and goes on otherwise.
fn another_leader(leader: &Shared) {
    let mut log = leader.borrow_mut();
    log.epoch = 1;
    log.batches.pop();
    log.plain(&["5", "6", "7", "8"]);
    log.ends.insert(0, 3);
}

/// Reads five records from one leader, and what it can from the other.
fn truncated(config: ConsumerConfig) -> Log {
    let (leader, mut world) = leader_with_five();
    let (_, log) = start(&mut world, ConsumerConfig { validate_positions: true, ..config });
    world.run_for(4_000);
    another_leader(&leader);
    world.run_for(4_000);
    log
}

#[test]
fn i74_a_truncated_log_is_noticed_and_java_goes_on_where_it_diverges() {
    let config = ConsumerConfig { auto_offset_reset: AutoOffsetReset::Earliest, ..config("a") };
    let log = truncated(config);
    assert_eq!(values(&log), ["0", "1", "2", "3", "4", "5", "6", "7", "8"], "without it 5 and 6 were missed");
}

#[test]
fn i74_librdkafka_resets_a_truncated_position_by_its_policy() {
    let topics = vec![TOPIC.to_owned()];
    let config = ConsumerConfig::librdkafka(vec![0, 1, 2], "clearing", "a", topics);
    let log = truncated(ConsumerConfig { auto_offset_reset: AutoOffsetReset::Earliest, ..config.clone() });
    assert_eq!(values(&log), ["0", "1", "2", "3", "4", "0", "1", "2", "5", "6", "7", "8"]);
}

#[test]
fn i74_without_a_policy_the_truncation_is_told() {
    let (leader, mut world) = leader_with_five();
    let link = world.link();
    let told: Rc<RefCell<Vec<ConsumerError>>> = Rc::default();
    let seen = Rc::clone(&told);
    world.spawn(async move {
        let none = AutoOffsetReset::None;
        let config = ConsumerConfig { auto_offset_reset: none, validate_positions: true, ..config("a") };
        let mut consumer = Consumer::new(link, config);
        loop {
            match consumer.poll().await {
                ConsumerEvent::Assigned(names) => consumer.seek(&names[0], 0),
                ConsumerEvent::Error(error) => seen.borrow_mut().push(error),
                _ => {}
            }
        }
    });
    world.run_for(4_000);
    another_leader(&leader);
    world.run_for(4_000);
    let partition = TopicPartition::new(TOPIC, 0);
    let missing = ConsumerError::NoOffsetForPartition(partition.clone());
    let truncation = ConsumerError::LogTruncation { partition, offset: 5, diverges_at: 3 };
    assert_eq!(truncation.error().code().name(), "_LOG_TRUNCATION");
    assert_eq!(*told.borrow(), [missing, truncation]);
}

#[test]
fn i74_a_log_that_was_not_truncated_is_read_on_without_a_word() {
    let leader: Shared = Rc::default();
    leader.borrow_mut().plain(&["0", "1"]);
    let mut world = world(&leader);
    let (_, log) = start(&mut world, ConsumerConfig { validate_positions: true, ..config("a") });
    world.run_for(4_000);
    {
        let mut log = leader.borrow_mut();
        log.epoch = 1;
        log.ends.insert(0, 2);
        log.plain(&["2"]);
    }
    world.run_for(4_000);
    assert_eq!(values(&log), ["0", "1", "2"]);
    assert_eq!(world.state.borrow().sent["OffsetForLeaderEpoch"], 1);
}

#[test]
fn fetch_sessions_are_used_where_there_are_some() {
    let leader: Shared = Rc::new(RefCell::new(Leader { session_id: 5, ..Leader::default() }));
    leader.borrow_mut().plain(&["0"]);
    let mut world = world(&leader);
    let (_, log) = start(&mut world, config("a"));
    world.run_for(3_100);
    assert_eq!(values(&log), ["0"]);
    let epochs: Vec<i32> = leader.borrow().fetches.iter().map(|(_, epoch)| *epoch).take(4).collect();
    assert_eq!(epochs, [0, 1, 2, 3]);
}

#[test]
fn e51_offsets_of_an_undecided_transaction_are_waited_for_inside_of_the_generation() {
    let leader: Shared = Rc::default();
    leader.borrow_mut().plain(&["0"]);
    let mut world = world(&leader);
    let mut left = 5;
    let mut stable = Vec::new();
    let scripted = Rc::clone(&leader);
    world.state.borrow_mut().script = Some(Box::new(move |_, request| {
        if let RequestKind::OffsetFetch(fetch) = &request.kind {
            stable.push(fetch.require_stable);
            assert!(fetch.require_stable);
            if left > 0 {
                left -= 1;
                return Some(Ok(unstable().into()));
            }
        }
        scripted.borrow_mut().answer(request)
    }));
    let (_, log) = start(&mut world, reading(IsolationLevel::ReadCommitted));
    world.run_for(8_000);
    assert_eq!(values(&log), ["0"]);
    assert_eq!(world.state.borrow().sent["JoinGroup"], 2, "one for the member id");
    assert_eq!(world.state.borrow().sent["OffsetFetch"], 6);
}

fn unstable() -> kafka_protocol::messages::OffsetFetchResponse {
    use kafka_protocol::messages::offset_fetch_response::{
        OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartitions,
        OffsetFetchResponseTopics,
    };
    let partition = OffsetFetchResponsePartitions::default()
        .with_committed_offset(-1)
        .with_error_code(ResponseError::UnstableOffsetCommit.code());
    let topic = OffsetFetchResponseTopics::default()
        .with_name(kafka::topic_name(TOPIC))
        .with_partitions(vec![partition]);
    let group = OffsetFetchResponseGroup::default().with_topics(vec![topic]);
    OffsetFetchResponse::default().with_groups(vec![group])
}
