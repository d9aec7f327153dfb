//! The catalogue that the tests load with, and where the committed scenarios are.
#![allow(dead_code)] // Each test file uses a part of it.

pub mod schema;

use std::path::{Path, PathBuf};

use scenario::{Catalogue, Scenario};

/// Marks that committed scenarios may ask for; crate `invariants` has one predicate for each.
pub const MARKS: &[&str] = &[
    "calendar:dst_weekend_crossed",
    "calendar:early_close",
    "calendar:no_settlement_on_good_friday",
    "edge:bad_request",
    "edge:rate_limited",
    "edge:unauthorised",
    "fix:accepted",
    "fix:rejected",
    "payment:deposit_booked",
    "payment:refused",
    "payment:withdrawal_paid",
    "payment:withdrawal_refused",
    "replay:finished",
    "settlement:batch_closed",
    "settlement:carried",
    "settlement:carried_then_settled",
    "settlement:failed_final",
    "settlement:two_trade_dates_one_batch",
    "trade:duplicate_answered",
    "trade:rejected_by_position",
    "trade:rejected_by_tick",
    "trade:settled",
    "venue:end_of_day",
];

/// Invariants of the clean day.
pub const INVARIANTS: &[&str] = &[
    "acknowledged_is_durable",
    "batch_once_per_date",
    "cash_conserved",
    "delivery_versus_payment",
    "effects_follow_validation",
    "every_trade_terminates",
    "ledger_balances",
    "no_oversell",
    "node_panicked",
    "not_early",
    "notified_once_after_commit",
    "payment_once_per_leg",
    "reconciled",
    "settlement_date_correct",
    "settles_exactly_once",
    "shares_conserved",
    "stream_events_in_order",
    "trade_legs_atomic",
    "trade_states_monotone",
];

pub fn catalogue() -> Catalogue {
    Catalogue::standard(INVARIANTS.iter().copied(), MARKS.iter().copied())
}

/// The folder `scenarios/` of the repository.
pub fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")
}

/// A scenario that loads; tests change it by `--set`.
pub const SMALL: &str = r#"
name = "small"
about = "A small day."

[market]
venue = "XNYS"
start = "2026-03-06T08:00"
instruments = 5
accounts = 20
opening = { cash = "1000.00", shares = 10 }

[[load]]
name = "session"
profile = "trades"
from = "09:30"
to = "16:00"
count = 100
sizes = { min = 1, max = 100 }
price = { min = "10.00", max = "200.00" }
"#;

/// [`SMALL`] changed by overrides: the scenario, or its mistakes one per line.
pub fn small(overrides: &[&str]) -> Result<Scenario, String> {
    changed(SMALL, &catalogue(), overrides)
}

pub fn changed(text: &str, catalogue: &Catalogue, overrides: &[&str]) -> Result<Scenario, String> {
    let overrides: Vec<String> = overrides.iter().map(|set| (*set).to_owned()).collect();
    scenario::load_str("small.toml", text, catalogue, &overrides).map_err(|mistakes| mistakes.to_string())
}
