//! What comes in, what goes to the trade service, and what the sender is told.

use insta::assert_snapshot;

use super::*;
use crate::testing::edge::{self, Admitted};
use crate::testing::request;

/// A good report; `|` stands for SOH.
const REPORT: &str = "35=AE|49=BROKER|56=BELLWETHER|34=7|52=20260306-14:30:00.000|571=R-1|570=N|55=IBM|32=100|31=10.00|\
    75=20260306|60=20260306-14:29:59|552=2|54=1|37=O-1|1=A-1|54=2|37=O-2|1=A-2|";

/// Passes a request through the router: what is forwarded, or what is answered.
fn admit(request: Request<Bytes>) -> Result<Upstream, Response<Bytes>> {
    match edge::admit(&MarketIntegrationGateway, "2026-03-06T14:30:00.123Z", request) {
        Admitted::Next(Next::Forward(upstream)) => Ok(upstream),
        Admitted::Next(Next::Fetch(_)) => panic!("there is nothing to fetch"),
        Admitted::Answer(response) => Err(response),
    }
}

fn render_forward(upstream: &Upstream) -> String {
    let mut lines = format!("{} {} {}\n", upstream.party, upstream.request.method(), upstream.request.uri());
    for (name, value) in upstream.request.headers() {
        lines += &format!("{name}: {}\n", value.to_str().expect("text"));
    }
    lines + &String::from_utf8_lossy(upstream.request.body())
}

fn render(response: &Response<Bytes>) -> String {
    let body = String::from_utf8_lossy(response.body()).replace('\x01', "|");
    let retry = response.headers().get("retry-after").map(|_| " (retry-after)").unwrap_or_default();
    format!("{}{retry} {body}", response.status().as_u16())
}

fn fix(fields: &str) -> Request<Bytes> {
    let fields: Vec<(u32, String)> = fields
        .split('|')
        .filter(|field| !field.is_empty())
        .map(|field| field.split_once('=').expect("tag=value"))
        .map(|(tag, value)| (tag.parse().expect("a tag"), value.to_owned()))
        .collect();
    fix_bytes(&super::fix::encode(&fields))
}

fn fix_bytes(message: &[u8]) -> Request<Bytes> {
    let request = Request::post("/api/v1/fix").header("content-type", "application/fix");
    request.body(Bytes::copy_from_slice(message)).expect("a valid request")
}

/// The answer to the good report, from what the trade service said.
fn reply(outcome: Result<(u16, &str), HttpError>) -> String {
    let sent = admit(fix(REPORT)).expect("a good report is forwarded");
    let outcome = outcome.map(|(status, body)| {
        Response::builder().status(status).body(Bytes::copy_from_slice(body.as_bytes())).expect("a response")
    });
    render(&MarketIntegrationGateway.reply(&sent, outcome))
}

