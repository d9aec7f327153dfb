//! E: committed offsets, by hand against one coordinator.

use kafka::{ResponseError, topic_name};
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_commit_response::OffsetCommitResponse;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponse;

use crate::bench::{Bench, TOPIC};
use crate::e_groups::{SESSION_MS, group, join_request, joins, sync_request, text};

pub fn commit_request(member_id: &str, generation: i32, partition: i32, offset: i64) -> OffsetCommitRequest {
    let partition =
        OffsetCommitRequestPartition::default().with_partition_index(partition).with_committed_offset(offset);
    let topic =
        OffsetCommitRequestTopic::default().with_name(topic_name(TOPIC)).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group())
        .with_member_id(text(member_id))
        .with_generation_id_or_member_epoch(generation)
        .with_topics(vec![topic])
}

impl Bench {
    pub fn commit(
        &mut self,
        member_id: &str,
        generation: i32,
        partition: i32,
        offset: i64,
    ) -> Result<(), ResponseError> {
        let request = commit_request(member_id, generation, partition, offset);
        let response: OffsetCommitResponse = self.call(request);
        ResponseError::try_from_code(response.topics[0].partitions[0].error_code).map_or(Ok(()), Err)
    }

    pub fn committed(&mut self, partition: i32) -> i64 {
        let topics = vec![
            OffsetFetchRequestTopics::default()
                .with_name(topic_name(TOPIC))
                .with_partition_indexes(vec![partition]),
        ];
        let wanted = OffsetFetchRequestGroup::default().with_group_id(group()).with_topics(Some(topics));
        let response: OffsetFetchResponse =
            self.call(OffsetFetchRequest::default().with_groups(vec![wanted]));
        assert_eq!(response.groups[0].error_code, 0);
        response.groups[0].topics[0].partitions[0].committed_offset
    }
}

#[test]
fn e48_a_commit_must_come_from_a_member_of_this_generation() {
    let mut bench = Bench::new();
    let members = bench.stable_group(&["a"]);
    assert_eq!(bench.commit(&members[0], 0, 0, 5), Err(ResponseError::IllegalGeneration));
    assert_eq!(bench.commit(&members[0], 2, 0, 5), Err(ResponseError::IllegalGeneration));
    assert_eq!(bench.commit("nobody-1", 1, 0, 5), Err(ResponseError::UnknownMemberId));
    assert_eq!(bench.committed(0), -1);
    assert_eq!(bench.commit(&members[0], 1, 0, 5), Ok(()));
    assert_eq!(bench.committed(0), 5);
}

#[test]
fn e48_without_a_generation_only_an_empty_group_takes_commits() {
    let mut bench = Bench::new();
    assert_eq!(bench.commit("", -1, 0, 7), Ok(()));
    bench.stable_group(&["a"]);
    assert_eq!(bench.commit("", -1, 0, 8), Err(ResponseError::UnknownMemberId));
    assert_eq!(bench.committed(0), 7);
    bench.pass(SESSION_MS);
    bench.pass(60_000);
    assert_eq!(bench.commit("", -1, 0, 8), Ok(()), "its last member is gone");
}

#[test]
fn e48_while_members_rejoin_commits_are_taken_but_not_while_they_wait_for_assignments() {
    let mut bench = Bench::new();
    let members = bench.stable_group(&["a", "b"]);
    bench.ask(join_request(&members[0]));
    assert_eq!(bench.commit(&members[1], 1, 0, 5), Ok(()), "preparing: the old generation may still commit");
    let outputs = bench.ask(join_request(&members[1]));
    assert_eq!(joins(&outputs).len(), 2);
    assert_eq!(bench.commit(&members[1], 1, 0, 6), Err(ResponseError::IllegalGeneration));
    assert_eq!(bench.commit(&members[1], 2, 0, 6), Err(ResponseError::RebalanceInProgress));
    bench.ask(sync_request(&members[0], 2, &[]));
    assert_eq!(bench.commit(&members[1], 2, 0, 6), Ok(()));
}

#[test]
fn e48_a_commit_keeps_the_session_alive() {
    let mut bench = Bench::new();
    let members = bench.stable_group(&["a"]);
    for offset in 0..5 {
        bench.pass(SESSION_MS - 1);
        assert_eq!(bench.commit(&members[0], 1, 0, offset), Ok(()));
    }
    assert_eq!(bench.heartbeat(&members[0], 1), Ok(()));
}

#[test]
fn e49_the_last_commit_wins_also_backwards() {
    let mut bench = Bench::new();
    let members = bench.stable_group(&["a"]);
    for offset in [10, 20, 3] {
        bench.commit(&members[0], 1, 0, offset).expect("committed");
        assert_eq!(bench.committed(0), offset);
    }
    assert_eq!(bench.committed(1), -1, "nothing committed");
    assert_eq!(bench.commit(&members[0], 1, 2, 0), Err(ResponseError::UnknownTopicOrPartition));
}

#[test]
fn e49_commits_survive_a_crash() {
    let mut bench = Bench::new();
    bench.commit("", -1, 0, 7).expect("committed");
    bench.broker.crash();
    bench.broker.restart(bench.now);
    assert_eq!(bench.committed(0), 7);
}

const WEEK_MS: i64 = 7 * 24 * 60 * 60 * 1000;
const CHECK_MS: i64 = 10 * 60 * 1000;

/// From one check to the next, with the broker woken whenever it wants to be.
fn to_the_next_check(bench: &mut Bench) {
    bench.pass(CHECK_MS - bench.now.rem_euclid(CHECK_MS));
}

#[test]
fn e55_offsets_of_a_simple_group_expire_at_the_first_check_after_a_week() {
    let mut bench = Bench::new();
    bench.commit("", -1, 0, 7).expect("committed");
    let committed_at = bench.now;
    bench.pass(WEEK_MS);
    assert_eq!(bench.committed(0), 7, "nobody has looked yet");
    to_the_next_check(&mut bench);
    assert_eq!(bench.committed(0), -1);
    assert!(bench.now - committed_at < WEEK_MS + CHECK_MS);
    // A week makes another segment, so there is something to compact.
    bench.pass(15_000);
    assert_eq!(bench.broker.next_deadline(), None, "the group is gone too");
    bench.broker.crash();
    bench.broker.restart(bench.now);
    assert_eq!(bench.committed(0), -1, "for good");
}

#[test]
fn e55_offsets_of_a_group_expire_a_week_after_its_last_member_has_left() {
    let mut bench = Bench::new();
    let members = bench.stable_group(&["a"]);
    bench.commit(&members[0], 1, 0, 7).expect("committed");
    bench.pass(SESSION_MS);
    let empty_since = bench.now;
    bench.pass(WEEK_MS - 1);
    to_the_next_check(&mut bench);
    assert!(bench.now - empty_since >= WEEK_MS);
    assert_eq!(bench.committed(0), -1);
}
