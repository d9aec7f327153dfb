//! Hostile input at the doors: what is sent, and that it is refused clearly, goes no further and tells no secret.
//!
//! Two kinds of doors. Gateways are asked through their routers; "no further" means that nothing is forwarded. The
//! HTTP faces of services are asked through a bench, which would show every event, row and message; a refused
//! request shows an answer and nothing else. What their hosts do with a request is asked of the hosts themselves, on
//! the simulated database (`stored`, and the hosts' own routes in `matrix`).
//!
//! Not here: what an HTTP server does before there is a request (framing and so smuggling, slow senders, invalid
//! header names), and faults behind the doors, which are scenarios.

mod addresses;
mod bodies;
mod fix;
mod headers;
mod matrix;
mod properties;
mod stored;
mod tokens;

use bytes::Bytes;
use host::Service;
use host::edge::{Edge, Next, Upstream};
use http::{Method, Request, Response};
use model::Calendar;
use serde_json::Value;

use crate::clearing::Clearing;
use crate::ledger::Ledger;
use crate::notification::Notification;
use crate::payment::Payment;
use crate::position::Position;
use crate::reference_data::ReferenceData;
use crate::settlement::Settlement;
use crate::testing::Bench;
use crate::testing::edge::{Admitted, admit};
use crate::testing::hosted::Hosted;
use crate::testing::tokens::NOW;
use crate::trade::Trades;

/// A trade of account A-1, which is the test participant's.
const TRADE: &str =
    r#"{"instrumentId":"IBM","buyerAccountId":"A-1","sellerAccountId":"A-9","quantity":1,"price":"1.00"}"#;

/// What a gateway does with a request: forwards it, or answers. Every answer is checked for form.
fn ask(edge: &impl Edge, request: Request<Bytes>) -> Result<Upstream, Response<Bytes>> {
    let secret = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let secret = secret.and_then(|text| text.split_once(' ')).map(|(_, token)| token.trim().to_owned());
    let is_head = request.method() == Method::HEAD;
    match admit(edge, NOW, request) {
        Admitted::Next(Next::Forward(upstream)) => Ok(upstream),
        Admitted::Next(Next::Fetch(upstream)) => panic!("the keys are there, but {upstream:?}"),
        Admitted::Answer(response) => {
            if !is_head {
                check_form(&response, secret.as_deref());
            }
            Err(response)
        }
    }
}

/// A refusal is a problem with a code, a sentence and a request id, or a FIX message, and repeats no token.
fn check_form(response: &Response<Bytes>, secret: Option<&str>) {
    let text = String::from_utf8_lossy(response.body());
    assert!(response.status().is_client_error(), "{} {text}", response.status());
    assert!(response.headers().contains_key("x-request-id"), "{text}");
    assert!(text.len() < 2_048, "an answer is short, whatever was asked: {} bytes", text.len());
    for secret in secret.into_iter().filter(|secret| secret.len() > 8) {
        let headers = format!("{:?}", response.headers());
        assert!(
            !text.contains(secret) && !headers.contains(secret),
            "it repeats the token: {text} {headers}"
        );
    }
    for internal in ["/src/", ".rs", "panicked", "serde", "axum", "jsonwebtoken"] {
        assert!(!text.contains(internal), "it tells how it is made: {text}");
    }
    match response.headers()["content-type"].to_str().expect("text") {
        "application/fix" => assert!(text.contains("\u{1}35=3\u{1}") && text.contains("\u{1}58="), "{text}"),
        "application/problem+json" => {
            let problem: Value = serde_json::from_str(&text).expect("a problem is JSON");
            assert_eq!(problem["status"], response.status().as_u16());
            let code = code_of(response);
            assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{code}");
            assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{text}");
        }
        other => panic!("{other} is no media type of a refusal"),
    }
}

/// The stable code of a problem.
fn code_of(response: &Response<Bytes>) -> String {
    let problem: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    let kind = problem["type"].as_str().unwrap_or_default();
    kind.rsplit('/').next().unwrap_or_default().to_owned()
}

/// `415 media-type-not-supported`, or `forwarded`.
fn outcome(edge: &impl Edge, request: Request<Bytes>) -> String {
    match ask(edge, request) {
        Ok(_) => "forwarded".to_owned(),
        Err(response) => format!("{} {}", response.status().as_u16(), code_of(&response)),
    }
}

/// The HTTP face of a service, which answers with what a bench shows.
type Face = Box<dyn FnMut(Request<Bytes>) -> String>;

/// Makes something of every service, by name.
macro_rules! of_every_service {
    ($make:ident) => {
        vec![
            ("reference-data", $make(ReferenceData)),
            ("trade", $make(Trades::default())),
            ("position", $make(Position::default())),
            ("clearing", $make(Clearing::gross(Calendar::xnys()))),
            ("settlement", $make(Settlement::new(Calendar::xnys()))),
            ("ledger", $make(Ledger)),
            ("payment", $make(Payment::default())),
            ("notification", $make(Notification)),
        ]
    };
}

/// The faces of all services, by name.
fn faces() -> Vec<(&'static str, Face)> {
    fn on_a_bench<S: Service>(service: S) -> Face {
        let mut bench = Bench::new(service, NOW);
        Box::new(move |asked| bench.request(asked))
    }
    of_every_service!(on_a_bench)
}

/// All services in their hosts, each with an empty database, by name.
fn hosts() -> Vec<(&'static str, Hosted)> {
    fn in_its_host<S: Service>(service: S) -> Hosted {
        Hosted::new(service)
    }
    of_every_service!(in_its_host)
}

/// Asks one service.
fn face(name: &str, request: Request<Bytes>) -> String {
    let mut faces = faces();
    let (_, ask) = faces.iter_mut().find(|(face, _)| *face == name).expect("a service");
    ask(request)
}
