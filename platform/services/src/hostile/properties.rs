//! Arbitrary input, and damaged good input: nothing panics, nothing unmeant is taken.
//!
//! JSON has no checksum: a digit that flips is another good number. What holds of damaged JSON is that both readers
//! of it read the same, and that what is taken is what stands there. FIX has one, and a token a signature: there the
//! damaged is refused, or is the same.

use http::{HeaderName, HeaderValue, Uri};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::market_integration_gateway::MarketIntegrationGateway;
use crate::support::body;
use crate::testing::request;
use crate::testing::tokens::{ask as asked, gateway, participant};

/// Few and without files: these run with every `cargo test`.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Bytes that often look like what is expected.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let scraps = prop_oneof![
        Just(b"{\"price\":".to_vec()),
        Just(b"[[".to_vec()),
        Just(b"\"A-1\"".to_vec()),
        Just(b",}".to_vec()),
        Just(b"8=FIX.4.4\x01".to_vec()),
        Just(b"9=".to_vec()),
        Just(b"\x0135=AE\x01".to_vec()),
        Just(b"10=000\x01".to_vec()),
        Just(b"552=2\x01".to_vec()),
        Just(b"\\u".to_vec()),
        vec(any::<u8>(), 0..9),
    ];
    vec(scraps, 0..40).prop_map(|scraps| scraps.concat())
}

/// One piece of damage.
#[derive(Clone, Debug)]
enum Damage {
    Flip { at: prop::sample::Index, bit: u8 },
    Cut { at: prop::sample::Index },
    Remove { at: prop::sample::Index },
    Repeat { at: prop::sample::Index, len: usize },
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<prop::sample::Index>(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        any::<prop::sample::Index>().prop_map(|at| Damage::Cut { at }),
        any::<prop::sample::Index>().prop_map(|at| Damage::Remove { at }),
        (any::<prop::sample::Index>(), 1..40_usize).prop_map(|(at, len)| Damage::Repeat { at, len }),
    ]
}

fn damaged(good: &[u8], damage: &Damage) -> Vec<u8> {
    let mut bytes = good.to_vec();
    match damage {
        Damage::Flip { at, bit } => bytes[at.index(good.len())] ^= 1 << bit,
        Damage::Cut { at } => bytes.truncate(at.index(good.len())),
        Damage::Remove { at } => drop(bytes.remove(at.index(good.len()))),
        Damage::Repeat { at, len } => {
            let at = at.index(good.len());
            let piece = good[at..good.len().min(at + len)].to_vec();
            bytes.splice(at..at, piece);
        }
    }
    bytes
}

fn method() -> impl Strategy<Value = Method> {
    prop_oneof![
        Just(Method::GET),
        Just(Method::POST),
        Just(Method::HEAD),
        Just(Method::OPTIONS),
        Just(Method::CONNECT)
    ]
}

fn path() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("/api/v1".to_owned()),
        Just("/trades".to_owned()),
        Just("/positions".to_owned()),
        Just("/A-1".to_owned()),
        Just("/dead-letters".to_owned()),
        Just("/%2e%2e".to_owned()),
        Just("/..".to_owned()),
        Just("?".to_owned()),
        Just("account=A-1".to_owned()),
        Just("&".to_owned()),
        Just("/fix".to_owned()),
        "[!-~]{0,6}",
    ];
    vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
}

fn header() -> impl Strategy<Value = (HeaderName, HeaderValue)> {
    let names = prop::sample::select(vec![
        "authorization",
        "idempotency-key",
        "content-type",
        "content-encoding",
        "x-client",
        "x-request-id",
        "min-version",
        "x-other",
    ]);
    let value = vec(prop_oneof![Just(b'\t'), 32..=126_u8, 128..=255_u8], 0..40);
    let value = value.prop_map(|value| HeaderValue::from_bytes(&value).expect("bytes that HTTP allows"));
    (names.prop_map(HeaderName::from_static), value)
}

fn arbitrary_request() -> impl Strategy<Value = Request<Bytes>> {
    (method(), path(), vec(header(), 0..6), bytes()).prop_filter_map(
        "no address",
        |(method, path, headers, body)| {
            let uri: Uri = path.parse().ok()?;
            let mut request = Request::builder().method(method).uri(uri).body(Bytes::from(body)).ok()?;
            for (name, value) in headers {
                request.headers_mut().append(name, value);
            }
            Some(request)
        },
    )
}

fn json_text(read: &Value, name: &str) -> String {
    read[name].as_str().unwrap_or_default().to_owned()
}

