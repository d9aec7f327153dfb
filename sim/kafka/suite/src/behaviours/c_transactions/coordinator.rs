//! What the transaction coordinator answers, and when.

use kafka::ResponseError;

use crate::batch::{batch, value};
use crate::list::behaviours;
use crate::stage::Stage;
use crate::topic::Isolation::{ReadCommitted, ReadUncommitted};
use crate::topic::{LATEST, Topic};
use crate::transaction::Transactional;

behaviours! {
    "InitProducerId keeps the producer id and raises the epoch; a transaction that is open is fenced and aborted first"
        => c23_init_producer_id_fences_and_aborts;
    "until a transaction's markers are written everything else is CONCURRENT_TRANSACTIONS"
        => c24_a_prepared_transaction_is_concurrent_to_the_next [Stop];
    "too long a transaction.timeout.ms is INVALID_TRANSACTION_TIMEOUT, an empty transactional.id INVALID_REQUEST"
        => c25_timeouts_and_ids_have_bounds;
    "EndTxn: what does not fit the state, the epoch or the producer id has its own error"
        => c26_end_txn_knows_state_epoch_and_producer;
    "the coordinator aborts a transaction that takes too long and fences its producer"
        => c30_a_transaction_that_takes_too_long_is_aborted;
    "a transactional id that is not used expires: INVALID_PRODUCER_ID_MAPPING"
        => c35_an_unused_transactional_id_expires;
}

async fn c23_init_producer_id_fences_and_aborts(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let first = stage.transactional("p", 60_000).await;
    first.write(&topic, 0, 0, &["aborted"]).await;
    let concurrent = stage.init_producer_id(Some(&first.id), 60_000).await;
    assert_eq!(concurrent, Err(ResponseError::ConcurrentTransactions), "it is aborted first");
    let second = stage.transactional("p", 60_000).await;
    assert_eq!(second.producer_id, first.producer_id);
    assert!(second.producer_epoch > first.producer_epoch + 1, "raised to fence, and again");
    topic.wait_until_stable(0).await;
    assert_eq!(first.try_add(&topic, 0).await, Err(ResponseError::ProducerFenced));
    second.write(&topic, 0, 0, &["committed"]).await;
    second.end_in(true, &topic, &[0]).await;
    let aborted = topic.fetch(0, 0, ReadCommitted).await.aborted;
    assert_eq!(aborted, [(first.producer_id, 0)]);
}

/// A transaction that is committed, and whose marker cannot be written to one partition, because one of the three replicas
/// that it wants in sync is away.
pub struct HalfDone {
    pub producer: Transactional,
    pub stranded: Topic,
    pub other: Topic,
    pub away: i32,
}

/// The partition has its leader all the while: Apache Kafka 4.4 writes no marker to one that has none, and says that the
/// transaction is complete.
pub async fn half_done(stage: &Stage) -> HalfDone {
    let stranded = stage.topic("stranded", 1, &[("min.insync.replicas", "3")]).await;
    let other = stage.topic("other", 1, &[("min.insync.replicas", "1")]).await;
    let producer = stage.transactional("p", 60_000).await;
    let needed = [stage.transaction_coordinator(&producer.id).await, stranded.leader(0).await];
    let away = crate::BROKERS.into_iter().find(|broker| !needed.contains(broker)).expect("a third");
    producer.write(&stranded, 0, 0, &["a"]).await;
    producer.write(&other, 0, 0, &["b"]).await;
    stage.cluster.stop(away).await;
    producer.end(true).await;
    HalfDone { producer, stranded, other, away }
}

async fn c24_a_prepared_transaction_is_concurrent_to_the_next(stage: Stage) {
    let half = half_done(&stage).await;
    let concurrent = Err(ResponseError::ConcurrentTransactions);
    assert_eq!(half.producer.try_add(&half.other, 0).await, concurrent);
    assert_eq!(half.producer.try_end(true).await, concurrent);
    let init = stage.init_producer_id(Some(&half.producer.id), 60_000).await;
    assert_eq!(init, Err(ResponseError::ConcurrentTransactions));
    stage.cluster.start(half.away).await;
    half.producer.add(&half.other, 0).await;
}

