//! Where trades and the venue's messages come in: JSON from the API gateway and the venue, FIX 4.4 trade
//! capture reports from whoever speaks FIX. All of them leave as JSON for the trade service.
//!
//! FIX without its session layer: one message per request, one in the answer, no logon, heartbeats or resend
//! requests; the sender's MsgSeqNum (34) is echoed. The client is the SenderCompID (49), and TradeReportID
//! (571) is the idempotency key: the same report again is the same trade.
//!
//! | answer to FIX | when | HTTP |
//! |---|---|---|
//! | `AR`, TrdRptStatus 0, TradeID 1003 | the trade is submitted | 202 |
//! | `AR`, TrdRptStatus 1, Text 58 | the trade is refused | 422 |
//! | `3` Reject, RefTagID 371, SessionRejectReason 373, Text 58 | the message cannot be read | 400 |
//! | `j` BusinessMessageReject, reason 4 | trade gives no answer now: send it again | 409, 429, 503, 504 |
//!
//! What is no FIX by its headers or its size has a problem for an answer, as JSON has (413, 415, 431).
//!
//! No token is read here: `x-client` and SenderCompID are believed. That only the API gateway, the venue and FIX
//! counterparties, each over a connection of its own, get to this door is the network's to see to.

mod fix;
mod tags;
#[cfg(test)]
mod tests;
mod trade_capture;

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use bytes::Bytes;
use host::Problem;
use host::edge::{Edge, Next, Upstream};
use host::ports::HttpError;
use http::{Request, Response, StatusCode};
use model::{Date, VenueId};
use serde_json::json;

use self::trade_capture::{Counterparty, answers};
use crate::support::gate::{Accepts, JSON};
use crate::support::gateway::{self, Admission, Entered};
use crate::support::request::is_key;
use crate::support::{Fields, body};

const OF_JSON: Accepts = Accepts { media: JSON, query: &[] };
const OF_FIX: Accepts = Accepts { media: "application/fix", query: &[] };

/// One instance. It remembers nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct MarketIntegrationGateway;

impl Edge for MarketIntegrationGateway {
    fn name(&self) -> &'static str {
        "market-integration-gateway"
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/api/v1/trades", post(|request: Request<Body>| gateway::enter(request, &OF_JSON, trade)))
            .route("/api/v1/venue", post(|request: Request<Body>| gateway::enter(request, &OF_JSON, venue)))
            .route(
                "/api/v1/fix",
                post(|request: Request<Body>| gateway::enter(request, &OF_FIX, fix_message)),
            )
            .fallback(gateway::no_route)
            .method_not_allowed_fallback(gateway::wrong_method)
    }

    fn reply(&self, sent: &Upstream, outcome: Result<Response<Bytes>, HttpError>) -> Response<Bytes> {
        match sent.request.extensions().get::<Counterparty>() {
            None => gateway::pass_back(sent, outcome),
            Some(counterparty) => fix_reply(sent, counterparty, outcome),
        }
    }

    fn fetched(&self, _: &Upstream, _: Result<Response<Bytes>, HttpError>, _: model::Timestamp) {}
}

/// JSON of a client that the API gateway has let in.
fn trade(entered: Entered) -> Admission {
    let client = gateway::header_text(&entered.parts, "x-client").filter(|client| is_key(client));
    let client = client.ok_or_else(|| Problem::bad_request("client-required", "header x-client"))?;
    let key = gateway::idempotency_key(&entered.parts)?;
    body::json(&entered.body)?;
    Ok(forward("/api/v1/trades", client, &entered.request_id, key, entered.body.clone()))
}

/// `{venueId, tradeDate, kind}` of the venue, however often it is repeated.
fn venue(entered: Entered) -> Admission {
    let body = body::json(&entered.body)?;
    let fields = Fields::of(&body, &["venueId", "tradeDate", "kind"])?;
    let venue = fields.parsed::<VenueId>("venueId")?;
    let date = fields.parsed::<Date>("tradeDate")?;
    let kind = fields.text("kind")?;
    if !["open", "close", "endOfDay"].contains(&kind) {
        return Err(fields.bad("kind", "must be open, close or endOfDay").into());
    }
    let message = json!({ "venueId": venue.as_str(), "tradeDate": date.to_string(), "kind": kind });
    let (client, key) = (format!("venue/{venue}"), format!("{venue}/{date}/{kind}"));
    Ok(forward("/api/v1/venue", &client, &entered.request_id, &key, message.to_string().into()))
}

/// A FIX message: a report goes on as a trade, everything else is answered here.
fn fix_message(entered: Entered) -> Admission {
    match trade_capture::read(&entered.body, entered.now) {
        Ok((report, counterparty)) => {
            let client = counterparty.sender.clone();
            let mut next =
                forward("/api/v1/trades", &client, &entered.request_id, &report.id, report.to_json());
            if let Next::Forward(upstream) = &mut next {
                upstream.request.extensions_mut().insert(counterparty);
            }
            Ok(next)
        }
        Err(reject) => {
            Err(fix_response(StatusCode::BAD_REQUEST, reject.render(), &entered.request_id).into())
        }
    }
}

/// What the trade service said, in FIX.
fn fix_reply(
    sent: &Upstream,
    counterparty: &Counterparty,
    outcome: Result<Response<Bytes>, HttpError>,
) -> Response<Bytes> {
    let request_id = gateway::sent_request_id(sent);
    let response = match outcome {
        Ok(response) => response,
        Err(error) => {
            let problem = gateway::no_answer(sent, error);
            let status = StatusCode::from_u16(problem.status).expect("problems have valid statuses");
            let text = answers::come_again(counterparty, &problem.detail);
            return gateway::come_again(fix_response(status, text, request_id)).response();
        }
    };
    let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap_or_default();
    let said = |field: &str| body[field].as_str().unwrap_or_default();
    match response.status() {
        StatusCode::ACCEPTED => {
            fix_response(StatusCode::ACCEPTED, answers::accepted(counterparty, said("tradeId")), request_id)
        }
        status @ (StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY) => {
            let reason = format!("{}: {}", said("title"), said("detail"));
            let text = answers::refused(counterparty, said("instance"), &reason);
            let status =
                if status == StatusCode::BAD_REQUEST { StatusCode::UNPROCESSABLE_ENTITY } else { status };
            fix_response(status, text, request_id)
        }
        status => fix_response(status, answers::come_again(counterparty, said("detail")), request_id),
    }
}

fn forward(path: &'static str, client: &str, request_id: &str, key: &str, body: Bytes) -> Next {
    let mut request = Request::post(path).body(body).expect("a constant path");
    *request.headers_mut() = gateway::forwarded_headers(client, request_id, Some(key));
    Next::Forward(Upstream { party: "trade", request })
}

fn fix_response(status: StatusCode, message: Bytes, request_id: &str) -> Response<Bytes> {
    let response = Response::builder().status(status).header(http::header::CONTENT_TYPE, "application/fix");
    gateway::with_request_id(response.body(message).expect("constant headers"), request_id)
}
