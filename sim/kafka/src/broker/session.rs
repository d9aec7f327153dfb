//! A broker's session with the controller: registration, heartbeats, and the metadata that comes with their answers.
//!
//! Real: `BrokerLifecycleManager`. A cluster of one broker needs none of it: nobody could take its place.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    BrokerHeartbeatRequest, BrokerHeartbeatResponse, BrokerId, BrokerRegistrationRequest,
    BrokerRegistrationResponse,
};
use uuid::Uuid;

use super::peers::Purpose;
use super::{Broker, Output};
use crate::cluster::{BrokerConfig, TimestampMs};
use crate::peer::{Peer, PeerAnswer};
use crate::protocol::{RequestKind, check};

/// Pause before a registration or heartbeat that failed is tried again, milliseconds.
const RETRY_MS: i64 = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The only broker, or one that was never started: it serves what it was given at its beginning.
    Alone,
    Registering,
    Registered {
        epoch: i64,
    },
}

pub(super) struct Session {
    state: State,
    has_peers: bool,
    /// Processes of this broker so far.
    incarnation: u64,
    /// The next request is due then.
    due: Option<TimestampMs>,
    /// The request that waits for its answer.
    asked: Option<u64>,
    shutting_down: bool,
    may_stop: bool,
    /// The epoch of the process before, if that stopped cleanly: its clean shutdown file.
    previous_epoch: Option<i64>,
    /// This process has not taken an image yet.
    without_image: bool,
}

impl Session {
    pub fn first(config: &BrokerConfig) -> Session {
        Session {
            state: State::Alone,
            has_peers: config.cluster.brokers.len() > 1,
            incarnation: 0,
            due: None,
            asked: None,
            shutting_down: false,
            may_stop: false,
            previous_epoch: None,
            without_image: true,
        }
    }

    pub fn is_new_process(&self) -> bool {
        self.without_image
    }

    pub fn has_image(&mut self) {
        self.without_image = false;
    }

    pub fn start(&mut self, now: TimestampMs) {
        if self.has_peers {
            self.state = State::Registered { epoch: 0 };
            self.due = Some(now);
        }
    }

    pub fn restart(&mut self, now: TimestampMs) {
        self.incarnation += 1;
        self.previous_epoch = self.may_stop.then(|| self.epoch());
        self.asked = None;
        self.shutting_down = false;
        self.may_stop = false;
        self.without_image = true;
        if self.state != State::Alone {
            self.state = State::Registering;
            self.due = Some(now);
        }
    }

    /// The disk has lost something since: there is no clean shutdown file.
    pub fn stopped_uncleanly(&mut self) {
        self.may_stop = false;
    }

    pub fn serves(&self) -> bool {
        self.state != State::Registering
    }

    pub fn epoch(&self) -> i64 {
        match self.state {
            State::Registered { epoch } => epoch,
            State::Alone | State::Registering => 0,
        }
    }

    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.due.filter(|_| self.asked.is_none())
    }
}

impl Broker {
    /// Controlled shutdown begins: leadership moves to others before the process ends. See [`Broker::may_stop`].
    pub fn prepare_to_stop(&mut self, now: TimestampMs) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.session.shutting_down = true;
        match self.session.state {
            State::Registered { .. } => {
                self.session.asked = None;
                self.session.due = Some(now);
                self.settle(now, &mut outputs);
            }
            State::Alone | State::Registering => self.session.may_stop = true,
        }
        outputs
    }

    /// The controller has let the broker go: it leads nothing that others could lead. Its logs are flushed.
    pub fn may_stop(&self) -> bool {
        self.session.may_stop
    }

    fn flush_all_logs(&mut self) {
        let replicas = self.topics.values_mut().flat_map(|topic| topic.replicas.iter_mut().flatten());
        replicas.for_each(|replica| replica.log.flush());
    }

    pub(super) fn send_heartbeat(&mut self, now: TimestampMs, outputs: &mut Vec<Output>) {
        if self.session.asked.is_some() || self.session.due.is_none_or(|due| due > now) {
            return;
        }
        let id = BrokerId(self.config.id);
        let request: RequestKind = match self.session.state {
            State::Alone => return,
            State::Registering => BrokerRegistrationRequest::default()
                .with_broker_id(id)
                .with_incarnation_id(Uuid::from_u64_pair(
                    self.config.id.unsigned_abs().into(),
                    self.session.incarnation,
                ))
                .with_previous_broker_epoch(self.session.previous_epoch.unwrap_or(-1))
                .into(),
            State::Registered { epoch } => BrokerHeartbeatRequest::default()
                .with_broker_id(id)
                .with_broker_epoch(epoch)
                .with_current_metadata_offset(i64::try_from(self.image.version).unwrap_or(i64::MAX))
                .with_want_shut_down(self.session.shutting_down)
                .into(),
        };
        let timeout_ms = self.config.cluster.settings.broker_heartbeat_interval_ms.saturating_mul(2);
        let correlation = self.call(Peer::Controller, request, timeout_ms, Purpose::Session, outputs);
        self.session.asked = Some(correlation);
    }

    pub(super) fn session_answered(
        &mut self,
        now: TimestampMs,
        correlation: u64,
        answer: Option<PeerAnswer>,
    ) {
        if self.session.asked != Some(correlation) {
            return;
        }
        self.session.asked = None;
        self.session.due = Some(now + RETRY_MS);
        let Some(answer) = answer else { return };
        if let Ok(response) = BrokerRegistrationResponse::try_from(answer.response.clone()) {
            if response.error_code == 0 {
                self.session.state = State::Registered { epoch: response.broker_epoch };
                self.session.due = Some(now);
            }
        } else if let Ok(response) = BrokerHeartbeatResponse::try_from(answer.response) {
            match check(response.error_code) {
                Ok(()) => {
                    if response.should_shut_down {
                        self.session.may_stop = true;
                        self.flush_all_logs();
                    }
                    // The answer was held for as long as there was nothing new.
                    self.session.due = (!self.session.may_stop).then_some(now);
                }
                Err(ResponseError::StaleBrokerEpoch) => self.session.state = State::Registering,
                Err(_) => {}
            }
        }
    }
}
