//! What stands in a changelog: events, snapshots, and after each batch how far it came.
//!
//! The key of a record says which it is. A batch ends with its progress, also where it has no events: so the changelog
//! says by itself how far the input has been processed, and a recovery sees that either the changelog or the committed
//! offset was told by a broker that lags behind.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ports::LogRecord;

const EVENT: &[u8] = b"event";
const SNAPSHOT: &[u8] = b"snapshot";
const PROGRESS: &[u8] = b"progress";

/// A record of the changelog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Event(Bytes),
    /// Of the state after all events before it.
    Snapshot(Bytes),
    Progress(Progress),
}

/// Where a batch ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The offset of the next input.
    pub next: i64,
    /// Last sequences by source stream and topic, as far as the batch changed them; all of them after a snapshot.
    pub sequences: BTreeMap<String, BTreeMap<String, u64>>,
}

/// A record that no host has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record at offset {offset} of the changelog is not readable")]
pub struct Unreadable {
    pub offset: i64,
}

impl Entry {
    /// Key and value.
    pub fn encode(self) -> (Bytes, Bytes) {
        match self {
            Self::Event(payload) => (Bytes::from_static(EVENT), payload),
            Self::Snapshot(payload) => (Bytes::from_static(SNAPSHOT), payload),
            Self::Progress(progress) => {
                let value = serde_json::to_vec(&progress).expect("numbers by names are JSON");
                (Bytes::from_static(PROGRESS), value.into())
            }
        }
    }

    pub fn decode(record: &LogRecord) -> Result<Self, Unreadable> {
        let unreadable = Unreadable { offset: record.offset };
        match record.key.as_deref() {
            Some(EVENT) => Ok(Self::Event(record.value.clone())),
            Some(SNAPSHOT) => Ok(Self::Snapshot(record.value.clone())),
            Some(PROGRESS) => {
                let progress = serde_json::from_slice(&record.value);
                Ok(Self::Progress(progress.map_err(|_| unreadable)?))
            }
            _ => Err(unreadable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entry: Entry) -> Result<Entry, Unreadable> {
        let (key, value) = entry.encode();
        Entry::decode(&LogRecord { offset: 7, timestamp_ms: 0, key: Some(key), value, headers: Vec::new() })
    }

    #[test]
    fn entries_come_back_as_they_were() {
        let sequences = [("book/a".to_owned(), [("fills".to_owned(), 3)].into())].into();
        let entries = [
            Entry::Event(Bytes::from_static(b"\x00\x01")),
            Entry::Snapshot(Bytes::new()),
            Entry::Progress(Progress { next: 42, sequences }),
        ];
        for entry in entries {
            assert_eq!(read(entry.clone()), Ok(entry));
        }
    }

    #[test]
    fn what_no_host_wrote_is_refused_with_its_place() {
        let value = Bytes::from_static(b"[]");
        for key in [None, Some(Bytes::from_static(b"other")), Some(Bytes::from_static(PROGRESS))] {
            let record =
                LogRecord { offset: 7, timestamp_ms: 0, key, value: value.clone(), headers: Vec::new() };
            assert_eq!(Entry::decode(&record), Err(Unreadable { offset: 7 }));
        }
    }
}
