//! D: who is fenced by whom, on three brokers.

use kafka::ResponseError;
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::{ProducerId, WriteTxnMarkersRequest, WriteTxnMarkersResponse};

use crate::transactor::{Transactor, ask, at, leader, outcome, values, world};
use crate::world::World;

#[test]
fn d38_an_old_epoch_hears_one_error_from_leaders_and_another_from_coordinators() {
    let mut world = world(1);
    let mut old = Transactor::v1(&mut world);
    old.add_at_last(&mut world, &[0]);
    old.produce(&mut world, 0, "a").expect("in its transaction");
    let mut new = old.clone();
    new.init_at_last(&mut world);
    assert_eq!(
        old.produce(&mut world, 0, "b"),
        Err(ResponseError::InvalidProducerEpoch),
        "an open partition"
    );
    assert_eq!(
        old.produce(&mut world, 1, "c"),
        Err(ResponseError::InvalidProducerEpoch),
        "by its coordinator"
    );
    assert_eq!(old.add(&mut world, &[1]), Err(ResponseError::ProducerFenced));
    assert_eq!(old.end(&mut world, true), Err(ResponseError::ProducerFenced));
}

#[test]
fn d39_of_two_processes_with_one_transactional_id_the_later_one_goes_on() {
    for version in [1, 2] {
        let mut world = world(version);
        let mut first = Transactor::named(&mut world, "clearing-0", version == 2);
        let mut second = first.clone();
        second.init_at_last(&mut world);
        for it in [&mut first, &mut second] {
            if version == 1 {
                let _ = it.add(&mut world, &[0]);
            }
            let _ = it.produce(&mut world, 0, &it.producer.1.to_string());
        }
        assert_eq!(first.end(&mut world, true), Err(ResponseError::ProducerFenced));
        assert_eq!(second.end(&mut world, true), Ok(()));
        world.run_for(200);
        assert_eq!(values(&mut world, 0, true), ["1"]);
    }
}

fn write_marker(
    world: &mut World,
    producer: (i64, i16),
    coordinator_epoch: i32,
) -> Result<(), ResponseError> {
    let topic = WritableTxnMarkerTopic::default().with_name(at(0).topic).with_partition_indexes(vec![0]);
    let marker = WritableTxnMarker::default()
        .with_producer_id(ProducerId(producer.0))
        .with_producer_epoch(producer.1)
        .with_transaction_result(true)
        .with_coordinator_epoch(coordinator_epoch)
        .with_topics(vec![topic]);
    let broker = leader(world, &at(0));
    let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
    let response: WriteTxnMarkersResponse = ask(world, broker, 1, request);
    outcome(response.markers[0].topics[0].partitions[0].error_code)
}

#[test]
fn d43_a_leader_takes_no_markers_of_an_old_coordinator_or_producer() {
    let mut world = world(1);
    let mut me = Transactor::v1(&mut world);
    me.add_at_last(&mut world, &[0]);
    me.produce(&mut world, 0, "a").expect("in its transaction");
    assert_eq!(write_marker(&mut world, me.producer, 7), Ok(()));
    assert_eq!(write_marker(&mut world, me.producer, 6), Err(ResponseError::TransactionCoordinatorFenced));
    assert_eq!(write_marker(&mut world, (me.producer.0, -1), 7), Err(ResponseError::InvalidProducerEpoch));
    assert_eq!(values(&mut world, 0, true), ["a"]);
}
