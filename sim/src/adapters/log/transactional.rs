//! The log with transactions: a LogHost's producers, member and reader, as Kafka clients on the simulated network.
//!
//! A call of a transaction takes at most [`CALL_MS`] and may then be made again, as `rdkafka`'s with a time-out.

use async_trait::async_trait;
use host::ports::transactional_log::{
    ErrorClass, GroupMember, GroupMetadata, InputOffset, LogReader, MemberEvent, Page, ReadError,
    TransactionError, TransactionalLog, TransactionalProducer, TransactionalRecord,
};
use kafka::client::{
    AutoOffsetReset, Consumer, ConsumerConfig, ConsumerError, ConsumerEvent, ConsumerGroupMetadata, Error,
    Producer, ProducerConfig, ProducerRecord, Reader, ReaderError,
};
use kafka::{ResponseError, TopicPartition, topic_name};

use super::{BrokerLink, SimLog, log_record};

const CALL_MS: i64 = 10_000;
/// `transaction.timeout.ms`, and so how long a record may take.
const TRANSACTION_TIMEOUT_MS: i32 = 60_000;
/// Of a reader, which is not told when there is more.
const READER_WAIT_MS: i32 = 500;

impl SimLog {
    fn consumer_config(&self, group: &str, topics: Vec<String>) -> ConsumerConfig {
        let mut config = ConsumerConfig::new(self.bootstrap_servers(), group, self.client_id.clone(), topics);
        config.isolation_level = self.isolation_level;
        config.auto_offset_reset = AutoOffsetReset::None;
        config.begin_at_committed = false;
        config
    }
}

impl TransactionalLog for SimLog {
    fn transactional_producer(&self, transactional_id: &str) -> Box<dyn TransactionalProducer> {
        let mut config = ProducerConfig::new(self.bootstrap_servers(), self.client_id.clone());
        config.profile = self.profile;
        config.transactional_id = Some(transactional_id.to_owned());
        config.transaction_timeout_ms = TRANSACTION_TIMEOUT_MS;
        config.delivery_timeout_ms = Some(i64::from(TRANSACTION_TIMEOUT_MS));
        Box::new(SimTransactions(Producer::new(self.link.clone(), config)))
    }

    fn member(&self, group: &str, topic: &'static str) -> Box<dyn GroupMember> {
        let mut config = self.consumer_config(group, vec![topic.to_owned()]);
        config.fetch_max_wait_ms = self.settings.fetch_max_wait_ms;
        config.heartbeat_interval_ms = self.settings.heartbeat_interval_ms;
        config.session_timeout_ms = self.settings.session_timeout_ms;
        Box::new(SimMember { consumer: Consumer::new(self.link.clone(), config), topic })
    }

    fn reader(&self) -> Box<dyn LogReader> {
        let mut config = self.consumer_config("", Vec::new());
        config.fetch_max_wait_ms = READER_WAIT_MS;
        Box::new(SimReader(Reader::new(self.link.clone(), config)))
    }
}

struct SimTransactions(Producer<BrokerLink>);

/// librdkafka's class; a call that was not allowed is a producer that is of no more use.
fn failed(error: &Error) -> TransactionError {
    let class = match () {
        () if error.is_retriable() => ErrorClass::Retriable,
        () if error.txn_requires_abort() => ErrorClass::Abortable,
        () => ErrorClass::Fatal,
    };
    TransactionError { class, reason: error.to_string() }
}

#[async_trait(?Send)]
impl TransactionalProducer for SimTransactions {
    async fn init(&mut self) -> Result<(), TransactionError> {
        self.0.init_transactions(CALL_MS).await.map_err(|error| failed(&error))
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        // Reports of the transaction before: its commit has told what they say.
        self.0.take_reports();
        self.0.begin_transaction().map_err(|error| failed(&error))
    }

