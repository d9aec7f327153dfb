//! Scripts: what is sent, and what breaks, each after a pause.

use std::fmt;

use kafka::ApiKey;
use sim::world::rng::Rng;

use crate::bench::PARTITIONS;
use crate::counter::{CHANGELOG, INPUT};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// What a host, or a coordinator on its behalf, asks brokers for.
pub const APIS: [ApiKey; 10] = [
    ApiKey::EndTxn,
    ApiKey::TxnOffsetCommit,
    ApiKey::Produce,
    ApiKey::WriteTxnMarkers,
    ApiKey::InitProducerId,
    ApiKey::AddPartitionsToTxn,
    ApiKey::AddOffsetsToTxn,
    ApiKey::OffsetFetch,
    ApiKey::ListOffsets,
    ApiKey::Fetch,
];

/// Requests of transactions of version 2 that may come to a coordinator or leader late, or twice.
pub const LATE_APIS: [ApiKey; 5] = [
    ApiKey::EndTxn,
    ApiKey::TxnOffsetCommit,
    ApiKey::Produce,
    ApiKey::InitProducerId,
    ApiKey::AddPartitionsToTxn,
];

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many inputs of a name. `by` 0: of no interest.
    Send {
        name: &'static str,
        count: u64,
        by: u64,
    },
    /// So many inputs of a name, one at a time.
    Trickle {
        name: &'static str,
        count: u64,
        every_ms: u64,
    },
    /// An input that cannot be decoded.
    Garbage {
        name: &'static str,
    },
    /// A host dies.
    Kill {
        host: usize,
        down_ms: u64,
    },
    /// ... as soon as the network has carried so many messages more.
    KillAfterMessages {
        host: usize,
        messages: u64,
        down_ms: u64,
    },
    /// A host stands still and goes on: perhaps as one whose partitions others have.
    Pause {
        host: usize,
        for_ms: u64,
    },
    /// A host is asked to end, and starts again.
    Stop {
        host: usize,
    },
    KillBroker {
        broker: usize,
        messages: u64,
        down_ms: u64,
    },
    /// A broker stands still and goes on: perhaps as one that believes to lead.
    PauseBroker {
        broker: usize,
        for_ms: u64,
    },
    /// Nothing passes between a host and a broker: it is told so, or not.
    CutLink {
        host: usize,
        broker: usize,
        silently: bool,
        for_ms: u64,
    },
    /// No broker answers such requests, which are carried out or not.
    Mute {
        api: ApiKey,
        done: bool,
        for_ms: u64,
    },
    /// Half of the answers to such requests come late.
    Slow {
        api: ApiKey,
        for_ms: u64,
    },
    /// Some of such requests are carried out later.
    LateRequests {
        api: ApiKey,
        by_ms: u64,
        for_ms: u64,
    },
    /// Some of such requests are carried out once more, later.
    RepeatedRequests {
        api: ApiKey,
        by_ms: u64,
        for_ms: u64,
    },
    /// The next commit is carried out, or not, and nobody says which.
    LoseCommit {
        done: bool,
    },
    /// The group's coordinator is another broker.
    MoveGroup {
        to: i32,
    },
    /// The coordinator of some transactions is another broker.
    MoveTransactions {
        partition: i32,
        to: i32,
    },
    MoveLeader {
        topic: &'static str,
        partition: i32,
        to: i32,
    },
    /// All members of the group join it again.
    Rebalance,
    /// The group has a host no longer, which hears of it only later.
    ThrowOut {
        host: usize,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Each after a pause of so many microseconds.
    pub steps: Vec<(u64, Step)>,
}

impl Step {
    /// Without late requests.
    pub const KINDS: usize = 18;

    /// Its name, without its numbers.
    pub fn kind(&self) -> String {
        let shown = format!("{self:?}");
        shown.split([' ', '{']).next().unwrap_or_default().to_owned()
    }

