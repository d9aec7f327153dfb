//! Headers: floods, contradictions, what they may hold.

use host::http_api::{HEADERS_LEN_MAX, HEADERS_MAX};
use http::HeaderValue;

use super::*;
use crate::market_integration_gateway::MarketIntegrationGateway;
use crate::testing::request;
use crate::testing::tokens::{ask as asked, gateway, operator, participant};

/// A good command, with a header more.
fn and(name: &'static str, value: &[u8]) -> Request<Bytes> {
    let mut request = asked("POST", "/api/v1/trades", &participant(), TRADE);
    request.headers_mut().append(name, HeaderValue::from_bytes(value).expect("a value that HTTP allows"));
    request
}

#[test]
fn contradictory_headers_are_refused() {
    let gateway = gateway();
    let other = format!("Bearer {}", operator());
    for (name, value, expected) in [
        ("accept", "text/html", "forwarded"),
        ("idempotency-key", "k-2", "400 repeated-header"),
        ("idempotency-key", "k-1", "400 repeated-header"),
        ("authorization", other.as_str(), "400 repeated-header"),
        ("authorization", "Basic eDp5", "400 repeated-header"),
        ("content-type", "application/json", "400 repeated-header"),
        ("content-encoding", "identity", "forwarded"),
        ("min-version", "7", "forwarded"),
        ("min-version", "-7", "400 bad-header"),
        ("min-version", "99999999999999999999", "400 bad-header"),
        ("x-client", "somebody-else", "forwarded"),
    ] {
        assert_eq!(outcome(&gateway, and(name, value.as_bytes())), expected, "{name}: {value}");
    }
    let mut twice = and("min-version", b"7");
    twice.headers_mut().append("min-version", HeaderValue::from_static("8"));
    assert_eq!(outcome(&gateway, twice), "400 repeated-header");
}

/// Behind the gateway, who asks is what `x-client` says: two of them are refused, not chosen from.
#[test]
fn two_clients_are_none() {
    let headers = [("x-client", "c-1"), ("x-client", "c-2"), ("idempotency-key", "k-1")];
    let trade = || request(Method::POST, "/api/v1/trades", &headers, TRADE);
    assert_eq!(outcome(&MarketIntegrationGateway, trade()), "400 repeated-header");
    assert!(face("trade", trade()).contains("problems/client-required"), "{}", face("trade", trade()));
    let headers = [("x-client", "c-1"), ("idempotency-key", "k-1"), ("idempotency-key", "k-2")];
    let trade = request(Method::POST, "/api/v1/trades", &headers, TRADE);
    assert!(face("trade", trade).contains("problems/idempotency-key-required"));
}

#[test]
fn headers_are_bounded_in_number_and_size() {
    let gateway = gateway();
    let flooded = |count: usize, value: &str| {
        let mut request = asked("POST", "/api/v1/trades", &participant(), TRADE);
        while request.headers().len() < count {
            request.headers_mut().append("x-flood", value.parse().expect("a value"));
        }
        request
    };
    assert_eq!(outcome(&gateway, flooded(HEADERS_MAX, "")), "forwarded");
    assert_eq!(outcome(&gateway, flooded(HEADERS_MAX + 1, "")), "431 headers-too-large");
    assert_eq!(outcome(&gateway, flooded(10_000, "")), "431 headers-too-large");
    assert_eq!(outcome(&gateway, flooded(5, &"x".repeat(HEADERS_LEN_MAX))), "431 headers-too-large");
    assert_eq!(outcome(&gateway, flooded(60, &"x".repeat(300))), "431 headers-too-large");
    let long = request(Method::GET, "/nowhere", &[("authorization", &"x".repeat(20_000))], "");
    assert_eq!(outcome(&gateway, long), "431 headers-too-large");
}

/// With so many fields more, all of one name.
fn flooded(mut request: Request<Bytes>, fields: usize, value: &str) -> Request<Bytes> {
    for _ in 0..fields {
        request.headers_mut().append("x-flood", value.parse().expect("a value"));
    }
    request
}

/// Too many fields, a few that are too long, and one that is.
const FLOODS: [(usize, usize); 4] = [(HEADERS_MAX + 1, 0), (10_000, 0), (60, 300), (1, HEADERS_LEN_MAX)];

#[test]
fn a_flood_gets_no_further_than_the_integration_gateway() {
    let json =
        |path, body| request(Method::POST, path, &[("x-client", "c-1"), ("idempotency-key", "k-1")], body);
    let venue = r#"{"venueId":"XNYS","tradeDate":"2026-03-06","kind":"open"}"#;
    for good in [
        json("/api/v1/trades", TRADE),
        json("/api/v1/venue", venue),
        super::fix::message(&super::fix::framed(super::fix::REPORT)),
    ] {
        let path = good.uri().path().to_owned();
        let room = HEADERS_MAX - good.headers().len();
        assert_eq!(
            outcome(&MarketIntegrationGateway, flooded(good.clone(), room, "")),
            "forwarded",
            "{path}"
        );
        for (fields, len) in FLOODS {
            let flood = flooded(good.clone(), fields, &"x".repeat(len));
            assert_eq!(outcome(&MarketIntegrationGateway, flood), "431 headers-too-large", "{path}");
        }
    }
}

