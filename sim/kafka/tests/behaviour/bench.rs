//! Brokers asked by hand: a clock that the test moves, and short ways to build requests and read answers.

use bytes::Bytes;
use kafka::records::{BatchProducer, RecordView, encode_batch};
use kafka::{
    Broker, BrokerConfig, ClusterSpec, ConnectionId, Controller, ControllerOutput, Output, Peer, Request,
    RequestKind, Response, ResponseError, StrBytes, TopicSpec, topic_name,
};
use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use kafka_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, ProduceResponse};

pub const TOPIC: &str = "trade-submitted";
pub const CONN: ConnectionId = ConnectionId(1);

/// One broker that leads everything, its controller, and the time.
pub struct Bench {
    pub broker: Broker,
    pub controller: Controller,
    pub now: i64,
    pub correlation: u64,
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(|_| {})
    }

    /// With other settings than the default: one topic of two partitions, kept for ever.
    pub fn with(adjust: impl FnOnce(&mut BrokerConfig)) -> Bench {
        let topic = TopicSpec { retention_ms: -1, ..TopicSpec::new(TOPIC, 2) };
        let cluster = ClusterSpec::new(vec![0], vec![topic]);
        let mut config = BrokerConfig::new(0, cluster);
        adjust(&mut config);
        Bench::of(config, 1_000_000)
    }

    pub fn of(config: BrokerConfig, now: i64) -> Bench {
        let controller = Controller::new(config.cluster.clone(), now);
        Bench { broker: Broker::new(config), controller, now, correlation: 0 }
    }

    /// Sends a request; the outputs come back, the answer among them if there is one already.
    pub fn ask(&mut self, request: impl Into<RequestKind>) -> Vec<Output> {
        self.ask_as("client", request)
    }

    pub fn ask_as(&mut self, client: &str, request: impl Into<RequestKind>) -> Vec<Output> {
        self.correlation += 1;
        let request = Request::new(StrBytes::from_string(client.to_owned()), request);
        let outputs = self.broker.handle(self.now, CONN, self.correlation, request);
        outputs.into_iter().flat_map(|output| self.deliver(output)).collect()
    }

    /// What the broker asks of the controller is answered at once.
    fn deliver(&mut self, output: Output) -> Vec<Output> {
        let Output::Send { to: Peer::Controller, correlation, request, .. } = output else {
            return vec![output];
        };
        let answers = self.controller.handle(self.now, CONN, correlation, request);
        let answers = answers.into_iter().filter_map(|answer| match answer {
            ControllerOutput::Respond { correlation, answer, .. } => Some((correlation, answer)),
            _ => None,
        });
        answers
            .flat_map(|(correlation, answer)| self.broker.answered(self.now, correlation, Ok(answer)))
            .collect()
    }

    /// Sends a request that is answered at once.
    pub fn call<R: TryFrom<Response, Error = Response>>(&mut self, request: impl Into<RequestKind>) -> R {
        let outputs = self.ask(request);
        answer(&outputs, self.correlation).expect("an answer at once")
    }

    /// Moves time, ticking exactly when the broker asks for it.
    pub fn pass(&mut self, ms: i64) -> Vec<Output> {
        let until = self.now + ms;
        let mut outputs = Vec::new();
        while let Some(deadline) = self.broker.next_deadline().filter(|deadline| *deadline <= until) {
            assert!(deadline >= self.now, "the broker asks to be woken in the past");
            self.now = deadline;
            outputs.extend(self.broker.tick(deadline));
        }
        self.now = until;
        outputs
    }

    pub fn produce(&mut self, partition: i32, batch: Bytes) -> PartitionProduceResponse {
        let response: ProduceResponse = self.call(produce_request(-1, partition, batch));
        response.responses[0].partition_responses[0].clone()
    }

    /// The base offset, or the error.
    pub fn append(&mut self, partition: i32, batch: Bytes) -> Result<i64, ResponseError> {
        let response = self.produce(partition, batch);
        ResponseError::try_from_code(response.error_code).map_or(Ok(response.base_offset), Err)
    }

    pub fn read(&mut self, partition: i32, offset: i64, max_bytes: i32) -> PartitionData {
        let response: FetchResponse = self.call(fetch_request(&[(partition, offset)], 0, max_bytes));
        response.responses[0].partitions[0].clone()
    }
}

/// The answer with this correlation, if it is among the outputs.
pub fn answer<R: TryFrom<Response, Error = Response>>(outputs: &[Output], wanted: u64) -> Option<R> {
    outputs.iter().find_map(|output| match output {
        Output::Respond { correlation, response, .. } if *correlation == wanted => {
            Some(R::try_from(response.clone()).expect("an answer in kind"))
        }
        _ => None,
    })
}

pub fn produce_request(acks: i16, partition: i32, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(topic_name(TOPIC)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(30_000).with_topic_data(vec![topic])
}

/// Partitions with offsets; `max_bytes` for the request and for each partition.
pub fn fetch_request(wanted: &[(i32, i64)], max_wait_ms: i32, max_bytes: i32) -> FetchRequest {
    let partitions = wanted.iter().map(|(partition, offset)| {
        FetchPartition::default()
            .with_partition(*partition)
            .with_current_leader_epoch(-1)
            .with_fetch_offset(*offset)
            .with_partition_max_bytes(max_bytes)
    });
    let topic = FetchTopic::default().with_topic(topic_name(TOPIC)).with_partitions(partitions.collect());
    FetchRequest::default()
        .with_max_wait_ms(max_wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(max_bytes)
        .with_topics(vec![topic])
}

/// Gives the topic another setting.
pub fn alter_topic(name: &'static str, value: &'static str) -> IncrementalAlterConfigsRequest {
    let config = AlterableConfig::default()
        .with_name(StrBytes::from_static_str(name))
        .with_value(Some(StrBytes::from_static_str(value)));
    let resource = AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(StrBytes::from_static_str(TOPIC))
        .with_configs(vec![config]);
    IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
}

/// A batch of records without a producer id.
pub fn plain(values: &[&str]) -> Bytes {
    batch(values, 0, None)
}

/// A batch of an idempotent producer.
pub fn idempotent(producer_id: i64, producer_epoch: i16, base_sequence: i32, values: &[&str]) -> Bytes {
    batch(values, 0, Some(BatchProducer { producer_id, producer_epoch, base_sequence }))
}

/// Records with the key `k`, all with this timestamp.
pub fn batch(values: &[&str], timestamp: i64, producer: Option<BatchProducer>) -> Bytes {
    let records: Vec<RecordView<'_>> = values
        .iter()
        .map(|value| RecordView { timestamp, key: Some(b"k"), value: Some(value.as_bytes()), headers: &[] })
        .collect();
    encode_batch(&records, producer)
}
