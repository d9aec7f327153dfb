//! The journal: every record in order, what stands by them, and the balances they give.
//!
//! Each operation either appends exactly one record, or changes nothing because it is a repetition, or
//! fails and changes nothing.

use std::collections::BTreeMap;

use thiserror::Error;

use super::amount::{Amount, Asset};
use super::balances::Balances;
use super::entry::{Entry, EntryState, StateError};
use crate::arithmetic::ArithmeticError;
use crate::ids::{AccountId, EntryId};

/// Why the journal refuses an operation.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JournalError {
    /// No entry of that id.
    #[error("entry {id} is not in the journal")]
    UnknownEntry {
        /// The id.
        id: EntryId,
    },
    /// The id stands for another content, or was pending where it now claims to be posted (or vice versa).
    #[error("entry {id} is in the journal with other content")]
    Conflict {
        /// The id.
        id: EntryId,
    },
    /// The entry's state does not allow it.
    #[error("entry {id}: {error}")]
    State {
        /// The entry.
        id: EntryId,
        /// Why not.
        error: StateError,
    },
    /// An entry is reversed at most once.
    #[error("entry {id} is already reversed by {by}")]
    AlreadyReversed {
        /// The original.
        id: EntryId,
        /// The reversal it has.
        by: EntryId,
    },
    /// It names an original that its legs do not undo one by one.
    #[error("entry {id} does not mirror {original}")]
    NotAMirror {
        /// The reversal.
        id: EntryId,
        /// The entry it names.
        original: EntryId,
    },
    /// A reversal corrects the books at once; it cannot be pending.
    #[error("reversal {id} cannot be pending")]
    PendingReversal {
        /// The reversal.
        id: EntryId,
    },
    /// A balance would be too large.
    #[error(transparent)]
    Arithmetic(#[from] ArithmeticError),
}

/// What an accepted operation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It appended a record.
    Appended,
    /// The journal says so already: nothing changed.
    Repeated,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An entry was posted, possibly to reverse another.
    Posted(Entry),
    /// An entry became pending.
    Pended(Entry),
    /// A pending entry was posted.
    PendingPosted(EntryId),
    /// A pending entry was voided.
    PendingVoided(EntryId),
}

/// The sums over all accounts, per asset, in minor units or shares. Each is zero, or the ledger is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrialBalance {
    /// Over the posted balances.
    pub posted: BTreeMap<Asset, i128>,
    /// Over the pending balances.
    pub pending: BTreeMap<Asset, i128>,
}

impl TrialBalance {
    /// Whether every sum is zero.
    pub fn is_zero(&self) -> bool {
        self.posted.values().chain(self.pending.values()).all(|units| *units == 0)
    }
}

#[derive(Debug, Clone)]
struct Standing {
    entry: Entry,
    state: EntryState,
    reversed_by: Option<EntryId>,
}

/// An append-only double-entry journal in memory.
#[derive(Debug, Clone, Default)]
pub struct Journal {
    records: Vec<Record>,
    entries: BTreeMap<EntryId, Standing>,
    posted: Balances,
    pending: Balances,
}

impl Journal {
    /// Posts an entry.
    ///
    /// # Errors
    /// `Conflict`, `Arithmetic`; for a reversal also `UnknownEntry`, `State`, `AlreadyReversed`,
    /// `NotAMirror`, all about the original.
    pub fn post(&mut self, entry: Entry) -> Result<Applied, JournalError> {
        if self.knows(&entry, EntryState::Posted)? {
            return Ok(Applied::Repeated);
        }
        self.check_reversal(&entry)?;
        self.posted.book(entry.legs())?;
        if let Some(original) = entry.reverses().and_then(|id| self.entries.get_mut(id)) {
            original.reversed_by = Some(entry.id().clone());
        }
        self.append_entry(entry, EntryState::Posted);
        Ok(Applied::Appended)
    }

    /// Makes an entry pending.
    ///
    /// # Errors
    /// `Conflict`, `PendingReversal`, `Arithmetic`.
    pub fn pend(&mut self, entry: Entry) -> Result<Applied, JournalError> {
        if self.knows(&entry, EntryState::Pending)? {
            return Ok(Applied::Repeated);
        }
        if entry.reverses().is_some() {
            return Err(JournalError::PendingReversal { id: entry.id().clone() });
        }
        self.pending.book(entry.legs())?;
        self.append_entry(entry, EntryState::Pending);
        Ok(Applied::Appended)
    }

