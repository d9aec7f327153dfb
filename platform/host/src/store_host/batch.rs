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
        parked: bool,
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
            Self::Effect { id, tries } => vec![Statement::DeleteIf {
                table: &EFFECTS,
                key: vec![id.as_str().into()],
                expected: vec![(4, Value::Int(*tries))],
            }],
        }
    }
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
