//! Tables of settlement, the lookups of its decisions, and `GET /api/v1/settlements/{date}`.
//!
//! The list is paged: `?limit=` (up to [`LIMIT_MAX`]) and `?after=` with the `next` of the page before.

use bytes::Bytes;
use contracts::events::BatchStarted;
use host::http_api::json;
use host::ports::store::{Column, Index, Key, Row, Table, Value};
use host::{HttpAction, Lookup, LookupResult, Problem};
use http::{Request, Response};
use model::Date;
use serde_json::{Value as Json, json as object};

use super::Command;
use super::unit::{Phase, Unit};
use crate::support::{Path, contract, request};

/// One row per trade: its unit of two obligations.
pub static OBLIGATIONS: Table = Table {
    name: "obligations",
    columns: &[
        Column::text("trade_id"),
        Column::int("status"),
        Column::text("due_date"),
        Column::text("original_date"),
        Column::text("trade_date"),
        Column::text("buyer"),
        Column::text("seller"),
        Column::text("instrument"),
        Column::text("quantity"),
        Column::text("amount"),
        Column::text("currency"),
        Column::int("carries"),
        Column::text("reason"),
    ],
    key: 1,
    serial: false,
    indexes: &[
        Index { name: OPEN_BY_DUE, columns: &[2], only_where: Some((1, OPEN)), unique: false },
        Index { name: BY_ORIGINAL_DATE, columns: &[3], only_where: None, unique: false },
        Index { name: BY_DUE_AND_STATUS, columns: &[2, 1], only_where: None, unique: false },
    ],
};
const OPEN_BY_DUE: &str = "open_by_due_date";
const BY_ORIGINAL_DATE: &str = "by_original_date";
const BY_DUE_AND_STATUS: &str = "by_due_date_and_status";

const OPEN: i64 = 0;
const SETTLED: i64 = 1;
const FAILED: i64 = 2;

/// One row per batch that has started.
pub static BATCHES: Table = Table {
    name: "batches",
    columns: &[
        Column::text("settlement_date"),
        Column::int("started_at_ms"),
        Column::int("instructions"),
        Column::int("closed"),
    ],
    key: 1,
    serial: false,
    indexes: &[],
};

const LIMIT: usize = 100;
/// The longest page of the list.
pub const LIMIT_MAX: usize = 1_000;

/// Instructions that clearing gave a settlement date.
pub fn count_instructed(date: Date) -> Lookup {
    Lookup::count(&OBLIGATIONS, Some(BY_ORIGINAL_DATE), vec![text(date)])
}

/// Open obligations due on or before a date, in the order of due date and trade.
pub fn open_page(date: Date, after: Option<&(Date, String)>, limit: usize) -> Lookup {
    let after = after.map(|(due, trade)| vec![text(due), Value::text(trade.as_str())]);
    Lookup::rows(&OBLIGATIONS, Some(OPEN_BY_DUE), Vec::new(), limit).after(after).up_to(text(date))
}

pub fn trade_of(row: &Row) -> &str {
    row[0].as_text()
}

pub fn due_of(row: &Row) -> &str {
    row[2].as_text()
}

/// The row of a unit; `reason` is that of the last failed attempt.
pub fn obligation_row(unit: &Unit, reason: &str) -> Row {
    let status = match unit.phase {
        Phase::Settled => SETTLED,
        Phase::Failed => FAILED,
        _ => OPEN,
    };
    let trade = &unit.trade;
    vec![
        Value::text(trade.trade_id.as_str()),
        Value::Int(status),
        text(unit.due),
        text(unit.original_date),
        Value::text(trade.trade_date.as_str()),
        Value::text(trade.buyer_account_id.as_str()),
        Value::text(trade.seller_account_id.as_str()),
        Value::text(trade.instrument_id.as_str()),
        Value::text(trade.quantity.to_string()),
        Value::text(unit.amount.as_str()),
        Value::text(trade.currency.as_str()),
        Value::Int(unit.carries.into()),
        Value::text(reason),
    ]
}

pub fn batch_row(started: &BatchStarted, closed: bool) -> Row {
    vec![
        Value::text(started.settlement_date.as_str()),
        Value::Int(started.at_ms),
        Value::Int(i64::try_from(started.instructions).expect("a count of rows")),
        Value::Int(closed.into()),
    ]
}

