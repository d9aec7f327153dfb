//! Bodies: what is no JSON, what is JSON in two ways, and fields that are not what they should be. At the gateways,
//! and at the faces of services behind them.

use super::*;
use crate::market_integration_gateway::MarketIntegrationGateway;
use crate::support::body::BODY_LEN_MAX;
use crate::testing::request;
use crate::testing::tokens::{ask as asked, gateway, operator, participant};

const WITHDRAWAL: &str = r#"{"accountId":"A-1","amount":"1.00","currency":"USD"}"#;
const INSTRUMENT: &str = r#"{"instrumentId":"IBM","tick":"0.01","currency":"USD"}"#;
const PARTICIPANT: &str =
    r#"{"participantId":"P-1","webhook":"webhook/P-1","accounts":[{"accountId":"A-1","bankAccount":"B-1"}]}"#;
const VENUE: &str = r#"{"venueId":"XNYS","tradeDate":"2026-03-06","kind":"open"}"#;
const NOTICE: &str = r#"{"reference":"R-1","account":"B-1","amount":"1.00","currency":"USD","uetr":""}"#;

/// Every command of the platform over HTTP, with a body that is taken.
const COMMANDS: [(&str, &str, &str); 6] = [
    ("trade", "/api/v1/trades", TRADE),
    ("trade", "/api/v1/venue", VENUE),
    ("payment", "/api/v1/withdrawals", WITHDRAWAL),
    ("payment", "/bank/notices", NOTICE),
    ("reference-data", "/api/v1/instruments", INSTRUMENT),
    ("reference-data", "/api/v1/participants", PARTICIPANT),
];

fn command(path: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    let headers =
        [("x-client", "client-1"), ("idempotency-key", "k-1"), ("content-type", "application/json")];
    request(Method::POST, path, &headers, "").map(|_| body.into())
}

