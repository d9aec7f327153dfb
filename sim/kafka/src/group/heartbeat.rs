//! `Heartbeat`: a member is alive, and hears whether its generation still is.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::heartbeat_request::HeartbeatRequest;
use kafka_protocol::messages::heartbeat_response::HeartbeatResponse;

use super::Coordinator;
use super::state::{Group, State};
use crate::broker::ReplyTo;
use crate::cluster::TimestampMs;
use crate::coordination::Todo;
use crate::protocol::code;

impl Coordinator {
    pub(super) fn heartbeat(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        request: &HeartbeatRequest,
        todo: &mut Todo,
    ) {
        let response = |outcome| HeartbeatResponse::default().with_error_code(code(outcome));
        match self.check_group(&request.group_id) {
            // Whether it is still a member is not known yet: it is let live.
            Err(ResponseError::CoordinatorLoadInProgress) => {
                todo.outputs.push(reply.respond(response(Ok(()))));
            }
            Err(error) => todo.outputs.push(reply.respond(response(Err(error)))),
            Ok(partition) => {
                let beat = self
                    .with_group(now, &request.group_id, todo, |group, env| group.heartbeat(env.now, request));
                let outcome = beat.unwrap_or(Err(ResponseError::UnknownMemberId));
                self.answer(partition, reply, response(outcome), todo);
            }
        }
    }
}

impl Group {
    fn heartbeat(&mut self, now: TimestampMs, request: &HeartbeatRequest) -> Result<(), ResponseError> {
        self.check_alive()?;
        self.check_member(&request.member_id, request.group_instance_id.as_ref())?;
        if request.generation_id != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        self.renew_session(now, &request.member_id);
        match self.state {
            State::Empty | State::Dead => Err(ResponseError::UnknownMemberId),
            State::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            // A follower may heartbeat while it waits for the leader's assignment.
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }
}
