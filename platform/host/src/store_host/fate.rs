//! What the guards' replies say about each item of a batch: take it, or why not.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::{Batch, Item, ItemKey, Origin};
use super::execute::StoredAnswer;
use super::panics::Attempts;
use super::replies::Replies;
use crate::ports::store::Row;

/// What the guards say about an item.
pub enum Fate {
    Take,
    Duplicate(Option<StoredAnswer>),
    KeyReused,
    Park,
    Dead,
    /// It has panicked too often.
    KeepAside(Attempts),
}

pub struct Sorted {
    pub fates: Vec<Fate>,
    /// Streams (source, topic) whose next message is parked.
    pub successors: Vec<(String, String)>,
}

/// `attempts`: of inputs that panicked.
pub fn sort_items<C>(
    batch: &Batch<C>,
    attempts: &BTreeMap<String, Attempts>,
    replies: &mut Replies,
) -> Sorted {
    let mut sorted = Sorted { fates: Vec::with_capacity(batch.items.len()), successors: Vec::new() };
    // Within a batch a message's predecessor can stand right before it.
    let mut last_taken: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    // ... and its successor before it: relays overtake each other.
    let mut parked: BTreeSet<(&str, &str, u64)> = BTreeSet::new();
    for item in &batch.items {
        let panicked = over(item, attempts);
        let fate = match &item.key {
            ItemKey::Message { source, topic, sequence, .. } => {
                let stored = replies.rows().first().map_or(0, |row| row[2].as_int() as u64);
                let has_successor = !replies.rows().is_empty();
                let last = last_taken.entry((source, topic)).or_insert(stored);
                if *sequence <= *last {
                    Fate::Duplicate(None)
                } else if *sequence == *last + 1
                    && let Some(attempts) = panicked
                {
                    Fate::KeepAside(attempts)
                } else if *sequence == *last + 1 {
                    *last = *sequence;
                    if has_successor || parked.contains(&(source, topic, *sequence + 1)) {
                        sorted.successors.push((source.clone(), topic.clone()));
                    }
                    Fate::Take
                } else {
                    parked.insert((source, topic, *sequence));
                    Fate::Park
                }
            }
            ItemKey::Dead { .. } => Fate::Dead,
            ItemKey::Http { hash, .. } => {
                let inserted = replies.changed() == 1;
                let row = replies.rows().pop();
                match (inserted, panicked) {
                    (true, Some(attempts)) => Fate::KeepAside(attempts),
                    (true, None) => Fate::Take,
                    (false, _) => repeated_request(row, *hash),
                }
            }
            ItemKey::Timer { .. } | ItemKey::Effect { .. } => match (replies.changed(), panicked) {
                (1, Some(attempts)) => Fate::KeepAside(attempts),
                (1, None) => Fate::Take,
                _ => Fate::Duplicate(None),
            },
        };
        sorted.fates.push(fate);
    }
    sorted
}

/// The attempts of an input that has had enough of them; an operator's replay is one more.
fn over<C>(item: &Item<C>, attempts: &BTreeMap<String, Attempts>) -> Option<Attempts> {
    if attempts.is_empty() || matches!(item.key, ItemKey::Message { origin: Origin::DeadLetter(_), .. }) {
        return None;
    }
    attempts.get(&item.key.name()?).filter(|attempts| attempts.are_over()).cloned()
}

/// The fate of an HTTP command whose inbox row was there before.
fn repeated_request(row: Option<Row>, hash: i64) -> Fate {
    let Some(row) = row else {
        // Expired between the two statements: as good as never seen, and refused once.
        return Fate::KeyReused;
    };
    if row[2].as_int() != hash {
        return Fate::KeyReused;
    }
    let status = u16::try_from(row[3].as_int()).expect("the status column holds HTTP status codes");
    Fate::Duplicate(Some(StoredAnswer { status, body: row[4].as_bytes().clone() }))
}
