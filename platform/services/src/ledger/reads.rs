//! The table of legs, `GET /api/v1/ledger/trial-balance` and `GET /api/v1/ledger/accounts/{account}`.

use std::collections::BTreeMap;

use bytes::Bytes;
use contracts::events::ledger_stored::Event;
use host::http_api::json;
use host::ports::store::{Column, Index, Row, Table, Value};
use host::{Decision, HttpAction, Lookup, LookupResult, Problem};
use http::{Request, Response, StatusCode};
use model::{Amount, Asset, EntryState, Leg, Money, Timestamp};
use serde_json::{Value as Json, json as object};

use super::Command;
use super::entries::{amount, amount_text};
use crate::support::{Path, contract, request};

/// Every leg of every entry.
pub static LEGS: Table = Table {
    name: "legs",
    columns: &[
        Column::text("entry_id"),
        Column::int("n"),
        Column::text("account"),
        Column::text("asset"),
        Column::text("amount"),
        Column::text("state"),
        Column::int("booked_ms"),
    ],
    key: 2,
    serial: false,
    indexes: &[Index { name: BY_ACCOUNT, columns: &[2], only_where: None, unique: false }],
};
const BY_ACCOUNT: &str = "by_account";

const POSTED: &str = "POSTED";
const PENDING: &str = "PENDING";
const VOIDED: &str = "VOIDED";

/// More legs than a run makes; a ledger beyond it says so instead of a wrong sum.
const LEGS_MAX: usize = 2_000_000;
/// How many of an account's latest legs are listed.
const RECENT: usize = 50;

/// The legs of an entry as rows.
pub fn leg_rows(entry: &str, legs: &[Leg], standing: EntryState, at: Timestamp) -> impl Iterator<Item = Row> {
    let state = match standing {
        EntryState::Pending => PENDING,
        EntryState::Posted | EntryState::PendingPosted => POSTED,
        EntryState::PendingVoided => VOIDED,
    };
    (0..).zip(legs).map(move |(n, leg)| {
        vec![
            Value::text(entry),
            Value::Int(n),
            Value::text(leg.account.as_str()),
            Value::text(leg.amount.asset().to_string()),
            Value::text(amount_text(&leg.amount)),
            Value::text(state),
            Value::Int(contract::millis(at)),
        ]
    })
}

pub fn put_legs(entry: &str, legs: &[Leg], standing: EntryState, at: Timestamp) -> Decision<Event> {
    leg_rows(entry, legs, standing, at).fold(Decision::none(), |decision, row| decision.put(&LEGS, row))
}

pub fn on_request(request: &Request<Bytes>) -> HttpAction<Command> {
    let path = Path::of(request);
    match path.parts() {
        ("GET", ["api", "v1", "ledger", "trial-balance"]) => {
            HttpAction::Read(vec![Lookup::rows(&LEGS, None, Vec::new(), LEGS_MAX)])
        }
        ("GET", ["api", "v1", "ledger", "accounts", account]) => HttpAction::Read(vec![Lookup::rows(
            &LEGS,
            Some(BY_ACCOUNT),
            vec![Value::text(*account)],
            LEGS_MAX,
        )]),
        _ => HttpAction::Answer(request::no_route(request).response()),
    }
}

pub fn render(request: &Request<Bytes>, rows: &[LookupResult]) -> Response<Bytes> {
    let rows = rows.first().map_or(&[][..], LookupResult::rows);
    if rows.len() >= LEGS_MAX {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-legs", "too many legs to sum");
        return problem.response();
    }
    let sums = Sums::of(rows);
    let path = Path::of(request);
    match path.segments.as_slice() {
        [.., "accounts", account] => json(200, &account_json(account, &sums, rows)),
        _ => json(200, &object!({ "balanced": sums.are_zero(), "legs": rows.len(), "assets": sums.json() })),
    }
}

/// Posted and pending sums by asset, in minor units or shares.
#[derive(Default)]
struct Sums(BTreeMap<Asset, (i128, i128)>);

impl Sums {
    fn of(rows: &[Row]) -> Self {
        let mut sums = Self::default();
        for row in rows {
            let amount = amount(row[3].as_text(), row[4].as_text());
            let (posted, pending) = sums.0.entry(amount.asset()).or_default();
            match row[5].as_text() {
                POSTED => add(posted, &amount),
                PENDING => add(pending, &amount),
                _ => {}
            }
        }
        sums
    }

    fn are_zero(&self) -> bool {
        self.0.values().all(|sums| *sums == (0, 0))
    }

    fn json(&self) -> Vec<Json> {
        let text = |asset: &Asset, units: i128| match asset {
            // A sum over all accounts has more digits than an amount may have.
            Asset::Currency(currency) => Money::from_minor(units, *currency)
                .map_or_else(|_| format!("{units} minor units"), contract::amount_text),
            Asset::Instrument(_) => units.to_string(),
        };
        let line = |(asset, (posted, pending)): (&Asset, &(i128, i128))| {
            object!({
                "asset": asset.to_string(), "posted": text(asset, *posted), "pending": text(asset, *pending),
            })
        };
        self.0.iter().map(line).collect()
    }
}

fn add(sum: &mut i128, amount: &Amount) {
    *sum = sum.checked_add(amount.units()).expect("no table holds 2^31 legs of 96 bits each");
}

fn account_json(account: &str, sums: &Sums, rows: &[Row]) -> Json {
    let mut latest: Vec<&Row> = rows.iter().collect();
    latest.sort_by(|left, right| (&right[6], &right[0], &right[1]).cmp(&(&left[6], &left[0], &left[1])));
    let entry = |row: &&Row| {
        object!({
            "entryId": row[0].as_text(),
            "asset": row[3].as_text(),
            "amount": row[4].as_text(),
            "state": row[5].as_text(),
            "at": contract::instant(row[6].as_int()).to_string(),
        })
    };
    let entries: Vec<Json> = latest.iter().take(RECENT).map(entry).collect();
    object!({ "accountId": account, "balances": sums.json(), "entries": entries })
}
