//! The coordinator asked by hand: writes, markers and time pass when the test says so.
//!
//! Names begin with the number in the list of behaviours.

use std::collections::{BTreeMap, VecDeque};

use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_protocol::messages::write_txn_markers_request::WritableTxnMarker;
use kafka_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse, ProducerId,
    TransactionalId, WriteTxnMarkersResponse,
};

use super::*;
use crate::broker::Output;
use crate::client::LinkError;
use crate::cluster::{TopicPartition, topic_name};
use crate::coordination::{PeerSend, StateRecord};
use crate::protocol::{RequestKind, check};
use crate::records::{RecordView, decode_batch, encode_batch};

mod add;
mod end;
mod init;
mod load;
mod markers;
mod sweep;

const ID: &str = "settlement-0";
const EPOCH: i32 = 5;
const TIMEOUT_MS: i32 = 60_000;

/// A coordinator that leads all of `__transaction_state`, and what it waits for.
struct Desk {
    coordinator: TransactionCoordinator,
    now: i64,
    /// Where it is not broker 1.
    leaders: BTreeMap<TopicPartition, Leader>,
    producer_ids: i64,
    writes: VecDeque<StateWrite>,
    sends: VecDeque<PeerSend>,
    /// What was written, by partition.
    log: Vec<(i32, StateRecord)>,
    answers: BTreeMap<u64, Response>,
    correlation: u64,
}

/// A producer as its client knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Producer {
    id: i64,
    epoch: i16,
}

fn producer(id: i64, epoch: i16) -> Producer {
    Producer { id, epoch }
}

fn transactional_id() -> TransactionalId {
    TransactionalId(StrBytes::from_static_str(ID))
}

fn at(partition: i32) -> TopicPartition {
    TopicPartition::new("trades", partition)
}

fn topic(partitions: &[i32]) -> AddPartitionsToTxnTopic {
    AddPartitionsToTxnTopic::default().with_name(topic_name("trades")).with_partitions(partitions.to_vec())
}

impl Desk {
    fn new(transaction_version: i16) -> Desk {
        let settings = ClusterSettings { transaction_version, ..ClusterSettings::default() };
        let mut desk = Desk {
            coordinator: TransactionCoordinator::new(TransactionConfig::default(), &settings),
            now: 1_000_000,
            leaders: BTreeMap::new(),
            producer_ids: 0,
            writes: VecDeque::new(),
            sends: VecDeque::new(),
            log: Vec::new(),
            answers: BTreeMap::new(),
            correlation: 0,
        };
        desk.elect(EPOCH);
        desk
    }

    /// Leads every partition, in this epoch, with what is in the log.
    fn elect(&mut self, leader_epoch: i32) {
        for partition in 0..50 {
            self.with(|coordinator, env| coordinator.elected(partition, leader_epoch, env.todo));
            let log = self.log.iter().filter(|(of, _)| *of == partition);
            let records: Vec<_> = log.map(|(_, record)| record.clone()).collect();
            for record in records {
                let view = RecordView {
                    timestamp: 0,
                    key: Some(&record.key),
                    value: record.value.as_deref(),
                    headers: &[],
                };
                let (header, records) = decode_batch(&encode_batch(&[view], None)).expect("valid");
                self.coordinator.replay(partition, &header, &records);
            }
            self.with(|coordinator, env| coordinator.loaded(env, partition));
        }
    }

