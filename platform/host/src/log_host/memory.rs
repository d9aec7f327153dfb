//! What an owner keeps of its partition: the service's state, how far it is, and the sequences it has given out.

use std::collections::BTreeMap;

use contracts::stored::Payload;

use super::changelog::{Entry, Progress, Unreadable};
use super::service::LogService;
use crate::ports::LogRecord;

pub struct Memory<T> {
    pub state: T,
    /// The offset of the next input, once something of the partition has been processed.
    pub next: Option<i64>,
    /// Last sequences by source stream and topic.
    sequences: BTreeMap<String, BTreeMap<String, u64>>,
    /// ... those that the batch at hand has changed.
    changed: BTreeMap<String, BTreeMap<String, u64>>,
    /// Events since the last snapshot.
    pub events: u64,
    /// The log's start lies behind its first record: only a snapshot can be begun with.
    awaits_snapshot: bool,
}

impl<T: Default> Memory<T> {
    /// Before the first record of a changelog that starts there.
    pub fn at(log_start: i64) -> Self {
        Self {
            state: T::default(),
            next: None,
            sequences: BTreeMap::new(),
            changed: BTreeMap::new(),
            events: 0,
            awaits_snapshot: log_start > 0,
        }
    }

    /// Whether the changelog's beginning is gone, and no snapshot has come yet.
    pub fn lacks_its_beginning(&self) -> bool {
        self.awaits_snapshot
    }

    /// Takes in a record of the changelog.
    pub fn replay<S: LogService<State = T>>(
        &mut self,
        service: &S,
        record: &LogRecord,
    ) -> Result<(), Unreadable> {
        let unreadable = Unreadable { offset: record.offset };
        match Entry::decode(record)? {
            Entry::Snapshot(bytes) => {
                self.state = service.restore(bytes).ok_or(unreadable)?;
                self.sequences.clear();
                self.events = 0;
                self.awaits_snapshot = false;
            }
            _ if self.awaits_snapshot => {}
            Entry::Event(payload) => {
                let event = S::Event::decode(payload).map_err(|_| unreadable)?;
                service.apply(&mut self.state, &event);
                self.events += 1;
            }
            Entry::Progress(Progress { next, sequences }) => {
                self.next = Some(next);
                for (stream, topics) in sequences {
                    self.sequences.entry(stream).or_default().extend(topics);
                }
            }
        }
        Ok(())
    }

    /// The sequence of the next message of a stream on a topic.
    pub fn next_sequence(&mut self, stream: &str, topic: &str) -> u64 {
        let topics = self.sequences.entry(stream.to_owned()).or_default();
        let last = topics.entry(topic.to_owned()).or_default();
        *last += 1;
        self.changed.entry(stream.to_owned()).or_default().insert(topic.to_owned(), *last);
        *last
    }

    /// Ends a batch. `in_full`: a snapshot goes before it.
    pub fn progress_to(&mut self, next: i64, in_full: bool) -> Progress {
        self.next = Some(next);
        let changed = std::mem::take(&mut self.changed);
        Progress { next, sequences: if in_full { self.sequences.clone() } else { changed } }
    }
}
