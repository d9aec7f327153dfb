//! Transactions told by raw requests, as a client before transaction.version 2 makes them.

use kafka::{ResponseError, topic_name};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse, ProducerId,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

use crate::batch::batch;
use crate::stage::{Stage, check, is_retriable, text};
use crate::topic::{Produced, Topic};

/// A transactional producer's identity, and how far its sequences are.
#[derive(Clone)]
pub struct Transactional {
    pub stage: Stage,
    pub id: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
}

/// Who commits offsets within a transaction.
#[derive(Debug, Clone)]
pub struct Member {
    pub group: String,
    pub generation: i32,
    pub member_id: String,
    pub instance_id: Option<String>,
}

impl Member {
    /// Names the group alone.
    pub fn of(group: impl Into<String>) -> Member {
        Member { group: group.into(), generation: -1, member_id: String::new(), instance_id: None }
    }
}

impl Stage {
    /// One `InitProducerId`, as it is answered.
    pub async fn init_producer_id(
        &self,
        transactional_id: Option<&str>,
        timeout_ms: i32,
    ) -> Result<(i64, i16), ResponseError> {
        let broker = match transactional_id {
            Some("") | None => self.controller_or_any().await,
            Some(id) => self.transaction_coordinator(id).await,
        };
        let request = InitProducerIdRequest::default()
            .with_transactional_id(transactional_id.map(|id| text(id).into()))
            .with_transaction_timeout_ms(timeout_ms)
            .with_producer_id(ProducerId(-1))
            .with_producer_epoch(-1);
        let answer: InitProducerIdResponse = self.ask(broker, request).await;
        check(answer.error_code).map(|()| (answer.producer_id.0, answer.producer_epoch))
    }

    async fn controller_or_any(&self) -> i32 {
        self.eventually("a broker answers", async || self.controller().await).await
    }

    /// A producer's identity without transactions.
    pub async fn producer_id(&self) -> (i64, i16) {
        self.eventually("a producer id", async || self.init_producer_id(None, i32::MAX).await.ok()).await
    }

    /// Tries until the transaction before is over.
    pub async fn transactional(&self, what: &str, timeout_ms: i32) -> Transactional {
        let id = self.name(what);
        let (producer_id, producer_epoch) = self
            .eventually("InitProducerId", async || match self.init_producer_id(Some(&id), timeout_ms).await {
                Err(error) if is_retriable(error) => None,
                outcome => Some(outcome.unwrap_or_else(|error| panic!("InitProducerId: {error}"))),
            })
            .await;
        Transactional { stage: self.clone(), id, producer_id, producer_epoch }
    }
}

impl Transactional {
    async fn coordinator(&self) -> i32 {
        self.stage.transaction_coordinator(&self.id).await
    }

