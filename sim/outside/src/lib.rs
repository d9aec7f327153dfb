//! The world outside the platform: the parties it talks to, and the clients that use it.
//!
//! The simulator puts each [`Party`] on a node of its own and carries out what it asks for: requests in,
//! replies and posts out, at times that the party names. Clients follow a [`plan::Plan`], which is drawn from
//! the seed before the run, one [`client::ClientCall`] per operation.
//!
//! **Architecture invariant:** nothing here waits, reads a clock or draws from anything but the streams it was
//! given. The parties' books are the ground truth that invariants judge the platform against, so they tell
//! every movement as a fact at the moment they make it. How a party misbehaves is not in its books either:
//! that is a decorator around [`Party`], [`trouble::Troubled`].

pub mod bank;
pub mod client;
pub mod draw;
pub mod fix;
pub mod identity;
pub mod party;
pub mod plan;
pub mod trouble;
pub mod venue;
pub mod webhooks;

pub use bank::{Bank, BankSettings};
pub use client::{CallError, ClientCall, Outgoing, Patience, Step, Wallet};
pub use draw::{Draw, Span, Streams};
pub use identity::IdentityProvider;
pub use party::{Due, Handled, Measure, Party, Post, Reply};
pub use plan::Plan;
pub use trouble::{Trouble, Troubled, Troubles};
pub use venue::Venue;
pub use webhooks::Webhooks;
