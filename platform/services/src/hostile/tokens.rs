//! Tokens: forged, confused, misplaced, of others.
//!
//! A bearer token that is sent again is not an attack that can be told from its bearer: that is what "bearer" means
//! (RFC 6750, section 5.3: TLS and a short life protect it). What a repeated *request* may do is bounded by its
//! Idempotency-Key, whose scope is the client that the token names.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use super::*;
use crate::api_gateway::ApiGateway;
use crate::testing::tokens::{
    KEY_1, KEY_2, ask as asked, claims, gateway, hand_keys, hex, key_set, operator, participant, sign, with,
};
use crate::testing::{instant, request};

const PATH: &str = "/api/v1/positions/A-1";

/// Header and payload as they are given, and a signature.
fn jws(header: &Value, payload: &Value, signature: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(payload))
}

#[test]
fn no_forged_token_lets_its_bearer_in() {
    let gateway = gateway();
    let good = participant();
    let signature = good.rsplit('.').next().expect("a signature");
    let operator = claims("operator");
    let shared = |secret: &[u8], algorithm| {
        let header = Header { kid: Some("k-1".into()), ..Header::new(algorithm) };
        encode(&header, &operator, &EncodingKey::from_secret(secret)).expect("it signs")
    };
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(hex(KEY_2.1)) });
    let header = |alg: &str| json!({ "alg": alg, "kid": "k-1" });
    for (what, token) in [
        ("empty", String::new()),
        ("dots", "..".to_owned()),
        ("two parts", good.rsplit_once('.').expect("parts").0.to_owned()),
        ("four parts", format!("{good}.x")),
        ("no signature", format!("{}.", good.rsplit_once('.').expect("parts").0)),
        ("alg none", jws(&header("none"), &operator, "")),
        ("alg NONE", jws(&header("NONE"), &operator, signature)),
        ("no alg", jws(&json!({ "kid": "k-1" }), &operator, signature)),
        ("HS256 of the public key", shared(&hex(KEY_1.1), Algorithm::HS256)),
        ("HS256 of its text", shared(URL_SAFE_NO_PAD.encode(hex(KEY_1.1)).as_bytes(), Algorithm::HS256)),
        ("HS512 of nothing", shared(b"", Algorithm::HS512)),
        ("RS256", jws(&header("RS256"), &operator, signature)),
        ("another signature", jws(&header("EdDSA"), &operator, signature)),
        ("another key", sign("k-1", KEY_2, &operator)),
        ("an unknown kid", sign("k-9", KEY_2, &operator)),
        ("a kid that is a path", sign("../../etc/passwd", KEY_2, &operator)),
        ("a key of its own", jws(&json!({ "alg": "EdDSA", "kid": "k-1", "jwk": jwk }), &operator, signature)),
        (
            "an address of keys",
            jws(&json!({ "alg": "EdDSA", "kid": "k-1", "jku": "http://evil" }), &operator, ""),
        ),
        ("standard base64", good.replacen('.', "=.", 1)),
        ("a line break", good.replacen('.', ".\u{a0}", 1)),
        ("oversized", format!("{good}{}", "A".repeat(4_096))),
        ("repeated", format!("{good} {good}")),
    ] {
        let mut request = request(Method::GET, PATH, &[], "");
        let value = http::HeaderValue::from_bytes(format!("Bearer {token}").as_bytes()).expect("a value");
        request.headers_mut().insert("authorization", value);
        let refused = ask(&gateway, request).expect_err(what);
        assert_eq!((refused.status().as_u16(), code_of(&refused).as_str()), (401, "unauthorized"), "{what}");
        assert!(
            refused.headers()["www-authenticate"].to_str().expect("text").starts_with("Bearer"),
            "{what}"
        );
    }
    assert_eq!(outcome(&gateway, asked("GET", PATH, &good, "")), "forwarded");
}

/// Extensions that must be understood (RFC 7515, section 4.1.11) are not, even where the signature is good.
#[test]
fn a_critical_extension_is_not_passed_over() {
    let der = [hex("302e020100300506032b657004220420"), hex(KEY_1.0)].concat();
    let mut header = Header { kid: Some("k-1".to_owned()), ..Header::new(Algorithm::EdDSA) };
    header.crit = Some(vec!["b64".to_owned()]);
    let token = encode(&header, &claims("participant"), &EncodingKey::from_ed_der(&der)).expect("it signs");
    assert_eq!(outcome(&gateway(), asked("GET", PATH, &token, "")), "401 unauthorized");
}

