//! A topic in a behaviour's hands: produce and fetch by raw requests, at its leader or at any other broker.

use kafka::client::LinkError;
use kafka::{ResponseError, TopicPartition, topic_name};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    BrokerId, DeleteRecordsRequest, DeleteRecordsResponse, FetchRequest, FetchResponse, ListOffsetsRequest,
    ListOffsetsResponse, MetadataResponse, ProduceRequest, ProduceResponse,
};
use kafka_protocol::records::Record;

use crate::batch::{Batch, decode};
use crate::cluster::BROKERS;
use crate::stage::{Stage, check, metadata_of, text};

/// `isolation.level` on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    ReadUncommitted = 0,
    ReadCommitted = 1,
}

/// `ListOffsets` with this time: the end; with [`EARLIEST`]: the log's start.
pub const LATEST: i64 = -1;
pub const EARLIEST: i64 = -2;

const ASK_MS: i64 = 10_000;

#[derive(Clone)]
pub struct Topic {
    pub stage: Stage,
    pub name: String,
}

/// What one fetch brought of one partition.
#[derive(Debug)]
pub struct Fetched {
    pub error: Option<ResponseError>,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start_offset: i64,
    /// Producer id and first offset.
    pub aborted: Vec<(i64, i64)>,
    /// Control records included.
    pub records: Vec<Record>,
    pub bytes: usize,
}

impl Topic {
    pub(crate) fn new(stage: Stage, name: String) -> Topic {
        Topic { stage, name }
    }

    pub fn partition(&self, partition: i32) -> TopicPartition {
        TopicPartition::new(&self.name, partition)
    }

    /// On every broker that answers: some may not have heard of a new topic yet.
    pub(crate) async fn wait_until_led(&self, partitions: i32, replicas: usize) {
        let count = usize::try_from(partitions).expect("not negative");
        let is_ready = |topic: &MetadataResponseTopic| {
            let is_led = |partition: &MetadataResponsePartition| {
                partition.error_code == 0
                    && partition.leader_id.0 >= 0
                    && partition.isr_nodes.len() == replicas
            };
            topic.partitions.len() == count && topic.partitions.iter().all(is_led)
        };
        for broker in BROKERS {
            self.stage
                .eventually("all partitions are led and all replicas in sync", async || {
                    let asked = self.stage.try_ask(broker, metadata_of(&self.name), ASK_MS).await;
                    let Ok(metadata): Result<MetadataResponse, LinkError> = asked else { return Some(()) };
                    metadata.topics.first().is_some_and(is_ready).then_some(())
                })
                .await;
        }
    }

    /// Waits until no transaction is open.
    pub async fn wait_until_stable(&self, partition: i32) {
        self.stage
            .eventually("no transaction is open", async || {
                let stable = self.offset(partition, LATEST, Isolation::ReadCommitted).await.0;
                (stable == self.offset(partition, LATEST, Isolation::ReadUncommitted).await.0).then_some(())
            })
            .await;
    }

    /// What the first broker that answers knows of a partition.
    pub async fn state(&self, partition: i32) -> Option<MetadataResponsePartition> {
        let metadata = self.stage.metadata(&self.name).await?;
        let topic = metadata.topics.into_iter().next()?;
        topic.partitions.into_iter().find(|one| one.partition_index == partition)
    }

    /// What this broker knows of a partition.
    pub async fn state_at(&self, broker: i32, partition: i32) -> Option<MetadataResponsePartition> {
        let asked = self.stage.try_ask(broker, metadata_of(&self.name), ASK_MS).await;
        let metadata: MetadataResponse = asked.ok()?;
        let topic = metadata.topics.into_iter().next()?;
        topic.partitions.into_iter().find(|one| one.partition_index == partition)
    }

    /// Which topic of this name it is.
    pub async fn id(&self) -> String {
        let request = metadata_of(&self.name);
        let broker = self.stage.controller().await.expect("a broker answers");
        let metadata: MetadataResponse = self.stage.ask_in(12, broker, request).await;
        metadata.topics[0].topic_id.to_string()
    }

    pub async fn leader(&self, partition: i32) -> i32 {
        self.stage
            .eventually("a partition is led", async || {
                let state = self.state(partition).await?;
                (state.leader_id.0 >= 0 && state.error_code == 0).then_some(state.leader_id.0)
            })
            .await
    }

    /// Waits until somebody else leads.
    pub async fn leader_other_than(&self, partition: i32, old: i32) -> i32 {
        self.stage
            .eventually("somebody else leads", async || {
                let state = self.state(partition).await?;
                let leader = state.leader_id.0;
                (leader >= 0 && leader != old && state.error_code == 0).then_some(leader)
            })
            .await
    }

    pub async fn replicas(&self, partition: i32) -> Vec<i32> {
        let state = self.stage.eventually("metadata", async || self.state(partition).await).await;
        state.replica_nodes.iter().map(|node| node.0).collect()
    }

