//! Markers: to every leader, again and again, and not longer than they are this coordinator's to send.

use super::*;

fn committed() -> Desk {
    let mut desk = Desk::new(1);
    desk.leaders.insert(at(1), Leader::Broker(2));
    let me = desk.init(None).expect("a producer");
    desk.add(me, &[0, 1, 2]).expect("a transaction");
    desk.end(me, true).expect("decided");
    desk
}

fn targets(desk: &Desk) -> Vec<(i32, Vec<i32>)> {
    let sent = desk.sends.iter().map(|send| match &send.request {
        RequestKind::WriteTxnMarkers(request) => {
            (send.to, request.markers[0].topics[0].partition_indexes.clone())
        }
        other => panic!("not markers: {other:?}"),
    });
    sent.collect()
}

#[test]
fn c28_each_leader_is_told_about_its_partitions_at_its_own_time() {
    let mut desk = committed();
    assert_eq!(targets(&desk), [(1, vec![0, 2]), (2, vec![1])]);
    desk.deliver(Ok(()));
    assert_eq!(desk.metadata().partitions, [at(1)].into());
    assert!(desk.writes.is_empty(), "one leader has not answered");
    desk.deliver(Ok(()));
    desk.ack();
    assert_eq!(desk.state(), "CompleteCommit");
}

#[test]
fn c28_a_marker_that_does_not_arrive_is_sent_again_to_whoever_leads_then() {
    let mut desk = committed();
    desk.lose(LinkError::Reset);
    desk.deliver(Err(ResponseError::NotLeaderOrFollower));
    desk.leaders.insert(at(1), Leader::Broker(3));
    assert!(desk.sends.is_empty());
    desk.pass(1_000);
    assert_eq!(targets(&desk), [(1, vec![0, 2]), (3, vec![1])]);
    desk.settle();
    assert_eq!(desk.state(), "CompleteCommit");
}

#[test]
fn c28_a_partition_without_a_leader_holds_the_transaction_up() {
    let mut desk = Desk::new(1);
    let me = desk.init(None).expect("a producer");
    desk.add(me, &[0]).expect("a transaction");
    desk.leaders.insert(at(0), Leader::None);
    desk.end(me, true).expect("decided");
    desk.pass(60_000);
    assert!(desk.sends.is_empty());
    assert_eq!(desk.add(me, &[0]), Err(ResponseError::ConcurrentTransactions));
    desk.leaders.clear();
    desk.pass(1_000);
    desk.settle();
    assert_eq!(desk.state(), "CompleteCommit");
}

#[test]
fn i79_a_deleted_partition_needs_no_marker() {
    let mut desk = Desk::new(1);
    let me = desk.init(None).expect("a producer");
    desk.add(me, &[0]).expect("a transaction");
    desk.leaders.insert(at(0), Leader::NoSuchPartition);
    desk.end(me, true).expect("decided");
    desk.ack_all();
    assert_eq!(desk.state(), "CompleteCommit");
}

#[test]
fn d43_a_coordinator_that_a_leader_fences_sends_no_more() {
    for error in [ResponseError::TransactionCoordinatorFenced, ResponseError::InvalidProducerEpoch] {
        let mut desk = committed();
        desk.deliver(Err(error));
        desk.deliver(Ok(()));
        desk.pass(60_000);
        assert!(desk.sends.is_empty() && desk.writes.is_empty());
        assert_eq!(desk.state(), "PrepareCommit", "until it is loaded anew");
        desk.elect(EPOCH + 1);
        desk.settle();
        assert_eq!(desk.state(), "CompleteCommit");
    }
}

#[test]
fn c28_a_completion_that_cannot_be_written_is_tried_again() {
    let mut desk = committed();
    desk.deliver(Ok(()));
    desk.deliver(Ok(()));
    desk.fail_write(ResponseError::NotEnoughReplicas);
    assert_eq!(desk.init(None), Err(ResponseError::ConcurrentTransactions));
    desk.pass(1_000);
    desk.ack();
    assert_eq!(desk.state(), "CompleteCommit");
}