    fn with<R>(&mut self, call: impl FnOnce(&mut TransactionCoordinator, &mut Env<'_>) -> R) -> R {
        let mut todo = Todo::default();
        let leaders = &self.leaders;
        let leader_of = |topic: &TopicName, partition: i32| {
            let at = TopicPartition { topic: topic.clone(), partition };
            leaders.get(&at).copied().unwrap_or(Leader::Broker(1))
        };
        let producer_ids = &mut self.producer_ids;
        let mut next_producer_id = || {
            *producer_ids += 1;
            Ok(*producer_ids)
        };
        let mut env = Env {
            now: self.now,
            clock: self.now,
            leader_of: &leader_of,
            next_producer_id: &mut next_producer_id,
            todo: &mut todo,
        };
        let result = call(&mut self.coordinator, &mut env);
        self.writes.extend(todo.writes);
        self.sends.extend(todo.sends);
        for output in todo.outputs {
            let Output::Respond { correlation, response, .. } = output else { panic!("not an answer") };
            assert!(self.answers.insert(correlation, response).is_none(), "answered twice");
        }
        result
    }

    fn ask(&mut self, version: i16, request: impl Into<RequestKind>) -> u64 {
        self.correlation += 1;
        let reply = ReplyTo { conn: ConnectionId(1), correlation: self.correlation };
        let request = request.into();
        self.with(|coordinator, env| match request {
            RequestKind::InitProducerId(request) => coordinator.init_producer_id(env, reply, request),
            RequestKind::AddPartitionsToTxn(request) => {
                coordinator.add_partitions(env, reply, version, request);
            }
            RequestKind::AddOffsetsToTxn(request) => {
                let offsets = TopicPartition::new("__consumer_offsets", 9);
                coordinator.add_offsets(env, reply, request, offsets);
            }
            RequestKind::EndTxn(request) => coordinator.end_txn(env, reply, version, request),
            other => panic!("not for the coordinator: {other:?}"),
        });
        self.correlation
    }

    fn answer<R: TryFrom<Response, Error = Response>>(&mut self, correlation: u64) -> Option<R> {
        self.answers.remove(&correlation).map(|response| R::try_from(response).expect("in kind"))
    }

    fn ack(&mut self) {
        let write = self.writes.pop_front().expect("something is being written");
        self.log.extend(write.records.into_iter().map(|record| (write.partition, record)));
        self.with(|coordinator, env| coordinator.written(env, write.ticket, Ok(0)));
    }

    fn fail_write(&mut self, error: ResponseError) {
        let write = self.writes.pop_front().expect("something is being written");
        self.with(|coordinator, env| coordinator.written(env, write.ticket, Err(error)));
    }

    fn ack_all(&mut self) {
        while !self.writes.is_empty() {
            self.ack();
        }
    }

    /// The markers of the request that was sent first.
    fn markers(&self) -> Vec<WritableTxnMarker> {
        match self.sends.front().map(|send| &send.request) {
            Some(RequestKind::WriteTxnMarkers(request)) => request.markers.clone(),
            other => panic!("no markers: {other:?}"),
        }
    }

    /// Answers the request that was sent first, all partitions alike.
    fn deliver(&mut self, outcome: Result<(), ResponseError>) {
        let code = crate::protocol::code(outcome);
        let results = self.markers().into_iter().map(|marker| {
            let topics = marker.topics.iter().map(|topic| {
                let partition = |index: &i32| {
                    WritableTxnMarkerPartitionResult::default()
                        .with_partition_index(*index)
                        .with_error_code(code)
                };
                WritableTxnMarkerTopicResult::default()
                    .with_name(topic.name.clone())
                    .with_partitions(topic.partition_indexes.iter().map(partition).collect())
            });
            WritableTxnMarkerResult::default()
                .with_producer_id(marker.producer_id)
                .with_topics(topics.collect())
        });
        let response = WriteTxnMarkersResponse::default().with_markers(results.collect());
        let send = self.sends.pop_front().expect("there was one");
        self.with(|coordinator, env| coordinator.sent(env, send.ticket, Ok(response.into())));
    }

    fn lose(&mut self, error: LinkError) {
        let send = self.sends.pop_front().expect("something was sent");
        self.with(|coordinator, env| coordinator.sent(env, send.ticket, Err(error)));
    }

    /// Until nothing is under way.
    fn settle(&mut self) {
        while !self.writes.is_empty() || !self.sends.is_empty() {
            self.ack_all();
            while !self.sends.is_empty() {
                self.deliver(Ok(()));
            }
        }
    }

    fn pass(&mut self, ms: i64) {
        let until = self.now + ms;
        while let Some(due) = self.coordinator.next_deadline().filter(|due| *due <= until) {
            assert!(due >= self.now, "asks to be woken in the past");
            self.now = due;
            self.with(|coordinator, env| coordinator.tick(env));
        }
        self.now = until;
    }

    fn ask_init(&mut self, expected: Option<Producer>) -> u64 {
        let expected = expected.unwrap_or(producer(-1, -1));
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(transactional_id()))
            .with_transaction_timeout_ms(TIMEOUT_MS)
            .with_producer_id(ProducerId(expected.id))
            .with_producer_epoch(expected.epoch);
        self.ask(4, request)
    }

