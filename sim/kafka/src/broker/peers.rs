//! Requests to other brokers and to the controller, and what their answers are for.

use std::collections::BTreeMap;

use kafka_protocol::protocol::StrBytes;

use super::{Broker, ConnectionId, Output, ReplyTo};
use crate::client::LinkError;
use crate::cluster::TimestampMs;
use crate::peer::{Peer, PeerAnswer};
use crate::protocol::{Request, RequestKind, Response};
use crate::trouble::Held;

/// How long the controller may take over what a client asked of it, milliseconds.
const FORWARD_TIMEOUT_MS: i64 = 30_000;

/// What an answer is for.
#[derive(Debug, Clone)]
pub(super) enum Purpose {
    /// A registration or a heartbeat.
    Session,
    IsrChanges,
    ProducerIds,
    /// Markers of a transaction, which the coordinator here has sent.
    Markers {
        ticket: u64,
    },
    /// A question to a transaction coordinator.
    Verification {
        ticket: u64,
    },
    /// Replication from this leader.
    Fetch {
        leader: i32,
    },
    /// A client asked for something that only the controller does.
    Forward(ReplyTo),
    /// The image that comes with it says all.
    Nobody,
}

/// Requests without an answer so far.
#[derive(Default)]
pub(super) struct Calls {
    open: BTreeMap<u64, Purpose>,
}

impl Calls {
    /// What clients wait for on this connection nobody waits for any more.
    pub fn drop_connection(&mut self, gone: ConnectionId) {
        self.open.retain(|_, purpose| !matches!(purpose, Purpose::Forward(reply) if reply.conn == gone));
    }
}

impl Broker {
    pub(super) fn call(
        &mut self,
        to: Peer,
        request: RequestKind,
        timeout_ms: i64,
        purpose: Purpose,
        outputs: &mut Vec<Output>,
    ) -> u64 {
        // Numbers go on after a crash, so that answers to an earlier process find nothing.
        self.last_call += 1;
        let correlation = self.last_call;
        self.calls.open.insert(correlation, purpose);
        let request = Request::new(StrBytes::from_string(format!("broker-{}", self.config.id)), request);
        if to == Peer::Broker(self.config.id) {
            self.state_topics.ask_self(correlation, request);
        } else {
            outputs.push(Output::Send { to, correlation, request, timeout_ms });
        }
        correlation
    }

    /// Has the controller do what a client asks for.
    pub(super) fn forward(&mut self, reply: ReplyTo, request: RequestKind, outputs: &mut Vec<Output>) {
        self.call(Peer::Controller, request, FORWARD_TIMEOUT_MS, Purpose::Forward(reply), outputs);
    }

    /// What came of an [`Output::Send`].
    pub fn answered(
        &mut self,
        now: TimestampMs,
        correlation: u64,
        answer: Result<PeerAnswer, LinkError>,
    ) -> Vec<Output> {
        let fetched = answer.as_ref().ok().map(|answer| &answer.response);
        if let Some(due) = fetched.and_then(|response| self.troubles.written_at(now, response)) {
            self.troubles.requests.hold(due, Held::Answer(correlation, answer));
            return Vec::new();
        }
        let mut outputs = Vec::new();
        self.call_ended(now, correlation, answer, &mut outputs);
        self.settle(now, &mut outputs);
        self.troubles.judge(now, outputs)
    }

    pub(super) fn call_ended(
        &mut self,
        now: TimestampMs,
        correlation: u64,
        answer: Result<PeerAnswer, LinkError>,
        outputs: &mut Vec<Output>,
    ) {
        let Some(purpose) = self.calls.open.remove(&correlation) else { return };
        if let Ok(PeerAnswer { image: Some(image), response }) = &answer
            && !is_refused_registration(response)
        {
            self.take_image(now, image, outputs);
        }
        let response = |answer: Result<PeerAnswer, LinkError>| answer.map(|answer| answer.response);
        match purpose {
            Purpose::Session => self.session_answered(now, correlation, answer.ok()),
            Purpose::IsrChanges => self.isr_changes_answered(now, response(answer).ok(), outputs),
            Purpose::ProducerIds => self.producer_ids_answered(response(answer).ok(), outputs),
            Purpose::Fetch { leader } => {
                self.fetch_answered(now, correlation, leader, response(answer).ok(), outputs);
            }
            Purpose::Nobody => {}
            Purpose::Forward(reply) => outputs.push(forwarded(reply, response(answer).ok())),
            Purpose::Markers { ticket } => self.with_transactions(now, outputs, |coordinator, env| {
                coordinator.sent(env, ticket, response(answer));
            }),
            Purpose::Verification { ticket } => {
                self.verification_answered(now, ticket, response(answer), outputs);
            }
        }
    }
}

/// As long as the session of its predecessor lasts, a new process is not registered and leads nothing, although the image says
/// that its broker does: what is at the end of its logs may never have been replicated.
fn is_refused_registration(response: &Response) -> bool {
    matches!(response, Response::BrokerRegistration(response) if response.error_code != 0)
}

/// Without an answer of the controller the connection is closed: the client tries again, or elsewhere.
fn forwarded(reply: ReplyTo, response: Option<Response>) -> Output {
    response.map_or(Output::Close { conn: reply.conn }, |response| reply.respond(response))
}
