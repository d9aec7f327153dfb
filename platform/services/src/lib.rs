//! The services of the platform: each a pure, event-sourced state machine with its HTTP face.
//!
//! The host runs them; the simulator and `live` give the host its ports. A service decides from the streams
//! that its command names and from nothing else.
//!
//! **Architecture invariant:** no service uses another one's module. What they share is in [`support`], and
//! what they say to each other is in `contracts`. No async, no clock, no randomness, no floats.

#![allow(
    clippy::result_large_err,
    reason = "a reject carries the decision that records and publishes it; boxing it would only move the bytes"
)]

#[cfg(test)]
mod hostile;
pub mod support;
#[cfg(test)]
mod testing;

pub mod api_gateway;
pub mod clearing;
pub mod ledger;
pub mod market_integration_gateway;
pub mod notification;
pub mod payment;
pub mod position;
pub mod reference_data;
pub mod settlement;
pub mod trade;