    fn init_answer(&mut self, correlation: u64) -> Result<Producer, ResponseError> {
        let response: InitProducerIdResponse = self.answer(correlation).expect("an answer");
        check(response.error_code).map(|()| producer(response.producer_id.0, response.producer_epoch))
    }

    fn init(&mut self, expected: Option<Producer>) -> Result<Producer, ResponseError> {
        let asked = self.ask_init(expected);
        self.ack_all();
        self.init_answer(asked)
    }

    fn ask_add(&mut self, producer: Producer, partitions: &[i32]) -> u64 {
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(transactional_id())
            .with_v3_and_below_producer_id(ProducerId(producer.id))
            .with_v3_and_below_producer_epoch(producer.epoch)
            .with_v3_and_below_topics(vec![topic(partitions)]);
        self.ask(3, request)
    }

    /// All partitions of the answer have the same outcome.
    fn add_answer(&mut self, correlation: u64) -> Result<(), ResponseError> {
        let response: AddPartitionsToTxnResponse = self.answer(correlation).expect("an answer");
        let results = &response.results_by_topic_v3_and_below[0].results_by_partition;
        let code = results[0].partition_error_code;
        assert!(results.iter().all(|result| result.partition_error_code == code), "{results:?}");
        check(code)
    }

    fn add(&mut self, producer: Producer, partitions: &[i32]) -> Result<(), ResponseError> {
        let asked = self.ask_add(producer, partitions);
        self.ack_all();
        self.add_answer(asked)
    }

    /// As leaders ask: one transaction, its partitions' outcomes.
    fn ask_as_leader(
        &mut self,
        producer: Producer,
        partitions: &[i32],
        verify_only: bool,
    ) -> Vec<Result<(), ResponseError>> {
        let transaction = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(transactional_id())
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_verify_only(verify_only)
            .with_topics(vec![topic(partitions)]);
        let asked = self.ask(4, AddPartitionsToTxnRequest::default().with_transactions(vec![transaction]));
        self.ack_all();
        let response: AddPartitionsToTxnResponse = self.answer(asked).expect("an answer");
        let results = &response.results_by_transaction[0].topic_results[0].results_by_partition;
        results.iter().map(|result| check(result.partition_error_code)).collect()
    }

    fn ask_end(&mut self, version: i16, producer: Producer, committed: bool) -> u64 {
        let request = EndTxnRequest::default()
            .with_transactional_id(transactional_id())
            .with_producer_id(ProducerId(producer.id))
            .with_producer_epoch(producer.epoch)
            .with_committed(committed);
        self.ask(version, request)
    }

    fn end_answer(&mut self, correlation: u64) -> Result<Producer, ResponseError> {
        let response: EndTxnResponse = self.answer(correlation).expect("an answer");
        check(response.error_code).map(|()| producer(response.producer_id.0, response.producer_epoch))
    }

    /// Before transaction.version 2. Markers wait.
    fn end(&mut self, producer: Producer, committed: bool) -> Result<(), ResponseError> {
        let asked = self.ask_end(3, producer, committed);
        self.ack_all();
        self.end_answer(asked).map(|_| ())
    }

    /// With transaction.version 2: what the producer goes on with. Markers wait.
    fn end_v2(&mut self, producer: Producer, committed: bool) -> Result<Producer, ResponseError> {
        let asked = self.ask_end(5, producer, committed);
        self.ack_all();
        self.end_answer(asked)
    }

    fn metadata(&mut self) -> &Metadata {
        let found = self.coordinator.transaction(&transactional_id().0).expect("it is kept here");
        &found.expect("it is known").metadata
    }

    fn state(&mut self) -> &'static str {
        self.metadata().state.name()
    }

    /// With epochs nearly used up.
    fn set_epoch(&mut self, epoch: i16) {
        let found = self.coordinator.transaction(&transactional_id().0).expect("it is kept here");
        found.expect("it is known").metadata.producer_epoch = epoch;
    }
}
