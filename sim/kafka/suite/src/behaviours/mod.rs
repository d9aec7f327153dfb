//! The behaviours, a file or a folder for each letter of the list.

use crate::list::Behaviour;

mod a_produce;
mod b_idempotence;
mod c_transactions;
mod f_isolation;

/// In the order of the list.
pub const ALL_FILES: &[&[Behaviour]] =
    &[a_produce::BEHAVIOURS, b_idempotence::BEHAVIOURS, c_transactions::BEHAVIOURS, f_isolation::BEHAVIOURS];
