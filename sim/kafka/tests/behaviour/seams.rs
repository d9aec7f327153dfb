//! What is offered, and what is refused: versions, features, topics.

use kafka::{ApiKey, ResponseError, StrBytes, topic_name};
use kafka_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use kafka_protocol::messages::create_topics_response::CreateTopicsResponse;
use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::metadata_response::MetadataResponse;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};

use crate::bench::Bench;

#[test]
fn a_created_topic_is_announced_and_then_known() {
    let mut bench = Bench::new();
    let retention = CreatableTopicConfig::default()
        .with_name(StrBytes::from_static_str("retention.ms"))
        .with_value(Some(StrBytes::from_static_str("-1")));
    let unknown_config = retention.clone().with_name(StrBytes::from_static_str("no.such.setting"));
    let topic = |name: &str| {
        CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(4)
            .with_replication_factor(1)
    };
    let request = CreateTopicsRequest::default().with_topics(vec![
        topic("ledger-events").with_configs(vec![retention]),
        topic("trade-submitted"),
        topic("not a name"),
        topic("replicated").with_replication_factor(3),
        topic("configured").with_configs(vec![unknown_config]),
    ]);
    let response: CreateTopicsResponse = bench.call(request);
    let spec = &bench.broker.image().topics[&topic_name("ledger-events")].spec;
    assert_eq!((spec.partitions, spec.retention_ms), (4, -1));
    let codes: Vec<i16> = response.topics.iter().map(|topic| topic.error_code).collect();
    let refused = [
        ResponseError::TopicAlreadyExists,
        ResponseError::InvalidTopicException,
        ResponseError::InvalidReplicationFactor,
        ResponseError::InvalidConfig,
    ];
    assert_eq!(codes[0], 0);
    assert_eq!(codes[1..], refused.map(|error| error.code()));

    let wanted = ["ledger-events", "nowhere"]
        .map(|name| MetadataRequestTopic::default().with_name(Some(topic_name(name))))
        .to_vec();
    let response: MetadataResponse = bench.call(MetadataRequest::default().with_topics(Some(wanted)));
    assert_eq!(response.topics[0].partitions.len(), 4);
    assert_eq!(response.topics[1].error_code, ResponseError::UnknownTopicOrPartition.code());
}

#[test]
fn api_versions_names_what_is_spoken() {
    let response: ApiVersionsResponse = Bench::new().call(ApiVersionsRequest::default());
    let is_spoken = |key: i16| kafka::protocol::SUPPORTED.iter().any(|(spoken, ..)| *spoken as i16 == key);
    assert!(response.api_keys.iter().all(|offered| is_spoken(offered.api_key)));
    assert!(response.api_keys.iter().any(|offered| offered.api_key == ApiKey::Produce as i16));
    assert!(response.api_keys.iter().all(|offered| offered.api_key != ApiKey::AlterPartition as i16));
}

#[test]
fn c33_api_versions_names_the_finalised_transaction_version() {
    for level in [0, 1, 2] {
        let mut bench = Bench::with(|config| config.cluster.settings.transaction_version = level);
        let response: ApiVersionsResponse = bench.call(ApiVersionsRequest::default());
        let name = "transaction.version";
        let supported = response.supported_features.iter().find(|feature| feature.name.as_str() == name);
        assert_eq!(supported.map(|feature| feature.max_version), Some(2));
        let finalized = response.finalized_features.iter().find(|feature| feature.name.as_str() == name);
        let finalized = finalized.map(|feature| feature.max_version_level);
        assert_eq!(finalized, (level > 0).then_some(level));
    }
}
