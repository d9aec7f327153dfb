//! A: produce, acknowledgements, batches.

use bytes::{Bytes, BytesMut};
use kafka::{
    Broker, BrokerConfig, ClusterSpec, Output, Request, Response, ResponseError, StrBytes, TopicSpec,
    topic_name,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_protocol::messages::produce_response::ProduceResponse;

use crate::bench::{Bench, CONN, TOPIC, plain, produce_request};

#[test]
fn a1_acks_0_is_never_answered_and_an_error_closes_the_connection() {
    let mut bench = Bench::with(|config| config.message_max_bytes = 100);
    let outputs = bench.ask(produce_request(0, 0, plain(&["v"])));
    assert!(matches!(outputs[..], [Output::Visible { .. }]), "{outputs:?}");
    let too_large = "x".repeat(200);
    assert_eq!(bench.ask(produce_request(0, 0, plain(&[&too_large]))), [Output::Close { conn: CONN }]);
    assert_eq!(bench.read(0, 0, 1_000).high_watermark, 1);
}

#[test]
fn a2_a3_acks_1_and_all_are_answered_after_the_append() {
    let mut bench = Bench::new();
    for (acks, offset) in [(1, 0), (-1, 1)] {
        let outputs = bench.ask(produce_request(acks, 0, plain(&["v"])));
        let [
            Output::Visible { base_offset, .. },
            Output::Respond { response: Response::Produce(response), .. },
        ] = &outputs[..]
        else {
            panic!("{outputs:?}")
        };
        assert_eq!(
            (*base_offset, response.responses[0].partition_responses[0].base_offset),
            (offset, offset)
        );
    }
    let refused: ProduceResponse = bench.call(produce_request(2, 0, plain(&["v"])));
    let code = refused.responses[0].partition_responses[0].error_code;
    assert_eq!(code, ResponseError::InvalidRequiredAcks.code());
}

#[test]
fn a7_only_the_leader_takes_a_batch() {
    let cluster = ClusterSpec::new(vec![10, 11, 12], vec![TopicSpec::new(TOPIC, 3)]);
    let leader = cluster.leader_of(TOPIC, 0);
    for id in cluster.brokers.clone() {
        let mut broker = Broker::new(BrokerConfig::new(id, cluster.clone()));
        let request = Request::new(StrBytes::default(), produce_request(-1, 0, plain(&["v"])));
        let outputs = broker.handle(0, CONN, 1, request);
        let Some(Output::Respond { response: Response::Produce(response), .. }) = outputs.last() else {
            panic!("{outputs:?}")
        };
        let expected = if id == leader { 0 } else { ResponseError::NotLeaderOrFollower.code() };
        assert_eq!(response.responses[0].partition_responses[0].error_code, expected);
    }
}

#[test]
fn a7_the_partitions_of_a_topic_are_led_by_different_brokers() {
    let cluster = ClusterSpec::new(vec![10, 11, 12], vec![]);
    let mut leaders: Vec<i32> = (0..3).map(|partition| cluster.leader_of(TOPIC, partition)).collect();
    leaders.sort_unstable();
    assert_eq!(leaders, [10, 11, 12]);
}

#[test]
fn a8_a_batch_over_max_message_bytes_is_refused_whole() {
    let mut bench = Bench::with(|config| config.message_max_bytes = 200);
    let large = "x".repeat(200);
    assert_eq!(bench.append(0, plain(&["small", &large])), Err(ResponseError::MessageTooLarge));
    assert!(!ResponseError::MessageTooLarge.is_retriable());
    assert_eq!(bench.append(0, plain(&["small"])), Ok(0));
}

#[test]
fn a11_a_batch_gets_contiguous_offsets_and_the_next_one_follows() {
    let mut bench = Bench::new();
    assert_eq!(bench.append(0, plain(&["a", "b", "c"])), Ok(0));
    assert_eq!(bench.append(0, plain(&["d"])), Ok(3));
    assert_eq!(bench.append(1, plain(&["e"])), Ok(0), "offsets are per partition");
    let mut bytes = bench.read(0, 0, 10_000).records.expect("records");
    let mut offsets = Vec::new();
    while let Some(batch) = kafka::records::next_batch(&mut bytes) {
        let (_, records) = kafka::records::decode_batch(&batch).expect("a stored batch");
        offsets.extend(records.iter().map(|record| record.offset));
    }
    assert_eq!(offsets, [0, 1, 2, 3]);
}

#[test]
fn a12_a_request_may_succeed_in_one_partition_and_fail_in_another() {
    let mut bench = Bench::with(|config| config.message_max_bytes = 200);
    let large = "x".repeat(200);
    let data =
        |partition, batch| PartitionProduceData::default().with_index(partition).with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(topic_name(TOPIC)).with_partition_data(vec![
        data(0, plain(&[&large])),
        data(1, plain(&["v"])),
        data(2, plain(&["v"])),
    ]);
    let response: ProduceResponse =
        bench.call(ProduceRequest::default().with_acks(-1).with_topic_data(vec![topic]));
    let codes: Vec<i16> = response.responses[0].partition_responses.iter().map(|p| p.error_code).collect();
    let refused = [ResponseError::MessageTooLarge.code(), ResponseError::UnknownTopicOrPartition.code()];
    assert_eq!(codes, [refused[0], 0, refused[1]]);
}

#[test]
fn a_damaged_batch_is_corrupt_and_two_batches_are_an_invalid_record() {
    let mut bench = Bench::new();
    let good = plain(&["value"]);
    let mut damaged = BytesMut::from(&good[..]);
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    assert_eq!(bench.append(0, damaged.freeze()), Err(ResponseError::CorruptMessage));
    assert_eq!(bench.append(0, good.slice(..20)), Err(ResponseError::CorruptMessage));
    let two = Bytes::from([&good[..], &good[..]].concat());
    assert_eq!(bench.append(0, two), Err(ResponseError::InvalidRecord));
}