pub fn on_request(request: &Request<Bytes>) -> HttpAction<Command> {
    let path = Path::of(request);
    let ("GET", ["api", "v1", "settlements", date]) = path.parts() else {
        return HttpAction::Answer(request::no_route(request).response());
    };
    request::action(read(request, date).map(HttpAction::Read))
}

fn read(request: &Request<Bytes>, date: &str) -> Result<Vec<Lookup>, Problem> {
    let date: Date =
        date.parse().map_err(|error| Problem::bad_request("bad-date", format!("{date}: {error}")))?;
    let after = request::query(request, "after").map(|after| cursor(&after)).transpose()?;
    let count =
        |status| Lookup::count(&OBLIGATIONS, Some(BY_DUE_AND_STATUS), vec![text(date), Value::Int(status)]);
    let list = Lookup::rows(&OBLIGATIONS, Some(BY_DUE_AND_STATUS), vec![text(date)], limit(request)?);
    let batch = Lookup::rows(&BATCHES, None, vec![text(date)], 1);
    Ok(vec![batch, count(OPEN), count(SETTLED), count(FAILED), count_instructed(date), list.after(after)])
}

fn limit(request: &Request<Bytes>) -> Result<usize, Problem> {
    let Some(limit) = request::query(request, "limit") else { return Ok(LIMIT) };
    let limit: Option<usize> = limit.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| Problem::bad_request("bad-limit", format!("limit: 1 to {LIMIT_MAX}")))
}

/// `<status>.<trade>` of the last row of the page before.
fn cursor(after: &str) -> Result<Key, Problem> {
    let position = after.split_once('.').and_then(|(status, trade)| {
        let status = status_numbered(status)?;
        Some(vec![Value::Int(status), Value::text(trade)])
    });
    position.ok_or_else(|| Problem::bad_request("bad-cursor", "after: the `next` of the page before"))
}

fn status_numbered(number: &str) -> Option<i64> {
    number.parse().ok().filter(|status| (OPEN..=FAILED).contains(status))
}

/// Answers from the rows of [`read`].
pub fn render(request: &Request<Bytes>, rows: &[LookupResult]) -> Response<Bytes> {
    let [batch, open, settled, failed, instructed, list] = rows else {
        return request::no_route(request).response();
    };
    let list = list.rows();
    let full = list.len() == limit(request).unwrap_or(LIMIT);
    let next = list.last().filter(|_| full).map(|row| format!("{}.{}", row[1].as_int(), trade_of(row)));
    let date = Path::of(request).segments.last().copied().unwrap_or_default().to_owned();
    let body = object!({
        "settlementDate": date,
        "batch": batch.rows().first().map_or_else(|| object!({ "state": "NOT_STARTED" }), batch_json),
        "counts": {
            "instructed": instructed.count(),
            "open": open.count(),
            "settled": settled.count(),
            "failed": failed.count(),
        },
        "obligations": list.iter().map(obligation_json).collect::<Vec<_>>(),
        "next": next,
    });
    json(200, &body)
}

fn batch_json(row: &Row) -> Json {
    object!({
        "state": if row[3].as_int() == 0 { "STARTED" } else { "CLOSED" },
        "startedAt": contract::instant(row[1].as_int()).to_string(),
        "instructions": row[2].as_int(),
    })
}

fn obligation_json(row: &Row) -> Json {
    let status = match row[1].as_int() {
        SETTLED => "SETTLED",
        FAILED => "FAILED",
        _ => "OPEN",
    };
    object!({
        "tradeId": trade_of(row),
        "status": status,
        "dueDate": due_of(row),
        "originalDate": row[3].as_text(),
        "tradeDate": row[4].as_text(),
        "buyerAccountId": row[5].as_text(),
        "sellerAccountId": row[6].as_text(),
        "instrumentId": row[7].as_text(),
        "quantity": row[8].as_text(),
        "amount": row[9].as_text(),
        "currency": row[10].as_text(),
        "carries": row[11].as_int(),
        "reason": row[12].as_text(),
    })
}

fn text(value: impl std::fmt::Display) -> Value {
    Value::text(value.to_string())
}
