//! Domain types and pure rules of the platform: money, calendars, the ledger, clearing, ids.
//!
//! Every service, the gateways and the simulator's workloads call it. Each function answers from its
//! arguments alone, so a rule can be tested without a world around it.
//!
//! **Architecture invariant:** no async, no IO, no clock, no randomness, no wire formats and no floats.
//! An instant is always an argument; time zones come from the database compiled into `jiff`, never from
//! the host. The invariants of the platform may use the value types here, but not the rules.

mod text;

pub mod arithmetic;
pub mod calendar;
pub mod clearing;
pub mod currency;
pub mod dvp;
pub mod hash_id;
pub mod ids;
pub mod ledger;
pub mod money;
pub mod price;
pub mod quantity;

pub use arithmetic::{AmountError, ArithmeticError};
pub use calendar::{Calendar, CalendarError, Date, Session, Time, Timestamp};
pub use clearing::{Netting, Novated, Obligation, Origin, Trade, TradeError, TradeTerms, novate};
pub use currency::Currency;
pub use hash_id::{HashId, hash_id, uetr};
pub use ids::{
    AccountId, EntryId, IdError, InstrumentId, ParticipantId, PaymentLegId, TradeId, Uetr, VenueId,
};
pub use ledger::{Amount, Asset, Balances, Entry, EntryError, EntryState, Journal, JournalError, Leg};
pub use money::Money;
pub use price::Price;
pub use quantity::{Quantity, SignedQuantity};
pub use rust_decimal::Decimal;

/// Fills every process-wide lazy value of this crate.
///
/// The simulator calls it before its first runtime, so that no run pays for, or is timed by, whoever
/// happened to come first.
pub fn warm_up() {
    calendar::warm_up();
    ids::warm_up();
}
