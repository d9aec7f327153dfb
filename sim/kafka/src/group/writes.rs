//! Writes to `__consumer_offsets` that are under way, what follows each of them, and who waits for it.
//!
//! Real: `CoordinatorRuntime`, whose answers wait until the high watermark has passed what they tell of. An answer
//! without records of its own waits for the last write of its partition, as there.

use std::collections::{BTreeMap, VecDeque};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{GroupId, OffsetFetchRequest};
use kafka_protocol::protocol::StrBytes;

use super::Env;
use super::static_members::Replacement;
use super::stored::CommittedOffset;
use crate::broker::{ConnectionId, Output, ReplyTo};
use crate::cluster::TopicPartition;
use crate::coordination::{StateRecord, StateTransaction, StateWrite, Todo};
use crate::protocol::Response;

/// What a write changes once it is there.
pub(super) enum Then {
    /// Nothing: memory knows it already.
    Nothing,
    /// An empty group, as the first member comes.
    Created(GroupId),
    /// A finished generation, with each member's share.
    Synced {
        group: GroupId,
        generation: i32,
        shares: BTreeMap<StrBytes, bytes::Bytes>,
    },
    /// A static member got a new id.
    Replaced {
        group: GroupId,
        replacement: Replacement,
    },
    Committed(Commit),
    Removed(Vec<Removal>),
}

/// Offsets of a group, final or of a transaction.
pub(super) struct Commit {
    pub group: GroupId,
    pub producer_id: Option<i64>,
    pub offsets: Vec<(TopicPartition, CommittedOffset)>,
}

/// Tombstones.
pub(super) struct Removal {
    pub group: GroupId,
    pub offsets: Vec<TopicPartition>,
    /// The group itself too.
    pub entirely: bool,
}

/// Who is answered when a write is there.
pub(super) enum Waiting {
    /// `is_own`: the write is what the request asked for, and was not only there before it.
    Answer { reply: ReplyTo, response: Response, is_own: bool },
    /// `OffsetFetch` with `require_stable`: everything that was under way when it came must be there first.
    Fetch { reply: ReplyTo, request: OffsetFetchRequest, barriers: Vec<u64> },
    /// `DeleteGroups`, group by group.
    Deletion(Deletion),
}

pub(super) struct Deletion {
    /// `None` where its connection is gone: it goes on all the same.
    pub reply: Option<ReplyTo>,
    pub results: Vec<DeletableGroupResult>,
    pub rest: VecDeque<GroupId>,
}

impl Waiting {
    /// Whether it is still of use when the connection is gone.
    fn outlives(&mut self, conn: ConnectionId) -> bool {
        match self {
            Waiting::Answer { reply, .. } | Waiting::Fetch { reply, .. } => reply.conn != conn,
            Waiting::Deletion(deletion) => {
                deletion.reply = deletion.reply.filter(|reply| reply.conn != conn);
                true
            }
        }
    }
}

pub(super) struct InFlight {
    pub partition: i32,
    pub then: Then,
    pub waiting: Vec<Waiting>,
    /// Has timed out: it is in the log, but nobody waits for it any more.
    stalled: bool,
}

#[derive(Default)]
pub(super) struct Writes {
    /// Never the same twice, also after a crash: what is told of writes before it is not taken for others.
    next_ticket: u64,
    /// From here on writes come of the request that is being handled.
    first_of_request: u64,
    in_flight: BTreeMap<u64, InFlight>,
}

impl Writes {
    pub fn begin_request(&mut self) {
        self.first_of_request = self.next_ticket;
    }