/// Bodies that no command has, and what is said of them.
fn unreadable() -> Vec<(&'static str, Vec<u8>)> {
    let utf16 = |unit: fn(u16) -> [u8; 2]| TRADE.encode_utf16().flat_map(unit).collect();
    let with_quantity = |text: &str| TRADE.replace(":1,", &format!(":{text},")).into_bytes();
    vec![
        ("malformed-json", Vec::new()),
        ("malformed-json", b"{".to_vec()),
        ("malformed-json", TRADE.as_bytes()[..TRADE.len() - 1].to_vec()),
        ("malformed-json", [TRADE.as_bytes(), TRADE.as_bytes()].concat()),
        ("malformed-json", [b"\xef\xbb\xbf", TRADE.as_bytes()].concat()),
        ("malformed-json", utf16(u16::to_le_bytes)),
        ("malformed-json", utf16(u16::to_be_bytes)),
        ("malformed-json", TRADE.replace("IBM", "\u{e9}").chars().map(|c| c as u8).collect()),
        ("malformed-json", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff".to_vec()),
        ("malformed-json", "[".repeat(BODY_LEN_MAX).into_bytes()),
        ("malformed-json", r#"{"price":"#.repeat(5_000).into_bytes()),
        ("malformed-json", TRADE.replace('}', r#","quantity":2}"#).into_bytes()),
        ("malformed-json", TRADE.replace('}', r#","buyerAccountId":"A-9"}"#).into_bytes()),
        ("malformed-json", TRADE.replace('}', r#","buyer\u0041ccountId":"A-9"}"#).into_bytes()),
        ("malformed-json", with_quantity("NaN")),
        ("malformed-json", with_quantity("Infinity")),
        ("malformed-json", with_quantity("1e999")),
        ("malformed-json", with_quantity("0x10")),
        ("malformed-json", with_quantity("1_000")),
        ("malformed-json", with_quantity("+1")),
        ("malformed-json", with_quantity("007")),
        ("malformed-json", with_quantity("\"a\nb\"")),
        ("body-too-large", format!("{TRADE}{}", " ".repeat(BODY_LEN_MAX)).into_bytes()),
        ("body-too-large", TRADE.replace("IBM", &"I".repeat(5 << 20)).into_bytes()),
    ]
}

#[test]
fn what_cannot_be_read_stops_at_the_gateway() {
    let (api, integration) = (gateway(), MarketIntegrationGateway);
    for (code, body) in unreadable() {
        let status = if code == "body-too-large" { 413 } else { 400 };
        let expected = format!("{status} {code}");
        let shown = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
        for (path, token) in [
            ("/api/v1/trades", participant()),
            ("/api/v1/withdrawals", participant()),
            ("/api/v1/instruments", operator()),
            ("/api/v1/participants", operator()),
        ] {
            let mut request = asked("POST", path, &token, "{}");
            *request.body_mut() = body.clone().into();
            assert_eq!(outcome(&api, request), expected, "{path} {shown}");
        }
        for path in ["/api/v1/trades", "/api/v1/venue"] {
            assert_eq!(outcome(&integration, command(path, body.clone())), expected, "{path} {shown}");
        }
    }
}

/// Whoever gets as far as a service is read with the same eyes; a refused command shows nothing but its answer.
#[test]
fn what_cannot_be_read_leaves_nothing_at_a_service() {
    for (service, path, good) in COMMANDS {
        let taken = face(service, command(path, good));
        assert!(taken.starts_with("command  "), "{path}: {taken}");
        for (code, body) in unreadable() {
            let shown = face(service, command(path, body));
            assert_refused(&shown, code);
        }
        for other in ["gzip", "br"] {
            let mut encoded = command(path, good);
            encoded.headers_mut().insert("content-encoding", other.parse().expect("a value"));
            assert_refused(&face(service, encoded), "encoding-not-supported");
        }
        let mut form = command(path, good);
        form.headers_mut().insert("content-type", "text/plain".parse().expect("a value"));
        assert_refused(&face(service, form), "media-type-not-supported");
    }
}

/// One line, an answer, with the code: no event, row, message or timer beside it.
fn assert_refused(shown: &str, code: &str) {
    assert!(
        shown.starts_with("answer   4") && shown.contains(&format!("problems/{code}\"")),
        "{code}: {shown}"
    );
    assert_eq!(shown.lines().count(), 1, "{shown}");
    assert!(shown.len() < 2_048, "{shown:.80}");
}

/// What no field may be.
const NEVER: [&str; 15] = [
    "[]",
    "{}",
    "true",
    "1.5",
    "-1",
    "1e3",
    "-0",
    "18446744073709551616",
    r#""\u0000""#,
    r#""A-1\u0000""#,
    r#""A\u20101""#,
    r#""\u0410-1""#,
    r#""A-1 ""#,
    r#""A-1\r\nX: 1""#,
    r#""\u202eA""#,
];
/// What no id may be, and no number, date or name of a kind either.
const NO_ID: [&str; 5] = [r#""""#, r#""../A-1""#, r#""1,00""#, r#""+1""#, r#""%41""#];
/// What may be an id, and nothing else.
const NO_AMOUNT: [&str; 7] =
    [r#""NaN""#, r#""-""#, r#""1.00.0""#, r#""1e3""#, r#""0x10""#, r#"".5""#, r#""Infinity""#];

#[test]
fn a_field_that_is_not_what_it_should_be_leaves_nothing() {
    let overlong = format!("\"{}\"", "9".repeat(60_000));
    let mut tried = 0;
    for (service, path, good) in COMMANDS {
        let body: Value = serde_json::from_str(good).expect("JSON");
        for name in body.as_object().expect("an object").keys() {
            let mut bad = NEVER.to_vec();
            bad.push(&overlong);
            if !["webhook", "reference", "uetr"].contains(&name.as_str()) {
                bad.extend(NO_ID);
            }
            if ["price", "amount", "tick", "quantity", "tradeDate", "currency", "kind"]
                .contains(&name.as_str())
            {
                bad.extend(NO_AMOUNT);
            }
            for bad in bad {
                let mut hostile = body.clone();
                hostile[name] = serde_json::from_str(bad).expect("JSON");
                assert_refused(&face(service, command(path, hostile.to_string())), "bad-field");
                tried += 1;
            }
        }
    }
    assert!(tried > 400, "{tried}");
}

/// Readable and wrong is another thing: the trade is refused, and that it was is kept.
#[test]
fn amounts_that_can_be_read_and_are_wrong_are_trades_refused() {
    for (from, to, status) in [
        (r#""1.00""#, r#""-1.00""#, "422"),
        (r#""1.00""#, r#""0""#, "422"),
        (r#""1.00""#, r#""1.0000000001""#, "422"),
        (r#""1.00""#, r#""99999999999999999999999999999999""#, "400"),
        (":1,", ":0,", "422"),
        (":1,", ":18446744073709551615,", "422"),
        (":1,", ":18446744073709551616,", "400"),
    ] {
        let shown = face("trade", command("/api/v1/trades", TRADE.replace(from, to)));
        assert!(shown.contains(&format!(" {status} ")), "{to}: {shown}");
        assert_eq!(shown.contains("event"), status == "422", "{to}: {shown}");
    }
}