#[test]
fn a_good_signature_under_bad_claims_lets_nobody_in() {
    let gateway = gateway();
    let now = instant(NOW).as_second();
    for (name, value) in [
        ("iss", json!("https://identity.bellwether.invalid.evil.invalid")),
        ("iss", json!("")),
        ("iss", Value::Null),
        ("iss", json!(["https://identity.bellwether.invalid"])),
        ("aud", json!("bellwether2")),
        ("aud", json!([])),
        ("aud", json!("BELLWETHER")),
        ("aud", Value::Null),
        ("exp", json!(now - 31)),
        ("exp", json!(0)),
        ("exp", json!(-1)),
        ("exp", json!("never")),
        ("exp", json!(1e300)),
        ("exp", Value::Null),
        ("nbf", json!(now + 31)),
        ("nbf", json!(i64::MAX)),
        ("sub", json!("")),
        ("sub", json!("a b")),
        ("sub", json!("client\u{0}1")),
        ("sub", json!("cl\u{0456}ent-1")),
        ("sub", json!("c".repeat(129))),
        ("sub", json!(7)),
        ("roles", json!([])),
        ("roles", json!("operator")),
        ("roles", json!(["Operator"])),
        ("roles", json!(["venue", "bank", "service", "admin", "*"])),
        ("roles", json!({ "operator": true })),
        ("accounts", json!(["A-1", "A 2"])),
        ("accounts", json!(["A-1", ""])),
        ("accounts", json!("A-1")),
    ] {
        let token = sign("k-1", KEY_1, &with(claims("participant"), name, value.clone()));
        assert_eq!(outcome(&gateway, asked("GET", PATH, &token, "")), "401 unauthorized", "{name}: {value}");
    }
}

