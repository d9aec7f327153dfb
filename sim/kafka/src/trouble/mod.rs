//! Trouble that a fault engine puts on a broker: answers that are errors, late, or never come; requests that are late or
//! carried out twice; a disk that is slow or full.
//!
//! Called by the simulator's faults, through [`crate::Broker::begin_trouble`]. A trouble hits requests of one API at
//! odds, with draws that the caller supplies. Error names are Kafka's own (`NOT_LEADER_OR_FOLLOWER`), and only those
//! that a real broker gives to that API are possible. What it leaves out: quotas (a throttled client is a slow
//! answer), closed connections and lost packets (the network's faults), and damaged bytes.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ApiKey;

use crate::broker::{ConnectionId, Output};
use crate::cluster::TimestampMs;
use crate::protocol::{RequestKind, Response};

mod answers;
mod disk;
mod errors;
mod requests;

pub use disk::writes;
pub use errors::{error_name, error_named, errors_after, errors_before};
pub(crate) use requests::{Held, HeldRequests, NOBODY};

/// An even draw below its argument, which is at least 1.
pub type Draw = Box<dyn FnMut(u64) -> u64>;

const MILLION: u32 = 1_000_000;

/// Whether a request is carried out before its answer goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The request is not carried out.
    Before,
    /// It is carried out, and the client does not hear so. Long polls are hit when they are answered.
    After,
}

/// What goes wrong with requests of one API, and how often, in parts per million of them; or with the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// `request-error`: see [`errors_before`] and [`errors_after`] for what is possible.
    RequestError { api: ApiKey, error: ResponseError, moment: Moment, odds_ppm: u32 },
    /// `slow-fetch`, `slow-produce`: the answer is made in time and held for so long, both ends included.
    SlowAnswer { api: ApiKey, min_ms: u64, max_ms: u64, odds_ppm: u32 },
    /// The connection stays open, and no answer comes.
    NoAnswer { api: ApiKey, moment: Moment, odds_ppm: u32 },
    /// `delayed-request`: the request waits for so long before it is carried out, whatever becomes of its client meanwhile, and
    /// with it what comes later on its connection. Of APIs that [write](writes) only.
    DelayedRequest { api: ApiKey, min_ms: u64, max_ms: u64, odds_ppm: u32 },
    /// `repeated-request`: so much later it is carried out once more, as if the client had sent it twice, and that answer is
    /// lost. Of APIs that [write](writes) only.
    RepeatedRequest { api: ApiKey, min_ms: u64, max_ms: u64, odds_ppm: u32 },
    /// `slow-disk`: everything that is to be [written](writes) waits for so long, of clients and of leaders.
    SlowDisk { min_ms: u64, max_ms: u64 },
    /// `disk-full`: the first write fails the broker's only log directory, and the process halts.
    DiskFull,
}

impl Trouble {
    /// Whether a real broker could be in this trouble, and its numbers make sense.
    pub fn is_possible(&self) -> bool {
        match self {
            Trouble::RequestError { api, error, moment, odds_ppm } => {
                let errors = match moment {
                    Moment::Before => errors_before(*api),
                    Moment::After => errors_after(*api),
                };
                errors.contains(error) && *odds_ppm <= MILLION
            }
            Trouble::SlowAnswer { min_ms, max_ms, odds_ppm, .. } => {
                is_span(*min_ms, *max_ms) && *odds_ppm <= MILLION
            }
            Trouble::DelayedRequest { api, min_ms, max_ms, odds_ppm }
            | Trouble::RepeatedRequest { api, min_ms, max_ms, odds_ppm } => {
                is_span(*min_ms, *max_ms) && *odds_ppm <= MILLION && writes(*api)
            }
            Trouble::NoAnswer { odds_ppm, .. } => *odds_ppm <= MILLION,
            Trouble::SlowDisk { min_ms, max_ms } => is_span(*min_ms, *max_ms),
            Trouble::DiskFull => true,
        }
    }

    /// `None`: it is about no API's requests.
    fn api(&self) -> Option<ApiKey> {
        match self {
            Trouble::RequestError { api, .. }
            | Trouble::SlowAnswer { api, .. }
            | Trouble::NoAnswer { api, .. }
            | Trouble::DelayedRequest { api, .. }
            | Trouble::RepeatedRequest { api, .. } => Some(*api),
            Trouble::SlowDisk { .. } | Trouble::DiskFull => None,
        }
    }

    fn odds_ppm(&self) -> u32 {
        match self {
            Trouble::RequestError { odds_ppm, .. }
            | Trouble::SlowAnswer { odds_ppm, .. }
            | Trouble::NoAnswer { odds_ppm, .. }
            | Trouble::DelayedRequest { odds_ppm, .. }
            | Trouble::RepeatedRequest { odds_ppm, .. } => *odds_ppm,
            Trouble::SlowDisk { .. } | Trouble::DiskFull => MILLION,
        }
    }
}

