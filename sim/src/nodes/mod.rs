//! What runs on the nodes: brokers, database servers, parties outside, services.
//!
//! Each holds its durable state outside the process, so that it outlives the node's death.

pub mod broker;
pub mod client;
pub mod controller;
pub mod database;
pub mod deadline;
pub mod outside;
