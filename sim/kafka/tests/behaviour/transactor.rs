//! Transactions by hand against three brokers: one request at a time, in the version that the test wants.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka::client::Link;
use kafka::records::{
    BatchProducer, RecordView, decode_batch, encode_batch, encode_transactional_batch, next_batch,
};
use kafka::{Request, RequestKind, Response, ResponseError, StrBytes, TopicPartition, TopicSpec, topic_name};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, BrokerId, EndTxnRequest, EndTxnResponse,
    FetchRequest, FetchResponse, FindCoordinatorRequest, FindCoordinatorResponse, InitProducerIdRequest,
    InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse, ProduceRequest, ProduceResponse,
    ProducerId, TransactionalId,
};

use crate::world::World;

pub const TOPIC: &str = "settlement";
pub const PARTITIONS: i32 = 3;
/// `Produce` of clients that know `TRANSACTION_ABORTABLE`, but not transaction.version 2.
pub const PRODUCE_V1: i16 = 11;
const PRODUCE_V2: i16 = 12;

pub fn world(transaction_version: i16) -> World {
    let topic = TopicSpec { retention_ms: -1, ..TopicSpec::new(TOPIC, PARTITIONS) };
    World::with(vec![topic], |config| {
        config.cluster.settings.transaction_version = transaction_version;
    })
}

pub fn at(partition: i32) -> TopicPartition {
    TopicPartition::new(TOPIC, partition)
}

pub fn leader(world: &World, at: &TopicPartition) -> i32 {
    world.state.borrow().leader_of(at).expect("it has a leader")
}

/// Asks a broker and waits for its answer.
pub fn ask<R>(world: &mut World, broker: i32, version: i16, kind: impl Into<RequestKind>) -> R
where
    R: TryFrom<Response, Error = Response>,
{
    let link = world.link();
    let request = Request { client_id: StrBytes::from_static_str("by-hand"), version, kind: kind.into() };
    let response = world.block_on(async move { link.call(broker, request, 60_000).await });
    R::try_from(response.expect("an answer")).expect("in kind")
}

pub fn outcome(code: i16) -> Result<(), ResponseError> {
    ResponseError::try_from_code(code).map_or(Ok(()), Err)
}

/// A transactional producer that does what it is told.
#[derive(Clone)]
pub struct Transactor {
    pub id: &'static str,
    pub is_v2: bool,
    pub timeout_ms: i32,
    pub producer: (i64, i16),
    pub sequences: BTreeMap<i32, i32>,
}

impl Transactor {
    /// Before transaction.version 2. Initialised.
    pub fn v1(world: &mut World) -> Transactor {
        Transactor::named(world, "clearing-0", false)
    }

    pub fn v2(world: &mut World) -> Transactor {
        Transactor::named(world, "clearing-0", true)
    }

    pub fn named(world: &mut World, id: &'static str, is_v2: bool) -> Transactor {
        let sequences = BTreeMap::new();
        let mut it = Transactor { id, is_v2, timeout_ms: 60_000, producer: (-1, -1), sequences };
        it.init_at_last(world);
        it
    }

    fn transactional_id(&self) -> TransactionalId {
        TransactionalId(StrBytes::from_static_str(self.id))
    }

    pub fn coordinator(&self, world: &mut World) -> i32 {
        let down = world.state.borrow().down.clone();
        let somebody = (0..3).find(|broker| !down.contains(broker)).expect("somebody lives");
        let request = FindCoordinatorRequest::default()
            .with_key_type(1)
            .with_coordinator_keys(vec![StrBytes::from_static_str(self.id)]);
        let response: FindCoordinatorResponse = ask(world, somebody, 4, request);
        assert_eq!(outcome(response.coordinators[0].error_code), Ok(()));
        response.coordinators[0].node_id.0
    }