    fn send(&mut self, records: Vec<TransactionalRecord>) -> Result<(), TransactionError> {
        for record in records {
            let headers = record.headers.into_iter().map(|(name, value)| (name.into_owned(), value));
            let record = ProducerRecord {
                topic: topic_name(record.topic),
                partition: record.partition,
                key: record.key,
                value: record.value,
                headers: headers.collect(),
                timestamp_ms: record.timestamp_ms,
            };
            self.0.produce(record).map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    async fn send_offset(
        &mut self,
        offset: &InputOffset,
        member: &GroupMetadata,
    ) -> Result<(), TransactionError> {
        let offsets = [(TopicPartition::new(offset.topic, offset.partition), offset.next)];
        let group = ConsumerGroupMetadata {
            group_id: member.group.clone(),
            generation_id: member.generation,
            member_id: member.member.clone().into(),
            group_instance_id: member.instance.clone(),
        };
        let sent = self.0.send_offsets_to_transaction(&offsets, &group, CALL_MS).await;
        sent.map_err(|error| failed(&error))
    }

    async fn commit(&mut self) -> Result<(), TransactionError> {
        self.0.commit_transaction(CALL_MS).await.map_err(|error| match failed(&error) {
            TransactionError { class: ErrorClass::Retriable, reason } => {
                TransactionError { class: ErrorClass::Unknown, reason }
            }
            other => other,
        })
    }

    async fn abort(&mut self) -> Result<(), TransactionError> {
        self.0.abort_transaction(CALL_MS).await.map_err(|error| failed(&error))
    }
}

struct SimMember {
    consumer: Consumer<BrokerLink>,
    topic: &'static str,
}

impl SimMember {
    fn at(&self, partition: i32) -> TopicPartition {
        TopicPartition::new(self.topic, partition)
    }
}

fn numbers(partitions: &[TopicPartition]) -> Vec<i32> {
    partitions.iter().map(|at| at.partition).collect()
}

#[async_trait(?Send)]
impl GroupMember for SimMember {
    async fn poll(&mut self) -> MemberEvent {
        loop {
            match self.consumer.poll().await {
                ConsumerEvent::Assigned(partitions) | ConsumerEvent::IncrementallyAssigned(partitions) => {
                    return MemberEvent::Assigned(numbers(&partitions));
                }
                ConsumerEvent::Revoked(partitions) | ConsumerEvent::IncrementallyRevoked(partitions) => {
                    return MemberEvent::Revoked(numbers(&partitions));
                }
                ConsumerEvent::Lost(partitions) => return MemberEvent::Lost(numbers(&partitions)),
                ConsumerEvent::Records { partition, records, .. } => {
                    let records = records.into_iter().map(log_record).collect();
                    return MemberEvent::Records { partition, records };
                }
                ConsumerEvent::Error(
                    ConsumerError::OffsetOutOfRange { partition, offset }
                    | ConsumerError::LogTruncation { partition, offset, .. },
                ) => return MemberEvent::OutOfRange { partition: partition.partition, position: offset },
                // Where to begin is the host's to say.
                ConsumerEvent::Error(ConsumerError::NoOffsetForPartition(_)) => {}
                ConsumerEvent::Error(error) => tracing::warn!(%error, "consumer"),
            }
        }
    }

    fn seek(&mut self, partition: i32, offset: i64) {
        let at = self.at(partition);
        self.consumer.seek(&at, offset);
    }

    fn pause(&mut self, partition: i32) {
        let at = self.at(partition);
        self.consumer.pause(&[at]);
    }

    fn resume(&mut self, partition: i32) {
        let at = self.at(partition);
        self.consumer.resume(&[at]);
    }

    fn metadata(&self) -> GroupMetadata {
        let metadata = self.consumer.group_metadata();
        GroupMetadata {
            group: metadata.group_id,
            generation: metadata.generation_id,
            member: metadata.member_id.to_string(),
            instance: metadata.group_instance_id,
        }
    }

    async fn leave(&mut self) {
        self.consumer.leave().await;
    }
}

struct SimReader(Reader<BrokerLink>);

fn unread(error: ReaderError) -> ReadError {
    match error {
        ReaderError::Refused(ResponseError::UnstableOffsetCommit) => ReadError::Unstable,
        ReaderError::Refused(ResponseError::OffsetOutOfRange) => ReadError::OutOfRange,
        ReaderError::Corrupt => ReadError::Corrupt,
        other => ReadError::Unanswered(other.to_string()),
    }
}

#[async_trait(?Send)]
impl LogReader for SimReader {
    async fn bounds(&mut self, topic: &'static str, partition: i32) -> Result<(i64, i64), ReadError> {
        self.0.bounds(&TopicPartition::new(topic, partition)).await.map_err(unread)
    }

    async fn read(&mut self, topic: &'static str, partition: i32, offset: i64) -> Result<Page, ReadError> {
        let page = self.0.read(&TopicPartition::new(topic, partition), offset).await.map_err(unread)?;
        Ok(Page { records: page.records.into_iter().map(log_record).collect(), next: page.next })
    }

    async fn committed(
        &mut self,
        group: &str,
        topic: &'static str,
        partition: i32,
    ) -> Result<Option<i64>, ReadError> {
        self.0.committed(group, &TopicPartition::new(topic, partition)).await.map_err(unread)
    }
}
