//! Brokers' sessions: registration, heartbeats, fencing, controlled shutdown.
//!
//! Real: `ClusterControlManager`, `BrokerHeartbeatManager`.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerRegistrationRequest, BrokerRegistrationResponse,
};
use uuid::Uuid;

use super::{Controller, ControllerOutput, refused_heartbeat};
use crate::broker::{ConnectionId, ReplyTo};
use crate::cluster::TimestampMs;
use crate::image::{BrokerImage, Image};
use crate::peer::PeerAnswer;

/// A broker's session.
pub(super) struct Session {
    /// When it is over; `None` once it is.
    due: Option<TimestampMs>,
    incarnation: Uuid,
    /// It asked to be let go.
    shutting_down: bool,
    held: Option<Held>,
}

/// A heartbeat that waits for news.
#[derive(Clone, Copy)]
struct Held {
    reply: ReplyTo,
    until: TimestampMs,
}

impl Session {
    pub fn until(due: TimestampMs) -> Session {
        Session { due: Some(due), incarnation: Uuid::nil(), shutting_down: false, held: None }
    }

    /// Of a process that is known to be dead.
    #[cfg(feature = "tcp")]
    pub fn over() -> Session {
        Session { due: None, ..Session::until(0) }
    }

    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.due.into_iter().chain(self.held.map(|held| held.until)).min()
    }

    pub fn drop_connection(&mut self, conn: ConnectionId) {
        self.held = self.held.filter(|held| held.reply.conn != conn);
    }
}

impl Controller {
    /// A process of a broker has started. While the session of its predecessor lasts it is refused, unless that was about to
    /// stop. If it did not stop cleanly, the broker may have lost records.
    pub(super) fn register(
        &mut self,
        now: TimestampMs,
        request: &BrokerRegistrationRequest,
        outputs: &mut Vec<ControllerOutput>,
    ) -> BrokerRegistrationResponse {
        let broker = request.broker_id.0;
        let session = self.sessions.entry(broker).or_insert_with(|| Session::until(now));
        let is_in_session = session.due.is_some_and(|due| due > now) && !session.shutting_down;
        if is_in_session && session.incarnation != request.incarnation_id {
            let error = ResponseError::DuplicateBrokerRegistration;
            return BrokerRegistrationResponse::default().with_error_code(error.code()).with_broker_epoch(-1);
        }
        let is_new_process = session.incarnation != request.incarnation_id;
        self.end_sessions(now, outputs);
        let policy = self.policy();
        let may_have_lost = policy.tracks_eligible
            && is_new_process
            && !self.is_current(broker, request.previous_broker_epoch);
        let epoch = self.next_broker_epoch;
        self.next_broker_epoch += 1;
        let due = now + self.cluster.settings.broker_session_timeout_ms;
        let session = Session { incarnation: request.incarnation_id, ..Session::until(due) };
        self.sessions.insert(broker, session);
        self.edit(now, outputs, |image, outputs| {
            image.brokers.insert(broker, BrokerImage::of(epoch, true));
            if may_have_lost {
                super::elections::come_back_with_less(image, policy, broker, outputs);
            }
            true
        });
        BrokerRegistrationResponse::default().with_broker_epoch(epoch)
    }

    pub(super) fn is_current(&self, broker: i32, epoch: i64) -> bool {
        self.image.brokers.get(&broker).is_some_and(|known| known.epoch == epoch)
    }

    /// Renews a session. A broker that knows the image is held until there is a newer one, or it is time for its next
    /// heartbeat.
    pub(super) fn heartbeat(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        request: &BrokerHeartbeatRequest,
        outputs: &mut Vec<ControllerOutput>,
    ) {
        let broker = request.broker_id.0;
        if !self.is_current(broker, request.broker_epoch) {
            outputs.push(self.answer(reply, refused_heartbeat(ResponseError::StaleBrokerEpoch)));
            return;
        }
        let settings = &self.cluster.settings;
        let due = now + settings.broker_session_timeout_ms;
        let until = now + settings.broker_heartbeat_interval_ms;
        let is_caught_up = request.current_metadata_offset >= self.version();
        let session = self.sessions.get_mut(&broker).expect("a registered broker has a session");
        session.due = Some(due);
        if let Some(replaced) = session.held.take() {
            outputs.push(self.tell(broker, replaced.reply));
        }
        if request.want_shut_down {
            self.let_go(now, broker, outputs);
        } else if is_caught_up && !request.want_fence {
            self.unfence(now, broker, outputs);
        }
        let session = self.sessions.get(&broker).expect("just seen");
        if request.current_metadata_offset >= self.version() && !session.shutting_down {
            let session = self.sessions.get_mut(&broker).expect("just seen");
            session.held = Some(Held { reply, until });
        } else {
            outputs.push(self.tell(broker, reply));
        }
    }

