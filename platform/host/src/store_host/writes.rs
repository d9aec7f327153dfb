//! What a transaction writes: collected from its decisions, turned into one pipeline that ends in the commit.

use std::collections::BTreeMap;

use bytes::Bytes;
use contracts::SCHEMA_VERSION;
use model::Timestamp;

use super::batch::{Item, ItemKey, Origin, message_name};
use super::duties::Wake;
use super::execute::{Outcome, StoredAnswer};
use super::fate::Fate;
use super::panics::{self, Attempts};
use super::tables::{DEAD_LETTERS, EFFECTS, EVENTS, HEADS, INBOX, OUTBOX, PARKED, SEQUENCES, TIMERS};
use crate::decision::{Decision, NewEffect, Outgoing, RowChange, TimerChange};
use crate::ports::store::{OnConflict, Row, Statement, Value};
use crate::service::{Access, StreamId};

/// Where dead letters of timers and effects have their topic.
pub const TIMER_LETTERS: &str = "timers";
pub const EFFECT_LETTERS: &str = "effects";

/// A stream's head while its lock is held.
#[derive(Clone, Debug)]
pub struct Head {
    pub version: u64,
    access: Access,
    stored_version: u64,
    /// Last sequence per topic.
    sequences: Vec<(String, u64)>,
    sequences_changed: bool,
}

impl Head {
    pub fn from_row(row: &Row, access: Access) -> Self {
        let version = row[1].as_int() as u64;
        let sequences = row[2].as_text().split(',').filter_map(|entry| entry.split_once(':'));
        let sequences = sequences
            .map(|(topic, last)| {
                (topic.to_owned(), last.parse().expect("the host writes sequences as numbers"))
            })
            .collect();
        Self { version, access, stored_version: version, sequences, sequences_changed: false }
    }

    fn next_sequence(&mut self, topic: &str) -> u64 {
        self.sequences_changed = true;
        match self.sequences.iter_mut().find(|(name, _)| name == topic) {
            Some((_, last)) => {
                *last += 1;
                *last
            }
            None => {
                self.sequences.push((topic.to_owned(), 1));
                1
            }
        }
    }

    fn is_changed(&self) -> bool {
        self.version != self.stored_version || self.sequences_changed
    }

    fn statement(&self, stream: &StreamId) -> Statement {
        let sequences: Vec<String> =
            self.sequences.iter().map(|(topic, last)| format!("{topic}:{last}")).collect();
        Statement::UpdateIf {
            table: &HEADS,
            key: vec![stream.to_value()],
            expected: vec![(1, Value::Int(self.stored_version as i64))],
            set: vec![(1, Value::Int(self.version as i64)), (2, sequences.join(",").as_str().into())],
        }
    }
}

/// What a transaction leaves for the rest of the host, once it is committed.
pub struct Committed {
    pub heads: BTreeMap<StreamId, Head>,
    pub wakes: Vec<Wake>,
}

pub struct Writes {
    service: &'static str,
    heads: BTreeMap<StreamId, Head>,
    transaction: u64,
    recorded_ms: i64,
    database_ms: i64,
    statements: Vec<Statement>,
    /// First and last sequence taken in, per (source, topic).
    taken: BTreeMap<(String, String), (u64, u64)>,
    /// By id, so that transactions which arm the same timers lock their rows in one order.
    timers: BTreeMap<String, Vec<Statement>>,
    wakes: Vec<Wake>,
}

impl Writes {
    pub fn new(
        service: &'static str,
        heads: BTreeMap<StreamId, Head>,
        transaction: u64,
        node_time: Timestamp,
        database_time: Timestamp,
    ) -> Self {
        Self {
            service,
            heads,
            transaction,
            recorded_ms: node_time.as_millisecond(),
            database_ms: database_time.as_millisecond(),
            statements: Vec::new(),
            taken: BTreeMap::new(),
            timers: BTreeMap::new(),
            wakes: Vec::new(),
        }
    }

    /// Files that an item is taken in.
    pub fn take<C>(&mut self, item: &Item<C>) {
        if let ItemKey::Message { source, topic, sequence, .. } = &item.key {
            let taken = self.taken.entry((source.clone(), topic.clone())).or_insert((*sequence, *sequence));
            taken.1 = *sequence;
        }
        self.drop_parked(item);
    }

    pub fn drop_parked<C>(&mut self, item: &Item<C>) {
        let ItemKey::Message { source, topic, sequence, origin, .. } = &item.key else { return };
        match origin {
            Origin::Log { .. } => {}
            Origin::Parked { .. } => {
                let key = parked_key(source, topic, *sequence);
                self.statements.push(Statement::DeleteIf { table: &PARKED, key, expected: Vec::new() });
            }
            Origin::DeadLetter(id) => {
                let key = vec![Value::Int(*id)];
                self.statements.push(Statement::DeleteIf { table: &DEAD_LETTERS, key, expected: Vec::new() });
                self.statements.push(panics::forget(&message_name(source, topic, *sequence)));
            }
        }
    }

