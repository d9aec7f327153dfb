//! What is refused today: transactions, and everything else that the first version leaves out.

use kafka::{ApiKey, Output, ResponseError, StrBytes, topic_name};
use kafka_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use kafka_protocol::messages::create_topics_response::CreateTopicsResponse;
use kafka_protocol::messages::fetch_response::FetchResponse;
use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::find_coordinator_response::FindCoordinatorResponse;
use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::metadata_response::MetadataResponse;
use kafka_protocol::messages::produce_response::ProduceResponse;
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, InitProducerIdRequest, InitProducerIdResponse, TransactionalId,
};

use crate::bench::{Bench, answer, fetch_request, plain, produce_request};

fn transactional_id(id: &str) -> Option<TransactionalId> {
    Some(TransactionalId(StrBytes::from_string(id.to_owned())))
}

#[test]
fn transactions_are_refused_with_an_error_that_clients_give_up_on() {
    let mut bench = Bench::new();
    let init = |id: &str| InitProducerIdRequest::default().with_transactional_id(transactional_id(id));
    let response: InitProducerIdResponse = bench.call(init("relay-1"));
    assert_eq!(response.error_code, ResponseError::UnsupportedVersion.code());
    let response: InitProducerIdResponse = bench.call(init(""));
    assert_eq!(response.error_code, ResponseError::InvalidRequest.code());

    let produce = produce_request(-1, 0, plain(&["v"])).with_transactional_id(transactional_id("relay-1"));
    let response: ProduceResponse = bench.call(produce);
    let code = response.responses[0].partition_responses[0].error_code;
    assert_eq!(code, ResponseError::InvalidTxnState.code());

    let key = StrBytes::from_static_str("relay-1");
    let find = FindCoordinatorRequest::default().with_key_type(1).with_coordinator_keys(vec![key]);
    let response: FindCoordinatorResponse = bench.call(find);
    assert_eq!(response.coordinators[0].error_code, ResponseError::UnsupportedVersion.code());
}

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
