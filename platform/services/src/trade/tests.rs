//! The life of a trade, as the service tells it.

mod waiting;

use contracts::events::*;
use insta::assert_snapshot;

use super::*;
use crate::testing::Bench;

/// The id of the trade that `client-1` submits with key `k-1`.
const T1: &str = "6f707821751aee66060437bc04e53b9a";

const GOOD: &str =
    r#"{"instrumentId":"IBM","buyerAccountId":"A-1","sellerAccountId":"A-2","quantity":100,"price":"10.00"}"#;

/// Friday 2026-03-06 is open, and nothing is known of instruments and accounts.
fn empty() -> Bench<Trades> {
    let mut bench = Bench::new(Trades::default(), "2026-03-06T09:30:00-05:00");
    let sealed =
        VenueSealed { trade_date: "2026-03-05".into(), accepted: 0, next_trade_date: "2026-03-06".into() };
    bench.seed("venue/XNYS", Event::VenueSealed(sealed));
    bench
}

fn ibm() -> ReferenceDataEvent {
    let listed =
        InstrumentListed { instrument_id: "IBM".into(), currency: "USD".into(), tick: "0.01".into() };
    ReferenceDataEvent { kind: Some(Kind::InstrumentListed(listed)) }
}

fn account(id: &str) -> ReferenceDataEvent {
    let opened =
        AccountOpened { account_id: id.into(), participant_id: "P-1".into(), ..AccountOpened::default() };
    ReferenceDataEvent { kind: Some(Kind::AccountOpened(opened)) }
}

/// The same day, with IBM, A-1 and A-2.
fn bench() -> Bench<Trades> {
    let mut bench = empty();
    bench.message(ibm());
    bench.message(account("A-1"));
    bench.message(account("A-2"));
    bench
}

/// The trade as its acceptance published it.
fn accepted(bench: &Bench<Trades>) -> Option<Trade> {
    bench.published.iter().find_map(|outgoing| match &outgoing.message {
        Message::TradeSubmitted(submitted) => submitted.trade.clone(),
        _ => None,
    })
}

fn end_of_day(bench: &mut Bench<Trades>, date: &str) -> String {
    venue(bench, date, "endOfDay")
}

