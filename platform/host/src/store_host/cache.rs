//! States kept from decision to decision. They are hints: the head's version under its lock decides.

use std::collections::BTreeMap;

use crate::service::StreamId;

/// A state and the version it stands at.
#[derive(Clone, Debug)]
pub struct Cached<S> {
    pub version: u64,
    pub state: S,
}

/// Two generations: what was not used during a whole generation is forgotten.
pub struct Cache<S> {
    young: BTreeMap<StreamId, Cached<S>>,
    old: BTreeMap<StreamId, Cached<S>>,
    generation_size: usize,
}

impl<S: Clone> Cache<S> {
    pub fn new(generation_size: usize) -> Self {
        Self { young: BTreeMap::new(), old: BTreeMap::new(), generation_size }
    }

    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    pub fn knows(&self, stream: &StreamId) -> bool {
        self.young.contains_key(stream) || self.old.contains_key(stream)
    }

    pub fn version_of(&self, stream: &StreamId) -> Option<u64> {
        self.young.get(stream).or_else(|| self.old.get(stream)).map(|cached| cached.version)
    }

    /// A copy, for readers: the state stays, and counts as used.
    pub fn copy(&mut self, stream: &StreamId) -> Option<Cached<S>> {
        if let Some(used) = self.old.remove(stream) {
            self.put(stream.clone(), used);
        }
        self.young.get(stream).cloned()
    }

    /// Removes and returns a state: its holder owns the stream's lock.
    pub fn take(&mut self, stream: &StreamId) -> Option<Cached<S>> {
        self.young.remove(stream).or_else(|| self.old.remove(stream))
    }

    pub fn put(&mut self, stream: StreamId, cached: Cached<S>) {
        if self.young.len() >= self.generation_size {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(stream, cached);
    }
}
