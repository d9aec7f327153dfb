//! E: consumer groups and their offsets.

mod client;
mod membership;
mod offsets;

use crate::list::Behaviour;

pub const FILES: [&[Behaviour]; 3] = [membership::BEHAVIOURS, offsets::BEHAVIOURS, client::BEHAVIOURS];
