//! B: idempotent producers at the leader.

use kafka::{BrokerConfig, MessageTimestampType, Output, ResponseError};
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use crate::bench::{Bench, idempotent, produce_request};

const PID: i64 = 4_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[test]
fn b15_sequences_count_records_per_partition_from_0() {
    let mut bench = Bench::new();
    assert_eq!(bench.append(0, idempotent(PID, 0, 0, &["a", "b", "c"])), Ok(0));
    assert_eq!(bench.append(0, idempotent(PID, 0, 3, &["d"])), Ok(3));
    assert_eq!(bench.append(1, idempotent(PID, 0, 0, &["e"])), Ok(0), "each partition has its own sequence");
}

#[test]
fn b15_sequences_wrap_to_0_after_i32_max() {
    let mut bench = Bench::new();
    assert_eq!(bench.append(0, idempotent(PID, 0, i32::MAX - 1, &["a", "b", "c"])), Ok(0));
    assert_eq!(bench.append(0, idempotent(PID, 0, 1, &["d"])), Ok(3), "the three took MAX - 1, MAX and 0");
    assert_eq!(
        bench.append(0, idempotent(PID, 0, i32::MAX - 1, &["a", "b", "c"])),
        Ok(0),
        "still recognised"
    );
    assert_eq!(
        bench.append(0, idempotent(PID, 0, i32::MAX, &["x"])),
        Err(ResponseError::OutOfOrderSequenceNumber)
    );
}

#[test]
fn b16_retry_of_one_of_the_last_five_batches_returns_the_original_offset() {
    let mut bench = Bench::new();
    for sequence in 0..6 {
        assert_eq!(bench.append(0, idempotent(PID, 0, sequence, &["v"])), Ok(i64::from(sequence)));
    }
    for sequence in 1..6 {
        let outputs = bench.ask(produce_request(-1, 0, idempotent(PID, 0, sequence, &["v"])));
        assert!(matches!(outputs[..], [Output::Respond { .. }]), "nothing new is visible: {outputs:?}");
        assert_eq!(bench.append(0, idempotent(PID, 0, sequence, &["v"])), Ok(i64::from(sequence)));
    }
    assert_eq!(bench.read(0, 0, 1).high_watermark, 6);
}

#[test]
fn b17_a_gap_and_a_repetition_older_than_five_batches_are_out_of_order() {
    let mut bench = Bench::new();
    for sequence in 0..6 {
        bench.append(0, idempotent(PID, 0, sequence, &["v"])).expect("in order");
    }
    let out_of_order = Err(ResponseError::OutOfOrderSequenceNumber);
    assert_eq!(bench.append(0, idempotent(PID, 0, 0, &["v"])), out_of_order);
    assert_eq!(bench.append(0, idempotent(PID, 0, 7, &["v"])), out_of_order);
    assert_eq!(bench.append(0, idempotent(PID, 0, 6, &["v"])), Ok(6), "a refused batch leaves no trace");
}

#[test]
fn b18_without_state_any_first_sequence_is_accepted() {
    let mut bench = Bench::new();
    assert_eq!(bench.append(0, idempotent(PID, 0, 77, &["v"])), Ok(0));
    bench.now += DAY_MS + 1;
    assert_eq!(
        bench.append(0, idempotent(PID, 0, 500, &["v"])),
        Ok(1),
        "producer.id.expiration.ms has passed"
    );
    assert_eq!(bench.append(0, idempotent(PID, 0, 501, &["v"])), Ok(2));
}

#[test]
fn b18_a_producer_with_old_time_stamps_is_forgotten_while_it_is_active() {
    const CHECK_MS: i64 = 10 * 60 * 1000;
    let append_time = |bench: &mut BrokerConfig| {
        bench.cluster.topics[0].message_timestamp_type = MessageTimestampType::LogAppendTime;
    };
    for (mut bench, retried_at) in [(Bench::new(), 2), (Bench::with(append_time), 1)] {
        bench.now = 30 * DAY_MS;
        // Their time stamp is 1970.
        assert_eq!(bench.append(0, idempotent(PID, 0, 0, &["a"])), Ok(0));
        assert_eq!(bench.append(0, idempotent(PID, 0, 1, &["b"])), Ok(1));
        bench.now += CHECK_MS - 1;
        assert_eq!(bench.append(0, idempotent(PID, 0, 1, &["b"])), Ok(1), "not yet checked");
        bench.now += 1;
        assert_eq!(bench.append(0, idempotent(PID, 0, 1, &["b"])), Ok(retried_at));
    }
}

#[test]
fn b18_a_new_epoch_starts_at_0_and_fences_the_old_one() {
    let mut bench = Bench::new();
    bench.append(0, idempotent(PID, 0, 0, &["v"])).expect("first");
    assert_eq!(bench.append(0, idempotent(PID, 1, 1, &["v"])), Err(ResponseError::OutOfOrderSequenceNumber));
    assert_eq!(bench.append(0, idempotent(PID, 1, 0, &["v"])), Ok(1));
    assert_eq!(bench.append(0, idempotent(PID, 0, 1, &["v"])), Err(ResponseError::InvalidProducerEpoch));
}

#[test]
fn b19_a_producer_that_starts_anew_is_another_one() {
    let mut bench = Bench::new();
    let mut next = || {
        let request = InitProducerIdRequest::default().with_transactional_id(None);
        let response: InitProducerIdResponse = bench.call(request);
        assert_eq!((response.error_code, response.producer_epoch), (0, 0));
        response.producer_id.0
    };
    let (first, second) = (next(), next());
    assert_ne!(first, second);
    bench.append(0, idempotent(first, 0, 0, &["v"])).expect("first");
    assert_eq!(
        bench.append(0, idempotent(second, 0, 0, &["v"])),
        Ok(1),
        "no de-duplication across producers"
    );
}

#[test]
fn b22_de_duplication_survives_a_crash() {
    let mut bench = Bench::new();
    bench.append(0, idempotent(PID, 0, 0, &["a"])).expect("first");
    bench.append(0, idempotent(PID, 0, 1, &["b"])).expect("second");
    bench.broker.crash();
    bench.broker.restart(bench.now);
    assert_eq!(bench.append(0, idempotent(PID, 0, 1, &["b"])), Ok(1));
    assert_eq!(bench.append(0, idempotent(PID, 0, 2, &["c"])), Ok(2));
}

#[test]
fn b_producer_ids_are_unique_across_brokers_blocks_and_restarts() {
    use kafka::{ClusterSpec, Controller};
    let cluster = ClusterSpec::new(vec![0, 1, 2], vec![]);
    let mut controller = Controller::new(cluster.clone(), 0);
    let mut seen = std::collections::BTreeSet::new();
    for id in 0..3 {
        let mut bench = Bench::of(BrokerConfig::new(id, cluster.clone()), 0);
        bench.controller = controller;
        for round in 0..2_500 {
            if round % 400 == 0 {
                bench.broker.crash();
                bench.broker.restart(bench.now);
            }
            let request = InitProducerIdRequest::default().with_transactional_id(None);
            let response: InitProducerIdResponse = bench.call(request);
            assert!(seen.insert(response.producer_id.0), "{} twice", response.producer_id.0);
        }
        controller = bench.controller;
    }
}
