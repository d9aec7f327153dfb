//! D41, D42, E51: offsets in transactions, as far as the group coordinator is concerned.

use kafka::{ResponseError, topic_name};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse, OffsetFetchResponse,
    ProducerId, TransactionalId, TxnOffsetCommitResponse,
};

use crate::bench::{Bench, TOPIC};
use crate::e_groups::{group, text};

/// A transactional producer, by hand.
struct Relay {
    producer_id: ProducerId,
    producer_epoch: i16,
}

impl Relay {
    fn new(bench: &mut Bench) -> Relay {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text("relay"))))
            .with_transaction_timeout_ms(60_000);
        let response: InitProducerIdResponse = bench.call(request);
        assert_eq!(response.error_code, 0);
        Relay { producer_id: response.producer_id, producer_epoch: response.producer_epoch }
    }

    /// The group becomes part of the transaction by this, as with transaction.version 2.
    fn commit(
        &self,
        bench: &mut Bench,
        member_id: &str,
        generation: i32,
        offset: i64,
    ) -> Result<(), ResponseError> {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name(TOPIC));
        let request = TxnOffsetCommitRequest::default()
            .with_group_id(group())
            .with_transactional_id(TransactionalId(text("relay")))
            .with_producer_id(self.producer_id)
            .with_producer_epoch(self.producer_epoch)
            .with_member_id(text(member_id))
            .with_generation_id(generation)
            .with_topics(vec![topic.with_partitions(vec![partition])]);
        let response: TxnOffsetCommitResponse = bench.call(request);
        let code = response.topics[0].partitions[0].error_code;
        ResponseError::try_from_code(code).map_or(Ok(()), Err)
    }

    fn end(&mut self, bench: &mut Bench, commit: bool) {
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text("relay")))
            .with_producer_id(self.producer_id)
            .with_producer_epoch(self.producer_epoch)
            .with_committed(commit);
        let response: EndTxnResponse = bench.call(request);
        assert_eq!(response.error_code, 0);
        (self.producer_id, self.producer_epoch) = (response.producer_id, response.producer_epoch);
        bench.pass(100);
    }
}

impl Bench {
    fn stable_offset(&mut self) -> Result<i64, ResponseError> {
        let topic =
            OffsetFetchRequestTopics::default().with_name(topic_name(TOPIC)).with_partition_indexes(vec![0]);
        let wanted = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(vec![topic]));
        let request = OffsetFetchRequest::default().with_groups(vec![wanted]).with_require_stable(true);
        let response: OffsetFetchResponse = self.call(request);
        let partition = &response.groups[0].topics[0].partitions[0];
        ResponseError::try_from_code(partition.error_code).map_or(Ok(partition.committed_offset), Err)
    }
}

#[test]
fn d41_a_transaction_that_names_its_member_is_refused_after_a_rebalance() {
    let mut bench = Bench::new();
    let relay = Relay::new(&mut bench);
    let members = bench.stable_group(&["a"]);
    assert_eq!(relay.commit(&mut bench, &members[0], 0, 5), Err(ResponseError::IllegalGeneration));
    assert_eq!(relay.commit(&mut bench, "nobody-1", 1, 5), Err(ResponseError::UnknownMemberId));
    assert_eq!(relay.commit(&mut bench, &members[0], 1, 5), Ok(()));
}

#[test]
fn d42_a_transaction_that_names_nobody_is_not_checked() {
    let mut bench = Bench::new();
    let mut relay = Relay::new(&mut bench);
    bench.stable_group(&["a"]);
    assert_eq!(bench.commit("", -1, 0, 5), Err(ResponseError::UnknownMemberId), "a plain commit is");
    assert_eq!(relay.commit(&mut bench, "", -1, 5), Ok(()));
    relay.end(&mut bench, true);
    assert_eq!(bench.stable_offset(), Ok(5));
}

#[test]
fn e51_an_offset_of_an_open_transaction_is_unstable_also_after_a_crash() {
    for (commits, expected) in [(true, 5), (false, 3)] {
        let mut bench = Bench::new();
        let mut relay = Relay::new(&mut bench);
        bench.commit("", -1, 0, 3).expect("committed");
        assert_eq!(relay.commit(&mut bench, "", -1, 5), Ok(()));
        assert_eq!(bench.committed(0), 3);
        assert_eq!(bench.stable_offset(), Err(ResponseError::UnstableOffsetCommit));
        bench.broker.crash();
        bench.broker.restart(bench.now);
        assert_eq!(bench.stable_offset(), Err(ResponseError::UnstableOffsetCommit));
        assert_eq!(bench.committed(0), 3);
        relay.end(&mut bench, commits);
        assert_eq!(bench.stable_offset(), Ok(expected));
        bench.broker.crash();
        bench.broker.restart(bench.now);
        assert_eq!(bench.stable_offset(), Ok(expected));
    }
}

#[test]
fn e50_a_plain_commit_that_comes_later_wins() {
    let mut bench = Bench::new();
    let mut relay = Relay::new(&mut bench);
    assert_eq!(relay.commit(&mut bench, "", -1, 5), Ok(()));
    bench.commit("", -1, 0, 3).expect("committed");
    relay.end(&mut bench, true);
    assert_eq!(bench.stable_offset(), Ok(3));
}

#[test]
fn d38_an_offset_of_a_producer_that_was_fenced_is_refused() {
    let mut bench = Bench::new();
    let old = Relay::new(&mut bench);
    let new = Relay::new(&mut bench);
    assert_eq!(new.producer_id, old.producer_id);
    assert!(old.commit(&mut bench, "", -1, 5).is_err());
    assert_eq!(new.commit(&mut bench, "", -1, 6), Ok(()));
}