proptest! {
    #![proptest_config(config(400))]

    /// Without a good token nothing goes on, whatever is asked; with one, only what was routed, in its own name.
    #[test]
    fn nothing_arbitrary_gets_past_the_api_gateway(asks in arbitrary_request()) {
        let (gateway, body) = (gateway(), asks.body().clone());
        let mut with_token = asks.clone();
        prop_assert!(ask(&gateway, asks).is_err());
        let bearer = format!("Bearer {}", participant());
        with_token.headers_mut().insert("authorization", bearer.parse().expect("a value"));
        if let Ok(sent) = ask(&gateway, with_token) {
            prop_assert_eq!(&sent.request.headers()["x-client"], "client-1");
            prop_assert!(sent.request.uri().path().starts_with("/api/v1/"));
            prop_assert!(sent.request.uri().authority().is_none());
            prop_assert!(sent.request.method() == Method::GET || *sent.request.body() == body);
        }
    }

    #[test]
    fn nothing_arbitrary_becomes_a_command_at_the_integration_gateway(asks in arbitrary_request()) {
        let mut fix = super::fix::message(asks.body());
        fix.headers_mut().extend(asks.headers().iter().map(|(name, value)| (name.clone(), value.clone())));
        prop_assert!(ask(&MarketIntegrationGateway, fix).is_err());
        if let Ok(sent) = ask(&MarketIntegrationGateway, asks) {
            prop_assert!(body::json(sent.request.body()).is_ok());
        }
    }

    /// Faces answer; a command of arbitrary bytes there is none.
    #[test]
    fn nothing_arbitrary_becomes_a_command_at_a_service(asks in arbitrary_request(), to in 0..6_usize) {
        const PATHS: [&str; 6] = [
            "/api/v1/trades", "/api/v1/venue", "/api/v1/withdrawals", "/bank/notices", "/api/v1/instruments",
            "/api/v1/participants",
        ];
        let headers = [("x-client", "c"), ("idempotency-key", "k"), ("content-type", "application/json")];
        let command = request(Method::POST, PATHS[to], &headers, "").map(|_| asks.body().clone());
        for (name, mut face) in faces() {
            for asks in [asks.clone(), command.clone()] {
                let shown = face(asks);
                prop_assert!(shown.starts_with("answer   "), "{}: {}", name, shown);
                prop_assert_eq!(shown.lines().count(), 1);
            }
        }
    }

    /// What of a damaged trade is still taken is what an ordinary reader finds there, and no name stands twice.
    #[test]
    fn a_damaged_trade_is_refused_or_is_what_it_says(damage in vec(damage(), 1..4)) {
        let text = damage.iter().fold(TRADE.as_bytes().to_vec(), |bytes, damage| {
            if bytes.is_empty() { bytes } else { damaged(&bytes, damage) }
        });
        let headers = [("x-client", "client-1"), ("idempotency-key", "k-1"), ("content-type", "application/json")];
        let asks = request(Method::POST, "/api/v1/trades", &headers, "").map(|_| Bytes::from(text.clone()));
        let shown = face("trade", asks);
        if shown.starts_with("command") {
            let read: Value = serde_json::from_slice(&text).expect("it was taken");
            let fields = read.as_object().expect("an object");
            for name in ["instrumentId", "buyerAccountId", "sellerAccountId"] {
                prop_assert!(shown.contains(fields[name].as_str().expect("text")), "{}: {}", name, shown);
            }
            prop_assert!(fields.len() == 5, "{:?}", fields);
        } else {
            prop_assert!(shown.starts_with("answer   4"), "{}", shown);
            prop_assert_eq!(shown.lines().count(), 1);
        }
    }

    /// The gateway lets no body through that a service would read as somebody else's.
    #[test]
    fn a_damaged_trade_that_is_let_in_is_still_of_the_client(damage in damage()) {
        let text = damaged(TRADE.as_bytes(), &damage);
        let mut asks = asked("POST", "/api/v1/trades", &participant(), "{}");
        *asks.body_mut() = text.into();
        if let Ok(sent) = ask(&gateway(), asks) {
            let read: Value = serde_json::from_slice(sent.request.body()).expect("it was let in");
            let own = |name: &str| ["A-1", "A-2"].contains(&read[name].as_str().unwrap_or_default());
            prop_assert!(own("buyerAccountId") || own("sellerAccountId"), "{}", read);
        }
    }

    #[test]
    fn a_damaged_report_is_refused(damage in damage()) {
        let good = super::fix::framed(super::fix::REPORT);
        let bytes = damaged(&good, &damage);
        if bytes != good {
            prop_assert_ne!(super::fix::told(&bytes), "forwarded");
        }
    }

    /// A frame that is right around a damaged report: it is refused, or taken as what it says.
    #[test]
    fn a_damaged_report_in_a_good_frame_is_refused_or_is_what_it_says(damage in damage()) {
        let body = damaged(super::fix::REPORT.as_bytes(), &damage);
        let Ok(body) = String::from_utf8(body) else { return Ok(()) };
        let asks = super::fix::message(&super::fix::framed(&body));
        if let Ok(sent) = ask(&MarketIntegrationGateway, asks) {
            let field = |tag: &str| {
                let prefix = format!("{tag}=");
                body.split('|').find_map(|field| field.strip_prefix(&prefix)).unwrap_or_default().to_owned()
            };
            let read: Value = serde_json::from_slice(sent.request.body()).expect("JSON");
            let header = |name: &str| sent.request.headers()[name].to_str().expect("text").to_owned();
            let said = [header("x-client"), header("idempotency-key"), json_text(&read, "instrumentId"), json_text(&read, "price")];
            prop_assert_eq!(said, ["49", "571", "55", "31"].map(field));
            let whole = field("32").split('.').next().and_then(|whole| whole.parse::<u64>().ok());
            prop_assert_eq!(read["quantity"].as_u64(), whole);
        }
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn a_damaged_token_lets_nobody_in(damage in damage()) {
        let good = participant();
        let token = damaged(good.as_bytes(), &damage);
        let value = HeaderValue::from_bytes(&[b"Bearer ", &token[..]].concat());
        if let Ok(value) = value
            && token != good.as_bytes()
            && token.trim_ascii() != good.as_bytes()
        {
            let mut asks = request(Method::GET, "/api/v1/positions/A-1", &[], "");
            asks.headers_mut().insert("authorization", value);
            prop_assert_eq!(outcome(&gateway(), asks), "401 unauthorized");
        }
    }
}
