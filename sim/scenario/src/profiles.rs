//! The load profiles that Bellwether brings, and the keys of each.
//!
//! Only what a file may say is here; the workloads that do it are `sim`'s. A profile of another crate is added
//! to the catalogue in the same way: a type that implements `FromTable`.

use rust_decimal::Decimal;

use crate::catalogue::Profile;
use crate::params::FromTable;
use crate::read::{Between, Decimals, Flag, Number, Odds, Selected, Table, Text, number};
use crate::values::{Drawn, Ppm, Selection};

pub(crate) fn all() -> Vec<Profile> {
    vec![
        Profile::of::<Trades>("trades", "Generated trades, submitted as JSON through the gateways."),
        Profile::of::<Fix>("fix", "Generated trades, submitted as FIX 4.4 TradeCaptureReports."),
        Profile::of::<Replay>(
            "replay",
            "The executions of a LOBSTER message file, each submitted as a trade.",
        )
        .with_own_times(),
        Profile::of::<Deposits>("deposits", "Participants pay cash in at the settlement bank."),
        Profile::of::<Withdrawals>("withdrawals", "Participants ask for cash back."),
    ]
}

/// Who trades what, how much of it, and at which price.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parties {
    pub buyers: Selection,
    pub sellers: Selection,
    pub instruments: Selection,
    pub sizes: Drawn<u64>,
    pub price: Drawn<Decimal>,
}

/// Profile `trades`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trades {
    pub parties: Parties,
    /// Sent again under the same Idempotency-Key.
    pub retry_ppm: Ppm,
    /// For more shares than the seller has free.
    pub oversell_ppm: Ppm,
    /// Malformed, off the tick, or of an unknown instrument or account.
    pub bad_ppm: Ppm,
    /// With a token that may not move the account.
    pub unauthorised_ppm: Ppm,
    /// Each client numbers its keys from one.
    pub own_keys: bool,
}

/// Profile `fix`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fix {
    pub parties: Parties,
    /// Sent again with PossDupFlag.
    pub retry_ppm: Ppm,
    pub oversell_ppm: Ppm,
    /// With a required tag missing or out of range.
    pub bad_ppm: Ppm,
    /// With a wrong BodyLength or CheckSum.
    pub garbled_ppm: Ppm,
}

/// Profile `replay`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replay {
    /// Relative to the repository.
    pub file: String,
    /// The number of the instrument that the file is about.
    pub instrument: u32,
    pub buyers: Selection,
    pub sellers: Selection,
    pub retry_ppm: Ppm,
}

/// Profile `deposits`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deposits {
    pub accounts: Selection,
    pub amounts: Drawn<Decimal>,
}

/// Profile `withdrawals`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Withdrawals {
    pub accounts: Selection,
    pub amounts: Drawn<Decimal>,
    pub retry_ppm: Ppm,
    /// For more cash than the account has.
    pub overdraw_ppm: Ppm,
}

fn sizes() -> Between<Number<u64>> {
    Between(number(1..=1_000_000_000))
}

fn odds(table: &mut Table<'_>, key: &str, about: &str) -> Ppm {
    table.or(key, about, Odds, Ppm(0))
}

fn buyers(table: &mut Table<'_>) -> Selection {
    table.or("buyers", "Accounts that buy.", Selected::Accounts, Selection::All)
}

fn sellers(table: &mut Table<'_>) -> Selection {
    table.or("sellers", "Accounts that sell.", Selected::Accounts, Selection::All)
}

impl FromTable for Parties {
    fn read(table: &mut Table<'_>) -> Self {
        Parties {
            buyers: buyers(table),
            sellers: sellers(table),
            instruments: table.or("instruments", "What is traded.", Selected::Instruments, Selection::All),
            sizes: table.required("sizes", "Shares per trade.", sizes()),
            price: table.required("price", "On tick unless written finer.", Between(Decimals::PRICE)),
        }
    }
}

impl FromTable for Trades {
    fn read(table: &mut Table<'_>) -> Self {
        Trades {
            parties: Parties::read(table),
            retry_ppm: odds(table, "retry_ppm", "Odds of being sent again under the same key."),
            oversell_ppm: odds(table, "oversell_ppm", "Odds of selling more than the seller has free."),
            bad_ppm: odds(table, "bad_ppm", "Odds of a malformed request, or one with unknown names."),
            unauthorised_ppm: odds(table, "unauthorised_ppm", "Odds of a token that may not do it."),
            own_keys: table.or(
                "own_keys",
                "Each client numbers its keys itself: two use the same.",
                Flag,
                false,
            ),
        }
    }
}

impl FromTable for Fix {
    fn read(table: &mut Table<'_>) -> Self {
        Fix {
            parties: Parties::read(table),
            retry_ppm: odds(table, "retry_ppm", "Odds of being sent again with PossDupFlag."),
            oversell_ppm: odds(table, "oversell_ppm", "Odds of selling more than the seller has free."),
            bad_ppm: odds(table, "bad_ppm", "Odds of a tag that is missing or out of range."),
            garbled_ppm: odds(table, "garbled_ppm", "Odds of a wrong BodyLength or CheckSum."),
        }
    }
}

impl FromTable for Replay {
    fn read(table: &mut Table<'_>) -> Self {
        Replay {
            file: table.required("file", "LOBSTER messages, relative to the repository.", Text),
            instrument: table.or("instrument", "Number of its instrument.", number(1..=10_000), 1),
            buyers: buyers(table),
            sellers: sellers(table),
            retry_ppm: odds(table, "retry_ppm", "Odds of being sent again under the same key."),
        }
    }
}

impl FromTable for Deposits {
    fn read(table: &mut Table<'_>) -> Self {
        Deposits {
            accounts: table.or("accounts", "Who pays in.", Selected::Accounts, Selection::All),
            amounts: table.required("amounts", "Each deposit.", Between(Decimals::MONEY)),
        }
    }
}

impl FromTable for Withdrawals {
    fn read(table: &mut Table<'_>) -> Self {
        Withdrawals {
            accounts: table.or("accounts", "Who asks.", Selected::Accounts, Selection::All),
            amounts: table.required("amounts", "Each withdrawal.", Between(Decimals::MONEY)),
            retry_ppm: odds(table, "retry_ppm", "Odds of being sent again under the same key."),
            overdraw_ppm: odds(table, "overdraw_ppm", "Odds of asking for more than there is."),
        }
    }
}
