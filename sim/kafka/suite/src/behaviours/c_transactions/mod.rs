//! C: transactions.

mod client;
mod coordinator;
mod ends;
mod versions;

use crate::list::Behaviour;

pub use client::record;

pub const FILES: [&[Behaviour]; 4] =
    [coordinator::BEHAVIOURS, ends::BEHAVIOURS, versions::BEHAVIOURS, client::BEHAVIOURS];
