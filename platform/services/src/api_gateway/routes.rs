//! The routes: who may take them, whose accounts they touch, and which service answers.

use std::sync::Arc;

use axum::routing::MethodFilter;
use bytes::Bytes;
use host::Problem;
use host::edge::Upstream;
use host::http_api::{OPERATOR, ROLE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::Value;

use super::tokens::{Caller, Role};
use crate::support::body;
use crate::support::gate::{self, Accepts, JSON};
use crate::support::gateway::{self, Entered, Refusal};
use crate::support::request;

/// One route of the gateway. A service has the same path.
pub struct Route {
    pub method: Verb,
    pub path: &'static str,
    party: Party,
    who: Who,
    own: Own,
    /// The parameters that its query may have.
    query: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Get,
    Post,
}

impl Verb {
    pub fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
        }
    }
}

enum Party {
    Is(&'static str),
    /// The one that the query's `service` names.
    Named,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Participants,
    Operators,
    Both,
}

/// What makes a request a participant's own. Operators are not asked.
enum Own {
    /// Nothing: the route is not about accounts.
    Nothing,
    /// One of these fields of the body is an account of theirs.
    Field(&'static [&'static str]),
    /// This parameter of the query is.
    Query(&'static str),
    /// The last segment of the path is.
    LastSegment,
    /// One of these fields of the answer is.
    Answer(&'static [&'static str]),
}

/// The accounts to which an answer must belong. Carried by a forwarded request, never sent.
#[derive(Clone)]
struct OnlyTo {
    caller: Arc<Caller>,
    fields: &'static [&'static str],
}

const fn route(method: Verb, path: &'static str, party: Party, who: Who, own: Own) -> Route {
    Route { method, path, party, who, own, query: &[] }
}

const SIDES: &[&str] = &["buyerAccountId", "sellerAccountId"];

pub static ROUTES: &[Route] = &[
    route(
        Verb::Post,
        "/api/v1/trades",
        Party::Is("market-integration-gateway"),
        Who::Participants,
        Own::Field(SIDES),
    ),
    route(Verb::Get, "/api/v1/trades", Party::Is("trade"), Who::Both, Own::Query("account"))
        .with(&["account", "date", "after"]),
    route(Verb::Get, "/api/v1/trades/{id}", Party::Is("trade"), Who::Both, Own::Answer(SIDES)),
    route(Verb::Get, "/api/v1/positions/{account}", Party::Is("position"), Who::Both, Own::LastSegment),
    route(Verb::Get, "/api/v1/settlements/{date}", Party::Is("settlement"), Who::Operators, Own::Nothing)
        .with(&["after", "limit"]),
    route(Verb::Get, "/api/v1/ledger/trial-balance", Party::Is("ledger"), Who::Operators, Own::Nothing),
    route(Verb::Get, "/api/v1/ledger/accounts/{account}", Party::Is("ledger"), Who::Both, Own::LastSegment),
    route(
        Verb::Post,
        "/api/v1/withdrawals",
        Party::Is("payment"),
        Who::Participants,
        Own::Field(&["accountId"]),
    ),
    route(Verb::Get, "/api/v1/breaks", Party::Is("payment"), Who::Operators, Own::Nothing)
        .with(&["after", "limit"]),
    route(Verb::Post, "/api/v1/instruments", Party::Is("reference-data"), Who::Operators, Own::Nothing),
    route(Verb::Post, "/api/v1/participants", Party::Is("reference-data"), Who::Operators, Own::Nothing),
    route(Verb::Get, "/api/v1/dead-letters", Party::Named, Who::Operators, Own::Nothing).with(&["service"]),
    route(Verb::Post, "/api/v1/dead-letters/{id}/replay", Party::Named, Who::Operators, Own::Nothing)
        .with(&["service"]),
];

/// Services that keep dead letters.
const SERVICES: &[&str] =
    &["reference-data", "trade", "position", "clearing", "settlement", "ledger", "payment", "notification"];

