//! Scripts: what clients and sources send, and what breaks, each after a pause.

use std::fmt;

use sim::world::rng::Rng;

use crate::counter::POISON;

pub const STREAMS: [&str; 3] = ["x", "y", "a"];
pub const NAMES: [&str; 3] = ["a", "b", "c"];

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A client's command, repeated until it is answered: what, key, name, by.
    Ask { what: &'static str, key: u64, name: &'static str, by: u64 },
    /// The source's relay puts this message into the log, perhaps again, perhaps too early.
    Message { stream: &'static str, sequence: u64 },
    /// A host dies, and starts after so many milliseconds.
    Kill { host: usize, down_ms: u64 },
    /// A host dies as soon as the network has carried so many messages more.
    KillAfterMessages { host: usize, messages: u64 },
    /// The database dies under way: some commits are never answered.
    CutDatabase { messages: u64, down_ms: u64 },
    /// A host stands still and goes on: perhaps as one whose partitions others have.
    Pause { host: usize, for_ms: u64 },
    /// A host is asked to end, and starts again.
    Stop { host: usize },
    /// The broker dies.
    CutLog { down_ms: u64 },
    /// One pipeline of some host meets this error.
    Refuse { sqlstate: &'static str },
    /// The next commit that stores something happens, or does not, and nobody says which.
    LoseAnswer { done: bool },
    /// Somebody outside does not answer the next call, which it has acted on, or has not seen.
    Silence { seen: bool },
    /// The primary dies, the standby is promoted after so many milliseconds, and the other comes back as its standby.
    Failover { detect_ms: u64, back_ms: u64 },
    /// Nothing passes between a host and the other end: it is told so, or not.
    CutLink { host: usize, far: Far, silently: bool, for_ms: u64 },
    /// All members of the group join it again.
    Rebalance,
    /// The group has a host no longer, which hears of it only later.
    ThrowOut { host: usize },
    /// This message panics, whenever and however often it comes, until an operator has had the service cured and
    /// replays what was kept aside.
    Poison { stream: &'static str, sequence: u64, cured_ms: u64 },
}

/// The other end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Far {
    Database,
    Log,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub seed: u64,
    /// Each after a pause of so many microseconds.
    pub steps: Vec<(u64, Step)>,
}

impl Step {
    pub const KINDS: usize = 16;

    pub fn kind(&self) -> &'static str {
        match self {
            Self::Ask { .. } => "ask",
            Self::Message { .. } => "message",
            Self::Kill { .. } => "kill",
            Self::KillAfterMessages { .. } => "kill after messages",
            Self::CutDatabase { .. } => "cut database",
            Self::Pause { .. } => "pause",
            Self::Stop { .. } => "stop",
            Self::CutLog { .. } => "cut log",
            Self::Refuse { .. } => "refuse",
            Self::LoseAnswer { .. } => "lose answer",
            Self::Silence { .. } => "silence",
            Self::Failover { .. } => "failover",
            Self::CutLink { .. } => "cut link",
            Self::Rebalance => "rebalance",
            Self::ThrowOut { .. } => "throw out",
            Self::Poison { .. } => "poison",
        }
    }

    /// Whether it breaks something.
    pub fn is_fault(&self) -> bool {
        !matches!(self, Self::Ask { .. } | Self::Message { .. })
    }

    /// Its numbers, as far as they can be other ones: not those that name somebody.
    fn sizes(&mut self) -> Vec<&mut u64> {
        match self {
            Self::Ask { .. } | Self::Stop { .. } | Self::Refuse { .. } => Vec::new(),
            Self::LoseAnswer { .. } | Self::Silence { .. } => Vec::new(),
            Self::Rebalance | Self::ThrowOut { .. } => Vec::new(),
            Self::Message { sequence, .. } => vec![sequence],
            Self::Kill { down_ms, .. } | Self::CutLog { down_ms } => vec![down_ms],
            Self::KillAfterMessages { messages, .. } => vec![messages],
            Self::CutDatabase { messages, down_ms } => vec![messages, down_ms],
            Self::Pause { for_ms, .. } | Self::CutLink { for_ms, .. } => vec![for_ms],
            Self::Failover { detect_ms, back_ms } => vec![detect_ms, back_ms],
            Self::Poison { sequence, cured_ms, .. } => vec![sequence, cured_ms],
        }
    }

    /// The least that a number of this step can be: sequences begin with 1.
    fn least(&self) -> u64 {
        u64::from(!matches!(self, Self::Kill { .. }))
    }

    fn draw(rng: &mut Rng) -> Self {
        let host = usize::try_from(rng.below(2)).expect("small");
        let stream = STREAMS[rng.below(3) as usize];
        match rng.below(52) {
            // Few keys: the same one comes again and again.
            0..=14 => {
                let key = rng.below(12);
                // A counter has one timer and one effect, so there is one key for each.
                let what = ["increments", "ticks", "pings"][key.saturating_sub(6) as usize / 2];
                Self::Ask { what, key, name: NAMES[key as usize % 3], by: 1 + key % 3 }
            }
            15..=27 => Self::Message { stream, sequence: 1 + rng.below(8) },
            28 | 29 => Self::Kill { host, down_ms: rng.below(20_000) },
            30 | 31 => Self::KillAfterMessages { host, messages: rng.below(120) },
            32 | 33 => Self::CutDatabase { messages: rng.below(120), down_ms: 1 + rng.below(20_000) },
            34 | 35 => Self::Pause { host, for_ms: 1 + rng.below(40_000) },
            36 | 37 => Self::Stop { host },
            38 | 39 => Self::CutLog { down_ms: 1 + rng.below(20_000) },
            40 | 41 => {
                let sqlstates = ["40001", "40P01", "57P01", "25006", "53100", "57014", "25P03"];
                Self::Refuse { sqlstate: sqlstates[rng.below(7) as usize] }
            }
            42 | 43 => Self::LoseAnswer { done: rng.below(2) == 0 },
            44 | 45 => Self::Silence { seen: rng.below(2) == 0 },
            46 | 47 => Self::CutLink {
                host,
                far: [Far::Database, Far::Log][rng.below(2) as usize],
                silently: rng.below(2) == 0,
                for_ms: 1 + rng.below(40_000),
            },
            48 => Self::Rebalance,
            49 => Self::ThrowOut { host },
            50 => Self::Failover { detect_ms: rng.below(8_000), back_ms: 1 + rng.below(10_000) },
            _ => Self::Poison { stream, sequence: 1 + rng.below(8), cured_ms: rng.below(200_000) },
        }
    }
}