    pub fn init(&mut self, world: &mut World) -> Result<(), ResponseError> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(self.transactional_id()))
            .with_transaction_timeout_ms(self.timeout_ms);
        let coordinator = self.coordinator(world);
        let response: InitProducerIdResponse = ask(world, coordinator, 4, request);
        outcome(response.error_code)?;
        self.producer = (response.producer_id.0, response.producer_epoch);
        self.sequences.clear();
        Ok(())
    }

    /// As clients do it: again while another transaction is being ended.
    pub fn init_at_last(&mut self, world: &mut World) {
        while let Err(error) = self.init(world) {
            assert_eq!(error, ResponseError::ConcurrentTransactions);
            world.run_for(20);
        }
    }

    pub fn add(&self, world: &mut World, partitions: &[i32]) -> Result<(), ResponseError> {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(topic_name(TOPIC))
            .with_partitions(partitions.to_vec());
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.transactional_id())
            .with_v3_and_below_producer_id(ProducerId(self.producer.0))
            .with_v3_and_below_producer_epoch(self.producer.1)
            .with_v3_and_below_topics(vec![topic]);
        let coordinator = self.coordinator(world);
        let response: AddPartitionsToTxnResponse = ask(world, coordinator, 3, request);
        outcome(response.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code)
    }

    /// As clients do it: again while the transaction before is being ended.
    pub fn add_at_last(&self, world: &mut World, partitions: &[i32]) {
        while let Err(error) = self.add(world, partitions) {
            assert_eq!(error, ResponseError::ConcurrentTransactions);
            world.run_for(20);
        }
    }

    /// The next batch of a partition, of one record; a retry does not count.
    pub fn produce(&mut self, world: &mut World, partition: i32, value: &str) -> Result<i64, ResponseError> {
        let version = if self.is_v2 { PRODUCE_V2 } else { PRODUCE_V1 };
        let sequence = self.sequences.get(&partition).copied().unwrap_or(0);
        let produced = self.produce_as(world, version, partition, sequence, value);
        if produced.is_ok() {
            self.sequences.insert(partition, sequence + 1);
        }
        produced
    }

    pub fn produce_as(
        &self,
        world: &mut World,
        version: i16,
        partition: i32,
        base_sequence: i32,
        value: &str,
    ) -> Result<i64, ResponseError> {
        let (producer_id, producer_epoch) = self.producer;
        let record = RecordView { timestamp: 1, key: None, value: Some(value.as_bytes()), headers: &[] };
        let producer = BatchProducer { producer_id, producer_epoch, base_sequence };
        let batch = encode_transactional_batch(&[record], producer);
        produce(world, version, partition, Some(self.transactional_id()), batch)
    }

    pub fn end(&mut self, world: &mut World, committed: bool) -> Result<(), ResponseError> {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.transactional_id())
            .with_producer_id(ProducerId(self.producer.0))
            .with_producer_epoch(self.producer.1)
            .with_committed(committed);
        let coordinator = self.coordinator(world);
        let version = if self.is_v2 { 5 } else { 4 };
        let response: EndTxnResponse = ask(world, coordinator, version, request);
        outcome(response.error_code)?;
        if self.is_v2 {
            self.producer = (response.producer_id.0, response.producer_epoch);
            self.sequences.clear();
        }
        Ok(())
    }
}

/// A batch without a transaction.
pub fn produce_plain(world: &mut World, partition: i32, value: &str) -> Result<i64, ResponseError> {
    let record = RecordView { timestamp: 1, key: None, value: Some(value.as_bytes()), headers: &[] };
    produce(world, PRODUCE_V1, partition, None, encode_batch(&[record], None))
}

pub fn produce(
    world: &mut World,
    version: i16,
    partition: i32,
    transactional_id: Option<TransactionalId>,
    batch: Bytes,
) -> Result<i64, ResponseError> {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(topic_name(TOPIC)).with_partition_data(vec![data]);
    let request = ProduceRequest::default()
        .with_transactional_id(transactional_id)
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![topic]);
    let broker = leader(world, &at(partition));
    let response: ProduceResponse = ask(world, broker, version, request);
    let response = &response.responses[0].partition_responses[0];
    outcome(response.error_code).map(|()| response.base_offset)
}

pub fn fetch(world: &mut World, partition: i32, read_committed: bool) -> PartitionData {
    let wanted = FetchPartition::default()
        .with_partition(partition)
        .with_current_leader_epoch(-1)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(topic_name(TOPIC)).with_partitions(vec![wanted]);
    let request = FetchRequest::default()
        .with_max_wait_ms(0)
        .with_max_bytes(1 << 20)
        .with_isolation_level(i8::from(read_committed))
        .with_topics(vec![topic]);
    let broker = leader(world, &at(partition));
    let response: FetchResponse = ask(world, broker, 12, request);
    response.responses[0].partitions[0].clone()
}

/// What an application gets of a partition: no control records, and with `read_committed` nothing that was aborted.
pub fn values(world: &mut World, partition: i32, read_committed: bool) -> Vec<String> {
    let data = fetch(world, partition, read_committed);
    assert_eq!(outcome(data.error_code), Ok(()));
    let mut aborted = data.aborted_transactions.unwrap_or_default();
    let mut aborting: Vec<i64> = Vec::new();
    let (mut rest, mut values) = (data.records.unwrap_or_default(), Vec::new());
    while let Some(batch) = next_batch(&mut rest) {
        let (header, records) = decode_batch(&batch).expect("a valid batch");
        aborted.retain(|transaction| {
            let begins = transaction.first_offset <= header.base_offset;
            aborting.extend(begins.then_some(transaction.producer_id.0));
            !begins
        });
        if header.is_control() {
            aborting.retain(|producer_id| *producer_id != header.producer_id);
        } else if !(header.is_transactional() && aborting.contains(&header.producer_id)) {
            let text = |record: kafka::records::Record| record.value.map(|value| value.to_vec());
            let texts = records.into_iter().filter_map(text);
            values.extend(texts.map(|text| String::from_utf8(text).expect("text")));
        }
    }
    values
}

/// The end of a partition, as `ListOffsets` says it.
pub fn end_offset(world: &mut World, partition: i32, read_committed: bool) -> i64 {
    let wanted = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_current_leader_epoch(-1)
        .with_timestamp(-1);
    let topic = ListOffsetsTopic::default().with_name(topic_name(TOPIC)).with_partitions(vec![wanted]);
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(i8::from(read_committed))
        .with_topics(vec![topic]);
    let broker = leader(world, &at(partition));
    let response: ListOffsetsResponse = ask(world, broker, 6, request);
    response.topics[0].partitions[0].offset
}
