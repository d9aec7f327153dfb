//! D41, D42, E51: offsets in transactions, as far as the group coordinator is concerned.

use kafka::{ResponseError, topic_name};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{OffsetFetchResponse, ProducerId, TransactionalId, TxnOffsetCommitResponse};

use crate::bench::{Bench, TOPIC};
use crate::e_groups::{group, text};

impl Bench {
    fn commit_in_transaction(
        &mut self,
        member_id: &str,
        generation: i32,
        offset: i64,
    ) -> Result<(), ResponseError> {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name(TOPIC));
        let request = TxnOffsetCommitRequest::default()
            .with_group_id(group())
            .with_transactional_id(TransactionalId(text("relay")))
            .with_producer_id(ProducerId(7))
            .with_member_id(text(member_id))
            .with_generation_id(generation)
            .with_topics(vec![topic.with_partitions(vec![partition])]);
        let response: TxnOffsetCommitResponse = self.call(request);
        let code = response.topics[0].partitions[0].error_code;
        ResponseError::try_from_code(code).map_or(Ok(()), Err)
    }

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
    let members = bench.stable_group(&["a"]);
    let stale = bench.commit_in_transaction(&members[0], 0, 5);
    assert_eq!(stale, Err(ResponseError::IllegalGeneration));
    assert_eq!(bench.commit_in_transaction("nobody-1", 1, 5), Err(ResponseError::UnknownMemberId));
    assert_eq!(bench.commit_in_transaction(&members[0], 1, 5), Ok(()));
}

#[test]
fn d42_a_transaction_that_names_nobody_is_not_checked() {
    let mut bench = Bench::new();
    bench.stable_group(&["a"]);
    assert_eq!(bench.commit("", -1, 0, 5), Err(ResponseError::UnknownMemberId), "a plain commit is");
    assert_eq!(bench.commit_in_transaction("", -1, 5), Ok(()));
}

#[test]
fn e51_an_offset_of_an_open_transaction_is_unstable_also_after_a_crash() {
    let mut bench = Bench::new();
    bench.commit("", -1, 0, 3).expect("committed");
    assert_eq!(bench.commit_in_transaction("", -1, 5), Ok(()));
    assert_eq!(bench.committed(0), 3);
    assert_eq!(bench.stable_offset(), Err(ResponseError::UnstableOffsetCommit));
    bench.broker.crash();
    bench.broker.restart(bench.now);
    assert_eq!(bench.stable_offset(), Err(ResponseError::UnstableOffsetCommit));
    assert_eq!(bench.committed(0), 3);
}
