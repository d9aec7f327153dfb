//! The requests of operations, as they go over the wire: the one place that knows the platform's paths and bodies.

use bytes::Bytes;
use http::{Method, Request, header};
use model::Timestamp;
use serde_json::{Value, json};

use crate::fix::{Garbled, TradeCaptureReport};
use crate::party::{IDEMPOTENCY_KEY, JSON, encode};
use crate::plan::{Ask, FixTrade, Intent, Operation, TradeForm};
use crate::webhooks;

pub(super) const GATEWAY: &str = "api-gateway";
const FIX_GATEWAY: &str = "market-integration-gateway";
pub(super) const BANK: &str = "bank";
pub(super) const IDENTITY: &str = "identity";

const FIX: &str = "application/fix";

/// Whom an operation asks.
pub(super) fn party(ask: &Ask) -> &'static str {
    match ask {
        Ask::Deposit { .. } => BANK,
        Ask::FixTrade(_) => FIX_GATEWAY,
        _ => GATEWAY,
    }
}

/// Only the API gateway asks for tokens: over FIX a client is its SenderCompID.
pub(super) fn needs_token(ask: &Ask) -> bool {
    party(ask) == GATEWAY
}

/// The request of an operation; `again`: an earlier attempt may have been taken.
pub(super) fn write(
    operation: &Operation,
    token: Option<&str>,
    now: Timestamp,
    again: bool,
) -> Request<Bytes> {
    let Wire { method, path, content_type, body } = wire(operation, now, again);
    let mut request = Request::builder().method(&method).uri(path);
    if method == Method::POST {
        request = request.header(header::CONTENT_TYPE, content_type);
        if operation.intent != Intent::MissingKey {
            request = request.header(IDEMPOTENCY_KEY, &operation.key);
        }
    }
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(body).expect("paths, keys and tokens are plain ASCII")
}

struct Wire {
    method: Method,
    path: String,
    content_type: &'static str,
    body: Bytes,
}

fn wire(operation: &Operation, now: Timestamp, again: bool) -> Wire {
    match &operation.ask {
        Ask::Trade(trade) => {
            let body = encode(&trade_body(trade));
            let cut = if operation.intent == Intent::MalformedBody { body.len() / 2 } else { body.len() };
            post("/api/v1/trades", JSON, body.slice(..cut))
        }
        Ask::FixTrade(report) => {
            let again = again || operation.intent == Intent::Duplicate;
            post("/api/v1/fix", FIX, Bytes::from(fix_message(operation, report, now, again)))
        }
        Ask::Deposit { account, amount } => {
            let body = json!({ "account": account, "amount": amount, "currency": "USD", "reference": operation.key });
            post("/deposits", JSON, encode(&body))
        }
        Ask::Withdrawal { account, amount } => {
            let body = json!({ "accountId": account, "amount": amount, "currency": "USD" });
            post("/api/v1/withdrawals", JSON, encode(&body))
        }
        Ask::Instrument { instrument, currency, tick } => {
            let body = json!({ "instrumentId": instrument, "currency": currency, "tick": tick });
            post("/api/v1/instruments", JSON, encode(&body))
        }
        Ask::Account { account, participant } => {
            let accounts = [json!({ "accountId": account, "bankAccount": account })];
            let webhook = webhooks::path(participant);
            let body = json!({ "participantId": participant, "accounts": accounts, "webhook": webhook });
            post("/api/v1/participants", JSON, encode(&body))
        }
        Ask::Get { path } => {
            Wire { method: Method::GET, path: path.clone(), content_type: JSON, body: Bytes::new() }
        }
    }
}

fn post(path: &str, content_type: &'static str, body: Bytes) -> Wire {
    Wire { method: Method::POST, path: path.to_owned(), content_type, body }
}

/// A quantity is a JSON number, where it is one.
fn trade_body(trade: &TradeForm) -> Value {
    let quantity =
        trade.quantity.parse::<i64>().map_or_else(|_| json!(trade.quantity), |number| json!(number));
    json!({
        "instrumentId": trade.instrument,
        "buyerAccountId": trade.buyer,
        "sellerAccountId": trade.seller,
        "quantity": quantity,
        "price": trade.price,
    })
}

fn fix_message(operation: &Operation, report: &FixTrade, now: Timestamp, again: bool) -> String {
    let trade = &report.trade;
    let garbled = match operation.intent {
        Intent::WrongBodyLength => Some(Garbled::BodyLength),
        Intent::WrongCheckSum => Some(Garbled::CheckSum),
        _ => None,
    };
    let message = TradeCaptureReport {
        sender: &operation.client,
        sequence_number: report.sequence,
        sending_time: now,
        transacted: report.transacted,
        possible_duplicate: again,
        report_id: &operation.key,
        instrument: (operation.intent != Intent::MissingTag).then_some(trade.instrument.as_str()),
        quantity: &trade.quantity,
        price: &trade.price,
        trade_date: report.trade_date,
        buyer: &trade.buyer,
        seller: &trade.seller,
    };
    message.encode(garbled)
}
