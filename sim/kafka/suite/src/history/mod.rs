//! Histories of topics, and what in them a Kafka must not show: in the manner of Jepsen's workload for Kafka.
//!
//! [`check`] is a function of a [`History`] alone, so it judges runs on any cluster. Every value is sent once, which is what
//! makes a duplicate visible. [`workload`] makes random histories.

mod anomaly;
mod cycles;
mod workload;

use std::collections::BTreeMap;

pub use anomaly::{Anomaly, check};
pub use workload::{Plan, logs, workload, workload_read_with};

/// What became of an operation, as its process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The commit was acknowledged, or the send where there is no transaction.
    Committed,
    /// The abort was acknowledged, or the send was refused for good.
    Aborted,
    /// Nothing definite was heard: both are right.
    Unknown,
}

/// A record's place and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub partition: i32,
    pub offset: i64,
    pub value: u64,
}

/// A step of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `offset`: as the delivery report says, if there is one.
    Send { partition: i32, value: u64, offset: Option<i64> },
    /// Records in the order in which they were handed out. Committed ones, if nothing else was asked for.
    Poll(Vec<Seen>),
    /// The process reads on elsewhere: a seek or a new assignment.
    Moved,
}

/// A transaction, or something done outside of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    pub process: u32,
    pub outcome: Outcome,
    pub steps: Vec<Step>,
}

/// All that processes did and saw, each in its order, and what was in the logs at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    pub ops: Vec<Op>,
    /// Committed records of each partition, read from beginning to end when all was quiet.
    pub logs: BTreeMap<i32, Vec<Seen>>,
}

impl History {
    fn sends(&self) -> impl Iterator<Item = (usize, &Op, i32, u64, Option<i64>)> {
        self.ops.iter().enumerate().flat_map(|(index, op)| {
            op.steps.iter().filter_map(move |step| match step {
                Step::Send { partition, value, offset } => Some((index, op, *partition, *value, *offset)),
                _ => None,
            })
        })
    }

    fn polls(&self) -> impl Iterator<Item = (usize, &Op, &Seen)> {
        self.ops.iter().enumerate().flat_map(|(index, op)| {
            let polled = op.steps.iter().filter_map(|step| match step {
                Step::Poll(seen) => Some(seen),
                _ => None,
            });
            polled.flatten().map(move |seen| (index, op, seen))
        })
    }

    /// Everything that anybody read, with the logs' contents.
    fn all_seen(&self) -> impl Iterator<Item = &Seen> {
        self.polls().map(|(_, _, seen)| seen).chain(self.logs.values().flatten())
    }
}