#[test]
fn only_the_authorization_header_carries_a_token() {
    let (gateway, token) = (gateway(), participant());
    let bearer = format!("Bearer {token}");
    for headers in [
        vec![("cookie", format!("access_token={token}"))],
        vec![("x-access-token", token.clone())],
        vec![("proxy-authorization", bearer.clone())],
        vec![("authorization", token.clone())],
        vec![("authorization", format!("Basic {token}"))],
        vec![("authorization", format!("Bearer{token}"))],
        vec![("authorization", "Bearer".to_owned())],
        vec![("x-client", "client-1".to_owned())],
    ] {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let request = request(Method::GET, PATH, &headers, "");
        assert_eq!(outcome(&gateway, request), "401 unauthorized", "{headers:?}");
    }
    let in_body = asked("POST", "/api/v1/trades", "", &format!(r#"{{"access_token":"{token}"}}"#));
    assert_eq!(outcome(&gateway, in_body), "401 unauthorized");
}

/// What a service's host is given for a request that the gateway lets through: the command's scope and key, by which
/// it is done once, and the body that it must come with again.
fn identity(gateway: &ApiGateway, token: &str, body: &str) -> (String, Bytes) {
    let sent = ask(gateway, asked("POST", "/api/v1/trades", token, body)).expect("forwarded");
    let forwarded = sent.request.body().clone();
    let shown = face("trade", sent.request);
    (shown.lines().next().expect("a line").to_owned(), forwarded)
}

/// Whoever sends a request again, with the token that it had or a newer one of the same client, names the same command:
/// the host has its answer (`a_retry_gets_the_first_answer_and_changes_nothing`, tests of the host). Another body under
/// the same key is another command under the same name, which the host refuses
/// (`a_key_with_another_payload_is_refused`).
#[test]
fn a_replayed_request_is_the_same_command() {
    let gateway = gateway();
    let first = identity(&gateway, &participant(), TRADE);
    assert_eq!(first.0, "command  client-1 POST /trades / k-1");
    let newer =
        sign("k-1", KEY_1, &with(claims("participant"), "exp", json!(instant(NOW).as_second() + 900)));
    for token in [participant(), newer] {
        assert_eq!(identity(&gateway, &token, TRADE), first);
    }
    let other = identity(&gateway, &participant(), &TRADE.replace("1.00", "2.00"));
    assert_eq!(other.0, first.0, "the same name");
    assert_ne!(other.1, first.1, "with another body");
}

/// Decided twice, as where the host's memory of a key has run out, a request has no second effect.
#[test]
fn a_replayed_request_that_is_decided_again_makes_no_second_trade() {
    let gateway = gateway();
    let mut trades = Bench::new(Trades::default(), NOW);
    let shown: Vec<String> = (0..2)
        .map(|_| {
            let sent =
                ask(&gateway, asked("POST", "/api/v1/trades", &participant(), TRADE)).expect("forwarded");
            trades.request(sent.request)
        })
        .collect();
    assert!(shown[0].contains("event    trade/"), "{}", shown[0]);
    assert!(!shown[1].contains("event    trade/"), "{}", shown[1]);
}

/// `exp`, and the leeway for clocks that differ; not a second more, however often the token was good before.
#[test]
fn a_token_that_was_good_is_refused_once_it_has_expired() {
    let gateway = gateway();
    let token = participant();
    for (at, is_good) in [
        (NOW, true),
        ("2026-03-06T14:40:29Z", true),
        ("2026-03-06T14:40:30Z", false),
        ("2026-03-06T14:40:31Z", false),
        (NOW, true),
        ("2027-03-06T14:30:00Z", false),
    ] {
        hand_keys(&gateway, at, Some(key_set(&[("k-1", KEY_1)])));
        for (method, path, body) in [("GET", PATH, ""), ("POST", "/api/v1/trades", TRADE)] {
            match admit(&gateway, at, asked(method, path, &token, body)) {
                Admitted::Next(Next::Forward(_)) => assert!(is_good, "{at} {method}"),
                Admitted::Next(Next::Fetch(upstream)) => panic!("the keys are there, but {upstream:?}"),
                Admitted::Answer(response) => {
                    assert!(!is_good, "{at} {method}: {}", response.status());
                    assert_eq!(response.status(), 401, "{at} {method}");
                }
            }
        }
    }
}

/// The same key of two clients names two commands, and neither hears of the other's.
#[test]
fn an_idempotency_key_is_worth_nothing_to_another_client() {
    let gateway = gateway();
    let other = sign("k-1", KEY_1, &with(claims("participant"), "sub", json!("client-2")));
    let mut seen = Vec::new();
    for token in [participant(), other] {
        let sent = ask(&gateway, asked("POST", "/api/v1/trades", &token, TRADE)).expect("forwarded");
        let shown = face("trade", sent.request);
        let scope = shown.lines().next().expect("a line").to_owned();
        let trade = shown.split("event    trade/").nth(1).expect("a trade");
        seen.push((scope, trade.chars().take(6).collect::<String>()));
    }
    assert_eq!(
        (seen[0].0.as_str(), seen[1].0.as_str()),
        ("command  client-1 POST /trades / k-1", "command  client-2 POST /trades / k-1")
    );
    assert_ne!(seen[0].1, seen[1].1, "trades have ids of their own");
}

/// An operator sees all and moves nothing; a participant is none by naming more roles than it has.
#[test]
fn roles_do_not_add_up() {
    let gateway = gateway();
    let both = sign("k-1", KEY_1, &with(claims("participant"), "roles", json!(["participant", "operator"])));
    assert_eq!(outcome(&gateway, asked("POST", "/api/v1/trades", &both, TRADE)), "403 forbidden");
    assert_eq!(outcome(&gateway, asked("POST", "/api/v1/trades", &operator(), TRADE)), "403 forbidden");
    let nobody = sign("k-1", KEY_1, &with(claims("participant"), "accounts", json!([])));
    assert_eq!(outcome(&gateway, asked("POST", "/api/v1/trades", &nobody, TRADE)), "403 forbidden");
}

/// What there is not, and what is of others, is one answer to a participant: ids are not confirmed.
#[test]
fn a_trade_of_others_has_the_very_answer_of_none() {
    let gateway = gateway();
    let reply = |status: u16, body: &str| {
        let sent = ask(&gateway, asked("GET", "/api/v1/trades/T-1", &participant(), "")).expect("forwarded");
        let response = Response::builder().status(status).header("content-type", "application/problem+json");
        let response = response.header("version", "7").body(Bytes::copy_from_slice(body.as_bytes()));
        let answer = gateway.reply(&sent, Ok(response.expect("a response")));
        (answer.status(), format!("{:?}", answer.headers()), answer.into_body())
    };
    let others = reply(200, r#"{"buyerAccountId":"A-8","sellerAccountId":"A-9"}"#);
    let none = reply(404, r#"{"title":"not found","detail":"trade T-1"}"#);
    assert_eq!(others, none);
    assert_eq!(none.0.as_u16(), 404);
}
