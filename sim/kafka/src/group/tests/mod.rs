//! One coordinator and a partition's log, by hand: what is written is there when the test says so, or not.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::GroupId;
use kafka_protocol::protocol::StrBytes;

use super::Coordinator;
use crate::broker::{ConnectionId, Output, ReplyTo};
use crate::cluster::{BrokerConfig, ClusterSpec};
use crate::coordination::{StateRecord, StateTransaction, StateWrite, Todo};
use crate::protocol::{Request, RequestKind, Response};
use crate::records::{
    BatchProducer, EndTxnMarker, RecordView, decode_batch, encode_batch, encode_transactional_batch, stamp,
};

mod admin;
mod members;
mod offsets;
mod transactions;

const GROUP: &str = "clearing";
const TOPIC: &str = "trade-submitted";
const SESSION_MS: i32 = 10_000;

struct Desk {
    coordinator: Coordinator,
    partition: i32,
    epoch: i32,
    now: i64,
    correlation: u64,
    /// Sent by the coordinator, not in the log yet.
    sent: Vec<StateWrite>,
    log: Vec<Bytes>,
    end_offset: i64,
    config: BrokerConfig,
}

impl Desk {
    fn new() -> Desk {
        Desk::with(|_| {})
    }

    fn with(adjust: impl FnOnce(&mut BrokerConfig)) -> Desk {
        let cluster = ClusterSpec::new(vec![0], vec![]);
        let partition = cluster.offsets_partition_of(GROUP);
        let mut config = BrokerConfig::new(0, cluster);
        adjust(&mut config);
        let mut desk = Desk {
            coordinator: Coordinator::new(&config),
            partition,
            epoch: 0,
            now: 1_000_000,
            correlation: 0,
            sent: Vec::new(),
            log: Vec::new(),
            end_offset: 0,
            config,
        };
        desk.load();
        desk
    }

    /// A new election, and all of the log is read.
    fn load(&mut self) {
        self.epoch += 1;
        let mut todo = Todo::default();
        self.coordinator.elected(self.now, self.partition, self.epoch, &mut todo);
        for batch in &self.log {
            let (header, records) = decode_batch(batch).expect("it decodes");
            self.coordinator.replay(self.partition, &header, records);
        }
        self.coordinator.loaded(self.now, self.partition, &mut todo);
        assert_eq!(self.take_in(todo), []);
    }

    /// The process dies, and another one reads the log.
    fn restart(&mut self) {
        self.sent.clear();
        self.coordinator = Coordinator::new(&self.config);
        self.load();
    }

    fn take_in(&mut self, todo: Todo) -> Vec<Output> {
        assert!(todo.sends.is_empty(), "groups ask no other broker");
        self.sent.extend(todo.writes);
        todo.outputs
    }

    /// A request; what it makes the coordinator write is not there yet.
    fn ask(&mut self, request: impl Into<RequestKind>) -> Vec<Output> {
        let kind = request.into();
        let version = kind.highest_version();
        self.ask_in(version, kind)
    }

    fn ask_in(&mut self, version: i16, request: impl Into<RequestKind>) -> Vec<Output> {
        self.correlation += 1;
        let request =
            Request { client_id: StrBytes::from_static_str("client"), version, kind: request.into() };
        let reply = ReplyTo { conn: ConnectionId(1), correlation: self.correlation };
        let mut todo = Todo::default();
        let exists = |topic: &kafka_protocol::messages::TopicName, partition: i32| {
            topic.as_str() == TOPIC && (0..2).contains(&partition)
        };
        self.coordinator.handle(self.now, reply, request, &exists, &mut todo);
        self.take_in(todo)
    }

    fn tick(&mut self, ms: i64) -> Vec<Output> {
        let until = self.now + ms;
        let mut outputs = Vec::new();
        while let Some(deadline) = self.coordinator.next_deadline().filter(|deadline| *deadline <= until) {
            self.now = self.now.max(deadline);
            let mut todo = Todo::default();
            self.coordinator.tick(self.now, &mut todo);
            outputs.extend(self.take_in(todo));
        }
        self.now = until;
        outputs
    }

    /// Everything sent so far is in the log and replicated.
    fn replicate(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while !self.sent.is_empty() {
            let write = self.sent.remove(0);
            let ticket = write.ticket;
            self.append(&write);
            outputs.extend(self.outcome(ticket, Ok(self.end_offset - 1)));
        }
        outputs
    }

    fn append(&mut self, write: &StateWrite) {
        assert_eq!(write.partition, self.partition);
        let views: Vec<RecordView<'_>> = write.records.iter().map(view).collect();
        let batch = match &write.transaction {
            None => encode_batch(&views, None),
            Some(StateTransaction { producer_id, producer_epoch, .. }) => {
                let (producer_id, producer_epoch) = (*producer_id, *producer_epoch);
                encode_transactional_batch(
                    &views,
                    BatchProducer { producer_id, producer_epoch, base_sequence: -1 },
                )
            }
        };
        self.store(batch, views.len());
    }

    fn store(&mut self, batch: Bytes, records: usize) {
        self.log.push(stamp(batch, self.end_offset, self.epoch, None));
        self.end_offset += i64::try_from(records).expect("a handful");
    }

    /// The first write that is under way comes to nothing.
    fn fail(&mut self, error: ResponseError) -> Vec<Output> {
        let ticket = self.sent.remove(0).ticket;
        self.outcome(ticket, Err(error))
    }

    fn outcome(&mut self, ticket: u64, outcome: Result<i64, ResponseError>) -> Vec<Output> {
        let mut todo = Todo::default();
        self.coordinator.written(self.now, ticket, outcome, &mut todo);
        self.take_in(todo)
    }

    fn end_transaction(&mut self, producer_id: i64, commit: bool) {
        let marker = EndTxnMarker { commit, coordinator_epoch: 0 };
        self.store(marker.encode(self.now, producer_id, 0), 1);
        self.coordinator.marker(self.now, self.partition, producer_id, 0, commit);
    }

    /// An answer that needs no write.
    fn call<R: TryFrom<Response, Error = Response>>(&mut self, request: impl Into<RequestKind>) -> R {
        let outputs = self.ask(request);
        answer(&outputs, self.correlation).expect("an answer at once")
    }

    /// An answer that comes with what was written.
    fn call_written<R: TryFrom<Response, Error = Response>>(&mut self, request: impl Into<RequestKind>) -> R {
        let mut outputs = self.ask(request);
        let wanted = self.correlation;
        outputs.extend(self.replicate());
        answer(&outputs, wanted).expect("an answer")
    }
}

fn view(record: &StateRecord) -> RecordView<'_> {
    RecordView { timestamp: 0, key: Some(&record.key), value: record.value.as_deref(), headers: &[] }
}

fn answer<R: TryFrom<Response, Error = Response>>(outputs: &[Output], wanted: u64) -> Option<R> {
    outputs.iter().find_map(|output| match output {
        Output::Respond { correlation, response, .. } if *correlation == wanted => {
            Some(R::try_from(response.clone()).expect("an answer in kind"))
        }
        _ => None,
    })
}

fn group() -> GroupId {
    GroupId(text(GROUP))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
