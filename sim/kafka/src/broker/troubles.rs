//! A broker in trouble: requests that are refused or held, a log directory that fails.
//!
//! Real: `LogDirFailureChannel`, and `ReplicaManager.handleLogDirFailure`: a broker whose every directory has failed halts.
//! Fakes one directory a broker. Leaves out: directories that fail singly (KIP-112), and a start that fails.

use kafka_protocol::ResponseError;

use super::{Broker, Output, ReplyTo};
use crate::cluster::TimestampMs;
use crate::protocol::{Request, RequestKind};
use crate::trouble::{Draw, Held, Refusal, Trouble};

impl Broker {
    /// Puts a trouble on this broker until [`Broker::end_trouble`]. Troubles of the same id end, and are counted,
    /// together. They outlive crashes. Panics where [`Trouble::is_possible`] says no.
    pub fn begin_trouble(&mut self, id: u32, trouble: Trouble, draw: Draw) {
        self.troubles.begin(id, trouble, draw);
    }

    /// Answers that are held already still wait for their time.
    pub fn end_trouble(&mut self, id: u32) {
        self.troubles.end(id);
    }

    /// How many requests the troubles of this id hit so far, also after their end.
    pub fn met(&self, id: u32) -> u64 {
        self.troubles.met(id)
    }

    /// Carries a request out, or does what a trouble does instead.
    pub(super) fn take_in(
        &mut self,
        now: TimestampMs,
        reply: ReplyTo,
        request: Request,
        outputs: &mut Vec<Output>,
    ) {
        let answered = !matches!(&request.kind, RequestKind::Produce(produce) if produce.acks == 0);
        match self.troubles.refuse(&request.kind) {
            None => self.carry_out(now, reply, request, outputs),
            Some(Refusal::Answer(response)) if answered => outputs.push(reply.respond(response)),
            Some(_) => {}
        }
    }

    /// What was held back, and is due.
    pub(super) fn do_held(&mut self, now: TimestampMs, outputs: &mut Vec<Output>) {
        while let Some(held) = self.troubles.requests.take_due(now) {
            match held {
                Held::Request(reply, request) => self.take_in(now, reply, request, outputs),
                Held::Answer(correlation, answer) => self.call_ended(now, correlation, answer, outputs),
            }
        }
    }

    /// Whether a log can be written. Where it cannot, the broker halts when it has done what it is doing.
    pub(super) fn write_to_disk(&mut self) -> Result<(), ResponseError> {
        self.log_dir_failed |= self.troubles.is_disk_full();
        if self.log_dir_failed { Err(ResponseError::KafkaStorageError) } else { Ok(()) }
    }

    /// Facts remain: they were so before the end.
    pub(super) fn halt_if_disk_failed(&mut self, outputs: &mut Vec<Output>) {
        if !self.log_dir_failed {
            return;
        }
        let is_said = |output: &Output| {
            matches!(output, Output::Respond { .. } | Output::Close { .. } | Output::Send { .. })
        };
        outputs.retain(|output| !is_said(output));
        outputs.push(Output::Halt);
    }
}
