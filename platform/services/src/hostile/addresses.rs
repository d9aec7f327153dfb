//! Paths, queries and methods.

use super::*;
use crate::market_integration_gateway::MarketIntegrationGateway;
use crate::testing::request;
use crate::testing::tokens::{ask as asked, gateway, operator, participant};

#[test]
fn a_path_is_plain_or_refused() {
    let gateway = gateway();
    for (path, expected) in [
        ("/api/v1/positions/A-1", "forwarded"),
        ("/api/v1/positions/A%2D1", "400 bad-path"),
        ("/api/v1/positions/A-9%2F..%2FA-1", "400 bad-path"),
        ("/api/v1/positions/%2e%2e/A-1", "400 bad-path"),
        ("/api/v1/positions/..", "400 bad-path"),
        ("/api/v1/positions/../positions/A-1", "400 bad-path"),
        ("/api/v1/positions/./A-1", "400 bad-path"),
        ("/api/v1/positions/A-1%00", "400 bad-path"),
        ("/api/v1/positions/A-1%0d%0aX:1", "400 bad-path"),
        ("/api/v1/positions/A-1;x=1", "400 bad-path"),
        ("/api/v1/positions/A-\u{0391}", "400 bad-path"),
        ("/api/v1/positions/~A-1", "400 bad-path"),
        ("/api/v1/positions/A-1/", "404 not-found"),
        ("/api/v1/positions//A-1", "404 not-found"),
        ("//api/v1/positions/A-1", "404 not-found"),
        ("/api/v1/positions", "404 not-found"),
        ("/API/V1/positions/A-1", "404 not-found"),
        ("/", "404 not-found"),
        ("*", "400 bad-path"),
        ("/host/v1/republications", "404 not-found"),
    ] {
        assert_eq!(outcome(&gateway, asked("GET", path, &participant(), "")), expected, "{path}");
    }
    let long = format!("/api/v1/positions/{}", "A".repeat(2_031));
    assert_eq!(outcome(&gateway, asked("GET", &long, &operator(), "")), "414 uri-too-long");
    assert_eq!(outcome(&gateway, asked("GET", &long[..2_048], &operator(), "")), "forwarded");
    assert_eq!(outcome(&gateway, asked("GET", &long[..2_048], &participant(), "")), "403 forbidden");
}

/// A live port would call the host that an absolute address names: the platform would be made to ask for others.
#[test]
fn an_absolute_address_goes_to_the_service_and_nowhere_else() {
    let address = "http://evil.invalid:81/api/v1/positions/A-1";
    let sent = ask(&gateway(), asked("GET", address, &participant(), "")).expect("forwarded");
    assert_eq!((sent.party, sent.request.uri().to_string().as_str()), ("position", "/api/v1/positions/A-1"));
    assert_eq!(sent.request.uri().authority(), None);
    let connect = request(Method::CONNECT, "evil.invalid:81", &[], "");
    assert_eq!(outcome(&gateway(), connect), "400 bad-path");
}

#[test]
fn a_query_is_known_and_stands_once() {
    let gateway = gateway();
    let trades = |query: &str| format!("/api/v1/trades?{query}");
    let flood: String = (0..100).map(|at| format!("p{at}=1&")).collect();
    for (query, expected) in [
        ("account=A-1&date=2026-03-06", "forwarded"),
        ("account=A-1&date=2026-03-06&after=T-1", "forwarded"),
        ("account=A%2D1&date=2026-03-06", "forwarded"),
        ("account=A-1&account=A-9", "400 bad-query"),
        ("account=A-1&ACCOUNT=A-9", "400 bad-query"),
        ("account=A-1&%61ccount=A-9", "400 bad-query"),
        ("account=A-1&debug=1", "400 bad-query"),
        ("account=A-1&&date=2026-03-06", "400 bad-query"),
        ("account=A-1%", "400 bad-query"),
        ("account=A-1%0", "400 bad-query"),
        ("account=A-1%zz", "400 bad-query"),
        ("account=A-1&after=%00", "400 bad-query"),
        ("account=A-1&after=%0d%0a", "400 bad-query"),
        ("account=A-1&after=%ff%fe", "400 bad-query"),
        ("account=A-1&after=%c0%af", "400 bad-query"),
        ("account=A%EF%BC%8D1", "403 forbidden"),
        (flood.as_str(), "400 bad-query"),
    ] {
        assert_eq!(outcome(&gateway, asked("GET", &trades(query), &participant(), "")), expected, "{query}");
    }
    assert_eq!(outcome(&gateway, asked("POST", &trades("x=1"), &participant(), TRADE)), "400 bad-query");
    let venue = request(Method::POST, "/api/v1/venue?kind=open", &[], "{}");
    assert_eq!(outcome(&MarketIntegrationGateway, venue), "400 bad-query");
}

/// A token in an address would be in every log on its way: it is no token, and the answer does not repeat it.
#[test]
fn a_token_in_the_query_lets_nobody_in() {
    let (gateway, token) = (gateway(), participant());
    for query in [format!("access_token={token}"), token.clone(), format!("{token}=1")] {
        let path = format!("/api/v1/positions/A-1?{query}");
        for asked in [request(Method::GET, &path, &[], ""), asked("GET", &path, &token, "")] {
            let refused = ask(&gateway, asked).expect_err("refused");
            let text = String::from_utf8_lossy(refused.body()).into_owned();
            assert_eq!((refused.status().as_u16(), text.contains(&token)), (400, false), "{text}");
        }
    }
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    let (gateway, token) = (gateway(), participant());
    for (method, path, allow) in [
        ("DELETE", "/api/v1/trades", "GET,HEAD,POST"),
        ("PUT", "/api/v1/withdrawals", "POST"),
        ("GET", "/api/v1/withdrawals", "POST"),
        ("POST", "/api/v1/positions/A-1", "GET,HEAD"),
        ("OPTIONS", "/api/v1/positions/A-1", "GET,HEAD"),
        ("TRACE", "/api/v1/positions/A-1", "GET,HEAD"),
        ("PATCH", "/api/v1/dead-letters/7/replay", "POST"),
        ("get", "/api/v1/positions/A-1", "GET,HEAD"),
        ("GETGETGETGETGETGETGETGETGETGETGET", "/api/v1/positions/A-1", "GET,HEAD"),
    ] {
        let refused = ask(&gateway, asked(method, path, &token, "")).expect_err("refused");
        assert_eq!((refused.status().as_u16(), code_of(&refused).as_str()), (405, "method-not-allowed"));
        let mut allowed: Vec<&str> = refused.headers()["allow"].to_str().expect("text").split(',').collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(","), allow, "{method} {path}");
    }
    let refused =
        ask(&MarketIntegrationGateway, request(Method::GET, "/api/v1/fix", &[], "")).expect_err("405");
    assert_eq!((refused.status().as_u16(), refused.headers()["allow"].as_bytes()), (405, &b"POST"[..]));
    let head = ask(&gateway, asked("HEAD", "/api/v1/positions/A-1", &token, "")).expect("it is a GET");
    assert_eq!(head.request.method(), Method::GET);
}