fn venue(bench: &mut Bench<Trades>, date: &str, kind: &str) -> String {
    let body = format!(r#"{{"venueId":"XNYS","tradeDate":"{date}","kind":"{kind}"}}"#);
    bench.post("/api/v1/venue", &format!("XNYS/{date}/{kind}"), &body)
}

#[test]
fn a_good_trade_is_accepted_for_the_open_trade_date() {
    let mut bench = bench();
    assert_snapshot!(bench.post("/api/v1/trades", "k-1", GOOD), @r#"
    command  client-1 POST /trades / k-1
    event    trade/6f7078… Received{trade=6f7078… A-1<-A-2 100 IBM @ 10.00 client=client-1}
    event    trade/6f7078… Accepted{trade_date=2026-03-06 currency=USD}
    publish  trade-submitted #1 from trade/6f7078… key A-2 date 2026-03-06 TradeSubmitted{trade=6f7078… A-1<-A-2 100 IBM @ 10.00 USD of 2026-03-06}
    put      trades 6f7078… | 2026-03-06 | A-1 | A-2 | IBM | 100 | 10.00 | USD | SUBMITTED | - | -
    put      accepted 6f7078… | 2026-03-06
    answer   202 {"status":"SUBMITTED","tradeId":"6f7078…"}
    "#);
    assert_snapshot!(bench.get(&format!("/api/v1/trades/{T1}")), @r#"answer   200 {"buyerAccountId":"A-1","currency":"USD","instrumentId":"IBM","price":"10.00","quantity":100,"reason":null,"sellerAccountId":"A-2","settlementDate":null,"status":"SUBMITTED","tradeDate":"2026-03-06","tradeId":"6f7078…"}"#);
}

/// The host's inbox answers most of them; this is what holds when it has forgotten.
#[test]
fn the_same_submission_again_is_answered_as_before() {
    let mut bench = bench();
    bench.post("/api/v1/trades", "k-1", GOOD);
    assert_snapshot!(bench.post("/api/v1/trades", "k-1", &GOOD.replace("10.00", "10.0")), @r#"
    command  client-1 POST /trades / k-1
    answer   202 {"status":"SUBMITTED","tradeId":"6f7078…"}
    "#);
    assert_snapshot!(bench.post("/api/v1/trades", "k-1", &GOOD.replace("100", "101")), @r"
    command  client-1 POST /trades / k-1
    reject   422 idempotency-key-reused [6f7078…] the key names another trade
    ");
    bench.post("/api/v1/trades", "k-2", &GOOD.replace("100", "0"));
    assert_snapshot!(bench.post("/api/v1/trades", "k-2", &GOOD.replace("100", "0")), @r"
    command  client-1 POST /trades / k-2
    reject   422 bad-quantity [acca3f…] 0 is not between 1 and 9223372036854775807
    ");
}

#[test]
fn a_refusal_is_a_trade_too() {
    let mut bench = bench();
    assert_snapshot!(bench.post("/api/v1/trades", "k-1", &GOOD.replace("10.00", "10.001")), @r"
    command  client-1 POST /trades / k-1
    event    trade/6f7078… Received{trade=6f7078… A-1<-A-2 100 IBM @ 10.001 client=client-1}
    event    trade/6f7078… Refused{by=trade reason=PriceOffTick detail=10.001 is no multiple of 0.01}
    publish  trade-rejected #1 from trade/6f7078… key A-2 date - TradeRejected{trade=6f7078… A-1<-A-2 100 IBM @ 10.001 by=trade reason=PriceOffTick detail=10.001 is no multiple of 0.01}
    put      trades 6f7078… | - | A-1 | A-2 | IBM | 100 | 10.001 | - | REJECTED | - | price-off-tick: 10.001 is no multiple of 0.01
    reject   422 price-off-tick [6f7078…] 10.001 is no multiple of 0.01
    ");
    assert_snapshot!(bench.get(&format!("/api/v1/trades/{T1}")), @r#"answer   200 {"buyerAccountId":"A-1","currency":null,"instrumentId":"IBM","price":"10.001","quantity":100,"reason":"price-off-tick: 10.001 is no multiple of 0.01","sellerAccountId":"A-2","settlementDate":null,"status":"REJECTED","tradeDate":null,"tradeId":"6f7078…"}"#);
}

#[test]
fn every_fault_of_form_has_its_reason() {
    let mut bench = bench();
    let mut refused = String::new();
    for (at, (from, to)) in [
        ("100", "0"),
        ("100", "9223372036854775808"),
        ("\"10.00\"", "\"0\""),
        ("\"10.00\"", "\"-10.00\""),
        ("\"10.00\"", "\"10.0000000001\""),
        ("A-1", "A-2"),
        ("\"quantity\"", "\"tradeDate\":\"2026-03-09\",\"quantity\""),
    ]
    .into_iter()
    .enumerate()
    {
        let lines = bench.post("/api/v1/trades", &format!("key-{at}"), &GOOD.replace(from, to));
        refused += lines.lines().last().expect("an answer at least");
        refused += "\n";
    }
    assert_snapshot!(refused, @r"
    reject   422 bad-quantity [ac2613…] 0 is not between 1 and 9223372036854775807
    reject   422 bad-quantity [4a7dd9…] 9223372036854775808 is not between 1 and 9223372036854775807
    reject   422 bad-price [97e6e2…] 0 is no price
    reject   422 bad-price [125b9e…] -10.00 is no price
    reject   422 price-off-tick [39b717…] 10.0000000001 is no price
    reject   422 same-account [75da46…] A-2 on both sides
    reject   422 wrong-trade-date [a7bee4…] the open trade date is 2026-03-06, not 2026-03-09
    ");
}

/// A price may be on tick and its product between two cents: nobody could pay it.
#[test]
fn an_amount_that_cannot_be_paid_is_refused() {
    let mut bench = bench();
    let listed =
        InstrumentListed { instrument_id: "SUB".into(), currency: "USD".into(), tick: "0.0001".into() };
    bench.message(ReferenceDataEvent { kind: Some(Kind::InstrumentListed(listed)) });
    let odd = GOOD.replace("IBM", "SUB").replace("100", "50").replace("10.00", "0.0051");
    assert_snapshot!(bench.post("/api/v1/trades", "k-1", &odd).lines().last().expect("an answer"), @"reject   422 bad-price [6f7078…] the exact value is not a whole number of minor units of USD");
    assert_snapshot!(bench.post("/api/v1/trades", "k-2", &odd.replace("0.0051", "0.0052")).lines().last().expect("one"), @r#"answer   202 {"status":"SUBMITTED","tradeId":"acca3f…"}"#);
}

#[test]
fn what_cannot_be_read_leaves_nothing() {
    let mut bench = bench();
    let mut refused = String::new();
    for (from, to) in [
        ("100", "-1"),
        ("100", "1.5"),
        ("\"10.00\"", "10.00"),
        ("\"10.00\"", "\"1e1\""),
        ("A-1", ""),
        ("quantity", "qty"),
        ("}", ""),
    ] {
        refused += &bench.post("/api/v1/trades", "k-1", &GOOD.replace(from, to));
    }
    assert_snapshot!(refused, @r#"
    answer   400 {"type":"https://bellwether.invalid/problems/bad-field","title":"bad field","status":400,"detail":"quantity: must be a whole number from 0"}
    answer   400 {"type":"https://bellwether.invalid/problems/bad-field","title":"bad field","status":400,"detail":"quantity: must be a whole number from 0"}
    answer   400 {"type":"https://bellwether.invalid/problems/bad-field","title":"bad field","status":400,"detail":"price: must be a text"}
    answer   400 {"type":"https://bellwether.invalid/problems/bad-field","title":"bad field","status":400,"detail":"price: `1e1` is not a plain decimal number"}
    answer   400 {"type":"https://bellwether.invalid/problems/bad-field","title":"bad field","status":400,"detail":"buyerAccountId: an id must not be empty"}
    answer   400 {"type":"https://bellwether.invalid/problems/bad-field","title":"bad field","status":400,"detail":"qty: is not known here; known are instrumentId, buyerAccountId, sellerAccountId, quantity, price, tradeDate"}
    answer   400 {"type":"https://bellwether.invalid/problems/malformed-json","title":"malformed json","status":400,"detail":"EOF while parsing an object at line 1 column 99"}
    "#);
    assert_eq!(bench.rows(&TRADES), "");
}

#[test]
fn the_end_of_day_seals_its_date_and_opens_the_next() {
    let mut bench = bench();
    assert_snapshot!(venue(&mut bench, "2026-03-06", "open"), @r#"
    command  client-1 POST /venue / XNYS/2026-03-06/open
    event    venue/XNYS VenueOpened{trade_date=2026-03-06}
    answer   200 {"kind":"open","tradeDate":"2026-03-06","venueId":"XNYS"}
    "#);
    bench.post("/api/v1/trades", "k-1", GOOD);
    bench.post("/api/v1/trades", "k-2", GOOD);
    bench.post("/api/v1/trades", "k-3", &GOOD.replace("100", "0"));
    assert_snapshot!(venue(&mut bench, "2026-03-06", "close"), @r#"
    command  client-1 POST /venue / XNYS/2026-03-06/close
    event    venue/XNYS VenueClosed{trade_date=2026-03-06}
    answer   200 {"kind":"close","tradeDate":"2026-03-06","venueId":"XNYS"}
    "#);
    bench.post("/api/v1/trades", "k-4", GOOD);
    assert_snapshot!(end_of_day(&mut bench, "2026-03-06"), @r#"
    command  client-1 POST /venue / XNYS/2026-03-06/endOfDay
    event    venue/XNYS VenueSealed{trade_date=2026-03-06 accepted=3 next_trade_date=2026-03-09}
    publish  trade-dates #1 from trade-date/2026-03-06 key 2026-03-06 date 2026-03-06 TradeDateSealed{venue_id=XNYS trade_date=2026-03-06 accepted=3}
    cancel   end_of_day/2026-03-06
    arm      venue_query/XNYS at 2026-03-09T20:30:00Z
    answer   200 {"kind":"endOfDay","tradeDate":"2026-03-06","venueId":"XNYS"}
    "#);
    bench.post("/api/v1/trades", "k-5", GOOD);
    assert_snapshot!(end_of_day(&mut bench, "2026-03-09"), @r#"
    command  client-1 POST /venue / XNYS/2026-03-09/endOfDay
    event    venue/XNYS VenueSealed{trade_date=2026-03-09 accepted=1 next_trade_date=2026-03-10}
    publish  trade-dates #1 from trade-date/2026-03-09 key 2026-03-09 date 2026-03-09 TradeDateSealed{venue_id=XNYS trade_date=2026-03-09 accepted=1}
    cancel   end_of_day/2026-03-09
    arm      venue_query/XNYS at 2026-03-10T20:30:00Z
    answer   200 {"kind":"endOfDay","tradeDate":"2026-03-09","venueId":"XNYS"}
    "#);
}

#[test]
fn venue_messages_come_doubled_and_in_any_order() {
    let mut bench = bench();
    let mut lines = String::new();
    for (date, kind) in [
        ("2026-03-06", "open"),
        ("2026-03-06", "open"),
        ("2026-03-06", "endOfDay"),
        ("2026-03-06", "endOfDay"),
        ("2026-03-06", "close"),
        ("2026-03-06", "open"),
        ("2026-03-10", "endOfDay"),
        ("2026-03-09", "endOfDay"),
        ("2026-03-07", "open"),
        ("2026-06-08", "endOfDay"),
    ] {
        lines += &venue(&mut bench, date, kind);
    }
    assert_snapshot!(lines, @r#"
    command  client-1 POST /venue / XNYS/2026-03-06/open
    event    venue/XNYS VenueOpened{trade_date=2026-03-06}
    answer   200 {"kind":"open","tradeDate":"2026-03-06","venueId":"XNYS"}
    command  client-1 POST /venue / XNYS/2026-03-06/open
    answer   200 {"kind":"open","tradeDate":"2026-03-06","venueId":"XNYS"}
    command  client-1 POST /venue / XNYS/2026-03-06/endOfDay
    event    venue/XNYS VenueSealed{trade_date=2026-03-06 next_trade_date=2026-03-09}
    publish  trade-dates #1 from trade-date/2026-03-06 key 2026-03-06 date 2026-03-06 TradeDateSealed{venue_id=XNYS trade_date=2026-03-06}
    cancel   end_of_day/2026-03-06
    arm      venue_query/XNYS at 2026-03-09T20:30:00Z
    answer   200 {"kind":"endOfDay","tradeDate":"2026-03-06","venueId":"XNYS"}
    command  client-1 POST /venue / XNYS/2026-03-06/endOfDay
    answer   200 {"kind":"endOfDay","tradeDate":"2026-03-06","venueId":"XNYS"}
    command  client-1 POST /venue / XNYS/2026-03-06/close
    answer   200 {"kind":"close","tradeDate":"2026-03-06","venueId":"XNYS"}
    command  client-1 POST /venue / XNYS/2026-03-06/open
    answer   200 {"kind":"open","tradeDate":"2026-03-06","venueId":"XNYS"}
    command  client-1 POST /venue / XNYS/2026-03-10/endOfDay
    arm      end_of_day/2026-03-10 at 2026-03-06T14:31:00Z
    answer   200 {"kind":"endOfDay","tradeDate":"2026-03-10","venueId":"XNYS"}
    command  client-1 POST /venue / XNYS/2026-03-09/endOfDay
    event    venue/XNYS VenueSealed{trade_date=2026-03-09 next_trade_date=2026-03-10}
    publish  trade-dates #1 from trade-date/2026-03-09 key 2026-03-09 date 2026-03-09 TradeDateSealed{venue_id=XNYS trade_date=2026-03-09}
    cancel   end_of_day/2026-03-09
    arm      venue_query/XNYS at 2026-03-10T20:30:00Z
    answer   200 {"kind":"endOfDay","tradeDate":"2026-03-09","venueId":"XNYS"}
    command  client-1 POST /venue / XNYS/2026-03-07/open
    reject   422 no-session XNYS holds no session on 2026-03-07
    command  client-1 POST /venue / XNYS/2026-06-08/endOfDay
    reject   422 too-far-ahead the open trade date is 2026-03-10
    "#);
    bench.at("2026-03-06T09:31:00-05:00");
    assert_snapshot!(bench.due_timers(), @r#"
    fire     end_of_day/2026-03-10
    event    venue/XNYS VenueSealed{trade_date=2026-03-10 next_trade_date=2026-03-11}
    publish  trade-dates #1 from trade-date/2026-03-10 key 2026-03-10 date 2026-03-10 TradeDateSealed{venue_id=XNYS trade_date=2026-03-10}
    cancel   end_of_day/2026-03-10
    arm      venue_query/XNYS at 2026-03-11T20:30:00Z
    answer   200 {"kind":"endOfDay","tradeDate":"2026-03-10","venueId":"XNYS"}
    "#);
}

#[test]
fn an_overdue_end_of_day_is_asked_for() {
    let mut bench = bench();
    let standing = bench.service.standing_timers(bench.now);
    assert_eq!(standing.len(), 1);
    assert_snapshot!(bench.timer(&standing[0].0), @"arm      venue_query/XNYS at 2026-03-06T21:30:00Z");
    bench.at("2026-03-06T16:30:00-05:00");
    assert_snapshot!(bench.due_timers(), @r"
    fire     venue_query/XNYS
    effect   venue_query/XNYS/2026-03-06
    ");
    assert_snapshot!(bench.effect_calls(EffectStep::Send), @"venue_query/XNYS/2026-03-06: venue GET /api/v1/venues/XNYS/trade-dates/2026-03-06");
    let query = "venue_query/XNYS/2026-03-06";
    let mut lines = String::new();
    lines += &bench.effect_answer(query, EffectStep::Send, 503, "");
    lines += &bench.effect_answer(query, EffectStep::Send, 200, r#"{"state":"CLOSED"}"#);
    lines += &bench.effect_answer(query, EffectStep::Send, 200, r#"{"state":"ENDED"}"#);
    assert_snapshot!(lines, @r#"
    again
    pending
    event    venue/XNYS VenueSealed{trade_date=2026-03-06 next_trade_date=2026-03-09}
    publish  trade-dates #1 from trade-date/2026-03-06 key 2026-03-06 date 2026-03-06 TradeDateSealed{venue_id=XNYS trade_date=2026-03-06}
    cancel   end_of_day/2026-03-06
    arm      venue_query/XNYS at 2026-03-09T20:30:00Z
    answer   200 {"kind":"endOfDay","tradeDate":"2026-03-06","venueId":"XNYS"}
    "#);
}

/// Steps come over several topics: any order, any number of times.
#[test]
fn the_furthest_step_is_kept_and_the_others_are_filed() {
    let mut bench = bench();
    bench.post("/api/v1/trades", "k-1", GOOD);
    let trade = accepted(&bench);
    let instruction = SettlementInstruction {
        trade: trade.clone(),
        settlement_date: "2026-03-09".into(),
        amount: "1000.00".into(),
    };
    let carried = SettlementFailed {
        trade: trade.clone(),
        reason: "AM04".into(),
        outcome: Some(Outcome::CarriedTo("2026-03-10".into())),
    };
    let completed = SettlementCompleted {
        trade: trade.clone(),
        amount: "1000.00".into(),
        settled_on: "2026-03-10".into(),
    };
    let mut lines = String::new();
    lines += &bench.message(instruction.clone());
    lines += &bench.message(TradeValidated { trade: trade.clone() });
    lines += &bench.message(carried.clone());
    lines += &bench.message(instruction);
    lines += &bench.message(completed.clone());
    lines += &bench.message(carried);
    lines += &bench.message(completed);
    let novated =
        TradeNovated { trade: trade.clone(), settlement_date: "2026-03-09".into(), obligations: vec![] };
    lines += &bench.message(novated);
    // A contradiction is filed, and changes nothing.
    let failed = SettlementFailed { trade, reason: "AM04".into(), outcome: Some(Outcome::Final(true)) };
    lines += &bench.message(failed);
    assert_snapshot!(lines, @r"
    event    trade/6f7078… Advanced{step=Instructed state=Instructed settlement_date=2026-03-09}
    put      trades 6f7078… | 2026-03-06 | A-1 | A-2 | IBM | 100 | 10.00 | USD | INSTRUCTED | 2026-03-09 | -
    event    trade/6f7078… Advanced{step=Validated state=Instructed}
    put      trades 6f7078… | 2026-03-06 | A-1 | A-2 | IBM | 100 | 10.00 | USD | INSTRUCTED | 2026-03-09 | -
    event    trade/6f7078… Advanced{step=Instructed state=Instructed settlement_date=2026-03-10 reason=AM04}
    put      trades 6f7078… | 2026-03-06 | A-1 | A-2 | IBM | 100 | 10.00 | USD | INSTRUCTED | 2026-03-10 | AM04
    nothing
    event    trade/6f7078… Advanced{step=Settled state=Settled settlement_date=2026-03-10}
    put      trades 6f7078… | 2026-03-06 | A-1 | A-2 | IBM | 100 | 10.00 | USD | SETTLED | 2026-03-10 | AM04
    nothing
    nothing
    event    trade/6f7078… Advanced{step=Cleared state=Settled settlement_date=2026-03-09}
    put      trades 6f7078… | 2026-03-06 | A-1 | A-2 | IBM | 100 | 10.00 | USD | SETTLED | 2026-03-10 | AM04
    event    trade/6f7078… Advanced{step=Failed state=Settled reason=AM04}
    put      trades 6f7078… | 2026-03-06 | A-1 | A-2 | IBM | 100 | 10.00 | USD | SETTLED | 2026-03-10 | AM04
    ");
}

#[test]
fn a_refusal_by_position_ends_the_trade() {
    let mut bench = bench();
    bench.post("/api/v1/trades", "k-1", GOOD);
    let rejected = |by: &str| TradeRejected {
        trade: accepted(&bench),
        by: by.into(),
        reason: RejectReason::Oversell.into(),
        detail: "free 3, wanted 100".into(),
    };
    let (own, positions) = (rejected("trade"), rejected("position"));
    assert_eq!(bench.message(own), "ignored\n");
    assert_snapshot!(bench.message(positions), @r"
    event    trade/6f7078… Advanced{step=Rejected state=Rejected reason=oversell: free 3, wanted 100}
    put      trades 6f7078… | 2026-03-06 | A-1 | A-2 | IBM | 100 | 10.00 | USD | REJECTED | - | oversell: free 3, wanted 100
    ");
}

#[test]
fn an_account_lists_what_it_bought_and_sold_on_a_date() {
    let mut bench = bench();
    bench.message(account("A-3"));
    bench.post("/api/v1/trades", "k-1", GOOD);
    bench.post("/api/v1/trades", "k-2", &GOOD.replace("A-2", "A-3"));
    bench.post("/api/v1/trades", "k-3", &GOOD.replace("A-1", "A-3"));
    let ids = |answer: String| -> Vec<String> {
        let (_, body) = answer.split_once('{').expect("a JSON body");
        let body: serde_json::Value = serde_json::from_str(&format!("{{{body}")).expect("JSON");
        let trades = body["trades"].as_array().expect("a list");
        trades
            .iter()
            .map(|trade| trade["buyerAccountId"].to_string() + &trade["sellerAccountId"].to_string())
            .collect()
    };
    let mut of_2 = ids(bench.get("/api/v1/trades?account=A-2&date=2026-03-06"));
    of_2.sort();
    assert_eq!(of_2, [r#""A-1""A-2""#, r#""A-3""A-2""#]);
    assert!(ids(bench.get("/api/v1/trades?account=A-2&date=2026-03-09")).is_empty());
    assert_snapshot!(bench.get("/api/v1/trades?account=A-2"), @r#"answer   400 {"type":"https://bellwether.invalid/problems/query-parameter-required","title":"query parameter required","status":400,"detail":"query parameter date"}"#);
    assert_snapshot!(bench.get("/api/v1/trades/none"), @r#"answer   404 {"type":"https://bellwether.invalid/problems/not-found","title":"not found","status":404,"detail":"trade none"}"#);
}