    pub fn write(
        &mut self,
        todo: &mut Todo,
        partition: i32,
        transaction: Option<StateTransaction>,
        records: Vec<StateRecord>,
        then: Then,
    ) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.in_flight.insert(ticket, InFlight { partition, then, waiting: Vec::new(), stalled: false });
        todo.writes.push(StateWrite { partition, ticket, transaction, records });
    }

    /// Sends an answer when all that is under way in the partition is there.
    pub fn answer(&mut self, todo: &mut Todo, partition: i32, reply: ReplyTo, response: Response) {
        match self.last(partition) {
            None => todo.outputs.push(reply.respond(response)),
            Some(ticket) => {
                let is_own = ticket >= self.first_of_request;
                self.wait(ticket, Waiting::Answer { reply, response, is_own });
            }
        }
    }

    pub fn wait(&mut self, ticket: u64, waiting: Waiting) {
        if let Some(write) = self.in_flight.get_mut(&ticket) {
            write.waiting.push(waiting);
        }
    }

    /// The partition's last write that is under way.
    pub fn last(&self, partition: i32) -> Option<u64> {
        let mut latest = self.in_flight.iter().rev();
        latest.find(|(_, write)| write.partition == partition && !write.stalled).map(|(ticket, _)| *ticket)
    }

    /// Offsets of the group are on their way into the log.
    pub fn is_committing(&self, group: &GroupId) -> bool {
        let writes = self.in_flight.values();
        writes
            .map(|write| &write.then)
            .any(|then| matches!(then, Then::Committed(commit) if commit.group == *group))
    }

    pub fn is_under_way(&self, ticket: u64) -> bool {
        self.in_flight.get(&ticket).is_some_and(|write| !write.stalled)
    }

    pub fn take(&mut self, ticket: u64) -> Option<InFlight> {
        self.in_flight.remove(&ticket)
    }

    /// A write that timed out: it may still come true.
    pub fn stall(&mut self, ticket: u64, partition: i32, then: Then) {
        self.in_flight.insert(ticket, InFlight { partition, then, waiting: Vec::new(), stalled: true });
    }

    /// Everything under way in a partition that is led elsewhere now.
    pub fn give_up(&mut self, partition: i32) -> Vec<InFlight> {
        let theirs = self.in_flight.iter().filter(|(_, write)| write.partition == partition);
        let theirs: Vec<u64> = theirs.map(|(ticket, _)| *ticket).collect();
        theirs.iter().filter_map(|ticket| self.in_flight.remove(ticket)).collect()
    }

    pub fn crash(&mut self) {
        self.in_flight.clear();
    }

    /// Offsets of a group that are on their way into the log.
    pub fn offsets_of<'a>(&'a self, group: &'a GroupId) -> impl Iterator<Item = &'a TopicPartition> {
        let commits = self.in_flight.values().filter_map(|write| match &write.then {
            Then::Committed(commit) if commit.group == *group => Some(commit),
            _ => None,
        });
        commits.flat_map(|commit| commit.offsets.iter().map(|(at, _)| at))
    }

    pub fn drop_connection(&mut self, conn: ConnectionId) {
        for write in self.in_flight.values_mut() {
            write.waiting.retain_mut(|waiting| waiting.outlives(conn));
        }
    }
}

impl Env<'_> {
    pub fn write(&mut self, records: Vec<StateRecord>, then: Then) {
        self.writes.write(self.todo, self.partition, None, records, then);
    }

    pub fn push(&mut self, output: Output) {
        self.todo.outputs.push(output);
    }
}

/// Whether a write failed in a way that says something of all that is under way in its partition, and not only of itself.
pub(super) fn concerns_all(error: ResponseError) -> bool {
    matches!(
        error,
        ResponseError::RequestTimedOut
            | ResponseError::NotLeaderOrFollower
            | ResponseError::NotCoordinator
            | ResponseError::KafkaStorageError
    )
}

/// What a client is told of a write that failed (`GroupMetadataManager.appendGroupMetadataErrorToResponseError`).
pub(super) fn error_for_client(error: ResponseError) -> ResponseError {
    match error {
        ResponseError::UnknownTopicOrPartition
        | ResponseError::NotEnoughReplicas
        | ResponseError::NotEnoughReplicasAfterAppend
        | ResponseError::RequestTimedOut => ResponseError::CoordinatorNotAvailable,
        ResponseError::NotLeaderOrFollower | ResponseError::KafkaStorageError => {
            ResponseError::NotCoordinator
        }
        ResponseError::MessageTooLarge
        | ResponseError::RecordListTooLarge
        | ResponseError::InvalidFetchSize => ResponseError::UnknownServerError,
        other => other,
    }
}
