//! A server on ports of the system's choice, and what every test asks of it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use kafka::protocol::{Request, RequestKind, Response};
use kafka::records::{RecordView, encode_batch};
use kafka::tcp::{Server, ServerConfig};
use kafka::wire::client::Connection;
use kafka::{StrBytes, topic_name};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{CreateTopicsRequest, FetchRequest, MetadataRequest, ProduceRequest};

/// Long enough for a slow machine, short enough for a test that hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn server(brokers: usize, settings: &[(&str, &str)]) -> Server {
    let config = settings.iter().fold(ServerConfig::loopback(brokers), |config, (name, value)| {
        config.with_setting(name, value).expect("tests set what exists")
    });
    Server::start(config).expect("loopback has free ports")
}

/// Runs a test's clients on a runtime of their own.
pub fn clients<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await.expect("it is done in time") })
}

pub fn request(kind: impl Into<RequestKind>) -> Request {
    Request::new(StrBytes::from_static_str("me"), kind)
}

pub async fn connect(address: SocketAddr) -> Connection {
    Connection::connect(address).await.expect("the broker listens")
}

pub async fn call(connection: &mut Connection, kind: impl Into<RequestKind>) -> Response {
    connection.call(request(kind)).await.expect("an answer")
}

/// A topic of one partition with one replica, and the broker that leads it.
pub async fn create(server: &Server, topic: &'static str) -> i32 {
    let topics = vec![
        CreatableTopic::default()
            .with_name(topic_name(topic))
            .with_num_partitions(1)
            .with_replication_factor(1),
    ];
    let create = CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(5_000);
    let Response::CreateTopics(created) = call(&mut connect(server.addresses()[&1]).await, create).await
    else {
        panic!("another answer");
    };
    assert_eq!(created.topics[0].error_code, 0);
    leader_of(server, topic).await
}

/// The leader of a topic's only partition, as soon as there is one.
pub async fn leader_of(server: &Server, topic: &'static str) -> i32 {
    loop {
        let mut connection = connect(server.addresses()[&1]).await;
        let Response::Metadata(metadata) =
            call(&mut connection, MetadataRequest::default().with_topics(None)).await
        else {
            panic!("another answer");
        };
        let topic = metadata.topics.iter().find(|known| known.name == Some(topic_name(topic)));
        if let Some(topic) = topic
            && let Some(partition) = topic.partitions.first()
            && partition.leader_id.0 > 0
        {
            return partition.leader_id.0;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub fn batch(value: &[u8]) -> Bytes {
    // Far ahead: the host's clock is real, and retention goes by it.
    encode_batch(
        &[RecordView { timestamp: 4_000_000_000_000, key: Some(b"k"), value: Some(value), headers: &[] }],
        None,
    )
}

pub fn produce(topic: &str, acks: i16, batch: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(5_000).with_topic_data(vec![topic])
}

pub fn fetch(topic: &str, offset: i64, max_wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![partition]);
    let fetch = FetchRequest::default().with_max_wait_ms(max_wait_ms).with_min_bytes(1);
    fetch.with_max_bytes(1 << 20).with_topics(vec![topic])
}
