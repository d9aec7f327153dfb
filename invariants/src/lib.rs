//! What must always hold, judged from facts alone.
//!
//! The simulator (and later the live observer) streams [`Record`]s through every [`Invariant`] and [`Mark`];
//! [`Judges`] does that for a selection of them. Nothing here can see a service, a host or the simulator: an
//! oracle cannot call the code that it judges.

pub mod fact;
pub mod family;
pub mod invariant;
pub mod judges;
pub mod marks;
pub mod oracles;
pub mod reference;

mod book;
mod day;
mod lookback;
mod read;
mod settlement_dates;
#[cfg(test)]
mod testing;

pub use fact::{Fact, FactKind, Record};
pub use family::{Family, family};
pub use invariant::{Invariant, Pending, Verdict, Violation};
pub use judges::Judges;
pub use marks::Mark;
