//! transaction.version 1 and 2 (KIP-890).

use kafka::ResponseError;
use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse, ProducerId};

use super::coordinator::settled;
use crate::batch::batch;
use crate::list::behaviours;
use crate::stage::{Stage, check, is_retriable, text};
use crate::topic::Isolation::ReadCommitted;
use crate::topic::{Produced, Topic};
use crate::transaction::Transactional;

behaviours! {
    "transaction.version 2: partitions are added by Produce, and the epoch rises with every end"
        => c33_version_2_raises_the_epoch_with_every_end;
    "before version 2 an EndTxn that comes late ends the producer's next transaction"
        => c34_a_late_end_txn_hits_the_next_transaction;
}

/// One `EndTxn` of version 2: the producer as it goes on.
async fn end_2(producer: &Transactional, commit: bool) -> Result<Transactional, ResponseError> {
    let request = EndTxnRequest::default()
        .with_transactional_id(text(&producer.id).into())
        .with_producer_id(ProducerId(producer.producer_id))
        .with_producer_epoch(producer.producer_epoch)
        .with_committed(commit);
    let stage = &producer.stage;
    let coordinator = stage.transaction_coordinator(&producer.id).await;
    let answer: EndTxnResponse = stage.ask_in(5, coordinator, request).await;
    check(answer.error_code)?;
    let (producer_id, producer_epoch) = (answer.producer_id.0, answer.producer_epoch);
    Ok(Transactional { producer_id, producer_epoch, ..producer.clone() })
}

async fn write_2(
    producer: &Transactional,
    topic: &Topic,
    partition: i32,
    sequence: i32,
) -> Result<i64, ResponseError> {
    let batch = batch(&["v"]).from(producer.producer_id, producer.producer_epoch, sequence);
    let produced = Produced::of_transaction(&batch, &producer.id).in_version(12);
    producer
        .stage
        .eventually("a batch is taken", async || match topic.produce(partition, -1, produced.clone()).await {
            Err(error) if is_retriable(error) => None,
            outcome => Some(outcome),
        })
        .await
}

async fn c33_version_2_raises_the_epoch_with_every_end(stage: Stage) {
    let topic = stage.topic("t", 2, &[]).await;
    let first = stage.transactional("p", 60_000).await;
    assert_eq!(write_2(&first, &topic, 0, 0).await, Ok(0), "no partition was added before");
    assert_eq!(write_2(&first, &topic, 1, 0).await, Ok(0));
    let second = end_2(&first, true).await.expect("committed");
    assert_eq!(second.producer_epoch, first.producer_epoch + 1);
    let again = stage
        .eventually("the markers are written", async || match end_2(&first, true).await {
            Err(ResponseError::ConcurrentTransactions) => None,
            outcome => Some(outcome),
        })
        .await;
    assert_eq!(again.map(|same| same.producer_epoch), Ok(second.producer_epoch), "a repeated commit");
    assert_eq!(write_2(&second, &topic, 0, 0).await, Ok(2));
    let late = end_2(&first, false).await;
    assert!(late.is_err(), "it cannot hit the next one: {:?}", late.map(|late| late.producer_epoch));
    end_2(&second, true).await.expect("committed");
    topic.wait_until_stable(0).await;
    let fetched = topic.fetch(0, 0, ReadCommitted).await;
    assert_eq!((fetched.aborted.len(), fetched.records.len()), (0, 4));
}

async fn c34_a_late_end_txn_hits_the_next_transaction(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let producer = stage.transactional("p", 60_000).await;
    producer.write(&topic, 0, 0, &["first"]).await;
    producer.end_in(false, &topic, &[0]).await;
    producer.write(&topic, 0, 1, &["second"]).await;
    // A copy of the EndTxn above that was on its way meanwhile.
    producer.end_in(false, &topic, &[0]).await;
    let ended = settled(&stage, async || producer.try_end(true).await).await;
    assert_eq!(ended, Err(ResponseError::InvalidTxnState));
    let aborted = topic.fetch(0, 0, ReadCommitted).await.aborted;
    assert_eq!(aborted, [(producer.producer_id, 0), (producer.producer_id, 2)], "the second one is lost");
}
