//! `AddPartitionsToTxn` and `AddOffsetsToTxn`.

use super::*;

#[test]
fn c24_partitions_are_added_and_a_repetition_writes_nothing() {
    let mut desk = Desk::new(1);
    let me = desk.init(None).expect("a producer");
    assert_eq!(desk.add(me, &[0, 1]), Ok(()));
    assert_eq!(desk.state(), "Ongoing");
    let asked = desk.ask_add(me, &[1]);
    assert!(desk.writes.is_empty());
    assert_eq!(desk.add_answer(asked), Ok(()));
    assert_eq!(desk.add(me, &[2]), Ok(()));
    assert_eq!(desk.metadata().partitions, [0, 1, 2].map(at).into());
}

#[test]
fn c24_while_something_is_written_or_marked_it_is_concurrent_transactions() {
    let mut desk = Desk::new(1);
    let me = desk.init(None).expect("a producer");
    let first = desk.ask_add(me, &[0]);
    let second = desk.ask_add(me, &[1]);
    assert_eq!(desk.add_answer(second), Err(ResponseError::ConcurrentTransactions));
    desk.ack_all();
    assert_eq!(desk.add_answer(first), Ok(()));
    desk.end(me, true).expect("committed");
    assert_eq!(
        desk.add(me, &[0]),
        Err(ResponseError::ConcurrentTransactions),
        "the next one's first partition"
    );
    desk.settle();
    assert_eq!(desk.add(me, &[0]), Ok(()));
}

#[test]
fn c26_unknown_ids_and_producers_are_told_apart() {
    let mut desk = Desk::new(1);
    assert_eq!(desk.add(producer(1, 0), &[0]), Err(ResponseError::InvalidProducerIdMapping));
    desk.init(None).expect("a producer");
    assert_eq!(desk.add(producer(2, 0), &[0]), Err(ResponseError::InvalidProducerIdMapping));
    assert_eq!(desk.add(producer(1, 1), &[0]), Err(ResponseError::ProducerFenced));
}

#[test]
fn c24_with_a_partition_that_does_not_exist_none_is_added() {
    let mut desk = Desk::new(1);
    let me = desk.init(None).expect("a producer");
    desk.leaders.insert(at(1), Leader::NoSuchPartition);
    let asked = desk.ask_add(me, &[0, 1]);
    let response: AddPartitionsToTxnResponse = desk.answer(asked).expect("an answer");
    let results = &response.results_by_topic_v3_and_below[0].results_by_partition;
    let codes: Vec<_> = results.iter().map(|result| check(result.partition_error_code)).collect();
    assert_eq!(
        codes,
        [Err(ResponseError::OperationNotAttempted), Err(ResponseError::UnknownTopicOrPartition)]
    );
    assert_eq!(desk.state(), "Empty");
}

#[test]
fn c24_offsets_are_a_partition_like_another() {
    let mut desk = Desk::new(1);
    let me = desk.init(None).expect("a producer");
    let request = AddOffsetsToTxnRequest::default()
        .with_transactional_id(transactional_id())
        .with_producer_id(ProducerId(me.id))
        .with_producer_epoch(me.epoch);
    let asked = desk.ask(3, request);
    desk.ack_all();
    let response: AddOffsetsToTxnResponse = desk.answer(asked).expect("an answer");
    assert_eq!(check(response.error_code), Ok(()));
    assert_eq!(desk.metadata().partitions, [TopicPartition::new("__consumer_offsets", 9)].into());
}

#[test]
fn c32_leaders_ask_whether_a_partition_was_added() {
    let mut desk = Desk::new(1);
    let me = desk.init(None).expect("a producer");
    desk.add(me, &[0]).expect("a transaction");
    assert_eq!(desk.ask_as_leader(me, &[0, 1], true), [Ok(()), Err(ResponseError::TransactionAbortable)]);
    assert_eq!(desk.ask_as_leader(producer(1, 1), &[0], true), [Err(ResponseError::ProducerFenced)]);
    assert_eq!(
        desk.ask_as_leader(producer(2, 0), &[0], true),
        [Err(ResponseError::InvalidProducerIdMapping)]
    );
    desk.end(me, true).expect("decided");
    assert_eq!(desk.ask_as_leader(me, &[0], true), [Err(ResponseError::ConcurrentTransactions)]);
    desk.settle();
    assert_eq!(desk.ask_as_leader(me, &[0], true), [Err(ResponseError::TransactionAbortable)]);
}

#[test]
fn c33_leaders_add_partitions_for_clients_of_version_2() {
    let mut desk = Desk::new(2);
    let me = desk.init(None).expect("a producer");
    assert_eq!(desk.ask_as_leader(me, &[0, 1], false), [Ok(()), Ok(())]);
    assert_eq!(desk.state(), "Ongoing");
    assert_eq!(desk.metadata().client_version, TransactionVersion::V2);
}

#[test]
fn c33_several_transactions_of_one_request_are_answered_together() {
    let mut desk = Desk::new(2);
    let me = desk.init(None).expect("a producer");
    let asked_of = |verify_only: bool| {
        AddPartitionsToTxnTransaction::default()
            .with_transactional_id(transactional_id())
            .with_producer_id(ProducerId(me.id))
            .with_producer_epoch(me.epoch)
            .with_verify_only(verify_only)
            .with_topics(vec![topic(&[0])])
    };
    let transactions = vec![asked_of(false), asked_of(true)];
    let asked = desk.ask(4, AddPartitionsToTxnRequest::default().with_transactions(transactions));
    assert!(desk.answers.is_empty(), "the first is still being written");
    desk.ack_all();
    let response: AddPartitionsToTxnResponse = desk.answer(asked).expect("an answer");
    assert_eq!(response.results_by_transaction.len(), 2);
    let empty = desk.ask(4, AddPartitionsToTxnRequest::default());
    assert!(desk.answers.contains_key(&empty), "an empty request is answered too");
}
