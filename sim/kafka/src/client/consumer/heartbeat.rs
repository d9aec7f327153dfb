//! Heartbeats: one task that waits, finds the coordinator if need be, and asks it.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::heartbeat_request::HeartbeatRequest;
use kafka_protocol::messages::heartbeat_response::HeartbeatResponse;

use super::membership::{group_id, instance_id};
use super::{Consumer, Done, Phase, Slot};
use crate::client::{Link, LinkError};
use crate::protocol::check;

pub(super) struct HeartbeatAnswer {
    /// Whom the heartbeat was sent to.
    coordinator: Option<i32>,
    result: Result<Result<(), ResponseError>, LinkError>,
}

impl<L: Link + ?Sized + 'static> Consumer<L> {
    pub(super) fn keep_heartbeat(&mut self) {
        if self.tasks.is_running(Slot::Heartbeat) {
            return;
        }
        let request = HeartbeatRequest::default()
            .with_group_id(group_id(&self.config))
            .with_generation_id(self.generation)
            .with_member_id(self.member_id.clone())
            .with_group_instance_id(instance_id(&self.config));
        let delay_ms = match std::mem::take(&mut self.group_delay_ms) {
            0 => self.config.heartbeat_interval_ms,
            backoff_ms => backoff_ms,
        };
        let (caller, config, known) = (self.caller.clone(), self.config.clone(), self.coordinator);
        self.tasks.start(Slot::Heartbeat, async move {
            caller.link.sleep_ms(delay_ms).await;
            let coordinator = match known {
                Some(broker) => Ok(Ok(broker)),
                None => caller.group_coordinator(&config).await,
            };
            let broker = match coordinator {
                Ok(Ok(broker)) => broker,
                Ok(Err(error)) => {
                    return Done::Heartbeat(HeartbeatAnswer { coordinator: None, result: Ok(Err(error)) });
                }
                Err(error) => {
                    return Done::Heartbeat(HeartbeatAnswer { coordinator: None, result: Err(error) });
                }
            };
            // An answer that is later than the next heartbeat would be is worth nothing.
            let timeout_ms = config.request_timeout_ms.min(i64::from(config.session_timeout_ms));
            let answer = caller.call::<HeartbeatResponse>(broker, request, timeout_ms).await;
            let result = answer.map(|response| check(response.error_code));
            Done::Heartbeat(HeartbeatAnswer { coordinator: Some(broker), result })
        });
    }

    pub(super) fn heartbeat_answered(&mut self, answer: HeartbeatAnswer) {
        self.coordinator = answer.coordinator;
        match answer.result {
            Ok(Ok(())) => {
                self.group_backoff.reset();
                self.commit_reports();
            }
            // Known: the host has to see first what it gives up.
            Ok(Err(ResponseError::RebalanceInProgress)) if self.phase == Phase::Rejoining => {}
            Ok(Err(error)) => {
                self.refused(error);
                if self.phase == Phase::Stable {
                    self.group_delay_ms = self.group_backoff.next();
                }
            }
            Err(_) => {
                self.coordinator = None;
                self.group_delay_ms = self.group_backoff.next();
            }
        }
    }
}