impl Script {
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::labelled(seed, "script");
        let steps = 20 + rng.below(60);
        let steps = (0..steps).map(|_| {
            // Mostly close together; sometimes long enough for a session to end.
            let pause_us = match rng.below(10) {
                0 => rng.below(15_000_000),
                1..=3 => rng.below(500_000),
                _ => rng.below(3_000),
            };
            (pause_us, Step::draw(&mut rng))
        });
        Self { seed, steps: steps.collect() }
    }

    pub fn without(&self, from: usize, length: usize) -> Self {
        let steps =
            self.steps.iter().enumerate().filter(|(place, _)| *place < from || *place >= from + length);
        Self { seed: self.seed, steps: steps.map(|(_, step)| step.clone()).collect() }
    }

    /// The same without any two of its steps, where there are few.
    pub fn without_pairs(&self) -> Vec<Self> {
        const FEW: usize = 8;
        let few = if self.steps.len() <= FEW { self.steps.len() } else { 0 };
        let pairs = (0..few).flat_map(|second| (0..second).map(move |first| (first, second)));
        pairs.map(|(first, second)| self.without(second, 1).without(first, 1)).collect()
    }

    /// The same with less of something: each pause and each number by itself, none and half of it.
    pub fn with_less(&self) -> Vec<Self> {
        let mut scripts = Vec::new();
        let mut less = |at: usize, change: &dyn Fn(&mut (u64, Step))| {
            let mut script = self.clone();
            change(&mut script.steps[at]);
            if script != *self {
                scripts.push(script);
            }
        };
        for (at, (_, step)) in self.steps.iter().enumerate() {
            let least = step.least();
            less(at, &|(pause_us, _)| *pause_us = 0);
            less(at, &|(pause_us, _)| *pause_us /= 2);
            for size in 0..step.clone().sizes().len() {
                less(at, &|(_, step)| *step.sizes()[size] = least);
                less(at, &|(_, step)| *step.sizes()[size] = (*step.sizes()[size] / 2).max(least));
            }
        }
        scripts
    }

    /// How long it is in all: every pause and number.
    pub fn size(&self) -> u64 {
        let of = |(pause_us, step): &(u64, Step)| {
            pause_us + step.clone().sizes().into_iter().map(|size| *size).sum::<u64>()
        };
        self.steps.iter().map(of).sum()
    }

    /// The last sequence of a stream that the script sends.
    pub fn last(&self, stream: &str) -> u64 {
        let sequences = self.steps.iter().filter_map(|(_, step)| match step {
            Step::Message { stream: other, sequence } | Step::Poison { stream: other, sequence, .. } => {
                (*other == stream).then_some(*sequence)
            }
            _ => None,
        });
        sequences.max().unwrap_or(0)
    }

    /// What a message adds.
    pub fn amount(&self, stream: &str, sequence: u64) -> u64 {
        let poisons = |(_, step): &(u64, Step)| matches!(step, Step::Poison { stream: other, sequence: at, .. } if *other == stream && *at == sequence);
        if self.steps.iter().any(poisons) { POISON } else { sequence }
    }

    /// Messages that panic.
    pub fn poisons(&self) -> usize {
        let every =
            STREAMS.into_iter().flat_map(|stream| (1..=self.last(stream)).map(move |at| (stream, at)));
        every.filter(|(stream, sequence)| self.amount(stream, *sequence) == POISON).count()
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
