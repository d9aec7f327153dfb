//! Journal entries: legs that balance per asset, and the states an entry passes through.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::amount::{Asset, Leg};
use crate::ids::{AccountId, EntryId};

/// Why legs do not make an entry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EntryError {
    /// Double entry needs two legs.
    #[error("an entry has at least two legs, this one has {legs}")]
    TooFewLegs {
        /// How many there are.
        legs: usize,
    },
    /// A leg that moves nothing says nothing.
    #[error("the leg of {account} in {asset} is zero")]
    ZeroLeg {
        /// The account of the first such leg.
        account: AccountId,
        /// Its asset.
        asset: Asset,
    },
    /// A leg whose opposite does not exist (`i64::MIN` shares) could never be voided or reversed.
    #[error("the leg of {account} in {asset} is too large to be undone")]
    LegTooLarge {
        /// The account of the first such leg.
        account: AccountId,
        /// Its asset.
        asset: Asset,
    },
    /// What goes in is not what goes out.
    #[error("the legs in {asset} sum to {units} units, not to zero")]
    Unbalanced {
        /// The first asset that does not balance.
        asset: Asset,
        /// The sum of its legs, in minor units or shares.
        units: i128,
    },
}

/// A balanced set of legs under an id. It cannot be made, or read from storage, unbalanced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredEntry")]
pub struct Entry {
    id: EntryId,
    legs: Vec<Leg>,
    reverses: Option<EntryId>,
}

/// An entry as stored, before its legs are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredEntry {
    id: EntryId,
    legs: Vec<Leg>,
    #[serde(default)]
    reverses: Option<EntryId>,
}

impl TryFrom<StoredEntry> for Entry {
    type Error = EntryError;

    fn try_from(StoredEntry { id, legs, reverses }: StoredEntry) -> Result<Self, EntryError> {
        Self::balanced(&legs)?;
        Ok(Self { id, legs, reverses })
    }
}

impl Entry {
    /// An entry of these legs. Their order is part of its content.
    ///
    /// # Errors
    /// As [`Entry::balanced`].
    pub fn new(id: EntryId, legs: Vec<Leg>) -> Result<Self, EntryError> {
        Self::balanced(&legs)?;
        Ok(Self { id, legs, reverses: None })
    }

    /// The rule of double entry: two legs or more, each above or below zero and able to be undone, and a
    /// sum of zero per asset.
    ///
    /// # Errors
    /// A variant of [`EntryError`] per reason, for the first leg or asset that breaks it.
    pub fn balanced(legs: &[Leg]) -> Result<(), EntryError> {
        if legs.len() < 2 {
            return Err(EntryError::TooFewLegs { legs: legs.len() });
        }
        let mut sums: BTreeMap<Asset, i128> = BTreeMap::new();
        for Leg { account, amount } in legs {
            if amount.is_zero() {
                return Err(EntryError::ZeroLeg { account: account.clone(), asset: amount.asset() });
            }
            if amount.checked_neg().is_err() {
                return Err(EntryError::LegTooLarge { account: account.clone(), asset: amount.asset() });
            }
            let sum = sums.entry(amount.asset()).or_default();
            *sum = sum.checked_add(amount.units()).expect("no memory holds 2^31 legs of 96 bits each");
        }
        match sums.into_iter().find(|(_, units)| *units != 0) {
            Some((asset, units)) => Err(EntryError::Unbalanced { asset, units }),
            None => Ok(()),
        }
    }

    /// The entry that undoes `original`, leg by leg, and names it.
    ///
    /// Whether `original` may be reversed is a matter of its [`EntryState`] and of earlier reversals.
    pub fn reversal_of(original: &Self, id: EntryId) -> Self {
        Self { id, legs: original.mirrored(), reverses: Some(original.id.clone()) }
    }

    /// The legs that undo this entry, in order.
    pub fn mirrored(&self) -> Vec<Leg> {
        let opposite = |leg: &Leg| leg.checked_neg().expect("legs without an opposite were refused");
        self.legs.iter().map(opposite).collect()
    }

    /// Its id.
    pub const fn id(&self) -> &EntryId {
        &self.id
    }

    /// Its legs, in order.
    pub fn legs(&self) -> &[Leg] {
        &self.legs
    }

    /// The entry that this one undoes.
    pub const fn reverses(&self) -> Option<&EntryId> {
        self.reverses.as_ref()
    }
}

/// Where an entry stands. The last three are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryState {
    /// Counts in the pending balances only.
    Pending,
    /// Was posted directly.
    Posted,
    /// Was pending, now counts in the posted balances.
    PendingPosted,
    /// Was pending, now counts nowhere.
    PendingVoided,
}

/// Why an entry in its present state does not allow something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StateError {
    /// It was posted directly, so there is nothing pending to post or void.
    #[error("it was never pending")]
    NeverPending,
    /// It was pending and has been posted.
    #[error("it is already posted")]
    AlreadyPosted,
    /// It was pending and has been voided.
    #[error("it is already voided")]
    AlreadyVoided,
    /// Only a posted entry is reversed; a pending one is voided instead.
    #[error("it is not posted")]
    NotPosted,
}

impl EntryState {
    /// The state after posting what was pending. Doing it again changes nothing.
    ///
    /// # Errors
    /// `NeverPending` or `AlreadyVoided`.
    pub const fn post_pending(self) -> Result<Self, StateError> {
        match self {
            Self::Pending | Self::PendingPosted => Ok(Self::PendingPosted),
            Self::Posted => Err(StateError::NeverPending),
            Self::PendingVoided => Err(StateError::AlreadyVoided),
        }
    }

    /// The state after voiding what was pending. Doing it again changes nothing.
    ///
    /// # Errors
    /// `NeverPending` or `AlreadyPosted`.
    pub const fn void_pending(self) -> Result<Self, StateError> {
        match self {
            Self::Pending | Self::PendingVoided => Ok(Self::PendingVoided),
            Self::Posted => Err(StateError::NeverPending),
            Self::PendingPosted => Err(StateError::AlreadyPosted),
        }
    }

    /// Whether the entry may be reversed, if it has not been before.
    ///
    /// # Errors
    /// `NotPosted`.
    pub const fn reversible(self) -> Result<(), StateError> {
        match self {
            Self::Posted | Self::PendingPosted => Ok(()),
            Self::Pending | Self::PendingVoided => Err(StateError::NotPosted),
        }
    }

    /// Whether it began as a pending entry.
    pub const fn began_pending(self) -> bool {
        !matches!(self, Self::Posted)
    }
}
