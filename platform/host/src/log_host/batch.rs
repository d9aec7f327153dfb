//! Decides a batch: inputs in, records of one transaction out. The state in memory is then after the batch.

use std::borrow::Cow;

use bytes::Bytes;
use contracts::stored::Payload;
use contracts::{Headers, Message};
use model::Timestamp;

use super::LogHost;
use super::changelog::Entry;
use super::memory::Memory;
use super::service::{InputRecord, LogService};
use crate::decision::Outgoing;
use crate::ports::LogRecord;
use crate::ports::transactional_log::TransactionalRecord;
use crate::store_host::count;

/// Where a dead letter comes from, and why it is one.
pub mod dead_letter {
    pub const TOPIC: &str = "dead-letter-topic";
    pub const PARTITION: &str = "dead-letter-partition";
    pub const OFFSET: &str = "dead-letter-offset";
    pub const REASON: &str = "dead-letter-reason";
}

/// A batch whose outcome is fixed: sent again, it is sent as it is.
#[derive(Clone, Debug)]
pub struct Decided {
    pub records: Vec<TransactionalRecord>,
    /// The offset of the next input.
    pub next: i64,
    pub inputs: u64,
}

impl<S: LogService> LogHost<S> {
    /// `None` where all of it has been decided before.
    pub(super) fn decide(
        &self,
        partition: i32,
        memory: &mut Memory<S::State>,
        inputs: Vec<LogRecord>,
    ) -> Option<Decided> {
        let from = memory.next.unwrap_or(0);
        let inputs: Vec<LogRecord> = inputs.into_iter().filter(|input| input.offset >= from).collect();
        let next = inputs.last()?.offset + 1;
        let mut batch =
            BatchInMaking { host: self, partition, now: self.ports.clock.now(), records: Vec::new() };
        inputs.iter().for_each(|input| batch.take(memory, input));
        batch.end(memory, next);
        Some(Decided { records: batch.records, next, inputs: inputs.len() as u64 })
    }
}

struct BatchInMaking<'a, S: LogService> {
    host: &'a LogHost<S>,
    partition: i32,
    now: Timestamp,
    records: Vec<TransactionalRecord>,
}

impl<S: LogService> BatchInMaking<'_, S> {
    fn take(&mut self, memory: &mut Memory<S::State>, input: &LogRecord) {
        let message = match Message::decode(S::TOPICS.input, input.value.clone()) {
            Ok(message) => message,
            Err(error) => return self.set_aside(input, &error.to_string()),
        };
        let headers = headers_of(input);
        let record = InputRecord {
            message: &message,
            headers: headers.as_ref(),
            partition: self.partition,
            offset: input.offset,
            timestamp_ms: input.timestamp_ms,
        };
        let service = &self.host.service;
        let Some(command) = service.on_record(&record) else { return };
        let decision = service.decide(self.now, &command, &memory.state);
        for event in decision.events {
            self.append(Entry::Event(event.encode()));
            service.apply(&mut memory.state, &event);
            memory.events += 1;
        }
        let cause = headers.map(|headers| headers.event_id).unwrap_or_else(|| self.place_of(input));
        for message in decision.messages {
            self.publish(memory, message, &cause);
        }
    }

    fn place_of(&self, input: &LogRecord) -> String {
        format!("{}/{}@{}", S::TOPICS.input, self.partition, input.offset)
    }

    fn publish(&mut self, memory: &mut Memory<S::State>, outgoing: Outgoing, cause: &str) {
        let Outgoing { stream, key, trade_date, message } = outgoing;
        let (source, topic) = (format!("{}/{}", S::NAME, stream.as_str()), message.topic());
        let sequence = memory.next_sequence(stream.as_str(), topic);
        let headers = Headers {
            // Two messages of one source may have the same sequence on different topics.
            event_id: format!("{source}@{topic}/{sequence}"),
            source,
            sequence,
            cause: cause.to_owned(),
            trade_date,
            schema_version: contracts::SCHEMA_VERSION,
        };
        let headers = headers.to_pairs().into_iter().map(|(name, value)| (Cow::Borrowed(name), value));
        self.records.push(TransactionalRecord {
            topic,
            partition: None,
            key: Some(key.into()),
            value: message.encode(),
            headers: headers.collect(),
            timestamp_ms: self.now.as_millisecond(),
        });
    }

    /// An input that cannot be decoded: as it was, with where it stood and why.
    fn set_aside(&mut self, input: &LogRecord, why: &str) {
        tracing::warn!(partition = self.partition, offset = input.offset, why, "dead letter");
        count(&self.host.counters.dead_letters, 1);
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let kept = input.headers.iter().map(|(name, value)| (Cow::Owned(text(name)), value.clone()));
        let added = [
            (dead_letter::TOPIC, S::TOPICS.input.to_owned()),
            (dead_letter::PARTITION, self.partition.to_string()),
            (dead_letter::OFFSET, input.offset.to_string()),
            (dead_letter::REASON, why.to_owned()),
        ];
        let added = added.into_iter().map(|(name, value)| (Cow::Borrowed(name), Bytes::from(value)));
        self.records.push(TransactionalRecord {
            topic: S::TOPICS.dead_letters,
            partition: None,
            key: input.key.clone(),
            value: input.value.clone(),
            headers: kept.chain(added).collect(),
            timestamp_ms: input.timestamp_ms,
        });
    }

    fn end(&mut self, memory: &mut Memory<S::State>, next: i64) {
        let is_due = memory.events >= self.host.settings.snapshot_every_events;
        let snapshot = if is_due { self.host.service.snapshot(&memory.state) } else { None };
        let in_full = snapshot.is_some();
        if let Some(snapshot) = snapshot {
            memory.events = 0;
            count(&self.host.counters.snapshots, 1);
            self.append(Entry::Snapshot(snapshot));
        }
        let progress = memory.progress_to(next, in_full);
        self.append(Entry::Progress(progress));
    }

    fn append(&mut self, entry: Entry) {
        let (key, value) = entry.encode();
        self.records.push(TransactionalRecord {
            topic: S::TOPICS.changelog,
            partition: Some(self.partition),
            key: Some(key),
            value,
            headers: Vec::new(),
            timestamp_ms: self.now.as_millisecond(),
        });
    }
}

fn headers_of(record: &LogRecord) -> Option<Headers> {
    let pairs = record.headers.iter();
    Headers::from_pairs(pairs.filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, &value[..]))))
}
