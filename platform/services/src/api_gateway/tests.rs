//! Who is let in, to what, how often; and what the client sees of what happened behind.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use insta::assert_snapshot;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;
use crate::testing::edge::{Admitted, admit};
use crate::testing::tokens::{
    KEY_1, KEY_2, NOW, ask, claims, gateway, gateway_of, hand_keys, hex, key_set, operator, participant,
    sign, with,
};
use crate::testing::{instant, request};

const TRADE: &str =
    r#"{"instrumentId":"IBM","buyerAccountId":"A-1","sellerAccountId":"A-9","quantity":1,"price":"1.00"}"#;

/// One line: where it goes, or what is answered.
fn line_at(gateway: &ApiGateway, at: &str, request: Request<Bytes>) -> String {
    match admit(gateway, at, request) {
        Admitted::Next(Next::Forward(upstream)) => {
            format!("-> {} {} {}", upstream.party, upstream.request.method(), upstream.request.uri())
        }
        Admitted::Next(Next::Fetch(upstream)) => {
            format!("fetch {} {}", upstream.party, upstream.request.uri())
        }
        Admitted::Answer(response) => answer_line(&response),
    }
}

fn line(gateway: &ApiGateway, request: Request<Bytes>) -> String {
    line_at(gateway, NOW, request)
}

