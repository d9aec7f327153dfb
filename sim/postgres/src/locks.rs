//! Row locks: who holds which row, and who waits for it in which order (manual 13.3.2, README.tuplock).
//!
//! First come, first served, but for two: who wants to share a row joins those who share it now, past waiters for
//! update, which can starve them; and a holder that wants more goes to the front, since everybody behind waits
//! for it anyway.
//!
//! Keys of unique indexes are locked in the same table by whoever writes them, under spaces of their own.

use std::collections::VecDeque;

use crate::key::{SpaceKey, SpaceMap};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    Share,
    Update,
    /// As update, and the row has an uncommitted change: who inserts this key waits for its outcome.
    Write,
}

/// Of a row or, in a space of its own, of a value of a unique index.
pub type LockKey = SpaceKey;

#[derive(Clone, Copy)]
struct Claim {
    owner: u64,
    strength: Strength,
}

impl Claim {
    fn conflicts(self, other: Claim) -> bool {
        self.owner != other.owner && (self.strength != Strength::Share || other.strength != Strength::Share)
    }
}

/// Owners of one row. Nearly always one, so that one needs no allocation. Waiters exist only behind holders.
#[derive(Default)]
struct Entry {
    first: Option<Claim>,
    others: Vec<Claim>,
    queue: VecDeque<Claim>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// The caller notes the key, and releases it at the end of its transaction.
    New,
    /// Held before, perhaps made stronger now.
    Held,
    Busy,
}

#[derive(Default)]
pub struct Locks {
    entries: SpaceMap<Entry>,
}

impl Locks {
    pub fn acquire(&mut self, owner: u64, key: &LockKey, strength: Strength) -> Acquired {
        let claim = Claim { owner, strength };
        let Some(entry) = self.entries.get_mut(key) else {
            self.entries.insert(key.clone(), Entry { first: Some(claim), ..Entry::default() });
            return Acquired::New;
        };
        let conflict = entry.holders().any(|holder| holder.conflicts(claim));
        let behind_others = strength != Strength::Share && !entry.queue.is_empty();
        match entry.holder_mut(owner) {
            Some(held) if held.strength >= strength => Acquired::Held,
            Some(held) if !conflict => {
                held.strength = strength;
                Acquired::Held
            }
            None if !conflict && !behind_others => {
                entry.others.push(claim);
                Acquired::New
            }
            _ => Acquired::Busy,
        }
    }

    /// To be called after [`Acquired::Busy`].
    pub fn enqueue(&mut self, owner: u64, key: &LockKey, strength: Strength) {
        let entry = self.entries.get_mut(key).expect("a busy lock has an entry");
        let claim = Claim { owner, strength };
        match entry.holder_mut(owner) {
            Some(_) => entry.queue.push_front(claim),
            None => entry.queue.push_back(claim),
        }
    }

    /// Gives the lock up, and appends the owners that hold what they waited for by this.
    pub fn release(&mut self, owner: u64, key: &LockKey, granted: &mut VecDeque<u64>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.remove_holder(owner);
        entry.grant(granted);
        if entry.first.is_none() {
            self.entries.swap_remove(key);
        }
    }

    /// Stops waiting; those behind may go on.
    pub fn cancel(&mut self, owner: u64, key: &LockKey, granted: &mut VecDeque<u64>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        entry.queue.retain(|waiter| waiter.owner != owner);
        entry.grant(granted);
    }

    /// Who has an uncommitted change of this key.
    pub fn writer(&self, key: &LockKey) -> Option<u64> {
        let first = self.entries.get(key)?.first?;
        (first.strength == Strength::Write).then_some(first.owner)
    }

    /// Whom a waiter for this key waits for: conflicting holders, and conflicting waiters before it.
    pub fn blockers(&self, owner: u64, key: &LockKey, into: &mut Vec<u64>) {
        let Some(entry) = self.entries.get(key) else { return };
        let Some(position) = entry.queue.iter().position(|waiter| waiter.owner == owner) else { return };
        let claim = entry.queue[position];
        let before = entry.queue.iter().take(position).copied();
        into.extend(entry.holders().chain(before).filter(|c| c.conflicts(claim)).map(|c| c.owner));
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl Entry {
    fn holders(&self) -> impl Iterator<Item = Claim> {
        self.first.into_iter().chain(self.others.iter().copied())
    }

    fn holder_mut(&mut self, owner: u64) -> Option<&mut Claim> {
        self.first.iter_mut().chain(&mut self.others).find(|holder| holder.owner == owner)
    }

    fn remove_holder(&mut self, owner: u64) {
        if self.first.is_some_and(|first| first.owner == owner) {
            self.first = if self.others.is_empty() { None } else { Some(self.others.remove(0)) };
        } else {
            self.others.retain(|holder| holder.owner != owner);
        }
    }

    fn grant(&mut self, granted: &mut VecDeque<u64>) {
        while let Some(head) = self.queue.front().copied() {
            if self.holders().any(|holder| holder.conflicts(head)) {
                return;
            }
            self.queue.pop_front();
            if let Some(held) = self.holder_mut(head.owner) {
                held.strength = head.strength;
            } else if self.first.is_none() {
                self.first = Some(head);
            } else {
                self.others.push(head);
            }
            granted.push_back(head.owner);
        }
    }
}