impl Route {
    const fn with(mut self, query: &'static [&'static str]) -> Self {
        self.query = query;
        self
    }

    pub fn accepts(&self) -> Accepts {
        Accepts { media: JSON, query: self.query }
    }

    /// Whether its commands have a body: all but those that name everything in the path.
    fn has_body(&self) -> bool {
        self.method == Verb::Post && !matches!(self.party, Party::Named)
    }

    /// What goes to the service, if the caller may ask it.
    pub fn forward(&self, caller: &Arc<Caller>, entered: &Entered) -> Result<Upstream, Refusal> {
        self.check_role(caller)?;
        let key = match self.method {
            Verb::Post => Some(gateway::idempotency_key(&entered.parts)?),
            Verb::Get => None,
        };
        let uri = gate::path_and_query(&entered.parts.uri);
        let method = if self.method == Verb::Post { Method::POST } else { Method::GET };
        let body = if self.has_body() { entered.body.clone() } else { Bytes::new() };
        // Whoever asks: what no service could read does not get to one.
        let fields = if self.has_body() { body::json(&body)? } else { Value::Null };
        let mut request =
            Request::builder().method(method).uri(uri).body(body).expect("it was a request before");
        if caller.role == Role::Participant {
            self.check_own(caller, &mut request, &fields)?;
        }
        let party = match self.party {
            Party::Is(party) => party,
            Party::Named => named_service(&request)?,
        };
        *request.headers_mut() = gateway::forwarded_headers(&caller.client, &entered.request_id, key);
        if caller.role == Role::Operator {
            request.headers_mut().insert(ROLE, HeaderValue::from_static(OPERATOR));
        }
        if let Some(version) = min_version(entered)? {
            request.headers_mut().insert("min-version", version);
        }
        Ok(Upstream { party, request })
    }

    fn check_role(&self, caller: &Caller) -> Result<(), Problem> {
        match (self.who, caller.role) {
            (Who::Both, _) | (Who::Participants, Role::Participant) | (Who::Operators, Role::Operator) => {
                Ok(())
            }
            (Who::Participants, Role::Operator) => Err(forbidden("for participants only")),
            (Who::Operators, Role::Participant) => Err(forbidden("for operators only")),
        }
    }

    fn check_own(
        &self,
        caller: &Arc<Caller>,
        request: &mut Request<Bytes>,
        body: &Value,
    ) -> Result<(), Problem> {
        let owns = |account: &str| caller.accounts.contains(account);
        let is_own = match &self.own {
            Own::Nothing => true,
            Own::Field(fields) => fields.iter().any(|field| body[field].as_str().is_some_and(owns)),
            Own::Query(name) => owns(&request::required_query(request, name)?),
            Own::LastSegment => request.uri().path().rsplit('/').next().is_some_and(owns),
            Own::Answer(fields) => {
                request.extensions_mut().insert(OnlyTo { caller: caller.clone(), fields });
                true
            }
        };
        if is_own { Ok(()) } else { Err(forbidden("for the account's owner only")) }
    }
}

/// Whether an answer is about accounts of others. It then looks as if there were none: ids are not confirmed, and
/// what there really is none of has the same answer, to the byte.
pub fn is_hidden(sent: &Upstream, response: &Response<Bytes>) -> bool {
    let Some(OnlyTo { caller, fields }) = sent.request.extensions().get::<OnlyTo>() else { return false };
    if response.status() != StatusCode::OK {
        return response.status() == StatusCode::NOT_FOUND;
    }
    let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    let owns = |field: &&str| body[*field].as_str().is_some_and(|account| caller.accounts.contains(account));
    !fields.iter().any(owns)
}

fn named_service(request: &Request<Bytes>) -> Result<&'static str, Problem> {
    let name = request::required_query(request, "service")?;
    let service = SERVICES.iter().find(|service| **service == name).copied();
    service
        .ok_or_else(|| Problem::bad_request("unknown-service", format!("known are {}", SERVICES.join(", "))))
}

/// The version that a read must have reached.
fn min_version(entered: &Entered) -> Result<Option<HeaderValue>, Problem> {
    let Some(given) = entered.parts.headers.get("min-version") else { return Ok(None) };
    let is_number = given.to_str().is_ok_and(|text| text.parse::<u64>().is_ok());
    let problem = || Problem::bad_request("bad-header", "min-version: is a whole number from 0");
    if is_number { Ok(Some(given.clone())) } else { Err(problem()) }
}

fn forbidden(why: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", why)
}
