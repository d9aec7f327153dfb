//! B: idempotent producers (KIP-98, KIP-360).

use kafka::ResponseError;

use crate::batch::{batch, value};
use crate::list::behaviours;
use crate::stage::Stage;
use crate::topic::Isolation::ReadUncommitted;

behaviours! {
    "sequences count records per producer id, epoch and partition from 0, and wrap to 0 after the largest"
        => b15_sequences_count_records_per_partition;
    "a retry of one of the last five batches succeeds with its first offset and appends nothing"
        => b16_a_retry_of_one_of_the_last_five_batches_has_its_first_offset;
    "a gap, and a repetition older than five batches, are OUT_OF_ORDER_SEQUENCE_NUMBER"
        => b17_a_gap_and_an_old_repetition_are_out_of_order;
    "without state any first sequence is accepted, and a new epoch begins at 0"
        => b18_without_state_any_first_sequence_is_accepted;
    "another session is another producer id: what the application sends again is appended again"
        => b19_a_restarted_producer_is_another;
    "producer state survives the leader: its successor knows the last batches"
        => b22_producer_state_survives_a_leader_change [Kill];
}

async fn b15_sequences_count_records_per_partition(stage: Stage) {
    let topic = stage.topic("t", 2, &[]).await;
    let (id, epoch) = stage.producer_id().await;
    assert_eq!(topic.produce(0, -1, batch(&["a", "b", "c"]).from(id, epoch, 0)).await, Ok(0));
    assert_eq!(topic.produce(0, -1, batch(&["d"]).from(id, epoch, 3)).await, Ok(3));
    assert_eq!(topic.produce(1, -1, batch(&["e"]).from(id, epoch, 0)).await, Ok(0), "by partition");
    let (id, epoch) = stage.producer_id().await;
    let near_the_end = batch(&["f", "g", "h"]).from(id, epoch, i32::MAX - 1);
    assert_eq!(topic.produce(0, -1, near_the_end).await, Ok(4), "no state: any first sequence");
    assert_eq!(topic.produce(0, -1, batch(&["i"]).from(id, epoch, 1)).await, Ok(7), "MAX - 1, MAX, 0, 1");
}

async fn b16_a_retry_of_one_of_the_last_five_batches_has_its_first_offset(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let (id, epoch) = stage.producer_id().await;
    for sequence in 0..6 {
        let offset = topic.produce(0, -1, batch(&["v"]).from(id, epoch, sequence)).await;
        assert_eq!(offset, Ok(i64::from(sequence)));
    }
    for sequence in 1..6 {
        let offset = topic.produce(0, -1, batch(&["v"]).from(id, epoch, sequence)).await;
        assert_eq!(offset, Ok(i64::from(sequence)), "as the first time");
    }
    assert_eq!(topic.read(0, ReadUncommitted).await.len(), 6);
}

async fn b17_a_gap_and_an_old_repetition_are_out_of_order(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let (id, epoch) = stage.producer_id().await;
    for sequence in 0..6 {
        topic.produce(0, -1, batch(&["v"]).from(id, epoch, sequence)).await.expect("in order");
    }
    for sequence in [0, 7] {
        let refused = topic.produce(0, -1, batch(&["x"]).from(id, epoch, sequence)).await;
        assert_eq!(refused, Err(ResponseError::OutOfOrderSequenceNumber), "sequence {sequence}");
    }
    let next = topic.produce(0, -1, batch(&["v"]).from(id, epoch, 6)).await;
    assert_eq!(next, Ok(6), "what was refused left no trace");
}

async fn b18_without_state_any_first_sequence_is_accepted(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let (id, epoch) = stage.producer_id().await;
    assert_eq!(topic.produce(0, -1, batch(&["v"]).from(id, epoch, 77)).await, Ok(0));
    let refused = topic.produce(0, -1, batch(&["v"]).from(id, epoch + 1, 1)).await;
    assert_eq!(refused, Err(ResponseError::OutOfOrderSequenceNumber), "a new epoch begins at 0");
    assert_eq!(topic.produce(0, -1, batch(&["v"]).from(id, epoch + 1, 0)).await, Ok(1));
    let old = topic.produce(0, -1, batch(&["v"]).from(id, epoch, 78)).await;
    assert_eq!(old, Err(ResponseError::InvalidProducerEpoch));
    // producer.id.expiration.ms is 45 s here.
    stage.sleep(50_000).await;
    let expired = topic.produce(0, -1, batch(&["v"]).from(id, epoch + 1, 500)).await;
    assert_eq!(expired, Ok(2), "the state has expired");
}

async fn b19_a_restarted_producer_is_another(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    for offset in 0..2 {
        let (id, epoch) = stage.producer_id().await;
        assert_eq!(topic.produce(0, -1, batch(&["again"]).from(id, epoch, 0)).await, Ok(offset));
    }
    assert_eq!(topic.read(0, ReadUncommitted).await.iter().map(value).collect::<Vec<_>>(), ["again"; 2]);
}

async fn b22_producer_state_survives_a_leader_change(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let (id, epoch) = stage.producer_id().await;
    for sequence in 0..3 {
        topic.produce(0, -1, batch(&["v"]).from(id, epoch, sequence)).await.expect("in order");
    }
    let old = topic.leader(0).await;
    stage.cluster.kill(old).await;
    topic.leader_other_than(0, old).await;
    let again = topic.produce(0, -1, batch(&["v"]).from(id, epoch, 2)).await;
    assert_eq!(again, Ok(2), "known to the new leader");
    let gap = topic.produce(0, -1, batch(&["v"]).from(id, epoch, 4)).await;
    assert_eq!(gap, Err(ResponseError::OutOfOrderSequenceNumber));
    assert_eq!(topic.produce(0, -1, batch(&["v"]).from(id, epoch, 3)).await, Ok(3));
}