    /// Mostly as late as it takes for the next transaction to begin; sometimes later than a client waits.
    fn draw_late(rng: &mut Rng) -> Self {
        let api = LATE_APIS[rng.below(5) as usize];
        let by_ms = if rng.below(4) == 0 { 1 + rng.below(45_000) } else { 1 + rng.below(300) };
        let for_ms = 1 + rng.below(20_000);
        match rng.below(2) {
            0 => Self::LateRequests { api, by_ms, for_ms },
            _ => Self::RepeatedRequests { api, by_ms, for_ms },
        }
    }

    fn draw(rng: &mut Rng) -> Self {
        let name = NAMES[rng.below(6) as usize];
        let host = rng.below(2) as usize;
        let broker = rng.below(3) as usize;
        let to = broker as i32;
        let api = APIS[rng.below(10) as usize];
        match rng.below(48) {
            0..=15 => Self::Send { name, count: 1 + rng.below(30), by: 1 + rng.below(1_000) },
            16 => Self::Send { name, count: 1 + rng.below(10), by: 0 },
            17 | 18 => Self::Garbage { name },
            19 => Self::Kill { host, down_ms: rng.below(20_000) },
            20..=23 => Self::KillAfterMessages { host, messages: rng.below(150), down_ms: rng.below(5_000) },
            24 | 25 => Self::Pause { host, for_ms: 1 + rng.below(40_000) },
            26 => Self::Stop { host },
            27 | 28 => Self::KillBroker { broker, messages: rng.below(150), down_ms: 1 + rng.below(20_000) },
            29 => Self::PauseBroker { broker, for_ms: 1 + rng.below(20_000) },
            30 | 31 => {
                Self::CutLink { host, broker, silently: rng.below(2) == 0, for_ms: 1 + rng.below(40_000) }
            }
            32..=34 => Self::Mute { api, done: rng.below(2) == 0, for_ms: 1 + rng.below(20_000) },
            35 => Self::Slow { api, for_ms: 1 + rng.below(20_000) },
            36 | 37 => Self::LoseCommit { done: rng.below(2) == 0 },
            38 => Self::MoveGroup { to },
            39 => Self::MoveTransactions { partition: rng.below(4) as i32, to },
            40 => {
                let topic = [INPUT, CHANGELOG][rng.below(2) as usize];
                Self::MoveLeader { topic, partition: rng.below(PARTITIONS as u64) as i32, to }
            }
            41 => Self::Rebalance,
            42 | 43 => Self::ThrowOut { host },
            _ => Self::Trickle { name, count: 1 + rng.below(40), every_ms: 1 + rng.below(200) },
        }
    }
}

impl Script {
    pub fn draw(seed: u64) -> Self {
        Self::drawn(&mut Rng::labelled(seed, "script"), Step::draw)
    }

    /// ... in which requests are late.
    pub fn draw_late(seed: u64) -> Self {
        Self::drawn(&mut Rng::labelled(seed, "late"), |rng| match rng.below(6) {
            0 => Step::draw_late(rng),
            _ => Step::draw(rng),
        })
    }

    fn drawn(rng: &mut Rng, draw: impl Fn(&mut Rng) -> Step) -> Self {
        let steps = 15 + rng.below(45);
        let steps = (0..steps).map(|_| {
            // Mostly close together; sometimes long enough for a session to end.
            let pause_us = match rng.below(10) {
                0 => rng.below(15_000_000),
                1..=3 => rng.below(500_000),
                _ => rng.below(5_000),
            };
            (pause_us, draw(rng))
        });
        Self { steps: steps.collect() }
    }

    pub fn without(&self, from: usize, length: usize) -> Self {
        let places = from..from + length;
        let steps = self.steps.iter().enumerate().filter(|(place, _)| !places.contains(place));
        Self { steps: steps.map(|(_, step)| step.clone()).collect() }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (pause_us, step) in &self.steps {
            writeln!(out, "  after {pause_us:>8} us {step:?}")?;
        }
        Ok(())
    }
}
