//! librdkafka's producer behind the suite's trait.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use kafka::TopicPartition;
use kafka_suite::{ClientError, GroupMetadata, Producer, Report, ToSend};
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::errors;

/// Keeps reports until they are asked for.
#[derive(Default)]
struct Reports(Mutex<Vec<Report>>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let (message, error) = match result {
            Ok(message) => (message, None),
            Err((error, message)) => (message, Some(errors::of(error))),
        };
        let report = Report {
            number: u64::try_from(number).expect("64 bits"),
            partition: message.partition(),
            offset: message.offset().max(-1),
            error,
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(report);
    }
}

pub struct RealProducer {
    client: Arc<BaseProducer<Reports>>,
    next: Mutex<u64>,
}

const TICK: Duration = Duration::from_millis(5);

fn duration(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).expect("not negative"))
}

pub fn partitions(offsets: &[(TopicPartition, i64)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        let added =
            list.add_partition_offset(partition.topic.as_str(), partition.partition, Offset::Offset(*offset));
        added.expect("an offset that can be");
    }
    list
}

impl RealProducer {
    pub fn new(settings: &[(String, String)]) -> Result<RealProducer, ClientError> {
        let mut config = ClientConfig::new();
        config.extend(settings.iter().cloned());
        let client = config.create_with_context(Reports::default()).map_err(|error| errors::of(&error))?;
        Ok(RealProducer { client: Arc::new(client), next: Mutex::new(0) })
    }

    /// Waits in a thread, so that others of the test go on.
    async fn wait(
        &self,
        what: impl FnOnce(&BaseProducer<Reports>) -> Result<(), KafkaError> + Send + 'static,
    ) -> Result<(), ClientError> {
        let client = Arc::clone(&self.client);
        let mut waiting = tokio::task::spawn_blocking(move || what(&client));
        // A commit or an abort ends when all reports are served, and it does not serve them itself.
        loop {
            match tokio::time::timeout(TICK, &mut waiting).await {
                Ok(outcome) => return outcome.expect("it ends").map_err(|error| errors::of(&error)),
                Err(_) => self.client.poll(Duration::ZERO),
            }
        }
    }
}

#[async_trait(?Send)]
impl Producer for RealProducer {
    fn produce(&self, record: ToSend) -> Result<u64, ClientError> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let number = usize::try_from(*next).expect("64 bits");
        let mut sent = BaseRecord::with_opaque_to(&record.topic, number);
        sent.partition = record.partition;
        sent.timestamp = record.timestamp;
        sent.key = record.key.as_deref();
        sent.payload = record.value.as_deref();
        let headers = record.headers.iter().fold(OwnedHeaders::new(), |all, (name, value)| {
            all.insert(Header { key: name, value: Some(&value[..]) })
        });
        if !record.headers.is_empty() {
            sent.headers = Some(headers);
        }
        self.client.send(sent).map_err(|(error, _)| errors::of(&error))?;
        *next += 1;
        Ok(*next - 1)
    }

    async fn flush(&self, timeout_ms: i64) -> Result<(), ClientError> {
        self.wait(move |client| client.flush(duration(timeout_ms))).await
    }

    fn reports(&self) -> Vec<Report> {
        self.client.poll(Duration::ZERO);
        std::mem::take(&mut *self.client.context().0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn fatal_error(&self) -> Option<ClientError> {
        let (code, _) = self.client.client().fatal_error()?;
        Some(ClientError { fatal: true, ..errors::of_code(code) })
    }

    async fn init_transactions(&self, timeout_ms: i64) -> Result<(), ClientError> {
        self.wait(move |client| client.init_transactions(duration(timeout_ms))).await
    }

    fn begin_transaction(&self) -> Result<(), ClientError> {
        self.client.begin_transaction().map_err(|error| errors::of(&error))
    }

    async fn send_offsets_to_transaction(
        &self,
        offsets: &[(TopicPartition, i64)],
        group: &GroupMetadata,
        timeout_ms: i64,
    ) -> Result<(), ClientError> {
        let group: &Arc<ConsumerGroupMetadata> = group.downcast_ref().expect("a real consumer's");
        let (offsets, group) = (partitions(offsets), Arc::clone(group));
        self.wait(move |client| client.send_offsets_to_transaction(&offsets, &group, duration(timeout_ms)))
            .await
    }

    async fn commit_transaction(&self, timeout_ms: i64) -> Result<(), ClientError> {
        self.wait(move |client| client.commit_transaction(duration(timeout_ms))).await
    }

    async fn abort_transaction(&self, timeout_ms: i64) -> Result<(), ClientError> {
        self.wait(move |client| client.abort_transaction(duration(timeout_ms))).await
    }
}