    fn version(&self) -> i64 {
        i64::try_from(self.image.version).unwrap_or(i64::MAX)
    }

    /// The answer to a heartbeat.
    fn tell(&self, broker: i32, reply: ReplyTo) -> ControllerOutput {
        let leads_something = || {
            let mut partitions = self.image.topics.values().flat_map(|topic| &topic.partitions);
            partitions.any(|partition| partition.leader == broker)
        };
        let shutting_down = self.sessions.get(&broker).is_some_and(|session| session.shutting_down);
        let response = BrokerHeartbeatResponse::default()
            .with_is_caught_up(true)
            .with_is_fenced(!self.image.is_alive(broker))
            .with_should_shut_down(shutting_down && !leads_something());
        let answer = PeerAnswer { response: response.into(), image: Some(Arc::clone(&self.image)) };
        ControllerOutput::Respond { conn: reply.conn, correlation: reply.correlation, answer }
    }

    /// There is a newer image: whoever waited for it is answered.
    pub(super) fn tell_all(&mut self, outputs: &mut Vec<ControllerOutput>) {
        let held: Vec<(i32, ReplyTo)> = self
            .sessions
            .iter_mut()
            .filter_map(|(broker, session)| Some((*broker, session.held.take()?.reply)))
            .collect();
        outputs.extend(held.into_iter().map(|(broker, reply)| self.tell(broker, reply)));
    }

    /// Heartbeats that were held long enough.
    pub(super) fn answer_held(&mut self, now: TimestampMs, outputs: &mut Vec<ControllerOutput>) {
        let mut due = Vec::new();
        for (broker, session) in &mut self.sessions {
            if let Some(held) = session.held.filter(|held| held.until <= now) {
                session.held = None;
                due.push((*broker, held.reply));
            }
        }
        outputs.extend(due.into_iter().map(|(broker, reply)| self.tell(broker, reply)));
    }

    /// Fences brokers whose session is over.
    pub(super) fn end_sessions(&mut self, now: TimestampMs, outputs: &mut Vec<ControllerOutput>) {
        let over: Vec<i32> = self
            .sessions
            .iter_mut()
            .filter(|(_, session)| session.due.is_some_and(|due| due <= now))
            .map(|(broker, session)| {
                session.due = None;
                *broker
            })
            .collect();
        for broker in over {
            self.fence(now, broker, outputs);
        }
    }

    fn fence(&mut self, now: TimestampMs, broker: i32, outputs: &mut Vec<ControllerOutput>) {
        let policy = self.policy();
        self.edit(now, outputs, |image, outputs| {
            if !set_fenced(image, broker, true) {
                return false;
            }
            outputs.push(ControllerOutput::BrokerFenced { broker, fenced: true });
            super::elections::leave(image, policy, broker, outputs);
            true
        });
    }

    fn unfence(&mut self, now: TimestampMs, broker: i32, outputs: &mut Vec<ControllerOutput>) {
        if self.image.is_alive(broker) {
            return;
        }
        let policy = self.policy();
        self.edit(now, outputs, |image, outputs| {
            if !set_fenced(image, broker, false) {
                return false;
            }
            outputs.push(ControllerOutput::BrokerFenced { broker, fenced: false });
            super::elections::come_back(image, policy, outputs);
            true
        });
    }

    /// Controlled shutdown: leadership moves away while the broker still serves.
    fn let_go(&mut self, now: TimestampMs, broker: i32, outputs: &mut Vec<ControllerOutput>) {
        let session = self.sessions.get_mut(&broker).expect("a registered broker has a session");
        session.shutting_down = true;
        let policy = self.policy();
        self.edit(now, outputs, |image, outputs| {
            let Some(known) = image.brokers.get_mut(&broker) else { return false };
            let is_new = !std::mem::replace(&mut known.in_controlled_shutdown, true);
            super::elections::leave(image, policy, broker, outputs) || is_new
        });
    }
}

/// True if that changed anything.
fn set_fenced(image: &mut Image, broker: i32, fenced: bool) -> bool {
    let Some(known) = image.brokers.get_mut(&broker) else { return false };
    std::mem::replace(&mut known.fenced, fenced) != fenced
}
