//! What comes of a write: memory follows the log, and whoever waits is told.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::GroupId;

use super::Coordinator;
use super::join::join_error;
use super::state::{Group, State, answer_join};
use super::stored::StoredGroup;
use super::writes::{Removal, Then, Waiting, concerns_all, error_for_client};
use crate::cluster::TimestampMs;
use crate::coordination::Todo;
use crate::protocol::Response;

impl Coordinator {
    /// A write is in all in-sync replicas, its last record at the offset given, or it is not.
    ///
    /// After `REQUEST_TIMED_OUT` the records are in the log all the same: the clients are told, and memory waits for a
    /// second call, when the high watermark has passed them after all. Lost leadership ends that wait
    /// ([`Coordinator::resigned`]).
    pub fn written(
        &mut self,
        now: TimestampMs,
        ticket: u64,
        outcome: Result<i64, ResponseError>,
        todo: &mut Todo,
    ) {
        let Some(write) = self.writes.take(ticket) else { return };
        let partition = write.partition;
        match outcome {
            Ok(last_offset) => self.follow(now, partition, write.then, last_offset, todo),
            Err(ResponseError::RequestTimedOut)
                if matches!(write.then, Then::Committed(_) | Then::Removed(_)) =>
            {
                self.writes.stall(ticket, partition, write.then);
            }
            Err(error) => self.go_back(now, write.then, error, todo),
        }
        for waiting in write.waiting {
            match outcome {
                Ok(_) => self.end_waiting(waiting, todo),
                Err(error) => self.fail_waiting(waiting, partition, error, todo),
            }
        }
    }

    fn follow(&mut self, now: TimestampMs, partition: i32, then: Then, last_offset: i64, todo: &mut Todo) {
        match then {
            Then::Nothing => {}
            Then::Created(group) => self.note_written(&group),
            Then::Synced { group, generation, shares } => {
                self.note_written(&group);
                self.with_group(now, &group, todo, |group, env| {
                    group.assigned(env, generation, shares, Ok(()));
                });
            }
            Then::Replaced { group, replacement } => {
                self.with_group(now, &group, todo, |group, env| group.replaced(env, replacement, Ok(())));
            }
            Then::Committed(commit) => self.committed(now, partition, commit, last_offset, todo),
            Then::Removed(removals) => removals.into_iter().for_each(|removal| self.removed(removal)),
        }
    }

    /// The log does not have it: memory goes back to what it has.
    fn go_back(&mut self, now: TimestampMs, then: Then, error: ResponseError, todo: &mut Todo) {
        let told = error_for_client(error);
        match then {
            Then::Nothing => {}
            Then::Created(group) => {
                self.with_group(now, &group, todo, |group, env| {
                    for (id, member) in &mut group.members {
                        answer_join(member, &mut env.todo.outputs, join_error(told, id.clone()));
                    }
                });
                if error != ResponseError::RequestTimedOut {
                    self.forget_unwritten(&group);
                }
            }
            Then::Synced { group, generation, shares } => {
                self.with_group(now, &group, todo, |group, env| {
                    group.assigned(env, generation, shares, Err(told));
                });
            }
            Then::Replaced { group, replacement } => {
                self.with_group(now, &group, todo, |group, env| group.replaced(env, replacement, Err(told)));
            }
            Then::Committed(commit) => {
                let is_simple = |group: &Group| group.state == State::Empty && group.protocol_type.is_none();
                if self.groups.get(&commit.group).is_some_and(is_simple) {
                    self.forget_unwritten(&commit.group);
                }
            }
            Then::Removed(removals) => {
                for removal in removals.into_iter().filter(|removal| removal.entirely) {
                    if let Some(group) = self.groups.get_mut(&removal.group) {
                        group.state = State::Empty;
                    }
                }
            }
        }
    }

    fn note_written(&mut self, group: &GroupId) {
        if let Some(group) = self.groups.get_mut(group) {
            group.is_written = true;
        }
    }

    fn forget_unwritten(&mut self, group_id: &GroupId) {
        if self.groups.get(group_id).is_some_and(|group| !group.is_written) {
            self.forget_group(group_id);
        }
    }

    fn removed(&mut self, removal: Removal) {
        removal.offsets.iter().for_each(|at| self.remove_offset(&removal.group, at));
        if removal.entirely {
            self.forget_group(&removal.group);
        }
    }

    fn end_waiting(&mut self, waiting: Waiting, todo: &mut Todo) {
        match waiting {
            Waiting::Answer { reply, response, .. } => todo.outputs.push(reply.respond(response)),
            Waiting::Fetch { reply, request, barriers } => self.fetch_after(reply, request, barriers, todo),
            Waiting::Deletion(mut deletion) => {
                deletion.done(Ok(()));
                self.go_on_deleting(deletion, todo);
            }
        }
    }

    pub(super) fn fail_waiting(
        &mut self,
        waiting: Waiting,
        partition: i32,
        error: ResponseError,
        todo: &mut Todo,
    ) {
        let told = error_for_client(error);
        match waiting {
            // Somebody else's write has failed: what is asked here does not depend on it.
            Waiting::Answer { reply, response, is_own: false } if !concerns_all(error) => {
                match self.writes.last(partition) {
                    None => todo.outputs.push(reply.respond(response)),
                    Some(last) => self.writes.wait(last, Waiting::Answer { reply, response, is_own: false }),
                }
            }
            Waiting::Fetch { reply, request, barriers } if !concerns_all(error) => {
                self.fetch_after(reply, request, barriers, todo);
            }
            Waiting::Answer { reply, response, .. } => {
                todo.outputs.push(reply.respond(refused(response, told)));
            }
            Waiting::Fetch { reply, request, .. } => {
                todo.outputs.push(reply.respond(self.read_offsets(request, Some(partition))));
            }
            Waiting::Deletion(mut deletion) => {
                deletion.done(Err(told));
                self.go_on_deleting(deletion, todo);
            }
        }
    }
}

/// The answer that would have been, with the error wherever it says that all is well.
fn refused(mut response: Response, error: ResponseError) -> Response {
    let refuse = |code: &mut i16| {
        if *code == 0 {
            *code = error.code();
        }
    };
    match &mut response {
        Response::Heartbeat(response) => response.error_code = error.code(),
        Response::LeaveGroup(response) => {
            response.error_code = error.code();
            response.members.clear();
        }
        Response::OffsetCommit(response) => {
            let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            partitions.for_each(|partition| refuse(&mut partition.error_code));
        }
        Response::TxnOffsetCommit(response) => {
            let partitions = response.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            partitions.for_each(|partition| refuse(&mut partition.error_code));
        }
        Response::OffsetDelete(response) => {
            response.error_code = error.code();
            response.topics.clear();
        }
        other => unreachable!("{:?} waits for no write", other.api()),
    }
    response
}

impl Group {
    /// What is written of a group when its first member comes.
    pub fn created(&self) -> StoredGroup {
        StoredGroup { state_since: self.state_since, ..StoredGroup::default() }
    }
}