fn answer_line(response: &Response<Bytes>) -> String {
    let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    let kind = body["type"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    let retry = response
        .headers()
        .get("retry-after")
        .map(|after| format!(" retry-after {}", after.to_str().expect("text")));
    let detail = body["detail"].as_str().unwrap_or_default();
    format!("{} {kind}{} {detail}", response.status().as_u16(), retry.unwrap_or_default())
}

fn forwarded(gateway: &ApiGateway, request: Request<Bytes>) -> Upstream {
    match admit(gateway, NOW, request) {
        Admitted::Next(Next::Forward(upstream)) => upstream,
        Admitted::Next(Next::Fetch(_)) => panic!("the keys are there"),
        Admitted::Answer(response) => panic!("{}", answer_line(&response)),
    }
}

#[test]
fn every_route_goes_where_it_should_and_to_nobody_else() {
    let gateway = gateway();
    let mut lines = String::new();
    for (method, path, body) in [
        ("POST", "/api/v1/trades", TRADE),
        ("GET", "/api/v1/trades?account=A-1&date=2026-03-06", ""),
        ("GET", "/api/v1/trades/T-1", ""),
        ("GET", "/api/v1/positions/A-1", ""),
        ("GET", "/api/v1/settlements/2026-03-09", ""),
        ("GET", "/api/v1/ledger/trial-balance", ""),
        ("GET", "/api/v1/ledger/accounts/A-2", ""),
        ("POST", "/api/v1/withdrawals", r#"{"accountId":"A-1","amount":"1.00","currency":"USD"}"#),
        ("GET", "/api/v1/breaks?limit=10", ""),
        ("POST", "/api/v1/instruments", "{}"),
        ("POST", "/api/v1/participants", "{}"),
        ("GET", "/api/v1/dead-letters?service=trade", ""),
        ("POST", "/api/v1/dead-letters/7/replay?service=position", ""),
        ("POST", "/api/v1/dead-letters/7/replay?service=bank", ""),
        ("GET", "/api/v1/orders", ""),
        ("DELETE", "/api/v1/trades", ""),
    ] {
        lines += &format!("{method} {path}\n");
        lines += &format!("  participant {}\n", line(&gateway, ask(method, path, &participant(), body)));
        lines += &format!("  operator    {}\n", line(&gateway, ask(method, path, &operator(), body)));
    }
    assert_snapshot!(lines, @r"
    POST /api/v1/trades
      participant -> market-integration-gateway POST /api/v1/trades
      operator    403 forbidden for participants only
    GET /api/v1/trades?account=A-1&date=2026-03-06
      participant -> trade GET /api/v1/trades?account=A-1&date=2026-03-06
      operator    -> trade GET /api/v1/trades?account=A-1&date=2026-03-06
    GET /api/v1/trades/T-1
      participant -> trade GET /api/v1/trades/T-1
      operator    -> trade GET /api/v1/trades/T-1
    GET /api/v1/positions/A-1
      participant -> position GET /api/v1/positions/A-1
      operator    -> position GET /api/v1/positions/A-1
    GET /api/v1/settlements/2026-03-09
      participant 403 forbidden for operators only
      operator    -> settlement GET /api/v1/settlements/2026-03-09
    GET /api/v1/ledger/trial-balance
      participant 403 forbidden for operators only
      operator    -> ledger GET /api/v1/ledger/trial-balance
    GET /api/v1/ledger/accounts/A-2
      participant -> ledger GET /api/v1/ledger/accounts/A-2
      operator    -> ledger GET /api/v1/ledger/accounts/A-2
    POST /api/v1/withdrawals
      participant -> payment POST /api/v1/withdrawals
      operator    403 forbidden for participants only
    GET /api/v1/breaks?limit=10
      participant 403 forbidden for operators only
      operator    -> payment GET /api/v1/breaks?limit=10
    POST /api/v1/instruments
      participant 403 forbidden for operators only
      operator    -> reference-data POST /api/v1/instruments
    POST /api/v1/participants
      participant 403 forbidden for operators only
      operator    -> reference-data POST /api/v1/participants
    GET /api/v1/dead-letters?service=trade
      participant 403 forbidden for operators only
      operator    -> trade GET /api/v1/dead-letters?service=trade
    POST /api/v1/dead-letters/7/replay?service=position
      participant 403 forbidden for operators only
      operator    -> position POST /api/v1/dead-letters/7/replay?service=position
    POST /api/v1/dead-letters/7/replay?service=bank
      participant 403 forbidden for operators only
      operator    400 unknown-service known are reference-data, trade, position, clearing, settlement, ledger, payment, notification
    GET /api/v1/orders
      participant 404 not-found /api/v1/orders
      operator    404 not-found /api/v1/orders
    DELETE /api/v1/trades
      participant 405 method-not-allowed DELETE /api/v1/trades
      operator    405 method-not-allowed DELETE /api/v1/trades
    ");
}

#[test]
fn participants_see_and_move_only_their_own() {
    let gateway = gateway();
    let mut lines = String::new();
    for (method, path, body) in [
        ("POST", "/api/v1/trades", TRADE.replace("A-1", "A-8")),
        ("POST", "/api/v1/trades", TRADE.replace("A-1", "A-8").replace("A-9", "A-2")),
        ("POST", "/api/v1/trades", TRADE.replace("\"A-1\"", "[\"A-1\"]")),
        ("POST", "/api/v1/trades", "{".to_owned()),
        ("GET", "/api/v1/trades?account=A-9&date=2026-03-06", String::new()),
        ("GET", "/api/v1/trades?date=2026-03-06", String::new()),
        ("GET", "/api/v1/positions/A-9", String::new()),
        ("GET", "/api/v1/ledger/accounts/CCP", String::new()),
        ("POST", "/api/v1/withdrawals", r#"{"accountId":"A-9","amount":"1.00","currency":"USD"}"#.to_owned()),
    ] {
        lines += &format!("{}\n", line(&gateway, ask(method, path, &participant(), &body)));
    }
    assert_snapshot!(lines, @r"
    403 forbidden for the account's owner only
    -> market-integration-gateway POST /api/v1/trades
    403 forbidden for the account's owner only
    400 malformed-json EOF while parsing an object at line 1 column 1
    403 forbidden for the account's owner only
    400 query-parameter-required query parameter account
    403 forbidden for the account's owner only
    403 forbidden for the account's owner only
    403 forbidden for the account's owner only
    ");
}

/// Whose trade it is stands in the answer only.
#[test]
fn a_trade_of_others_looks_as_if_there_were_none() {
    let gateway = gateway();
    let reply = |token: &str, body: &str| {
        let sent = forwarded(&gateway, ask("GET", "/api/v1/trades/T-1", token, ""));
        let response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
        gateway.reply(&sent, Ok(response)).status().as_u16()
    };
    let (own, others) = (
        r#"{"buyerAccountId":"A-9","sellerAccountId":"A-2"}"#,
        r#"{"buyerAccountId":"A-8","sellerAccountId":"A-9"}"#,
    );
    assert_eq!((reply(&participant(), own), reply(&participant(), others)), (200, 404));
    assert_eq!((reply(&operator(), own), reply(&operator(), others)), (200, 200));
    assert_eq!(reply(&participant(), "not json"), 404);
}

#[test]
fn only_good_tokens_are_let_in() {
    let gateway = gateway();
    let path = "/api/v1/positions/A-1";
    let now = instant(NOW).as_second();
    let hmac = {
        let header = Header { kid: Some("k-1".into()), ..Header::new(Algorithm::HS256) };
        // The public key as a shared secret: the classic confusion of algorithms.
        encode(&header, &claims("operator"), &EncodingKey::from_secret(&hex(KEY_1.1))).expect("it signs")
    };
    let none = {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&json!({ "alg": "none", "kid": "k-1" })), part(&claims("operator")))
    };
    let tampered = {
        let token = participant();
        let parts: Vec<&str> = token.split('.').collect();
        format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims("operator").to_string()), parts[2])
    };
    let good = |claims: Value| sign("k-1", KEY_1, &claims);
    let mut lines = String::new();
    for (what, token) in [
        ("good", participant()),
        ("audiences", good(with(claims("participant"), "aud", json!(["other", "bellwether"])))),
        ("none", none),
        ("hmac", hmac),
        ("tampered", tampered),
        ("other key", sign("k-1", KEY_2, &claims("operator"))),
        ("issuer", good(with(claims("operator"), "iss", json!("https://evil.invalid")))),
        ("audience", good(with(claims("operator"), "aud", json!("other")))),
        ("expired", good(with(claims("operator"), "exp", json!(now - 30)))),
        ("just in time", good(with(claims("participant"), "exp", json!(now - 29)))),
        ("too early", good(with(claims("operator"), "nbf", json!(now + 31)))),
        ("no exp", good(with(claims("operator"), "exp", Value::Null))),
        ("role", good(claims("admin"))),
        ("client", good(with(claims("operator"), "sub", json!("")))),
        ("garbage", "a.b.c".to_owned()),
        ("long", "x".repeat(5_000)),
    ] {
        lines += &format!("{what}: {}\n", line(&gateway, ask("GET", path, &token, "")));
    }
    lines += &line(&gateway, request(http::Method::GET, path, &[("authorization", "Basic eDp5")], ""));
    lines += "\n";
    lines += &line(&gateway, request(http::Method::GET, path, &[], ""));
    assert_snapshot!(lines, @r"
    good: -> position GET /api/v1/positions/A-1
    audiences: -> position GET /api/v1/positions/A-1
    none: 401 unauthorized the token cannot be read
    hmac: 401 unauthorized the token is not signed with EdDSA
    tampered: 401 unauthorized the token is not valid
    other key: 401 unauthorized the token is not valid
    issuer: 401 unauthorized the token is of another issuer
    audience: 401 unauthorized the token is for another audience
    expired: 401 unauthorized the token has expired
    just in time: -> position GET /api/v1/positions/A-1
    too early: 401 unauthorized the token is not valid yet
    no exp: 401 unauthorized the token is not valid
    role: 401 unauthorized the token names no role
    client: 401 unauthorized the token names no client
    garbage: 401 unauthorized the token cannot be read
    long: 401 unauthorized the token is too long
    401 unauthorized a bearer token is required
    401 unauthorized a bearer token is required
    ");
}

/// A remembered token is not good for longer than it says.
#[test]
fn a_verified_token_expires_too() {
    let gateway = gateway();
    let token = participant();
    let ask = || ask("GET", "/api/v1/positions/A-1", &token, "");
    assert!(line(&gateway, ask()).starts_with("->"));
    assert!(line_at(&gateway, "2026-03-06T14:40:29Z", ask()).starts_with("->"));
    assert!(line_at(&gateway, "2026-03-06T14:40:30Z", ask()).starts_with("401"));
}

#[test]
fn keys_are_fetched_when_they_are_needed() {
    let gateway = ApiGateway::new(Settings::default());
    let old = || ask("GET", "/api/v1/positions/A-1", &participant(), "");
    let far = instant(NOW).as_second() + 100_000;
    let token = sign("k-2", KEY_2, &with(claims("participant"), "exp", json!(far)));
    let new = || ask("GET", "/api/v1/positions/A-1", &token, "");
    let mut lines = String::new();
    let mut step =
        |what: &str, at: &str, request| lines += &format!("{what}: {}\n", line_at(&gateway, at, request));
    step("no keys yet", NOW, old());
    hand_keys(&gateway, NOW, None);
    step("the fetch failed", NOW, old());
    step("a little later", "2026-03-06T14:30:10Z", old());
    hand_keys(&gateway, "2026-03-06T14:30:10Z", Some(key_set(&[("k-1", KEY_1)])));
    step("the keys are there", "2026-03-06T14:30:11Z", old());
    step("an unknown key, just after a fetch", "2026-03-06T14:30:12Z", new());
    step("an unknown key", "2026-03-06T14:30:21Z", new());
    hand_keys(&gateway, "2026-03-06T14:30:21Z", Some(key_set(&[("k-2", KEY_2)])));
    step("the key is rotated", "2026-03-06T14:30:22Z", new());
    step("and the old one is gone, remembered or not", "2026-03-06T14:30:22Z", old());
    step("an hour later", "2026-03-06T15:30:22Z", new());
    hand_keys(&gateway, "2026-03-06T15:30:22Z", None);
    step("old keys are better than none", "2026-03-06T15:30:23Z", new());
    hand_keys(&gateway, "2026-03-06T15:31:00Z", Some(Bytes::from("<html>")));
    step("and than nonsense", "2026-03-06T15:31:00Z", new());
    assert_snapshot!(lines, @r"
    no keys yet: fetch identity /.well-known/jwks.json
    the fetch failed: 503 identity-unavailable retry-after 1 the identity provider's keys cannot be had
    a little later: fetch identity /.well-known/jwks.json
    the keys are there: -> position GET /api/v1/positions/A-1
    an unknown key, just after a fetch: 401 unauthorized the token's key is not known
    an unknown key: fetch identity /.well-known/jwks.json
    the key is rotated: -> position GET /api/v1/positions/A-1
    and the old one is gone, remembered or not: 401 unauthorized the token's key is not known
    an hour later: fetch identity /.well-known/jwks.json
    old keys are better than none: -> position GET /api/v1/positions/A-1
    and than nonsense: -> position GET /api/v1/positions/A-1
    ");
}

#[test]
fn a_forwarded_request_says_who_asks_and_nothing_else() {
    let gateway = gateway();
    let mut request = ask("POST", "/api/v1/trades", &participant(), TRADE);
    request.headers_mut().insert("x-client", "somebody-else".parse().expect("a value"));
    request.headers_mut().insert("cookie", "a=b".parse().expect("a value"));
    let sent = forwarded(&gateway, request);
    let headers: String = sent
        .request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().expect("text")))
        .collect();
    assert_snapshot!(headers, @r"
    x-client: client-1
    x-request-id: api-gateway/1-42
    idempotency-key: k-1
    content-type: application/json
    ");
    assert_eq!(sent.request.body(), TRADE);
}

#[test]
fn what_happened_behind_is_told() {
    let gateway = gateway();
    let mut request = ask("POST", "/api/v1/trades", &participant(), TRADE);
    request.headers_mut().insert("x-request-id", "r-1".parse().expect("a value"));
    let sent = forwarded(&gateway, request);
    let mut lines = String::new();
    for error in [HttpError::Refused, HttpError::Reset, HttpError::TimedOut] {
        let response = gateway.reply(&sent, Err(error));
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["x-request-id"], "r-1");
        lines += &format!("{error}: {}\n", answer_line(&response));
    }
    assert_snapshot!(lines, @r"
    connection refused: 503 upstream-unavailable retry-after 1 market-integration-gateway: nothing was done; repeat it with the same Idempotency-Key
    connection reset: 503 upstream-reset retry-after 1 market-integration-gateway: it may have been done; repeat it with the same Idempotency-Key
    timed out: 504 upstream-timed-out retry-after 1 market-integration-gateway: it may have been done; repeat it with the same Idempotency-Key
    ");
    let response = Response::builder()
        .status(422)
        .header("content-type", "application/problem+json")
        .header("server", "x");
    let response =
        gateway.reply(&sent, Ok(response.body(Bytes::from("{\"status\":422}")).expect("a response")));
    assert_eq!((response.status().as_u16(), response.body().as_ref()), (422, &b"{\"status\":422}"[..]));
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert!(!response.headers().contains_key("server"));
}

#[test]
fn commands_need_a_key_and_a_reasonable_size() {
    let gateway = gateway();
    let bearer = format!("Bearer {}", participant());
    let post = |key: Option<&str>, body: &str| {
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key.unwrap_or("-"))];
        let headers = if key.is_some() { &headers[..] } else { &headers[..1] };
        line(&gateway, request(http::Method::POST, "/api/v1/trades", headers, body))
    };
    let large =
        format!(r#"{{"buyerAccountId":"A-1","x":"{}"}}"#, "x".repeat(crate::support::body::BODY_LEN_MAX));
    let lines = [
        post(None, TRADE),
        post(Some("a b"), TRADE),
        post(Some(&"k".repeat(129)), TRADE),
        post(Some("k"), &large),
    ];
    assert_snapshot!(lines.join("\n"), @r"
    400 idempotency-key-required a POST has an Idempotency-Key of 1 to 128 characters
    400 idempotency-key-required a POST has an Idempotency-Key of 1 to 128 characters
    400 idempotency-key-required a POST has an Idempotency-Key of 1 to 128 characters
    413 body-too-large a body has at most 65536 bytes
    ");
}

#[test]
fn a_client_that_asks_too_often_is_told_when_to_come_again() {
    let gateway = gateway_of(Settings { requests_per_second: 1, burst: 2, ..Settings::default() });
    let ask = || ask("GET", "/api/v1/positions/A-1", &participant(), "");
    let lines = [NOW, NOW, NOW, "2026-03-06T14:30:01Z", "2026-03-06T14:30:01Z"]
        .map(|at| line_at(&gateway, at, ask()));
    assert_snapshot!(lines.join("\n"), @r"
    -> position GET /api/v1/positions/A-1
    -> position GET /api/v1/positions/A-1
    429 too-many-requests retry-after 1 the client's rate is used up
    -> position GET /api/v1/positions/A-1
    429 too-many-requests retry-after 1 the client's rate is used up
    ");
    let other = sign("k-1", KEY_1, &with(claims("participant"), "sub", json!("client-2")));
    assert!(
        line(&gateway, crate::testing::tokens::ask("GET", "/api/v1/positions/A-1", &other, ""))
            .starts_with("->")
    );
}

/// A service that hangs holds up its callers only so far; each answer, whatever it is, gives a place back.
#[test]
fn a_client_waits_for_so_many_answers_at_once() {
    let gateway = gateway_of(Settings { under_way_max: 2, ..Settings::default() });
    let asks = || ask("GET", "/api/v1/positions/A-1", &participant(), "");
    let first = forwarded(&gateway, asks());
    forwarded(&gateway, asks());
    let refused = "429 too-many-under-way retry-after 1 too many requests of the client wait for an answer";
    assert_eq!(line(&gateway, asks()), refused);
    let forbidden = ask("GET", "/api/v1/positions/A-9", &participant(), "");
    assert!(line(&gateway, forbidden).starts_with("403"), "what is refused takes no place");
    let other = sign("k-1", KEY_1, &with(claims("participant"), "sub", json!("client-2")));
    assert!(line(&gateway, ask("GET", "/api/v1/positions/A-1", &other, "")).starts_with("->"));
    for outcome in [Err(HttpError::TimedOut), Ok(Response::new(Bytes::new()))] {
        gateway.reply(&first, outcome);
        forwarded(&gateway, asks());
        assert_eq!(line(&gateway, asks()), refused);
    }
}

#[test]
fn every_answer_has_a_request_id() {
    let gateway = gateway();
    for (given, expected) in
        [(None, "api-gateway/1-42"), (Some("r-1"), "r-1"), (Some("not good"), "api-gateway/1-42")]
    {
        let headers: Vec<(&str, &str)> = given.map(|id| ("x-request-id", id)).into_iter().collect();
        for path in ["/api/v1/orders", "/api/v1/positions/A-1"] {
            let Admitted::Answer(response) =
                admit(&gateway, NOW, request(http::Method::GET, path, &headers, ""))
            else {
                panic!("without a token nothing goes on");
            };
            assert_eq!(response.headers()["x-request-id"], expected);
        }
    }
}

/// Tokens are remembered up to a number, whoever sends them.
#[test]
fn remembered_tokens_are_bounded() {
    let gateway = gateway_of(Settings { verified_tokens_max: 3, ..Settings::default() });
    for at in 0..10 {
        let token = sign("k-1", KEY_1, &with(claims("participant"), "sub", json!(format!("client-{at}"))));
        assert!(line(&gateway, ask("GET", "/api/v1/positions/A-1", &token, "")).starts_with("->"));
    }
    assert_eq!(gateway.shared.tokens().remembered(), 3);
}
