//! Reconciliation breaks: where the bank says otherwise than what is booked, or than it said before.
//!
//! A break is opened once per contradiction, however often that is repeated, as an event of the stream that it is
//! about; it is never a transition. Operators read them all with `GET /api/v1/breaks`, the oldest first, paged by
//! `?limit=` (up to [`LIMIT_MAX`]) and `?after=` with the `next` of the page before. Left out: closing them. What
//! the operator settles with the bank is booked by the bank, and comes in as any other entry.

use bytes::Bytes;
use contracts::events::ReconciliationBreak;
use contracts::events::payment_stored::Event;
use host::http_api::json;
use host::ports::store::{Column, Index, Key, Row, Table, Value};
use host::{Decision, HttpAction, Lookup, LookupResult, Problem, StreamId, View};
use http::{Request, Response};
use model::hash_id;
use serde_json::{Value as Json, json as object};

use super::{Command, State};
use crate::support::{contract, request};

/// One row per break.
pub static BREAKS: Table = Table {
    name: "breaks",
    columns: &[
        Column::text("break_id"),
        Column::int("opened_ms"),
        Column::text("stream"),
        Column::text("subject"),
        Column::text("detail"),
    ],
    key: 1,
    serial: false,
    indexes: &[Index { name: BY_TIME, columns: &[1], only_where: None, unique: false }],
};
const BY_TIME: &str = "by_time";

const LIMIT: usize = 100;
/// The longest page of the list.
pub const LIMIT_MAX: usize = 1_000;

/// Opens a break, unless it is among those that the stream knows. `subject`: what the bank said; `detail`: what
/// that contradicts.
pub fn open(
    decision: Decision<Event>,
    stream: &StreamId,
    (subject, detail): (String, String),
    view: &View<'_, State>,
) -> Decision<Event> {
    if is_open(stream, &subject, view) {
        return decision;
    }
    let row = vec![
        Value::text(hash_id("break", &[stream.as_str(), &subject], 0).to_string()),
        Value::Int(contract::millis(view.database_time)),
        stream.to_value(),
        Value::text(subject.as_str()),
        Value::text(detail.as_str()),
    ];
    let opened = Event::BreakOpened(ReconciliationBreak { subject, detail });
    decision.event(stream.clone(), opened).put(&BREAKS, row)
}

pub fn is_open(stream: &StreamId, subject: &str, view: &View<'_, State>) -> bool {
    view.state(stream).breaks.contains(subject)
}

/// `GET /api/v1/breaks`
pub fn read(request: &Request<Bytes>) -> Result<HttpAction<Command>, Problem> {
    let after = request::query(request, "after").map(|after| cursor(&after)).transpose()?;
    let list = Lookup::rows(&BREAKS, Some(BY_TIME), Vec::new(), limit(request)?);
    Ok(HttpAction::Read(vec![list.after(after)]))
}

fn limit(request: &Request<Bytes>) -> Result<usize, Problem> {
    let Some(limit) = request::query(request, "limit") else { return Ok(LIMIT) };
    let limit: Option<usize> = limit.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| Problem::bad_request("bad-limit", format!("limit: 1 to {LIMIT_MAX}")))
}

/// `<milliseconds>.<id>` of the last row of the page before.
fn cursor(after: &str) -> Result<Key, Problem> {
    let position = after
        .split_once('.')
        .and_then(|(opened_ms, id)| Some(vec![Value::Int(opened_ms.parse().ok()?), Value::text(id)]));
    position.ok_or_else(|| Problem::bad_request("bad-cursor", "after: the `next` of the page before"))
}

/// Answers from the rows of [`read`].
pub fn render(request: &Request<Bytes>, rows: &[LookupResult]) -> Response<Bytes> {
    let [list] = rows else { return request::no_route(request).response() };
    let list = list.rows();
    let full = list.len() == limit(request).unwrap_or(LIMIT);
    let next = list.last().filter(|_| full).map(|row| format!("{}.{}", row[1].as_int(), row[0].as_text()));
    json(200, &object!({ "breaks": list.iter().map(row_json).collect::<Vec<_>>(), "next": next }))
}

fn row_json(row: &Row) -> Json {
    object!({
        "breakId": row[0].as_text(),
        "openedAt": contract::instant(row[1].as_int()).to_string(),
        "stream": row[2].as_text(),
        "subject": row[3].as_text(),
        "detail": row[4].as_text(),
    })
}