#[test]
fn json_goes_on_with_client_and_key() {
    let headers = [("x-client", "client-1"), ("idempotency-key", "k-1"), ("x-request-id", "r-1")];
    let sent = admit(request(http::Method::POST, "/api/v1/trades", &headers, "{}")).expect("forwarded");
    assert_snapshot!(render_forward(&sent), @r"
    trade POST /api/v1/trades
    x-client: client-1
    x-request-id: r-1
    idempotency-key: k-1
    content-type: application/json
    {}
    ");
    let answer =
        Response::builder().status(202).header("content-type", "application/json").body(Bytes::from("{}"));
    let answer = MarketIntegrationGateway.reply(&sent, Ok(answer.expect("a response")));
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    assert_eq!(answer.headers()["x-request-id"], "r-1");
    assert_snapshot!(render(&MarketIntegrationGateway.reply(&sent, Err(HttpError::TimedOut))), @r#"504 (retry-after) {"type":"https://bellwether.invalid/problems/upstream-timed-out","title":"upstream timed out","status":504,"detail":"trade: it may have been done; repeat it with the same Idempotency-Key"}"#);
}

#[test]
fn json_without_client_or_key_is_refused() {
    let mut refused = String::new();
    for headers in [
        &[("x-client", "c")][..],
        &[("idempotency-key", "k")],
        &[("x-client", "a b"), ("idempotency-key", "k")],
    ] {
        let request = request(http::Method::POST, "/api/v1/trades", headers, "{}");
        refused += &render(&admit(request).expect_err("refused"));
        refused += "\n";
    }
    let large = "x".repeat(body::BODY_LEN_MAX + 1);
    let headers = [("x-client", "c"), ("idempotency-key", "k")];
    refused += &render(
        &admit(request(http::Method::POST, "/api/v1/trades", &headers, &large)).expect_err("refused"),
    );
    refused += "\n";
    refused +=
        &render(&admit(request(http::Method::GET, "/api/v1/trades", &headers, "")).expect_err("refused"));
    refused += "\n";
    refused +=
        &render(&admit(request(http::Method::POST, "/api/v1/orders", &headers, "")).expect_err("refused"));
    assert_snapshot!(refused, @r#"
    400 {"type":"https://bellwether.invalid/problems/idempotency-key-required","title":"idempotency key required","status":400,"detail":"a POST has an Idempotency-Key of 1 to 128 characters"}
    400 {"type":"https://bellwether.invalid/problems/client-required","title":"client required","status":400,"detail":"header x-client"}
    400 {"type":"https://bellwether.invalid/problems/client-required","title":"client required","status":400,"detail":"header x-client"}
    413 {"type":"https://bellwether.invalid/problems/body-too-large","title":"body too large","status":413,"detail":"a body has at most 65536 bytes"}
    405 {"type":"https://bellwether.invalid/problems/method-not-allowed","title":"method not allowed","status":405,"detail":"GET /api/v1/trades"}
    404 {"type":"https://bellwether.invalid/problems/not-found","title":"not found","status":404,"detail":"/api/v1/orders"}
    "#);
}

#[test]
fn a_venue_message_has_a_key_of_its_own() {
    let body = r#"{"venueId":"XNYS","tradeDate":"2026-03-06","kind":"endOfDay"}"#;
    let sent = admit(request(http::Method::POST, "/api/v1/venue", &[], body)).expect("forwarded");
    assert_snapshot!(render_forward(&sent), @r#"
    trade POST /api/v1/venue
    x-client: venue/XNYS
    x-request-id: market-integration-gateway/1-42
    idempotency-key: XNYS/2026-03-06/endOfDay
    content-type: application/json
    {"kind":"endOfDay","tradeDate":"2026-03-06","venueId":"XNYS"}
    "#);
    let mut refused = String::new();
    for (from, to) in [("endOfDay", "halt"), ("2026-03-06", "2026-02-30"), ("XNYS", ""), ("kind", "type")] {
        let request = request(http::Method::POST, "/api/v1/venue", &[], &body.replace(from, to));
        refused += &render(&admit(request).expect_err("refused"));
        refused += "\n";
    }
    assert_snapshot!(refused, @r#"
    400 {"type":"https://bellwether.invalid/problems/bad-field","title":"bad field","status":400,"detail":"kind: must be open, close or endOfDay"}
    400 {"type":"https://bellwether.invalid/problems/bad-field","title":"bad field","status":400,"detail":"tradeDate: parsed date is not valid: parameter 'day' for `2026-02` is invalid, must be in range `1..=28`"}
    400 {"type":"https://bellwether.invalid/problems/bad-field","title":"bad field","status":400,"detail":"venueId: an id must not be empty"}
    400 {"type":"https://bellwether.invalid/problems/bad-field","title":"bad field","status":400,"detail":"type: is not known here; known are venueId, tradeDate, kind"}
    "#);
}

#[test]
fn a_fix_report_becomes_a_trade() {
    assert_snapshot!(render_forward(&admit(fix(REPORT)).expect("forwarded")), @r#"
    trade POST /api/v1/trades
    x-client: BROKER
    x-request-id: market-integration-gateway/1-42
    idempotency-key: R-1
    content-type: application/json
    {"buyerAccountId":"A-1","instrumentId":"IBM","price":"10.00","quantity":100,"sellerAccountId":"A-2","tradeDate":"2026-03-06"}
    "#);
    let other_order = REPORT.replace("54=1|", "54=X|").replace("54=2|", "54=1|").replace("54=X|", "54=2|");
    let other = admit(fix(&other_order.replace("32=100", "32=100.00"))).expect("forwarded");
    let body: serde_json::Value = serde_json::from_slice(other.request.body()).expect("JSON");
    assert_eq!(
        (&body["buyerAccountId"], &body["sellerAccountId"], &body["quantity"]),
        (&json!("A-2"), &json!("A-1"), &json!(100))
    );
}

#[test]
fn what_trade_says_is_told_in_fix() {
    let refused = r#"{"title":"price off tick","detail":"10.001 is no multiple of 0.01","instance":"T-1"}"#;
    let lines = [
        reply(Ok((202, r#"{"tradeId":"T-1","status":"SUBMITTED"}"#))),
        reply(Ok((422, refused))),
        reply(Ok((400, r#"{"title":"bad field","detail":"quantity: is missing"}"#))),
        reply(Ok((409, r#"{"detail":"still in flight"}"#))),
        reply(Err(HttpError::Refused)),
        reply(Err(HttpError::TimedOut)),
    ];
    assert_snapshot!(lines.join("\n"), @r"
    202 8=FIX.4.4|9=102|35=AR|49=BELLWETHER|56=BROKER|34=7|52=20260306-14:30:00.123|571=R-1|487=0|150=F|55=IBM|939=0|1003=T-1|10=009|
    422 8=FIX.4.4|9=158|35=AR|49=BELLWETHER|56=BROKER|34=7|52=20260306-14:30:00.123|571=R-1|487=0|150=F|55=IBM|939=1|751=99|58=price off tick: 10.001 is no multiple of 0.01|1003=T-1|10=025|
    422 8=FIX.4.4|9=135|35=AR|49=BELLWETHER|56=BROKER|34=7|52=20260306-14:30:00.123|571=R-1|487=0|150=F|55=IBM|939=1|751=99|58=bad field: quantity: is missing|10=200|
    409 8=FIX.4.4|9=104|35=j|49=BELLWETHER|56=BROKER|34=7|52=20260306-14:30:00.123|45=7|372=AE|379=R-1|380=4|58=still in flight|10=041|
    503 (retry-after) 8=FIX.4.4|9=153|35=j|49=BELLWETHER|56=BROKER|34=7|52=20260306-14:30:00.123|45=7|372=AE|379=R-1|380=4|58=trade: nothing was done; repeat it with the same Idempotency-Key|10=213|
    504 (retry-after) 8=FIX.4.4|9=158|35=j|49=BELLWETHER|56=BROKER|34=7|52=20260306-14:30:00.123|45=7|372=AE|379=R-1|380=4|58=trade: it may have been done; repeat it with the same Idempotency-Key|10=058|
    ");
}

#[test]
fn a_reject_names_the_tag_and_the_reason() {
    let mut rejects = String::new();
    for (from, to) in [
        ("35=AE", "35=D"),
        ("49=BROKER|", ""),
        ("49=BROKER", "49=BRO KER"),
        ("34=7", "34=seven"),
        ("52=20260306-14:30:00.000", "52=2026-03-06"),
        ("571=R-1|", ""),
        ("571=R-1|", "571=R-1|571=R-2|"),
        ("570=N", "570=X"),
        ("570=N|", "570=N|487=1|"),
        ("570=N|", "570=N|150=H|"),
        ("32=100", "32=1.5"),
        ("32=100", "32=-1"),
        ("31=10.00", "31=ten"),
        ("75=20260306", "75=20260230"),
        ("60=20260306-14:29:59", "60=20260306-25:00:00"),
        ("55=IBM", "55=I BM"),
        ("552=2|", ""),
        ("552=2", "552=3"),
        ("54=2|37=O-2|1=A-2|", ""),
        ("54=2", "54=1"),
        ("54=2", "54=5"),
        ("37=O-2|", ""),
        ("1=A-2|", ""),
        ("54=2|37=O-2|", "37=O-2|54=2|"),
        ("54=1|", ""),
        ("55=IBM|", "55=IBM|1=A-1|"),
    ] {
        assert!(REPORT.contains(from), "{from}");
        let answer = admit(fix(&REPORT.replacen(from, to, 1))).expect_err(to);
        let body = String::from_utf8_lossy(answer.body()).into_owned();
        let (status, fields) =
            (answer.status().as_u16(), super::fix::decode(answer.body()).expect("a framed answer").fields);
        assert_eq!((status, fields[0].1.as_str()), (400, "3"), "{body}");
        let told: Vec<String> = fields
            .iter()
            .filter(|(tag, _)| [371, 373, 58].contains(tag))
            .map(|(tag, value)| format!("{tag}={value}"))
            .collect();
        rejects += &format!("{from} -> {to}: {}\n", told.join(" "));
    }
    assert_snapshot!(rejects, @r"
    35=AE -> 35=D: 371=35 373=11 58=only TradeCaptureReport (AE) is taken here
    49=BROKER| -> : 371=49 373=1 58=SenderCompID is required
    49=BROKER -> 49=BRO KER: 371=49 373=5 58=SenderCompID is not a plain name
    34=7 -> 34=seven: 371=34 373=6 58=`seven` is not a whole number
    52=20260306-14:30:00.000 -> 52=2026-03-06: 371=52 373=6 58=`2026-03-06` is not YYYYMMDD-HH:MM:SS[.sss]
    571=R-1| -> : 371=571 373=1 58=TradeReportID is required
    571=R-1| -> 571=R-1|571=R-2|: 371=571 373=13 58=TradeReportID appears twice
    570=N -> 570=X: 371=570 373=6 58=PreviouslyReported is Y or N
    570=N| -> 570=N|487=1|: 371=487 373=5 58=TradeReportTransType is 0: only new trades
    570=N| -> 570=N|150=H|: 371=150 373=5 58=ExecType is F: only new trades
    32=100 -> 32=1.5: 371=32 373=5 58=LastQty is not a whole number of shares
    32=100 -> 32=-1: 371=32 373=6 58=`-1` is not a whole number
    31=10.00 -> 31=ten: 371=31 373=6 58=`ten` is not a plain decimal number
    75=20260306 -> 75=20260230: 371=75 373=6 58=TradeDate is not YYYYMMDD
    60=20260306-14:29:59 -> 60=20260306-25:00:00: 371=60 373=6 58=`20260306-25:00:00` is not YYYYMMDD-HH:MM:SS[.sss]
    55=IBM -> 55=I BM: 371=55 373=5 58=` ` at position 1 is not allowed in an id
    552=2| -> : 371=54 373=14 58=a side's field outside the group of NoSides, or before Side
    552=2 -> 552=3: 371=552 373=5 58=NoSides is 2: a buyer and a seller
    54=2|37=O-2|1=A-2| -> : 371=552 373=16 58=1 sides follow NoSides=2
    54=2 -> 54=1: 371=54 373=5 58=one side buys and one sells
    54=2 -> 54=5: 371=54 373=5 58=Side is 1 (buy) or 2 (sell)
    37=O-2| -> : 371=37 373=1 58=OrderID is required
    1=A-2| -> : 371=1 373=1 58=Account is required
    54=2|37=O-2| -> 37=O-2|54=2|: 371=37 373=13 58=OrderID appears twice
    54=1| -> : 371=37 373=14 58=a side's field outside the group of NoSides, or before Side
    55=IBM| -> 55=IBM|1=A-1|: 371=1 373=14 58=a side's field outside the group of NoSides, or before Side
    ");
}

#[test]
fn broken_framing_is_rejected_to_whoever_sent_it() {
    let good = fix(REPORT).into_body();
    let text = String::from_utf8(good.to_vec()).expect("ASCII");
    let broken = text.replace("32=100", "32=900");
    let lines = [
        render(&admit(fix_bytes(broken.as_bytes())).expect_err("the sum is wrong")),
        render(&admit(fix_bytes(b"")).expect_err("nothing")),
        render(&admit(fix_bytes(b"hello")).expect_err("no FIX")),
    ];
    assert_snapshot!(lines.join("\n"), @r"
    400 8=FIX.4.4|9=112|35=3|49=BELLWETHER|56=BROKER|34=7|52=20260306-14:30:00.123|45=7|371=10|372=AE|373=5|58=CheckSum is 216, not 208|10=255|
    400 8=FIX.4.4|9=129|35=3|49=BELLWETHER|56=UNKNOWN|34=0|52=20260306-14:30:00.123|45=0|371=8|373=1|58=a message begins with BeginString and BodyLength|10=113|
    400 8=FIX.4.4|9=115|35=3|49=BELLWETHER|56=UNKNOWN|34=0|52=20260306-14:30:00.123|45=0|371=10|373=6|58=the message does not end with SOH|10=160|
    ");
}

/// Nothing that is sent makes the gateway panic, and only what is framed rightly is forwarded.
#[test]
fn no_damage_to_a_report_is_taken_for_a_report() {
    let good = fix(REPORT).into_body();
    let mut state = 7_u64;
    for _ in 0..3_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let draw = usize::try_from(state >> 33).expect("31 bits");
        let mut broken = good.to_vec();
        let at = draw % broken.len();
        match draw % 3 {
            0 => broken[at] ^= u8::try_from(1 + draw % 255).expect("a byte"),
            1 => drop(broken.remove(at)),
            _ => broken.truncate(at),
        }
        if broken != good {
            assert!(admit(fix_bytes(&broken)).is_err(), "{}", String::from_utf8_lossy(&broken));
        }
    }
}
