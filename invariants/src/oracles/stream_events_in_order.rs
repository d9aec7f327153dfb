//! Versions of a stream and sequences of its messages count from one without gaps, and topics show messages
//! in order.
//!
//! Why it can break: a sequence taken outside the transaction, so that a later commit passes an earlier one
//! and a relay skips the gap; a zombie that sends behind its successor; a message sent before its commit.
//! Duplicates of a message are allowed, other content under its sequence is not. A lost commit takes its
//! versions and sequences back.

use std::collections::{BTreeMap, VecDeque};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use crate::fact::{Committed, OutboxRow, Visible};
use crate::lookback::WINDOW;
use crate::{Fact, FactKind, Invariant, Pending, Record, Verdict, Violation};

/// Streams are many and long-lived: their names are kept as hashes.
type Name = u128;

#[derive(Default)]
pub struct StreamEventsInOrder {
    versions: BTreeMap<Name, u64>,
    messages: BTreeMap<Name, Messages>,
    /// Names of those with messages that no topic shows yet.
    unpublished: BTreeMap<Name, String>,
    /// What the latest transactions counted up.
    undo: VecDeque<Undo>,
}

/// The messages of one source stream in one topic.
#[derive(Default)]
struct Messages {
    committed: u64,
    /// A hash of each visible payload, by sequence from 1.
    visible: Vec<u64>,
}

struct Undo {
    /// Of which database, by hash, and which one.
    transaction: (u64, u64),
    streams: Vec<Name>,
    messages: Vec<Name>,
}

fn name(of: &str, within: &str) -> Name {
    xxh3_128_with_seed(of.as_bytes(), xxh3_64(within.as_bytes()))
}

impl StreamEventsInOrder {
    fn committed(&mut self, committed: &Committed, at: u64) -> Result<(), Violation> {
        let mut undo = Undo {
            transaction: (xxh3_64(committed.database.as_bytes()), committed.transaction),
            streams: Vec::with_capacity(committed.events.len()),
            messages: Vec::with_capacity(committed.outbox.len()),
        };
        for row in &committed.events {
            let stream = name(&row.stream, &committed.database);
            let last = self.versions.entry(stream).or_default();
            if row.version != *last + 1 {
                let why = format!(
                    "{}/{} goes from version {last} to {}",
                    committed.database, row.stream, row.version
                );
                return Err(Violation::new(why).about([&row.stream]).seen_at([at]));
            }
            *last = row.version;
            undo.streams.push(stream);
        }
        for row in &committed.outbox {
            undo.messages.push(self.queued(row, at)?);
        }
        if self.undo.len() == WINDOW {
            self.undo.pop_front();
        }
        self.undo.push_back(undo);
        Ok(())
    }

    fn queued(&mut self, row: &OutboxRow, at: u64) -> Result<Name, Violation> {
        let (source, sequence) = (&row.headers.source, row.headers.sequence);
        let key = name(source, &row.topic);
        let messages = self.messages.entry(key).or_default();
        if sequence != messages.committed + 1 {
            let why =
                format!("{source} goes from sequence {} to {sequence} in {}", messages.committed, row.topic);
            return Err(Violation::new(why).about([source, &row.topic]).seen_at([at]));
        }
        messages.committed = sequence;
        self.unpublished.entry(key).or_insert_with(|| format!("{source} in {}", row.topic));
        Ok(key)
    }

    fn visible(&mut self, visible: &Visible, at: u64) -> Result<(), Violation> {
        let Some(headers) = &visible.headers else { return Ok(()) };
        let (source, sequence, topic) = (&headers.source, headers.sequence, &visible.topic);
        let key = name(source, topic);
        let messages = self.messages.entry(key).or_default();
        let (shown, payload) = (messages.visible.len() as u64, xxh3_64(&visible.payload));
        let why = if sequence > messages.committed {
            format!("shows sequence {sequence}, committed is {}", messages.committed)
        } else if sequence > shown + 1 {
            format!("shows sequence {sequence} right after {shown}")
        } else if sequence == shown + 1 {
            messages.visible.push(payload);
            if sequence == messages.committed {
                self.unpublished.remove(&key);
            }
            return Ok(());
        } else if sequence == 0 || messages.visible[sequence as usize - 1] == payload {
            return Ok(());
        } else {
            format!("shows sequence {sequence} again with another payload")
        };
        let place = format!("{topic}/{}@{}", visible.partition, visible.offset);
        let why = format!("{topic} {why} for {source}, at {place}");
        Err(Violation::new(why).about([source, topic]).seen_at([at]))
    }