    /// One `AddPartitionsToTxn`, as it is answered.
    pub async fn try_add(&self, topic: &Topic, partition: i32) -> Result<(), ResponseError> {
        let asked = AddPartitionsToTxnTopic::default()
            .with_name(topic_name(&topic.name))
            .with_partitions(vec![partition]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(text(&self.id).into())
            .with_v3_and_below_producer_id(ProducerId(self.producer_id))
            .with_v3_and_below_producer_epoch(self.producer_epoch)
            .with_v3_and_below_topics(vec![asked]);
        let answer: AddPartitionsToTxnResponse = self.stage.ask(self.coordinator().await, request).await;
        let topics = &answer.results_by_topic_v3_and_below;
        check(topics[0].results_by_partition[0].partition_error_code)
    }

    /// Tries until the transaction before is over.
    pub async fn add(&self, topic: &Topic, partition: i32) {
        self.stage
            .eventually("AddPartitionsToTxn", async || match self.try_add(topic, partition).await {
                Err(error) if is_retriable(error) => None,
                Ok(()) => Some(()),
                Err(error) => panic!("AddPartitionsToTxn: {error}"),
            })
            .await;
    }

    /// One batch, as it is answered.
    pub async fn try_produce(
        &self,
        topic: &Topic,
        partition: i32,
        sequence: i32,
        values: &[&str],
    ) -> Result<i64, ResponseError> {
        let batch = batch(values).from(self.producer_id, self.producer_epoch, sequence);
        topic.produce(partition, -1, Produced::of_transaction(&batch, &self.id)).await
    }

    /// Adds the partition, and appends a batch.
    pub async fn write(&self, topic: &Topic, partition: i32, sequence: i32, values: &[&str]) -> i64 {
        self.add(topic, partition).await;
        self.stage
            .eventually("a batch of a transaction is taken", async || {
                match self.try_produce(topic, partition, sequence, values).await {
                    Err(error) if is_retriable(error) => None,
                    outcome => Some(outcome.unwrap_or_else(|error| panic!("Produce: {error}"))),
                }
            })
            .await
    }

    /// One `EndTxn`, as it is answered.
    pub async fn try_end(&self, commit: bool) -> Result<(), ResponseError> {
        let request = EndTxnRequest::default()
            .with_transactional_id(text(&self.id).into())
            .with_producer_id(ProducerId(self.producer_id))
            .with_producer_epoch(self.producer_epoch)
            .with_committed(commit);
        let answer: EndTxnResponse = self.stage.ask(self.coordinator().await, request).await;
        check(answer.error_code)
    }

    /// Ends it, and goes on until the coordinator says so.
    pub async fn end(&self, commit: bool) {
        self.stage
            .eventually("EndTxn", async || match self.try_end(commit).await {
                Err(error) if is_retriable(error) => None,
                Ok(()) => Some(()),
                Err(error) => panic!("EndTxn: {error}"),
            })
            .await;
    }

    /// Ends it, and waits until the markers are in these partitions.
    pub async fn end_in(&self, commit: bool, topic: &Topic, partitions: &[i32]) {
        self.end(commit).await;
        for partition in partitions {
            topic.wait_until_stable(*partition).await;
        }
    }

    /// One `AddOffsetsToTxn`, as it is answered.
    pub async fn try_add_offsets(&self, group: &str) -> Result<(), ResponseError> {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(text(&self.id).into())
            .with_producer_id(ProducerId(self.producer_id))
            .with_producer_epoch(self.producer_epoch)
            .with_group_id(kafka::GroupId(text(group)));
        let answer: AddOffsetsToTxnResponse = self.stage.ask(self.coordinator().await, request).await;
        check(answer.error_code)
    }

    pub async fn add_offsets(&self, group: &str) {
        self.stage
            .eventually("AddOffsetsToTxn", async || match self.try_add_offsets(group).await {
                Err(error) if is_retriable(error) => None,
                Ok(()) => Some(()),
                Err(error) => panic!("AddOffsetsToTxn: {error}"),
            })
            .await;
    }

    /// One `TxnOffsetCommit`, as it is answered.
    pub async fn try_commit_offset(
        &self,
        member: &Member,
        topic: &Topic,
        partition: i32,
        offset: i64,
    ) -> Result<(), ResponseError> {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(-1);
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(topic_name(&topic.name))
            .with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(text(&self.id).into())
            .with_group_id(kafka::GroupId(text(&member.group)))
            .with_producer_id(ProducerId(self.producer_id))
            .with_producer_epoch(self.producer_epoch)
            .with_generation_id(member.generation)
            .with_member_id(text(&member.member_id))
            .with_group_instance_id(member.instance_id.clone().map(text))
            .with_topics(vec![topic]);
        let coordinator = self.stage.group_coordinator(&member.group).await;
        let answer: TxnOffsetCommitResponse = self.stage.ask(coordinator, request).await;
        check(answer.topics[0].partitions[0].error_code)
    }

    pub async fn commit_offset(&self, member: &Member, topic: &Topic, partition: i32, offset: i64) {
        self.stage
            .eventually("TxnOffsetCommit", async || {
                match self.try_commit_offset(member, topic, partition, offset).await {
                    Err(error) if is_retriable(error) => None,
                    Ok(()) => Some(()),
                    Err(error) => panic!("TxnOffsetCommit: {error}"),
                }
            })
            .await;
    }
}
