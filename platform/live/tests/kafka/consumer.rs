//! librdkafka's consumer behind the suite's trait.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use kafka::TopicPartition;
use kafka_suite::{ClientError, Consumer, GroupMetadata, Polled, Read};
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::errors;
use crate::producer::partitions;

const TICK: Duration = Duration::from_millis(5);
const BLOCKING: Duration = Duration::from_secs(20);

/// Keeps rebalances until they are polled.
#[derive(Default)]
struct Rebalances(Mutex<VecDeque<Polled>>);

impl Rebalances {
    fn queue(&self) -> MutexGuard<'_, VecDeque<Polled>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Rebalances {}

impl ConsumerContext for Rebalances {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        self.queue().push_back(match rebalance {
            Rebalance::Assign(list) => Polled::Assigned(named(list)),
            Rebalance::Revoke(list) => Polled::Revoked(named(list)),
            Rebalance::Error(error) => Polled::Error(errors::of(error)),
        });
    }
}

fn named(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|one| TopicPartition::new(one.topic(), one.partition())).collect()
}

pub struct RealConsumer {
    client: Arc<BaseConsumer<Rebalances>>,
}

impl RealConsumer {
    pub fn new(settings: &[(String, String)]) -> Result<RealConsumer, ClientError> {
        let mut config = ClientConfig::new();
        config.extend(settings.iter().cloned());
        let client = config.create_with_context(Rebalances::default()).map_err(|error| errors::of(&error))?;
        Ok(RealConsumer { client: Arc::new(client) })
    }

    /// Waits in a thread, so that others of the test go on.
    async fn wait<T: Send + 'static>(
        &self,
        what: impl FnOnce(&BaseConsumer<Rebalances>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, ClientError> {
        let client = Arc::clone(&self.client);
        let outcome = tokio::task::spawn_blocking(move || what(&client)).await.expect("it ends");
        outcome.map_err(|error| errors::of(&error))
    }
}

fn told(error: KafkaError) -> ClientError {
    errors::of(&error)
}

fn read(message: &BorrowedMessage<'_>) -> Read {
    let headers = message.headers().map_or(Vec::new(), |headers| {
        let value = |value: Option<&[u8]>| Bytes::copy_from_slice(value.unwrap_or_default());
        headers.iter().map(|header| (header.key.to_owned(), value(header.value))).collect()
    });
    Read {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers,
    }
}

#[async_trait(?Send)]
impl Consumer for RealConsumer {
    fn subscribe(&self, topics: &[&str]) -> Result<(), ClientError> {
        self.client.subscribe(topics).map_err(told)
    }

    async fn poll(&self, timeout_ms: i64) -> Option<Polled> {
        let until = Instant::now() + Duration::from_millis(u64::try_from(timeout_ms).expect("not negative"));
        loop {
            // A rebalance comes before what was fetched after it.
            let polled = self.client.poll(Duration::ZERO).map(|polled| match polled {
                Ok(message) => Polled::Record(read(&message)),
                Err(error) => Polled::Error(errors::of(&error)),
            });
            let next = {
                let mut queue = self.client.context().queue();
                queue.extend(polled);
                queue.pop_front()
            };
            if next.is_some() {
                return next;
            }
            if Instant::now() >= until {
                return None;
            }
            tokio::time::sleep(TICK).await;
        }
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        self.client.assignment().map_or(Vec::new(), |list| named(&list))
    }

    fn position(&self, partition: &TopicPartition) -> Option<i64> {
        let list = self.client.position().ok()?;
        let found = list.find_partition(partition.topic.as_str(), partition.partition)?;
        match found.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    async fn seek(&self, partition: &TopicPartition, offset: i64) -> Result<(), ClientError> {
        let list = partitions(&[(partition.clone(), offset)]);
        let sought = self.wait(move |client| client.seek_partitions(list, BLOCKING)).await?;
        let elements = sought.elements();
        elements[0].error().map_err(|error| errors::of(&error))
    }

    fn store_offset(&self, partition: &TopicPartition, offset: i64) -> Result<(), ClientError> {
        let list = partitions(&[(partition.clone(), offset)]);
        self.client.store_offsets(&list).map_err(told)
    }

    async fn commit(&self, offsets: &[(TopicPartition, i64)]) -> Result<(), ClientError> {
        let list = partitions(offsets);
        self.wait(move |client| client.commit(&list, CommitMode::Sync)).await
    }

    async fn committed(
        &self,
        partition: &TopicPartition,
        timeout_ms: i64,
    ) -> Result<Option<i64>, ClientError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(partition.topic.as_str(), partition.partition);
        let limit = Duration::from_millis(u64::try_from(timeout_ms).expect("not negative"));
        let found = self.wait(move |client| client.committed_offsets(list, limit)).await?;
        match found.elements()[0].offset() {
            Offset::Offset(offset) => Ok(Some(offset)),
            _ => Ok(None),
        }
    }

    async fn watermarks(
        &self,
        partition: &TopicPartition,
        timeout_ms: i64,
    ) -> Result<(i64, i64), ClientError> {
        let (topic, number) = (partition.topic.to_string(), partition.partition);
        let limit = Duration::from_millis(u64::try_from(timeout_ms).expect("not negative"));
        self.wait(move |client| client.fetch_watermarks(&topic, number, limit)).await
    }

    fn group_metadata(&self) -> GroupMetadata {
        Rc::new(Arc::new(self.client.group_metadata().expect("a consumer with a group")))
    }

    async fn close(&self) {
        self.client.unsubscribe();
        let until = Instant::now() + Duration::from_secs(5);
        while !self.assignment().is_empty() && Instant::now() < until {
            self.poll(0).await;
            tokio::time::sleep(TICK).await;
        }
    }
}