    /// Waits until exactly these replicas are in sync.
    pub async fn wait_for_isr(&self, partition: i32, mut wanted: Vec<i32>) {
        wanted.sort_unstable();
        let what = format!("the in-sync replicas are {wanted:?}");
        self.stage
            .eventually(&what, async || {
                let state = self.state(partition).await?;
                let mut isr: Vec<i32> = state.isr_nodes.iter().map(|node| node.0).collect();
                isr.sort_unstable();
                (isr == wanted).then_some(())
            })
            .await;
    }

    /// A partition's answer of the given broker.
    pub async fn try_produce_at(
        &self,
        broker: i32,
        partition: i32,
        acks: i16,
        batch: impl Into<Produced>,
        timeout_ms: i64,
    ) -> Result<PartitionProduceResponse, LinkError> {
        let Produced { batch, transactional_id, version } = batch.into();
        let bytes = batch.encode(self.stage.now());
        let data = PartitionProduceData::default().with_index(partition).with_records(Some(bytes));
        let topic =
            TopicProduceData::default().with_name(topic_name(&self.name)).with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(acks)
            .with_timeout_ms(i32::try_from(timeout_ms).expect("a short time"))
            .with_transactional_id(transactional_id.map(|id| text(id).into()))
            .with_topic_data(vec![topic]);
        let answer: ProduceResponse = match version {
            None => self.stage.try_ask(broker, request, timeout_ms + ASK_MS).await?,
            Some(version) => self.stage.try_ask_in(version, broker, request, timeout_ms + ASK_MS).await?,
        };
        let mut topics = answer.responses.into_iter();
        let mut partitions = topics.next().expect("one topic was asked").partition_responses.into_iter();
        Ok(partitions.next().expect("one partition was asked"))
    }

    /// The base offset, from the given broker.
    pub async fn produce_at(
        &self,
        broker: i32,
        partition: i32,
        acks: i16,
        batch: impl Into<Produced>,
    ) -> Result<i64, ResponseError> {
        let answer = self.try_produce_at(broker, partition, acks, batch, ASK_MS).await;
        let answer = answer.unwrap_or_else(|error| panic!("produce to broker {broker}: {error}"));
        check(answer.error_code).map(|()| answer.base_offset)
    }

    /// To the leader. What a leader answers that has only just been elected is not told.
    pub async fn produce(
        &self,
        partition: i32,
        acks: i16,
        batch: impl Into<Produced>,
    ) -> Result<i64, ResponseError> {
        let batch = batch.into();
        self.stage
            .eventually("the leader takes a batch", async || {
                let leader = self.leader(partition).await;
                match self.produce_at(leader, partition, acks, batch.clone()).await {
                    Err(ResponseError::NotLeaderOrFollower | ResponseError::UnknownTopicOrPartition) => None,
                    outcome => Some(outcome),
                }
            })
            .await
    }

    pub async fn try_fetch_at(
        &self,
        broker: i32,
        partition: i32,
        offset: i64,
        isolation: Isolation,
        adjust: impl FnOnce(FetchRequest) -> FetchRequest,
    ) -> Result<Fetched, LinkError> {
        let asked = FetchPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(offset)
            .with_last_fetched_epoch(-1)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(1 << 20);
        let request = self.fetch_request(asked).with_isolation_level(isolation as i8);
        let answer: FetchResponse = self.stage.try_ask(broker, adjust(request), ASK_MS).await?;
        if let Err(error) = check(answer.error_code) {
            panic!("a fetch is refused as a whole: {error}");
        }
        let mut topics = answer.responses.into_iter();
        let mut partitions = topics.next().expect("one topic was asked").partitions.into_iter();
        Ok(Fetched::new(partitions.next().expect("one partition was asked")))
    }

    /// A fetch that names the epoch of the last record it has: the diverging epoch and its end, if it is told of one.
    pub async fn try_fetch_diverging(
        &self,
        broker: i32,
        partition: i32,
        offset: i64,
        last_fetched_epoch: i32,
    ) -> Result<Option<(i32, i64)>, LinkError> {
        let asked = FetchPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(offset)
            .with_last_fetched_epoch(last_fetched_epoch)
            .with_log_start_offset(-1)
            .with_partition_max_bytes(1 << 20);
        let answer: FetchResponse = self.stage.try_ask(broker, self.fetch_request(asked), ASK_MS).await?;
        let diverging = &answer.responses[0].partitions[0].diverging_epoch;
        Ok((diverging.epoch >= 0).then_some((diverging.epoch, diverging.end_offset)))
    }

    fn fetch_request(&self, asked: FetchPartition) -> FetchRequest {
        let topic = FetchTopic::default().with_topic(topic_name(&self.name)).with_partitions(vec![asked]);
        FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(100)
            .with_min_bytes(1)
            .with_max_bytes(1 << 20)
            .with_session_epoch(-1)
            .with_topics(vec![topic])
    }

