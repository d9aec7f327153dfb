//! Requests to the trade service, and what it answers to reads.

use bytes::Bytes;
use contracts::events::{RejectReason, Trade};
use host::http_api::json;
use host::ports::store::{Row, Value};
use host::{HttpAction, Lookup, LookupResult, Problem};
use http::{Request, Response};
use model::arithmetic::AmountError;
use model::{AccountId, Date, InstrumentId, Price, TradeId, VenueId, hash_id};
use serde_json::json;

use super::tables::{TRADES, trade_json};
use super::{Command, Submission, Trades, VenueKind, VenueMessage};
use crate::support::request::{self, Path};
use crate::support::{Fields, body};

/// How many trades one answer lists. The next page begins after its last trade.
const PAGE: usize = 1_000;

impl Trades {
    pub(super) fn read_request(&self, request: &Request<Bytes>) -> HttpAction<Command> {
        let path = Path::of(request);
        request::action(match path.parts() {
            ("POST", ["api", "v1", "trades"]) => submission(request),
            ("POST", ["api", "v1", "venue"]) => venue_message(request),
            ("GET", ["api", "v1", "trades"]) => list(request),
            ("GET", ["api", "v1", "trades", trade]) => {
                Ok(HttpAction::Read(vec![Lookup::rows(&TRADES, None, vec![Value::text(*trade)], 1)]))
            }
            _ => Err(request::no_route(request)),
        })
    }
}

/// `{instrumentId, buyerAccountId, sellerAccountId, quantity, price, tradeDate?}`
///
/// What cannot be read is a 400 and leaves nothing. What can be read and is wrong is a trade, refused.
fn submission(request: &Request<Bytes>) -> Result<HttpAction<Command>, Problem> {
    let body = body::of(request)?;
    let fields = Fields::of(
        &body,
        &["instrumentId", "buyerAccountId", "sellerAccountId", "quantity", "price", "tradeDate"],
    )?;
    let client = request::client(request)?.to_owned();
    let key = request::idempotency_key(request)?;
    let buyer = fields.parsed::<AccountId>("buyerAccountId")?;
    let seller = fields.parsed::<AccountId>("sellerAccountId")?;
    let quantity = fields.whole("quantity")?;
    let (price, price_fault) = price(&fields)?;
    let fault = if quantity == 0 || i64::try_from(quantity).is_err() {
        Some((RejectReason::BadQuantity, format!("{quantity} is not between 1 and {}", i64::MAX)))
    } else if buyer == seller {
        Some((RejectReason::SameAccount, format!("{buyer} on both sides")))
    } else {
        price_fault
    };
    let trade = Trade {
        trade_id: TradeId::from(hash_id("trade", &[&client, key], 0)).to_string(),
        instrument_id: fields.parsed::<InstrumentId>("instrumentId")?.to_string(),
        buyer_account_id: buyer.to_string(),
        seller_account_id: seller.to_string(),
        quantity,
        price,
        ..Trade::default()
    };
    let trade_date = fields.optional_parsed::<Date>("tradeDate")?;
    request::command(
        request,
        "POST /trades",
        Command::Submit(Submission { client, trade, trade_date, fault }),
    )
}

type Fault = (RejectReason, String);

/// The price in its one text, or as it was given with what is wrong with it.
fn price(fields: &Fields<'_>) -> Result<(String, Option<Fault>), Problem> {
    let text = fields.text("price")?;
    let reason = match text.parse::<Price>() {
        Ok(price) => return Ok((price.to_string(), None)),
        Err(AmountError::NotPositive) => RejectReason::BadPrice,
        Err(AmountError::TooManyDecimals { .. }) => RejectReason::PriceOffTick,
        Err(unreadable) => return Err(fields.bad("price", unreadable)),
    };
    Ok((text.to_owned(), Some((reason, format!("{text} is no price")))))
}

/// `{venueId, tradeDate, kind: open | close | endOfDay}`
fn venue_message(request: &Request<Bytes>) -> Result<HttpAction<Command>, Problem> {
    let body = body::of(request)?;
    let fields = Fields::of(&body, &["venueId", "tradeDate", "kind"])?;
    let kind = fields.text("kind")?;
    let message = VenueMessage {
        venue: fields.parsed::<VenueId>("venueId")?,
        trade_date: fields.parsed::<Date>("tradeDate")?,
        kind: VenueKind::named(kind).ok_or_else(|| fields.bad("kind", "must be open, close or endOfDay"))?,
    };
    request::command(request, "POST /venue", Command::Venue(message))
}

/// An account's trades of a date: those it buys and those it sells.
fn list(request: &Request<Bytes>) -> Result<HttpAction<Command>, Problem> {
    let account = request::required_query(request, "account")?;
    let date = request::required_query(request, "date")?;
    let prefix = vec![Value::text(account), Value::text(date)];
    let after = request::query(request, "after").map(|trade| vec![Value::text(trade)]);
    let side = |index| Lookup::rows(&TRADES, Some(index), prefix.clone(), PAGE + 1).after(after.clone());
    Ok(HttpAction::Read(vec![side("by_buyer"), side("by_seller")]))
}

pub(super) fn render(request: &Request<Bytes>, results: &[LookupResult]) -> Response<Bytes> {
    match (Path::of(request).segments.as_slice(), results) {
        ([_, _, _, trade], [one]) => match one.rows() {
            [row] => json(200, &trade_json(row)),
            _ => Problem::not_found(format!("trade {trade}")).response(),
        },
        (_, sides) => {
            let mut rows: Vec<&Row> = sides.iter().flat_map(LookupResult::rows).collect();
            rows.sort();
            // A trade of an account with itself, refused for it, is in both.
            rows.dedup();
            let more = rows.len() > PAGE;
            rows.truncate(PAGE);
            let trades: Vec<serde_json::Value> = rows.into_iter().map(trade_json).collect();
            json(200, &json!({ "trades": trades, "more": more }))
        }
    }
}
