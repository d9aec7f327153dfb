//! Which records concern a trade or an account, and which part of a batch does.
//!
//! Ids are looked for in everything that a row says, so that an event which is new here is found as well. What
//! carries another id of the same thing (an idempotency key, a payment's reference) is matched by that.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use invariants::fact::{ClientAnswer, ClientRequest, Committed, EventRow, OutboxRow};
use invariants::{Fact, Record};
use model::{PaymentLegId, TradeId, hash_id, uetr};

use super::{Item, facts};

/// A payment leg is tried again only after a definite refusal; nobody has seen this many.
const ATTEMPTS_MAX: u32 = 40;

/// What the reader asks for.
#[derive(Clone, Debug, Default)]
pub struct Concern {
    /// Nothing: everything is of concern.
    ids: BTreeSet<String>,
    /// Requests by client and idempotency key, as far as they were seen.
    requests: BTreeSet<(String, String)>,
    /// Payment legs and trades of an account, as far as they were seen.
    learned: BTreeSet<String>,
    learns: bool,
}

impl Concern {
    pub fn everything() -> Self {
        Self::default()
    }

    /// A trade from its request to its last notice.
    pub fn trade(id: &str) -> Self {
        // Payment hashes the leg's id with a dot for the slash, for ids of the model have none.
        let legs = ["buyer", "seller", "return"].map(|leg| PaymentLegId::new(&format!("{id}.{leg}")));
        let attempts =
            |leg: PaymentLegId| (0..=ATTEMPTS_MAX).map(move |attempt| uetr(&leg, attempt).to_string());
        let references = legs.into_iter().flatten().flat_map(attempts);
        Self { ids: references.chain([id.to_owned()]).collect(), ..Self::default() }
    }

    /// An account: its requests, positions, cash and entries.
    pub fn account(id: &str) -> Self {
        Self { ids: [id.to_owned()].into(), learns: true, ..Self::default() }
    }

    /// Anything that names one of the subjects.
    pub fn any_of(subjects: &[String]) -> Self {
        Self { ids: subjects.iter().cloned().collect(), ..Self::default() }
    }

    /// What of the record is of concern, in words.
    pub(super) fn items(&mut self, record: &Record<'_>) -> Vec<Item> {
        if self.ids.is_empty() {
            return facts::items(record.fact);
        }
        match record.fact {
            Fact::Committed(committed) => self.of_commit(committed),
            Fact::Request(request) if !self.of_request(request) => Vec::new(),
            Fact::Answer(answer) if !self.of_answer(answer) => Vec::new(),
            Fact::Request(_) | Fact::Answer(_) => facts::items(record.fact),
            other if self.concerns(other, record.cause) => facts::items(other),
            _ => Vec::new(),
        }
    }

    /// What led to those events and messages of a commit that are of concern, by id. What a timer or an effect led to
    /// follows from the event before it in the same stream.
    pub fn causes(&mut self, committed: &Committed) -> Vec<String> {
        let mut causes = Vec::new();
        for row in committed.events.iter().filter(|row| self.of_event(row)) {
            causes.push(row.cause.clone());
            if row.version > 1 && (row.cause.starts_with("timer/") || row.cause.starts_with("effect/")) {
                causes.push(format!("{}/{}@{}", committed.database, row.stream, row.version - 1));
            }
        }
        let outbox = committed.outbox.iter().filter(|row| self.of_message(row));
        causes.extend(outbox.map(|row| row.headers.cause.clone()));
        causes
    }

    fn of_commit(&mut self, committed: &Committed) -> Vec<Item> {
        let mut items = Vec::new();
        for row in &committed.events {
            if self.of_event(row) {
                items.push(facts::event(&committed.database, row));
            }
        }
        for row in &committed.outbox {
            if self.of_message(row) {
                items.push(facts::message(row));
            }
        }
        items
    }

    fn of_event(&mut self, row: &EventRow) -> bool {
        let EventRow { stream, cause, event, .. } = row;
        self.said(format_args!("{stream} {cause} {event:?}"))
    }

    fn of_message(&mut self, row: &OutboxRow) -> bool {
        let OutboxRow { key, headers, message, .. } = row;
        self.said(format_args!("{key} {} {} {message:?}", headers.source, headers.cause))
    }

    fn of_request(&mut self, request: &ClientRequest) -> bool {
        let ClientRequest { client, idempotency_key, body, .. } = request;
        let trade = TradeId::from(hash_id("trade", &[client, idempotency_key], 0)).to_string();
        let concerns = self.ids.contains(&trade) || self.said(format_args!("{body:?}"));
        if concerns {
            self.requests.insert((client.clone(), idempotency_key.clone()));
        }
        concerns
    }

    fn of_answer(&self, answer: &ClientAnswer) -> bool {
        self.requests.contains(&(answer.client.clone(), answer.idempotency_key.clone()))
    }

    fn concerns(&mut self, fact: &Fact, cause: &str) -> bool {
        match fact {
            Fact::Visible(visible) => {
                let source = visible.headers.as_ref().map(|headers| &headers.source);
                self.said(format_args!("{} {source:?} {cause} {:?}", visible.key, visible.message))
            }
            other => self.said(format_args!("{cause} {other:?}")),
        }
    }

    /// Whether this names one of the ids. What an account's rows name besides belongs to the account too.
    fn said(&mut self, what: std::fmt::Arguments<'_>) -> bool {
        thread_local!(static TEXT: RefCell<String> = const { RefCell::new(String::new()) });
        TEXT.with_borrow_mut(|text| {
            text.clear();
            text.write_fmt(what).expect("a String takes everything");
            let named = self.ids.iter().chain(&self.learned).any(|id| names(text, id));
            if named && self.learns {
                self.learned.extend(values(text, "leg_id: \"").map(str::to_owned));
            }
            named
        })
    }
}

/// Whether the text has the id as a word of its own.
fn names(text: &str, id: &str) -> bool {
    let within = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.match_indices(id).any(|(start, _)| {
        let (before, after) = (text[..start].chars().next_back(), text[start + id.len()..].chars().next());
        !within(before) && !within(after)
    })
}

/// What follows each `key` up to the quotation mark.
fn values<'t>(text: &'t str, key: &'t str) -> impl Iterator<Item = &'t str> {
    text.split(key).skip(1).filter_map(|rest| rest.split('"').next()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_word_of_its_own() {
        assert!(names("seller: \"A01\"", "A01") && names("T-1/buyer", "T-1") && names("A01", "A01"));
        assert!(!names("\"A012\"", "A01") && !names("BA01", "A01") && !names("", "A01"));
        assert!(names("A012 and A01", "A01"));
    }

    #[test]
    fn values_of_a_key() {
        let text = "X { leg_id: \"T/buyer\", n: 1 } Y { leg_id: \"\", leg_id: \"T/seller\" }";
        assert_eq!(values(text, "leg_id: \"").collect::<Vec<_>>(), ["T/buyer", "T/seller"]);
    }
}