    pub async fn fetch_at(&self, broker: i32, partition: i32, offset: i64, isolation: Isolation) -> Fetched {
        let answer = self.try_fetch_at(broker, partition, offset, isolation, |request| request).await;
        answer.unwrap_or_else(|error| panic!("fetch from broker {broker}: {error}"))
    }

    /// From the leader. What a leader answers that has only just been elected is not told.
    pub async fn fetch(&self, partition: i32, offset: i64, isolation: Isolation) -> Fetched {
        self.stage
            .eventually("the leader answers a fetch", async || {
                let leader = self.leader(partition).await;
                let same = |request| request;
                let fetched = self.try_fetch_at(leader, partition, offset, isolation, same).await.ok()?;
                match fetched.error {
                    Some(
                        ResponseError::NotLeaderOrFollower
                        | ResponseError::UnknownTopicOrPartition
                        | ResponseError::OffsetNotAvailable,
                    ) => None,
                    _ => Some(fetched),
                }
            })
            .await
    }

    /// All records from here to the high watermark, or the last stable offset, control records included.
    pub async fn read_from(&self, partition: i32, offset: i64, isolation: Isolation) -> Vec<Record> {
        let mut next = offset;
        let mut all = Vec::new();
        loop {
            let fetched = self.fetch(partition, next, isolation).await;
            assert_eq!(fetched.error, None, "a fetch from {next}");
            let records = fetched.records.into_iter().filter(|record| record.offset >= next);
            let before = all.len();
            all.extend(records);
            match all[before..].last() {
                Some(last) => next = last.offset + 1,
                None => return all,
            }
        }
    }

    pub async fn read(&self, partition: i32, isolation: Isolation) -> Vec<Record> {
        let start = self.offset(partition, EARLIEST, isolation).await;
        self.read_from(partition, start.0, isolation).await
    }

    /// Offset and time stamp that `ListOffsets` tells.
    pub async fn offset(&self, partition: i32, timestamp: i64, isolation: Isolation) -> (i64, i64) {
        self.stage
            .eventually("the leader tells an offset", async || {
                let leader = self.leader(partition).await;
                self.offset_at(leader, partition, timestamp, isolation).await.ok()
            })
            .await
    }

    /// `DeleteRecords`: the log's start afterwards.
    pub async fn delete_before(&self, partition: i32, offset: i64) -> Result<i64, ResponseError> {
        let asked = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(offset);
        let asked =
            DeleteRecordsTopic::default().with_name(topic_name(&self.name)).with_partitions(vec![asked]);
        let request = DeleteRecordsRequest::default().with_topics(vec![asked]).with_timeout_ms(10_000);
        let leader = self.leader(partition).await;
        let answer: DeleteRecordsResponse = self.stage.ask(leader, request).await;
        let found = &answer.topics[0].partitions[0];
        check(found.error_code).map(|()| found.low_watermark)
    }

    pub async fn offset_at(
        &self,
        broker: i32,
        partition: i32,
        timestamp: i64,
        isolation: Isolation,
    ) -> Result<(i64, i64), ResponseError> {
        let asked = ListOffsetsPartition::default()
            .with_partition_index(partition)
            .with_current_leader_epoch(-1)
            .with_timestamp(timestamp);
        let topic =
            ListOffsetsTopic::default().with_name(topic_name(&self.name)).with_partitions(vec![asked]);
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_isolation_level(isolation as i8)
            .with_topics(vec![topic]);
        let answer: ListOffsetsResponse =
            self.stage.try_ask(broker, request, ASK_MS).await.map_err(|_| ResponseError::NetworkException)?;
        let found = &answer.topics[0].partitions[0];
        check(found.error_code).map(|()| (found.offset, found.timestamp))
    }
}

impl Fetched {
    fn new(data: PartitionData) -> Fetched {
        let bytes = data.records.unwrap_or_default();
        let aborted = data.aborted_transactions.unwrap_or_default();
        Fetched {
            error: check(data.error_code).err(),
            high_watermark: data.high_watermark,
            last_stable_offset: data.last_stable_offset,
            log_start_offset: data.log_start_offset,
            aborted: aborted.iter().map(|one| (one.producer_id.0, one.first_offset)).collect(),
            records: decode(&bytes),
            bytes: bytes.len(),
        }
    }
}

/// What a produce request carries for its one partition.
#[derive(Debug, Clone)]
pub struct Produced {
    batch: Batch,
    transactional_id: Option<String>,
    /// `None`: as the suite speaks.
    version: Option<i16>,
}

impl Produced {
    pub fn of_transaction(batch: &Batch, transactional_id: &str) -> Produced {
        let batch = batch.clone().transactional();
        Produced { batch, transactional_id: Some(transactional_id.into()), version: None }
    }

    pub fn in_version(mut self, version: i16) -> Produced {
        self.version = Some(version);
        self
    }
}

impl From<Batch> for Produced {
    fn from(batch: Batch) -> Produced {
        Produced { batch, transactional_id: None, version: None }
    }
}
