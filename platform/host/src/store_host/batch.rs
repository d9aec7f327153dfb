//! Batches: inputs of one kind, with the statements that guard them against being taken twice.

use bytes::Bytes;
use contracts::Headers;

use super::tables::{EFFECTS, INBOX, INPUTS, PARKED, SEQUENCES, TIMERS};
use crate::ports::store::{LockMode, LockWait, OnConflict, Row, Statement, Value};

/// One thing to decide, and what led to it.
#[derive(Clone, Debug)]
pub struct Item<C> {
    /// `None`: the service has no use for it, but it counts as taken in.
    pub command: Option<C>,
    pub cause: String,
    pub key: ItemKey,
    /// What making the command panicked with.
    pub panic: Option<String>,
}

impl<C> Item<C> {
    /// `command`: as the service made it, or what it panicked with.
    pub fn new(command: Result<Option<C>, String>, cause: String, key: ItemKey) -> Self {
        match command {
            Ok(command) => Self { command, cause, key, panic: None },
            Err(why) => Self { command: None, cause, key, panic: Some(why) },
        }
    }
}

/// Where a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Log {
        partition: i32,
        offset: i64,
    },
    Parked {
        partition: i32,
        offset: i64,
    },
    /// An operator has it taken in once more.
    DeadLetter(i64),
}

impl Origin {
    /// Partition and offset, as far as they are known.
    pub fn place(&self) -> (i32, i64) {
        match self {
            Self::Log { partition, offset } | Self::Parked { partition, offset } => (*partition, *offset),
            Self::DeadLetter(_) => (-1, -1),
        }
    }
}

/// What makes an item unique within its kind.
#[derive(Clone, Debug)]
pub enum ItemKey {
    /// A message of (source, topic) with this sequence: from the log, or one that was parked.
    Message {
        source: String,
        topic: String,
        sequence: u64,
        payload: Bytes,
        event_id: String,
        origin: Origin,
    },
    /// A record that cannot be decoded.
    Dead {
        headers: Option<Headers>,
        topic: String,
        partition: i32,
        offset: i64,
        payload: Bytes,
        why: String,
    },
    Http {
        scope: String,
        key: String,
        hash: i64,
    },
    Timer {
        id: String,
        sequence: i64,
    },
    Effect {
        id: String,
        tries: i64,
        payload: Bytes,
        valid_until_ms: Option<i64>,
    },
}

/// Inputs for one transaction.
#[derive(Clone, Debug)]
pub struct Batch<C> {
    pub position: Option<PositionGuard>,
    pub items: Vec<Item<C>>,
}

/// The input position before and after a batch of records.
#[derive(Clone, Debug)]
pub struct PositionGuard {
    pub topic: String,
    pub partition: i32,
    pub claim: i64,
    pub from: i64,
    pub to: i64,
}

impl PositionGuard {
    pub fn statement(&self) -> Statement {
        Statement::UpdateIf {
            table: &INPUTS,
            key: vec![self.topic.as_str().into(), Value::Int(self.partition.into())],
            expected: vec![(2, Value::Int(self.from)), (3, Value::Int(self.claim))],
            set: vec![(2, Value::Int(self.to))],
        }
    }
}

impl ItemKey {
    /// The input's name where its panics are counted; what cannot be decoded never gets that far.
    pub fn name(&self) -> Option<String> {
        match self {
            Self::Message { source, topic, sequence, .. } => Some(message_name(source, topic, *sequence)),
            Self::Dead { .. } => None,
            Self::Http { scope, key, .. } => Some(format!("request/{scope}/{key}")),
            Self::Timer { id, sequence } => Some(timer_name(id, *sequence)),
            Self::Effect { id, .. } => Some(effect_name(id)),
        }
    }

    /// The statements that take the item, or show that it was taken before. Their replies come in order.
    pub fn guards(&self, expires_ms: i64) -> Vec<Statement> {
        match self {
            Self::Message { source, topic, sequence, .. } => {
                let key: Vec<Value> = vec![source.as_str().into(), topic.as_str().into()];
                let next = [key.clone(), vec![Value::from(*sequence as i64 + 1)]].concat();
                let (mode, wait) = (LockMode::Update, LockWait::Wait);
                vec![
                    // Locked: owner of the partition, former owner and an operator's replay take one at a time.
                    Statement::Lock { table: &SEQUENCES, keys: vec![key], mode, wait },
                    Statement::Get { table: &PARKED, keys: vec![next] },
                ]
            }
            Self::Dead { .. } => Vec::new(),
            Self::Http { scope, key, hash } => {
                let row: Row = vec![
                    scope.as_str().into(),
                    key.as_str().into(),
                    Value::Int(*hash),
                    Value::Int(0),
                    Value::Bytes(Bytes::new()),
                    Value::Int(expires_ms),
                ];
                let key = row[..2].to_vec();
                vec![
                    Statement::Insert { table: &INBOX, row, on_conflict: OnConflict::DoNothing },
                    Statement::Get { table: &INBOX, keys: vec![key] },
                ]
            }
            Self::Timer { id, sequence } => vec![Statement::DeleteIf {
                table: &TIMERS,
                key: vec![id.as_str().into()],
                expected: vec![(2, Value::Int(*sequence))],
            }],
            Self::Effect { id, tries, .. } => vec![Statement::DeleteIf {
                table: &EFFECTS,
                key: vec![id.as_str().into()],
                expected: vec![(4, Value::Int(*tries))],
            }],
        }
    }
}

pub fn message_name(source: &str, topic: &str, sequence: u64) -> String {
    format!("message/{source}/{topic}/{sequence}")
}

pub fn timer_name(id: &str, sequence: i64) -> String {
    format!("timer/{id}/{sequence}")
}

pub fn effect_name(id: &str) -> String {
    format!("effect/{id}")
}

impl<C> Batch<C> {
    pub fn of(items: Vec<Item<C>>) -> Self {
        Self { position: None, items }
    }

    /// The same inputs, one per batch; the position moves with each.
    pub fn singles(self) -> Vec<Self> {
        let last = self.items.len().saturating_sub(1);
        let mut position = self.position;
        let mut singles = Vec::with_capacity(self.items.len());
        for (place, item) in self.items.into_iter().enumerate() {
            let guard = position.as_mut().map(|guard| {
                let mut own = guard.clone();
                if place < last {
                    own.to = own.from + 1;
                }
                guard.from = own.to;
                own
            });
            singles.push(Self { position: guard, items: vec![item] });
        }
        singles
    }
}
