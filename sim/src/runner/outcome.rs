//! The settlement outcome of a run, small enough to be reviewed as a snapshot.

use std::collections::BTreeMap;

use model::Timestamp;
use serde::Serialize;

use crate::platform::Platform;

/// What the outside world and the platform's books show at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// When the run came to rest.
    pub at: String,
    /// Cash at the settlement bank, by account.
    pub cash: BTreeMap<String, String>,
    /// Settled shares in the position service, by account and instrument.
    pub shares: BTreeMap<String, BTreeMap<String, i64>>,
}

impl Outcome {
    pub fn of(platform: &Platform, at: Timestamp) -> Self {
        let bank = platform.bank.borrow();
        let cash =
            bank.balances().iter().map(|(account, money)| (account.clone(), money.amount().to_string()));
        let mut shares: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
        let positions = platform.databases["position"].primary();
        let positions = positions.borrow();
        for row in positions.rows("positions") {
            let holdings = shares.entry(row[0].as_text().to_owned()).or_default();
            holdings.insert(row[1].as_text().to_owned(), row[2].as_int());
        }
        Self { at: at.to_string(), cash: cash.collect(), shares }
    }
}
