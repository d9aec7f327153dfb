//! The trace: numbered records, folded into a rolling hash and handed to whoever watches. Nothing is kept.

use std::cell::{Cell, RefCell};
use std::hash::Hash;

use invariants::{Fact, Record};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

/// Sees every record as it happens.
pub trait Watcher {
    fn see(&mut self, record: &Record<'_>);
}

/// The trace of one run.
#[derive(Default)]
pub struct Trace {
    records: Cell<u64>,
    hash: Cell<u128>,
    closed: Cell<bool>,
    watchers: RefCell<Vec<Box<dyn Watcher>>>,
}

impl Trace {
    pub fn watch(&self, watcher: Box<dyn Watcher>) {
        self.watchers.borrow_mut().push(watcher);
    }

    /// Nothing that happens from now on is part of the run.
    pub fn close(&self) {
        self.closed.set(true);
        self.watchers.borrow_mut().clear();
    }

    /// Records told so far.
    pub fn records(&self) -> u64 {
        self.records.get()
    }

    /// The identity of the run up to here.
    pub fn hash(&self) -> u128 {
        self.hash.get()
    }

    pub fn tell(&self, at_ns: i64, node: &str, cause: &str, fact: &Fact) {
        if self.closed.get() {
            return;
        }
        let sequence = self.records.get() + 1;
        self.records.set(sequence);
        let record = Record { sequence, at_ns, node, cause, fact };
        self.hash.set(fold(self.hash.get(), &record));
        for watcher in self.watchers.borrow_mut().iter_mut() {
            watcher.see(&record);
        }
    }
}

/// The rolling hash after one more record.
fn fold(before: u128, record: &Record<'_>) -> u128 {
    let mut hasher = Xxh3::new();
    record.sequence.hash(&mut hasher);
    record.at_ns.hash(&mut hasher);
    record.node.hash(&mut hasher);
    record.cause.hash(&mut hasher);
    record.fact.hash(&mut hasher);
    let mut block = [0; 32];
    block[..16].copy_from_slice(&before.to_le_bytes());
    block[16..].copy_from_slice(&hasher.digest128().to_le_bytes());
    xxh3_128(&block)
}
