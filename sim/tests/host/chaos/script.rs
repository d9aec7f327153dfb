//! Scripts: what clients and sources send, and what breaks, each after a pause.

use std::fmt;

use sim::world::rng::Rng;

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
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    pub seed: u64,
    /// Each after a pause of so many microseconds.
    pub steps: Vec<(u64, Step)>,
}

impl Step {
    pub const KINDS: usize = 9;

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
        }
    }

    fn draw(rng: &mut Rng) -> Self {
        let host = usize::try_from(rng.below(2)).expect("small");
        match rng.below(20) {
            // Few keys: the same one comes again and again.
            0..=6 => {
                let key = rng.below(12);
                // A counter has one timer and one effect, so there is one key for each.
                let what = ["increments", "ticks", "pings"][key.saturating_sub(6) as usize / 2];
                Self::Ask { what, key, name: NAMES[key as usize % 3], by: 1 + key % 3 }
            }
            7..=12 => {
                let stream = STREAMS[rng.below(3) as usize];
                Self::Message { stream, sequence: 1 + rng.below(8) }
            }
            13 => Self::Kill { host, down_ms: rng.below(20_000) },
            14 => Self::KillAfterMessages { host, messages: rng.below(120) },
            15 => Self::CutDatabase { messages: rng.below(120), down_ms: 1 + rng.below(20_000) },
            16 => Self::Pause { host, for_ms: 1 + rng.below(40_000) },
            17 => Self::Stop { host },
            18 => Self::CutLog { down_ms: 1 + rng.below(20_000) },
            _ => {
                let sqlstates = ["40001", "40P01", "57P01", "25006", "53100", "57014", "25P03"];
                Self::Refuse { sqlstate: sqlstates[rng.below(7) as usize] }
            }
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

    /// The last sequence of a stream that the script sends.
    pub fn last(&self, stream: &str) -> u64 {
        let sequences = self.steps.iter().filter_map(|(_, step)| match step {
            Step::Message { stream: other, sequence } if *other == stream => Some(*sequence),
            _ => None,
        });
        sequences.max().unwrap_or(0)
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
