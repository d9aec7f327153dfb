//! Runs: a scenario and a seed in, a report out.

pub mod batch;
pub mod canaries;
pub mod count;
pub mod determinism;
pub mod evidence;
pub mod impact;
pub mod logged;
pub mod outcome;
pub mod plan;
pub mod pool;
pub mod progress;
pub mod report;
pub mod seeds;
pub mod simulate;
pub mod subject;
pub mod summary;
pub mod tracefile;
pub mod verdict;
pub mod wall;