fn is_span(min_ms: u64, max_ms: u64) -> bool {
    min_ms <= max_ms && i64::try_from(max_ms).is_ok()
}

struct Active {
    id: u32,
    trouble: Trouble,
    draw: Draw,
}

impl Active {
    fn hits(&mut self) -> bool {
        (self.draw)(u64::from(MILLION)) < u64::from(self.trouble.odds_ppm())
    }

    /// A time between both, both included.
    fn draw_ms(&mut self, min_ms: u64, max_ms: u64) -> i64 {
        i64::try_from(min_ms + (self.draw)(max_ms - min_ms + 1)).unwrap_or(i64::MAX)
    }
}

/// Instead of carrying a request out.
pub(crate) enum Refusal {
    Answer(Response),
    Silence,
}

/// The troubles of one broker, and what they hold back. They outlive the broker's process.
#[derive(Default)]
pub(crate) struct Troubles {
    active: Vec<Active>,
    /// How often each trouble hit, also those that have ended.
    met: BTreeMap<u32, u64>,
    held: BTreeMap<(TimestampMs, u64), Output>,
    next_held: u64,
    pub requests: HeldRequests,
}

impl Troubles {
    pub fn begin(&mut self, id: u32, trouble: Trouble, draw: Draw) {
        assert!(trouble.is_possible(), "no broker is in this trouble: {trouble:?}");
        self.active.push(Active { id, trouble, draw });
    }

    pub fn end(&mut self, id: u32) {
        self.active.retain(|active| active.id != id);
    }

    pub fn met(&self, id: u32) -> u64 {
        self.met.get(&id).copied().unwrap_or(0)
    }

    /// Nothing is to be judged. Answers that are held need no look at requests.
    pub fn is_quiet(&self) -> bool {
        self.active.is_empty()
    }

    /// Judges a request before it is carried out.
    pub fn refuse(&mut self, request: &RequestKind) -> Option<Refusal> {
        let api = request.api();
        for active in &mut self.active {
            let refusal = match &active.trouble {
                Trouble::RequestError { error, moment: Moment::Before, .. } => Some(*error),
                Trouble::NoAnswer { moment: Moment::Before, .. } => None,
                _ => continue,
            };
            if active.trouble.api() != Some(api) || !active.hits() {
                continue;
            }
            *self.met.entry(active.id).or_default() += 1;
            return Some(match refusal {
                Some(error) => {
                    let mut response = answers::skeleton(request);
                    answers::spoil(&mut response, error);
                    Refusal::Answer(response)
                }
                None => Refusal::Silence,
            });
        }
        None
    }

    /// Judges answers on their way out; what is not an answer passes.
    pub fn judge(&mut self, now: TimestampMs, outputs: Vec<Output>) -> Vec<Output> {
        outputs.into_iter().filter_map(|output| self.judge_one(now, output)).collect()
    }

    fn judge_one(&mut self, now: TimestampMs, mut output: Output) -> Option<Output> {
        let Output::Respond { response, .. } = &mut output else { return Some(output) };
        let api = response.api();
        let mut held_ms: i64 = 0;
        for active in &mut self.active {
            let applies = match &active.trouble {
                Trouble::RequestError { moment, .. } | Trouble::NoAnswer { moment, .. } => {
                    *moment == Moment::After
                }
                Trouble::SlowAnswer { .. } => true,
                _ => false,
            };
            if !applies || active.trouble.api() != Some(api) || !active.hits() {
                continue;
            }
            *self.met.entry(active.id).or_default() += 1;
            match active.trouble {
                Trouble::RequestError { error, .. } => answers::spoil(response, error),
                Trouble::SlowAnswer { min_ms, max_ms, .. } => {
                    held_ms = held_ms.saturating_add(active.draw_ms(min_ms, max_ms));
                }
                _ => return None,
            }
        }
        if held_ms == 0 {
            return Some(output);
        }
        let due = now.saturating_add(held_ms);
        self.held.insert((due, self.next_held), output);
        self.next_held += 1;
        None
    }

    pub fn next_deadline(&self) -> Option<TimestampMs> {
        let answer = self.held.first_key_value().map(|((due, _), _)| *due);
        answer.into_iter().chain(self.requests.next_deadline()).min()
    }

    /// Answers whose time has come.
    pub fn release(&mut self, now: TimestampMs, outputs: &mut Vec<Output>) {
        while let Some(first) = self.held.first_entry()
            && first.key().0 <= now
        {
            outputs.push(first.remove());
        }
    }

    pub fn drop_connection(&mut self, gone: ConnectionId) {
        self.held.retain(|_, output| !matches!(output, Output::Respond { conn, .. } if *conn == gone));
        self.requests.drop_connection(gone);
    }

    /// The process dies, and with it what it was about to send.
    pub fn crash(&mut self) {
        self.held.clear();
        self.requests = HeldRequests::default();
    }
}
