//! I: time-outs, errors, failure, election.

mod client;
mod election;
mod epochs;

use crate::list::Behaviour;

pub const FILES: [&[Behaviour]; 3] = [election::BEHAVIOURS, epochs::BEHAVIOURS, client::BEHAVIOURS];