    pub fn park<C>(&mut self, item: &Item<C>) {
        let ItemKey::Message { source, topic, sequence, payload, event_id, origin } = &item.key else {
            unreachable!("only messages have predecessors")
        };
        if let Origin::DeadLetter(_) = origin {
            return;
        }
        let (partition, offset) = origin.place();
        let mut row = parked_key(source, topic, *sequence);
        row.extend([event_id.as_str().into(), payload.clone().into(), Value::Int(self.database_ms)]);
        row.extend([Value::Int(partition.into()), Value::Int(offset)]);
        self.insert(&PARKED, row, OnConflict::DoNothing);
    }

    /// Keeps a record that cannot be decoded. Its stream's sequence stays, so the stream parks behind it.
    pub fn bury<C>(&mut self, item: &Item<C>) {
        let ItemKey::Dead { headers, topic, partition, offset, payload, why } = &item.key else {
            unreachable!("only records that cannot be decoded are buried unread")
        };
        let message =
            headers.as_ref().map_or(("", 0), |headers| (headers.source.as_str(), headers.sequence as i64));
        self.letter(topic, (*partition, *offset), message, (why, 1), payload.clone());
    }

    /// Keeps an input that has panicked too often; a request has its answer then.
    pub fn keep_aside<C>(&mut self, item: &Item<C>, attempts: &Attempts) -> Outcome {
        let (reason, times) = (attempts.reason(), attempts.count);
        match &item.key {
            ItemKey::Http { scope, key, .. } => {
                let answer = attempts.answer();
                self.answer(scope, key, &answer);
                return Outcome::Decided(Some(answer));
            }
            // There is a letter of it.
            _ if attempts.is_kept_aside => {}
            ItemKey::Message { source, topic, sequence, payload, origin, .. } => {
                let message = (source.as_str(), *sequence as i64);
                self.letter(topic, origin.place(), message, (&reason, times), payload.clone());
            }
            ItemKey::Timer { id, sequence } => {
                self.letter(TIMER_LETTERS, (-1, -1), (id, *sequence), (&reason, times), Bytes::new());
            }
            ItemKey::Effect { id, payload, valid_until_ms, .. } => {
                let place = (-1, valid_until_ms.unwrap_or(-1));
                self.letter(EFFECT_LETTERS, place, (id, 0), (&reason, times), payload.clone());
            }
            ItemKey::Dead { .. } => unreachable!("what cannot be decoded is not decided"),
        }
        self.drop_parked(item);
        Outcome::DeadLetter
    }

    fn letter(
        &mut self,
        topic: &str,
        (partition, offset): (i32, i64),
        (source, sequence): (&str, i64),
        (reason, attempts): (&str, i64),
        payload: Bytes,
    ) {
        let row = vec![
            Value::Null,
            topic.into(),
            Value::Int(partition.into()),
            Value::Int(offset),
            source.into(),
            Value::Int(sequence),
            reason.into(),
            Value::Int(attempts),
            payload.into(),
        ];
        self.insert(&DEAD_LETTERS, row, OnConflict::Error);
    }

    /// What becomes of the count of an input that has panicked.
    pub fn settle_attempts<C>(&mut self, item: &Item<C>, fate: &Fate) {
        let Some(name) = item.key.name() else { return };
        match (fate, &item.key) {
            (Fate::KeepAside(_), ItemKey::Http { .. }) | (Fate::Take | Fate::Duplicate(_), _) => {
                self.statements.push(panics::forget(&name));
            }
            (Fate::KeepAside(_), _) => self.statements.push(panics::keep_aside(&name)),
            (Fate::KeyReused | Fate::Park | Fate::Dead, _) => {}
        }
    }

    pub fn event(&mut self, stream: &StreamId, payload: Bytes, cause: &str) {
        let head = self.head(stream);
        head.version += 1;
        let version = Value::Int(head.version as i64);
        let row = vec![stream.to_value(), version, payload.into(), cause.into()];
        self.insert(&EVENTS, row, OnConflict::Error);
    }

    pub fn answer(&mut self, scope: &str, key: &str, answer: &StoredAnswer) {
        self.statements.push(Statement::UpdateIf {
            table: &INBOX,
            key: vec![scope.into(), key.into()],
            expected: Vec::new(),
            set: vec![(3, Value::Int(answer.status.into())), (4, answer.body.clone().into())],
        });
    }

    /// Everything of a decision but its events and its answer.
    pub fn decision<E>(&mut self, decision: Decision<E>, cause: &str) {
        for message in decision.messages {
            self.publish(message, cause);
        }
        for change in decision.rows {
            match change {
                RowChange::Put { table, row } => self.insert(table, row, OnConflict::Update),
                RowChange::Delete { table, key } => {
                    self.statements.push(Statement::DeleteIf { table, key, expected: Vec::new() });
                }
            }
        }
        for change in decision.timers {
            self.timer(change);
        }
        for effect in decision.effects {
            self.effect(effect);
        }
    }

