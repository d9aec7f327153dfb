//! H: order, retention, compaction, time.

mod deletion;
mod reading;

use crate::list::Behaviour;

pub const FILES: [&[Behaviour]; 2] = [reading::BEHAVIOURS, deletion::BEHAVIOURS];
