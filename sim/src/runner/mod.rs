//! Runs: a scenario and a seed in, a report out.

pub mod count;
pub mod outcome;
pub mod simulate;
