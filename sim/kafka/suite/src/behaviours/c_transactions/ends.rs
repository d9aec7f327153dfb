//! What a transaction's end writes, and what is refused meanwhile.

use kafka::ResponseError;

use super::coordinator::half_done;
use crate::batch::{batch, value};
use crate::list::behaviours;
use crate::stage::Stage;
use crate::topic::Isolation::{ReadCommitted, ReadUncommitted};
use crate::topic::{LATEST, Produced, Topic};

behaviours! {
    "a commit or abort writes a control record to every touched partition: it takes an offset, and no application sees it"
        => c27_a_marker_takes_an_offset;
    "a commit is answered before its markers are written, so partitions become visible at different times"
        => c28_markers_follow_the_answer [Stop];
    "a batch outside of a transaction by a producer whose transaction is open is INVALID_TXN_STATE"
        => c31_no_other_batches_while_a_transaction_is_open;
    "a transactional batch to a partition that was not added is refused: INVALID_TXN_STATE, or TRANSACTION_ABORTABLE since KIP-890"
        => c32_a_partition_that_was_not_added_is_refused;
}

async fn c27_a_marker_takes_an_offset(stage: Stage) {
    let topic = stage.topic("t", 3, &[]).await;
    let producer = stage.transactional("p", 60_000).await;
    producer.write(&topic, 0, 0, &["a"]).await;
    producer.write(&topic, 1, 0, &["b"]).await;
    producer.end_in(true, &topic, &[0, 1]).await;
    for (partition, data) in [(0, "a"), (1, "b")] {
        assert_eq!(topic.offset(partition, LATEST, ReadUncommitted).await.0, 2);
        let records = topic.read(partition, ReadCommitted).await;
        let told: Vec<(i64, bool)> = records.iter().map(|record| (record.offset, record.control)).collect();
        assert_eq!(told, [(0, false), (1, true)]);
        assert_eq!(value(&records[0]), data);
    }
    assert_eq!(topic.offset(2, LATEST, ReadUncommitted).await.0, 0, "it was not touched");
}

async fn c28_markers_follow_the_answer(stage: Stage) {
    let half = half_done(&stage).await;
    // A marker whose first write was not acknowledged in time is written twice.
    let visible = async |topic: &Topic| {
        topic.read(0, ReadCommitted).await.iter().filter(|record| !record.control).count()
    };
    half.other.wait_until_stable(0).await;
    assert_eq!(visible(&half.other).await, 1, "here it is visible");
    assert_eq!(visible(&half.stranded).await, 0, "and here it is not");
    stage.cluster.start(half.away).await;
    half.stranded.wait_until_stable(0).await;
    assert_eq!(visible(&half.stranded).await, 1, "and now that the third replica is there, here too");
}

async fn c31_no_other_batches_while_a_transaction_is_open(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let producer = stage.transactional("p", 60_000).await;
    producer.write(&topic, 0, 0, &["a"]).await;
    let plain = batch(&["b"]).from(producer.producer_id, producer.producer_epoch, 1);
    assert_eq!(topic.produce(0, -1, plain).await, Err(ResponseError::InvalidTxnState));
    producer.end_in(false, &topic, &[0]).await;
}

async fn c32_a_partition_that_was_not_added_is_refused(stage: Stage) {
    let topic = stage.topic("t", 2, &[]).await;
    let producer = stage.transactional("p", 60_000).await;
    let batch = batch(&["v"]).from(producer.producer_id, producer.producer_epoch, 0);
    let produced = Produced::of_transaction(&batch, &producer.id);
    // The error of KIP-890 is for clients that know it.
    let by_version = [(10, ResponseError::InvalidTxnState), (11, ResponseError::TransactionAbortable)];
    for (version, error) in by_version {
        let never_begun = topic.produce(0, -1, produced.clone().in_version(version)).await;
        assert_eq!(never_begun, Err(error), "version {version}");
    }
    producer.write(&topic, 0, 0, &["v"]).await;
    for (version, error) in by_version {
        let not_added = topic.produce(1, -1, produced.clone().in_version(version)).await;
        assert_eq!(not_added, Err(error), "version {version}");
    }
    assert_eq!(topic.offset(1, LATEST, ReadUncommitted).await.0, 0);
    producer.end_in(true, &topic, &[0]).await;
}