/// Services, and what their hosts answer themselves.
#[test]
fn a_flood_gets_no_further_than_the_host_of_a_service() {
    let routes = super::matrix::behind_the_gateways();
    for (service, mut host) in hosts() {
        let own: Vec<_> = routes.iter().filter(|(of, _)| of.is_none_or(|of| of == service)).collect();
        assert!(own.len() >= 4, "{service}");
        for (_, good) in own {
            let path = format!("{service} {} {}", good.method(), good.uri());
            for (fields, len) in FLOODS {
                let refused = host.ask(flooded(good.clone(), fields, &"x".repeat(len)));
                assert_eq!(
                    (refused.status().as_u16(), code_of(&refused).as_str()),
                    (431, "headers-too-large"),
                    "{path}"
                );
            }
            assert_eq!(host.rows(), 0, "{path}");
        }
        for (_, good) in routes.iter().filter(|(of, _)| of.is_none_or(|of| of == service)) {
            let room = HEADERS_MAX - good.headers().len();
            let answer = host.ask(flooded(good.clone(), room, ""));
            assert_ne!(answer.status(), 431, "{service} {} {}", good.method(), good.uri());
        }
    }
}

#[test]
fn an_idempotency_key_is_short_and_visible() {
    let gateway = gateway();
    let long = "k".repeat(129);
    for (key, expected) in [
        (b"k-2".as_slice(), "forwarded"),
        (&long.as_bytes()[..128], "forwarded"),
        (long.as_bytes(), "400 idempotency-key-required"),
        (b"", "400 idempotency-key-required"),
        (b"a b", "400 idempotency-key-required"),
        (b"a\tb", "400 idempotency-key-required"),
        (b"\xff\xfe", "400 idempotency-key-required"),
        ("k\u{2010}1".as_bytes(), "400 idempotency-key-required"),
    ] {
        let mut request = asked("POST", "/api/v1/trades", &participant(), TRADE);
        request.headers_mut().insert("idempotency-key", HeaderValue::from_bytes(key).expect("a value"));
        assert_eq!(outcome(&gateway, request), expected, "{key:?}");
    }
}

#[test]
fn what_a_body_is_has_to_be_said() {
    let gateway = gateway();
    let typed = |name: &'static str, value: &'static str| {
        let mut request = asked("POST", "/api/v1/trades", &participant(), TRADE);
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        request
    };
    for (value, expected) in [
        ("application/json", "forwarded"),
        ("Application/JSON; charset=UTF-8", "forwarded"),
        ("application/json;charset=\"utf-8\"", "forwarded"),
        ("application/json; charset=utf-16", "415 media-type-not-supported"),
        ("application/json; charset=latin1; charset=utf-8", "415 media-type-not-supported"),
        ("application/jsonp", "415 media-type-not-supported"),
        ("text/json", "415 media-type-not-supported"),
        ("application/x-www-form-urlencoded", "415 media-type-not-supported"),
        ("multipart/form-data; boundary=x", "415 media-type-not-supported"),
        ("application/xml", "415 media-type-not-supported"),
        ("application/fix", "415 media-type-not-supported"),
        ("", "415 media-type-not-supported"),
    ] {
        assert_eq!(outcome(&gateway, typed("content-type", value)), expected, "{value}");
    }
    for encoding in ["gzip", "x-gzip", "deflate", "br", "zstd", "gzip, gzip", "GZIP", "identity, gzip", ""] {
        let refused = ask(&gateway, typed("content-encoding", encoding)).expect_err("refused");
        assert_eq!((refused.status().as_u16(), code_of(&refused).as_str()), (415, "encoding-not-supported"));
        assert_eq!(refused.headers()["accept-encoding"], "identity");
    }
    let mut untyped = asked("POST", "/api/v1/trades", &participant(), TRADE);
    untyped.headers_mut().remove("content-type");
    assert_eq!(outcome(&gateway, untyped), "415 media-type-not-supported");
    let as_json = request(Method::POST, "/api/v1/fix", &[], "8=FIX.4.4\u{1}");
    assert_eq!(outcome(&MarketIntegrationGateway, as_json), "415 media-type-not-supported");
}

/// A request id is repeated in answers and sent on: only what is plain.
#[test]
fn a_request_id_is_plain_or_replaced() {
    for value in [b"a b".as_slice(), b"\xff", "é".as_bytes(), &[b'r'; 129], b"", b"a\tb"] {
        let sent = ask(&gateway(), and("x-request-id", value)).expect("forwarded");
        assert_eq!(sent.request.headers()["x-request-id"], "api-gateway/1-42", "{value:?}");
    }
}