    fn publish(&mut self, message: Outgoing, cause: &str) {
        let Outgoing { stream, key, trade_date, message } = message;
        let service = self.service;
        let topic = message.topic();
        let head = self.head(&stream);
        let sequence = head.next_sequence(topic);
        let event_id = format!("{service}/{stream}@{}", head.version);
        let row = vec![
            Value::Null,
            stream.to_value(),
            topic.into(),
            Value::Int(sequence as i64),
            key.as_str().into(),
            message.encode().into(),
            event_id.as_str().into(),
            cause.into(),
            trade_date.as_str().into(),
            Value::Int(self.recorded_ms),
            Value::Int(0),
        ];
        self.insert(&OUTBOX, row, OnConflict::Error);
        self.wakes.push(Wake::Relay);
    }

    fn timer(&mut self, change: TimerChange) {
        let (id, due, on_conflict) = match change {
            TimerChange::Arm { id, due } => (id, due, OnConflict::Update),
            TimerChange::ArmNoLater { id, due } => (id, due, OnConflict::UpdateIfLess { column: 1 }),
            TimerChange::Cancel { id } => {
                let key = vec![id.as_str().into()];
                let cancel = Statement::DeleteIf { table: &TIMERS, key, expected: Vec::new() };
                self.timers.entry(id).or_default().push(cancel);
                return;
            }
        };
        // A transaction's id rises with every arming, so a firing can tell this arming from older ones.
        let sequence = Value::Int(self.transaction as i64);
        let row = vec![id.as_str().into(), Value::Int(due.as_millisecond()), sequence];
        let arm = Statement::Insert { table: &TIMERS, row, on_conflict };
        self.timers.entry(id).or_default().push(arm);
        self.wakes.push(Wake::Timers { due });
    }

    fn effect(&mut self, effect: NewEffect) {
        let valid_until = effect.valid_until.map_or(Value::Null, |at| Value::Int(at.as_millisecond()));
        let row = vec![
            effect.id.as_str().into(),
            effect.payload.into(),
            valid_until,
            Value::Int(0),
            Value::Int(0),
            Value::Int(self.database_ms),
        ];
        self.insert(&EFFECTS, row, OnConflict::DoNothing);
        self.wakes.push(Wake::Effects);
    }

    /// The pipeline that ends in the commit. Where this instance does not hold the duties, the holder is told.
    pub fn finish(mut self, holds_duties: bool) -> (Vec<Statement>, Committed) {
        for ((source, topic), (first, last)) in std::mem::take(&mut self.taken) {
            let row = vec![source.as_str().into(), topic.as_str().into(), Value::Int(last as i64)];
            // A stream's first message had no row to lock: of two takers, one finds the other's here.
            let on_conflict = if first == 1 { OnConflict::Error } else { OnConflict::Update };
            self.insert(&SEQUENCES, row, on_conflict);
        }
        let heads: Vec<Statement> = self
            .heads
            .iter()
            .filter(|(_, head)| head.is_changed())
            .map(|(stream, head)| head.statement(stream))
            .collect();
        self.statements.extend(heads);
        self.statements.extend(std::mem::take(&mut self.timers).into_values().flatten());
        if !holds_duties && let Some(channel) = Wake::channel(&self.wakes) {
            self.statements.push(Statement::Notify { channel });
        }
        self.statements.push(Statement::Commit);
        (self.statements, Committed { heads: self.heads, wakes: self.wakes })
    }

    fn insert(&mut self, table: &'static crate::ports::store::Table, row: Row, on_conflict: OnConflict) {
        self.statements.push(Statement::Insert { table, row, on_conflict });
    }

    /// The head of a stream that the command named for writing; anything else is a programmer error.
    fn head(&mut self, stream: &StreamId) -> &mut Head {
        let head = self.heads.get_mut(stream);
        let head = head.unwrap_or_else(|| panic!("the decision writes {stream}, which it did not name"));
        assert_eq!(head.access, Access::Write, "the decision writes {stream}, which it named for reading");
        head
    }
}

fn parked_key(source: &str, topic: &str, sequence: u64) -> Vec<Value> {
    vec![source.into(), topic.into(), Value::Int(sequence as i64)]
}

/// The headers of an outbox row.
pub fn headers_of(service: &str, row: &Row) -> contracts::Headers {
    contracts::Headers {
        source: format!("{service}/{}", row[1].as_text()),
        sequence: row[3].as_int() as u64,
        event_id: row[6].as_text().to_owned(),
        cause: row[7].as_text().to_owned(),
        trade_date: row[8].as_text().to_owned(),
        schema_version: SCHEMA_VERSION,
    }
}
