//! The simulator: a world of nodes, the platform's services in it, and a verdict at the end.
//!
//! A library and a thin binary. Nothing depends on it.

#[cfg(not(madsim))]
compile_error!("`sim` needs `--cfg madsim`: build inside the workspace, whose .cargo/config.toml sets it");

pub mod adapters;
pub mod cli;
pub mod fault;
pub mod guarantees;
pub mod nodes;
pub mod platform;
pub mod runner;
pub mod sabotage;
pub mod story;
pub mod world;
