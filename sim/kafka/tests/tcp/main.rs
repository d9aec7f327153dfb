//! Brokers on real sockets: raw requests, hostile clients, and brokers that stop, pause and come back.

mod brokers;
mod data;
mod hostile;
mod requests;
mod world;
