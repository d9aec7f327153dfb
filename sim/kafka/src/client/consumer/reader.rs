//! Reading partitions without being a member of a group: page by page, each asked for by its offset.
//!
//! As with a consumer that is assigned partitions by hand. What librdkafka fetches ahead is left out: a page is one fetch.

use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use kafka_protocol::messages::list_offsets_response::ListOffsetsResponse;
use thiserror::Error;

use super::partition::Partition;
use super::resets::{list_offsets, offset_of};
use super::{ConsumerConfig, ConsumerRecord, Failure};
use crate::broker::{EARLIEST_TIMESTAMP, LATEST_TIMESTAMP};
use crate::client::metadata::Metadata;
use crate::client::{Caller, Link, LinkError};
use crate::cluster::TopicPartition;
use crate::protocol::check;

/// Why something could not be read. The next call asks for leader and coordinator anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReaderError {
    #[error("no leader or coordinator answered: {0}")]
    Unanswered(LinkError),
    #[error("no leader is known")]
    NoLeader,
    #[error("refused by a broker: {0}")]
    Refused(ResponseError),
    #[error("corrupt batch")]
    Corrupt,
}

/// Some records of a partition, and where to read on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReaderPage {
    pub records: Vec<ConsumerRecord>,
    pub next: i64,
}

/// A reader, with a consumer's settings: isolation level, sizes, group.
pub struct Reader<L: Link + ?Sized> {
    caller: Caller<L>,
    config: ConsumerConfig,
    metadata: Metadata,
}

impl<L: Link + ?Sized + 'static> Reader<L> {
    /// Topics and group of `config` are not looked at.
    pub fn new(link: Rc<L>, config: ConsumerConfig) -> Reader<L> {
        Reader { caller: Caller::new(link, &config.client_id), config, metadata: Metadata::default() }
    }

    /// The offsets of the first record and of the end, which for `read_committed` is the last stable offset.
    pub async fn bounds(&mut self, partition: &TopicPartition) -> Result<(i64, i64), ReaderError> {
        let mut bounds = [0; 2];
        for (bound, timestamp) in bounds.iter_mut().zip([EARLIEST_TIMESTAMP, LATEST_TIMESTAMP]) {
            let leader = self.leader(partition).await?;
            let wanted = std::iter::once((partition, timestamp));
            let request = list_offsets(wanted, self.config.isolation_level);
            let timeout_ms = self.config.request_timeout_ms;
            let answer = self.caller.call::<ListOffsetsResponse>(leader, request, timeout_ms).await;
            let found = offset_of(&answer, partition);
            *bound = found.map_err(|failure| self.failed(failure, LinkError::TimedOut))?;
        }
        Ok((bounds[0], bounds[1]))
    }

    /// What one fetch brings; nothing where there is nothing to be read within `fetch.max.wait.ms`.
    pub async fn read(&mut self, partition: &TopicPartition, from: i64) -> Result<ReaderPage, ReaderError> {
        let leader = self.leader(partition).await?;
        let wanted = FetchPartition::default()
            .with_partition(partition.partition)
            .with_fetch_offset(from)
            .with_current_leader_epoch(self.metadata.leader_epoch(partition))
            .with_partition_max_bytes(self.config.max_partition_fetch_bytes);
        let topic = FetchTopic::default().with_topic(partition.topic.clone()).with_partitions(vec![wanted]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(self.config.fetch_max_wait_ms)
            .with_min_bytes(self.config.fetch_min_bytes)
            .with_max_bytes(self.config.fetch_max_bytes)
            .with_isolation_level(self.config.isolation_level as i8)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        let timeout_ms = self.config.request_timeout_ms + i64::from(self.config.fetch_max_wait_ms);
        let answer = self.caller.call::<FetchResponse>(leader, request, timeout_ms).await;
        let response = answer.map_err(|error| self.failed(Failure::Unanswered, error))?;
        let found = check(response.error_code).and_then(|()| find(response, partition));
        let data = found.map_err(|error| self.failed(Failure::Broker(error), LinkError::TimedOut))?;
        let mut state = Partition::at(Some(from), -1);
        if let Some(records) = data.records.filter(|records| !records.is_empty()) {
            let aborted = data.aborted_transactions.unwrap_or_default();
            state.fill(from, records, aborted).map_err(|_| ReaderError::Corrupt)?;
        }
        let records = state.take(usize::MAX);
        Ok(ReaderPage { records, next: state.position.unwrap_or(from) })
    }

    /// The offset that a group has committed. A reader of committed records is told only what is certain (KIP-447).
    pub async fn committed(
        &mut self,
        group: &str,
        partition: &TopicPartition,
    ) -> Result<Option<i64>, ReaderError> {
        let config = ConsumerConfig { group_id: group.to_owned(), ..self.config.clone() };
        let coordinator = self.caller.group_coordinator(&config).await.map_err(ReaderError::Unanswered)?;
        let coordinator = coordinator.map_err(ReaderError::Refused)?;
        let found = self.caller.committed(&config, coordinator, std::slice::from_ref(partition)).await;
        let found = found.map_err(|failure| self.failed(failure, LinkError::TimedOut))?;
        Ok(found.get(partition).map(|(offset, _)| *offset).filter(|offset| *offset >= 0))
    }

    async fn leader(&mut self, partition: &TopicPartition) -> Result<i32, ReaderError> {
        if let Some(leader) = self.metadata.leader(partition) {
            return Ok(leader);
        }
        let (servers, timeout_ms) = (&self.config.bootstrap_servers, self.config.request_timeout_ms);
        let told = self.caller.metadata(servers, [&partition.topic], timeout_ms).await;
        self.metadata = told.map_err(ReaderError::Unanswered)?;
        self.metadata.leader(partition).ok_or(ReaderError::NoLeader)
    }

    fn failed(&mut self, failure: Failure, unanswered: LinkError) -> ReaderError {
        self.metadata = Metadata::default();
        match failure {
            Failure::Unanswered => ReaderError::Unanswered(unanswered),
            Failure::Broker(error) => ReaderError::Refused(error),
        }
    }
}

fn find(response: FetchResponse, partition: &TopicPartition) -> Result<PartitionData, ResponseError> {
    let mut topics = response.responses.into_iter().filter(|topic| topic.topic == partition.topic);
    let data = topics.find_map(|topic| {
        topic.partitions.into_iter().find(|data| data.partition_index == partition.partition)
    });
    let data = data.ok_or(ResponseError::UnknownTopicOrPartition)?;
    check(data.error_code)?;
    Ok(data)
}
