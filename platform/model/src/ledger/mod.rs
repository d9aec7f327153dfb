//! Double entry: legs, entries that balance, and an append-only journal of them.
//!
//! The ledger service stores entries as events and calls the rules: [`Entry::balanced`], the transitions of
//! [`EntryState`], [`Entry::reversal_of`]. [`Journal`] is all of them put together in memory, the reference
//! for tests and small enough to read.
//!
//! Rules:
//! - an entry has two legs or more, none of them zero, and per asset they sum to zero;
//! - nothing is changed or deleted: a pending entry is posted or voided once, a posted one is corrected by
//!   an entry that mirrors and names it, at most once;
//! - an entry id means one content for ever: the same again changes nothing, other content is refused;
//! - posted and pending balances are kept apart, and each trial balance is zero at every moment.
//!
//! Left out: overdraft limits. The ledger books what bank and positions confirmed; it does not refuse
//! for lack of cover.

mod amount;
mod balances;
mod entry;
mod journal;

pub use amount::{Amount, Asset, Leg};
pub use balances::Balances;
pub use entry::{Entry, EntryError, EntryState, StateError};
pub use journal::{Applied, Journal, JournalError, Record, TrialBalance};