    /// Gives back what a lost transaction had counted. What was published of it stays published.
    fn lost(&mut self, database: &str, transaction: u64) {
        let transaction = (xxh3_64(database.as_bytes()), transaction);
        let Some(index) = self.undo.iter().rposition(|undo| undo.transaction == transaction) else { return };
        let Some(undo) = self.undo.remove(index) else { return };
        for stream in undo.streams {
            *self.versions.entry(stream).or_default() -= 1;
        }
        for key in undo.messages {
            let messages = self.messages.entry(key).or_default();
            messages.committed -= 1;
            if messages.committed <= messages.visible.len() as u64 {
                self.unpublished.remove(&key);
            }
        }
    }
}

impl Invariant for StreamEventsInOrder {
    fn name(&self) -> &'static str {
        "stream_events_in_order"
    }

    fn about(&self) -> &'static str {
        "Versions of streams and sequences of messages count from one without gaps; topics show committed \
         messages only, in order, always with the same payload. It breaks when a relay passes a gap, or a \
         zombie sends behind its successor."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed, FactKind::Visible]
    }

    fn welcomes(&self) -> &'static [FactKind] {
        &[FactKind::CommitLost]
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        match record.fact {
            Fact::Committed(committed) => self.committed(committed, record.sequence).into(),
            Fact::Visible(visible) => self.visible(visible, record.sequence).into(),
            Fact::CommitLost { database, transaction } => {
                self.lost(database, *transaction);
                Verdict::Holds
            }
            _ => Verdict::Holds,
        }
    }

    fn at_rest(&mut self) -> Verdict {
        let Some((key, what)) = self.unpublished.first_key_value() else { return Verdict::Holds };
        let (committed, shown) =
            self.messages.get(key).map_or((0, 0), |messages| (messages.committed, messages.visible.len()));
        let why = format!("{what}: {committed} messages were committed, {shown} were ever visible");
        Verdict::Violated(Violation::new(why).about([what]))
    }

    fn pending(&self) -> Vec<Pending> {
        let named = |what: &String| Pending {
            what: format!("messages of {what}"),
            why: "not published yet".to_owned(),
        };
        self.unpublished.values().map(named).collect()
    }

    fn is_settled(&self) -> bool {
        self.unpublished.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::TradeValidated;
    use contracts::{Headers, topics};

    use super::*;
    use crate::testing::{Commit, breaks, breaks_at_rest, history, holds, taken, trade};

    fn commit(sequence: u64) -> Commit {
        let message = TradeValidated { trade: Some(trade("T-1")) };
        Commit::by("trade").transaction(sequence).version(sequence, "trade/T-1", taken()).sequenced(
            "trade/trade/T-1",
            sequence,
            message,
        )
    }

    fn shown(sequence: u64, payload: &'static str) -> Fact {
        let headers = Headers { source: "trade/trade/T-1".to_owned(), sequence, ..Headers::default() };
        Fact::Visible(Visible {
            topic: topics::TRADE_VALIDATED.to_owned(),
            partition: 0,
            offset: 0,
            leader_epoch: 0,
            key: String::new(),
            headers: Some(headers),
            message: None,
            payload: payload.into(),
        })
    }

    #[test]
    fn holds_with_duplicates() {
        let told = history![commit(1), commit(2), shown(1, "a"), shown(2, "b"), shown(1, "a"), shown(2, "b")];
        holds(StreamEventsInOrder::default(), told);
    }

    #[test]
    fn breaks_when_a_version_or_sequence_is_skipped() {
        let told = history![commit(1), commit(3)];
        breaks(StreamEventsInOrder::default(), told, "trade/trade/T-1 goes from version 1 to 3");
        let message = TradeValidated { trade: None };
        let told = history![Commit::by("position").sequenced("position/account/S", 2, message)];
        breaks(StreamEventsInOrder::default(), told, "goes from sequence 0 to 2");
    }

    #[test]
    fn breaks_when_topics_show_what_they_should_not() {
        let told = history![commit(1), commit(2), shown(2, "b")];
        breaks(StreamEventsInOrder::default(), told, "shows sequence 2 right after 0");
        breaks(StreamEventsInOrder::default(), history![shown(1, "a")], "shows sequence 1, committed is 0");
        let told = history![commit(1), shown(1, "a"), shown(1, "b")];
        breaks(StreamEventsInOrder::default(), told, "again with another payload");
    }

    #[test]
    fn breaks_at_rest_when_a_message_was_never_sent() {
        breaks_at_rest(StreamEventsInOrder::default(), history![commit(1)], "1 messages were committed, 0");
    }

    #[test]
    fn holds_when_a_lost_commit_is_made_again() {
        let lost = Fact::CommitLost { database: "trade".to_owned(), transaction: 2 };
        holds(
            StreamEventsInOrder::default(),
            history![commit(1), commit(2), lost, commit(2), shown(1, "a"), shown(2, "b")],
        );
    }
}