async fn c25_timeouts_and_ids_have_bounds(stage: Stage) {
    let id = stage.name("p");
    let too_long = stage.init_producer_id(Some(&id), 15 * 60_000 + 1).await;
    assert_eq!(too_long, Err(ResponseError::InvalidTransactionTimeout));
    let zero = stage.init_producer_id(Some(&id), 0).await;
    assert_eq!(zero, Err(ResponseError::InvalidTransactionTimeout));
    assert_eq!(stage.init_producer_id(Some(""), 60_000).await, Err(ResponseError::InvalidRequest));
    stage.transactional("p", 15 * 60_000).await;
}

async fn c26_end_txn_knows_state_epoch_and_producer(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let producer = stage.transactional("p", 60_000).await;
    assert_eq!(producer.try_end(true).await, Err(ResponseError::InvalidTxnState), "nothing is begun");
    producer.write(&topic, 0, 0, &["v"]).await;
    let later = Transactional { producer_epoch: producer.producer_epoch + 1, ..producer.clone() };
    assert_eq!(later.try_end(true).await, Err(ResponseError::ProducerFenced));
    let other = Transactional { producer_id: producer.producer_id + 1_000_000, ..producer.clone() };
    assert_eq!(other.try_end(true).await, Err(ResponseError::InvalidProducerIdMapping));
    producer.end_in(true, &topic, &[0]).await;
    producer.end(true).await;
    assert_eq!(topic.offset(0, LATEST, ReadUncommitted).await.0, 2, "a repeated commit writes nothing");
    assert_eq!(producer.try_end(false).await, Err(ResponseError::InvalidTxnState));
}

async fn c30_a_transaction_that_takes_too_long_is_aborted(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let producer = stage.transactional("p", 2_000).await;
    producer.write(&topic, 0, 0, &["slow"]).await;
    topic.produce(0, -1, batch(&["behind"])).await.expect("appended");
    assert_eq!(topic.offset(0, LATEST, ReadCommitted).await.0, 0);
    topic.wait_until_stable(0).await;
    let seen = topic.fetch(0, 0, ReadCommitted).await;
    assert_eq!(seen.aborted, [(producer.producer_id, 0)]);
    let ended = settled(&stage, async || producer.try_end(true).await).await;
    assert_eq!(ended, Err(ResponseError::ProducerFenced));
    let added = settled(&stage, async || producer.try_add(&topic, 0).await).await;
    assert_eq!(added, Err(ResponseError::ProducerFenced));
    let data: Vec<String> = seen.records.iter().filter(|record| !record.control).map(value).collect();
    assert_eq!(data, ["slow", "behind"], "it is the reader that leaves out what was aborted");
}

/// What is answered once the end of the transaction before is written.
pub async fn settled(
    stage: &Stage,
    mut ask: impl AsyncFnMut() -> Result<(), ResponseError>,
) -> Result<(), ResponseError> {
    stage
        .eventually("the transaction before is over", async || match ask().await {
            Err(ResponseError::ConcurrentTransactions) => None,
            outcome => Some(outcome),
        })
        .await
}

async fn c35_an_unused_transactional_id_expires(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let producer = stage.transactional("p", 60_000).await;
    producer.write(&topic, 0, 0, &["v"]).await;
    producer.end_in(true, &topic, &[0]).await;
    // transactional.id.expiration.ms is 45 s here.
    stage.sleep(50_000).await;
    assert_eq!(producer.try_add(&topic, 0).await, Err(ResponseError::InvalidProducerIdMapping));
    let again = stage.transactional("p", 60_000).await;
    assert_ne!(again.producer_id, producer.producer_id);
}