    /// Posts a pending entry.
    ///
    /// # Errors
    /// `UnknownEntry`, `State`, `Arithmetic`.
    pub fn post_pending(&mut self, id: &EntryId) -> Result<Applied, JournalError> {
        let Standing { entry, state, .. } = self.standing(id)?;
        let (entry, before) = (entry.clone(), *state);
        let after = before.post_pending().map_err(|error| JournalError::State { id: id.clone(), error })?;
        if before == after {
            return Ok(Applied::Repeated);
        }
        let posted = self.posted.after(entry.legs())?;
        self.pending.book(&entry.mirrored())?;
        self.posted.replace(posted);
        self.append_outcome(id, after, Record::PendingPosted(id.clone()));
        Ok(Applied::Appended)
    }

    /// Voids a pending entry.
    ///
    /// # Errors
    /// `UnknownEntry`, `State`, `Arithmetic`.
    pub fn void_pending(&mut self, id: &EntryId) -> Result<Applied, JournalError> {
        let Standing { entry, state, .. } = self.standing(id)?;
        let (entry, before) = (entry.clone(), *state);
        let after = before.void_pending().map_err(|error| JournalError::State { id: id.clone(), error })?;
        if before == after {
            return Ok(Applied::Repeated);
        }
        self.pending.book(&entry.mirrored())?;
        self.append_outcome(id, after, Record::PendingVoided(id.clone()));
        Ok(Applied::Appended)
    }

    /// Posts the entry `reversal_id` that undoes the posted entry `id`.
    ///
    /// # Errors
    /// As [`Journal::post`] of a reversal.
    pub fn reverse(&mut self, id: &EntryId, reversal_id: EntryId) -> Result<Applied, JournalError> {
        let reversal = Entry::reversal_of(&self.standing(id)?.entry, reversal_id);
        self.post(reversal)
    }

    /// Every record, oldest first.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// An entry and its state.
    pub fn entry(&self, id: &EntryId) -> Option<(&Entry, EntryState)> {
        self.entries.get(id).map(|standing| (&standing.entry, standing.state))
    }

    /// The reversal of an entry, if it has one.
    pub fn reversed_by(&self, id: &EntryId) -> Option<&EntryId> {
        self.entries.get(id)?.reversed_by.as_ref()
    }

    /// The posted balance of an account.
    pub fn posted(&self, account: &AccountId, asset: &Asset) -> Amount {
        self.posted.of(account, asset)
    }

    /// The sum of an account's pending legs.
    pub fn pending(&self, account: &AccountId, asset: &Asset) -> Amount {
        self.pending.of(account, asset)
    }

    /// The sums over all accounts.
    pub fn trial_balance(&self) -> TrialBalance {
        TrialBalance { posted: self.posted.totals(), pending: self.pending.totals() }
    }

    fn standing(&self, id: &EntryId) -> Result<&Standing, JournalError> {
        self.entries.get(id).ok_or_else(|| JournalError::UnknownEntry { id: id.clone() })
    }

    /// Whether this very entry began this way before.
    fn knows(&self, entry: &Entry, begins: EntryState) -> Result<bool, JournalError> {
        match self.entries.get(entry.id()) {
            None => Ok(false),
            Some(known) if known.entry == *entry && known.state.began_pending() == begins.began_pending() => {
                Ok(true)
            }
            Some(_) => Err(JournalError::Conflict { id: entry.id().clone() }),
        }
    }

    fn check_reversal(&self, entry: &Entry) -> Result<(), JournalError> {
        let Some(id) = entry.reverses() else { return Ok(()) };
        let original = self.standing(id)?;
        original.state.reversible().map_err(|error| JournalError::State { id: id.clone(), error })?;
        if let Some(by) = &original.reversed_by {
            return Err(JournalError::AlreadyReversed { id: id.clone(), by: by.clone() });
        }
        // A stored entry may claim to reverse anything.
        if original.entry.mirrored() != entry.legs() {
            return Err(JournalError::NotAMirror { id: entry.id().clone(), original: id.clone() });
        }
        Ok(())
    }

    fn append_entry(&mut self, entry: Entry, state: EntryState) {
        let record = if state.began_pending() { Record::Pended } else { Record::Posted };
        self.records.push(record(entry.clone()));
        self.entries.insert(entry.id().clone(), Standing { entry, state, reversed_by: None });
    }

    fn append_outcome(&mut self, id: &EntryId, state: EntryState, record: Record) {
        if let Some(standing) = self.entries.get_mut(id) {
            standing.state = state;
        }
        self.records.push(record);
    }
}
