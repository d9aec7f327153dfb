use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::draw::tests_support::streams;

const UETR: &str = "0b3f1c5a-6a1e-4c2d-9b7a-3f2e1d0c9b8a";
const START: &str = "2026-03-09T22:00:00Z";

fn at(seconds: u64) -> Timestamp {
    later(START.parse().expect("an instant"), Duration::from_secs(seconds))
}

fn usd(text: &str) -> Money {
    Money::parse(text, model::Currency::USD).expect("an amount")
}

fn prompt() -> BankSettings {
    BankSettings { pending_ppm: 0, ..BankSettings::default() }
}

fn bank(settings: BankSettings) -> Bank {
    let opening = [("A001", "100.00"), ("A002", "0.00"), ("CCP", "0.00")];
    let opening = opening.map(|(account, cash)| (account.to_owned(), usd(cash)));
    Bank::new(opening, settings, &mut streams(1))
}

fn call(bank: &mut Bank, now: Timestamp, request: Request<Bytes>) -> (u16, Value, Vec<Fact>) {
    let handled = bank.handle(now, &request);
    let response = handled.response().expect("this bank answers");
    (response.status().as_u16(), serde_json::from_slice(response.body()).expect("JSON"), handled.facts)
}

fn post(bank: &mut Bank, now: Timestamp, path: &str, body: &Value) -> (u16, Value, Vec<Fact>) {
    let request = Request::post(path).body(Bytes::from(body.to_string())).expect("a request");
    call(bank, now, request)
}

fn get(bank: &mut Bank, now: Timestamp, path: &str) -> (u16, Value) {
    let request = Request::get(path).body(Bytes::new()).expect("a request");
    let (status, body, _) = call(bank, now, request);
    (status, body)
}

fn order(amount: &str, valid_until: Timestamp) -> Value {
    json!({
        "uetr": UETR, "debtor": "A001", "creditor": "CCP", "amount": amount, "currency": "USD",
        "validUntil": valid_until.to_string(),
    })
}

/// One line per answer: status, outcome, reason, and how many movements or refusals it made.
fn line((status, body, facts): &(u16, Value, Vec<Fact>)) -> String {
    let text = |name: &str| body[name].as_str().unwrap_or("-").to_owned();
    format!("{status} {} {} {}", text("status"), text("reason"), facts.len())
}

fn balances(bank: &Bank) -> Vec<String> {
    bank.balances().values().map(|balance| balance.amount().to_string()).collect()
}

#[test]
fn a_payment_moves_cash_once_within_the_window() {
    let mut bank = bank(prompt());
    let order = order("40.00", at(3600));
    let first = post(&mut bank, at(0), "/payments", &order);
    assert_eq!(line(&first), "200 ACSC  1");
    let expected = BankMovement {
        kind: BankKind::Executed,
        uetr: UETR.to_owned(),
        debtor: "A001".to_owned(),
        creditor: "CCP".to_owned(),
        amount: "40.00".to_owned(),
        reference: "B000000001".to_owned(),
    };
    assert_eq!(first.2, [Fact::Bank(expected)]);

    let again = post(&mut bank, at(86_399), "/payments", &order);
    assert_eq!(line(&again), "200 ACSC  0");
    assert_eq!((&again.1["reference"], &first.1["reference"]), (&json!("B000000001"), &json!("B000000001")));
    assert_eq!(balances(&bank), ["60.00", "0.00", "40.00"]);
}

#[test]
fn after_the_window_only_the_end_of_validity_protects() {
    let mut bank = bank(prompt());
    let (short, long) = (order("40.00", at(3600)), order("40.00", at(200_000)));
    post(&mut bank, at(0), "/payments", &short);
    assert_eq!(line(&post(&mut bank, at(86_400), "/payments", &short)), "200 ACSC  1");
    assert_eq!(balances(&bank)[0], "60.00", "refused as too late");
    let (_, query) = get(&mut bank, at(86_401), &format!("/payments/{UETR}"));
    assert_eq!(query["status"], "ACSC", "what was executed is answered for ever");

    let mut careless = self::bank(prompt());
    post(&mut careless, at(0), "/payments", &long);
    post(&mut careless, at(86_400), "/payments", &long);
    assert_eq!(balances(&careless)[0], "20.00", "paid twice");
}

#[test]
fn the_same_uetr_with_other_content_is_a_conflict() {
    let mut bank = bank(prompt());
    post(&mut bank, at(0), "/payments", &order("40.00", at(3600)));
    let other = post(&mut bank, at(1), "/payments", &order("41.00", at(3600)));
    assert_eq!(line(&other), "409 - - 0");
    assert_eq!(balances(&bank)[0], "60.00");
}

#[test]
fn refusals_have_a_reason_and_are_final() {
    let changed = |name: &str, value: &str| {
        let mut order = order("40.00", at(3600));
        order[name] = json!(value);
        order
    };
    for (body, reason) in [
        (order("100.01", at(3600)), "AM04"),
        (order("1.00", START.parse::<Timestamp>().expect("an instant")), "TM01"),
        (changed("debtor", "A009"), "AC01"),
        (changed("creditor", "A009"), "AC01"),
        (changed("creditor", "A001"), "AG01"),
    ] {
        let mut bank = bank(prompt());
        let refused = post(&mut bank, at(1), "/payments", &body);
        assert_eq!(line(&refused), format!("200 RJCT {reason} 1"));
        let Fact::Bank(movement) = &refused.2[0] else { panic!("no fact of the bank") };
        assert_eq!((movement.kind, movement.reference.as_str()), (BankKind::Refused, reason));
        let account = json!({ "account": "A001", "amount": "500.00" });
        post(&mut bank, at(2), "/deposits", &account);
        assert_eq!(line(&post(&mut bank, at(3), "/payments", &body)), format!("200 RJCT {reason} 0"));
        assert_eq!(balances(&bank), ["600.00", "0.00", "0.00"]);
    }
}

#[test]
fn what_does_not_read_leaves_nothing() {
    let mut bank = bank(prompt());
    let changed = |name: &str, value: Value| {
        let mut order = order("40.00", at(3600));
        order[name] = value;
        order
    };
    for body in [
        changed("amount", json!(40)),
        changed("amount", json!("-1.00")),
        changed("amount", json!("0")),
        changed("amount", json!("1.001")),
        changed("currency", json!("EUR")),
        changed("uetr", json!("mine")),
        changed("validUntil", json!("tomorrow")),
        changed("urgent", json!(true)),
    ] {
        assert_eq!(line(&post(&mut bank, at(0), "/payments", &body)), "400 - - 0", "{body}");
    }
    assert_eq!(get(&mut bank, at(0), &format!("/payments/{UETR}")).0, 404);
}

#[test]
fn a_query_for_an_unknown_payment_tells_the_time_of_the_bank() {
    let mut bank = bank(prompt());
    let (status, body) = get(&mut bank, at(5), &format!("/payments/{UETR}"));
    assert_eq!((status, body), (404, json!({ "bankTime": "2026-03-09T22:00:05Z" })));
}

#[test]
fn a_pending_payment_moves_cash_at_its_time() {
    let settings = BankSettings { pending_ppm: 1_000_000, ..BankSettings::default() };
    let mut bank = bank(settings);
    let body = order("40.00", at(1));
    assert_eq!(line(&post(&mut bank, at(0), "/payments", &body)), "200 PDNG  0");
    assert_eq!(line(&post(&mut bank, at(0), "/payments", &body)), "200 PDNG  0");
    assert_eq!(balances(&bank)[0], "100.00");

    let due = bank.next_due().expect("it is pending");
    assert!(due > at(0) && due <= at(20));
    assert_eq!(bank.due(due).facts.len(), 1);
    assert_eq!(bank.next_due(), None);
    assert_eq!(line(&post(&mut bank, at(30), "/payments", &body)), "200 ACSC  0");
    assert_eq!(balances(&bank)[0], "60.00");
}

#[test]
fn a_payout_leaves_for_the_outside_world() {
    let mut bank = bank(prompt());
    let body = json!({
        "uetr": UETR, "account": "A001", "amount": "99.99", "currency": "USD",
        "validUntil": at(60).as_millisecond(),
    });
    let paid = post(&mut bank, at(0), "/payouts", &body);
    assert_eq!(line(&paid), "200 ACSC  1");
    let Fact::Bank(movement) = &paid.2[0] else { panic!("no fact of the bank") };
    assert_eq!((movement.kind, movement.creditor.as_str()), (BankKind::PaidOut, "WORLD"));
    assert_eq!(balances(&bank), ["0.01", "0.00", "0.00"]);
    assert_eq!(get(&mut bank, at(1), &format!("/payments/{UETR}")).1["status"], "ACSC");
}

#[test]
fn a_deposit_is_told_by_a_notice_until_it_is_heard() {
    let mut bank = bank(prompt());
    let body = json!({ "account": "A002", "amount": "7.50", "reference": "in-000001" });
    let first = post(&mut bank, at(0), "/deposits", &body);
    assert_eq!(line(&first), "201 ACSC  1");
    assert_eq!(line(&post(&mut bank, at(1), "/deposits", &body)), "201 ACSC  0");
    let other = json!({ "account": "A002", "amount": "7.51", "reference": "in-000001" });
    assert_eq!(line(&post(&mut bank, at(1), "/deposits", &other)), "409 - - 0");
    assert_eq!(balances(&bank)[1], "7.50");

    let due = bank.next_due().expect("a notice");
    let posts = bank.due(due).posts;
    let [notice] = posts.as_slice() else { panic!("{posts:?}") };
    assert_eq!((notice.to, notice.key.as_str()), ("payment", "B000000001"));
    assert_eq!(notice.request.uri().path(), "/bank/notices");
    assert_eq!(header_text(&notice.request, IDEMPOTENCY_KEY), Some("B000000001"));
    let body: Value = serde_json::from_slice(notice.request.body()).expect("JSON");
    let expected =
        json!({ "reference": "B000000001", "account": "A002", "amount": "7.50", "currency": "USD" });
    assert_eq!(body, expected);

    bank.answered(due, &notice.key, StatusCode::BAD_GATEWAY);
    let again = bank.next_due().expect("the notice again");
    assert_eq!(again, later(due, Duration::from_secs(30)));
    assert_eq!(bank.due(again).posts.len(), 1);
    bank.answered(again, &notice.key, StatusCode::OK);
    assert_eq!(bank.next_due(), None);
}

#[test]
fn nobody_pays_into_an_account_that_is_not_there() {
    let mut bank = bank(prompt());
    let body = json!({ "account": "A009", "amount": "7.50", "reference": "in-000001" });
    assert_eq!(line(&post(&mut bank, at(0), "/deposits", &body)), "422 RJCT AC01 1");
    assert_eq!(
        (line(&post(&mut bank, at(0), "/deposits", &body)).as_str(), bank.next_due()),
        ("422 RJCT AC01 0", None)
    );
}

#[test]
fn the_statement_has_every_movement_in_order_and_no_refusal() {
    let mut bank = bank(prompt());
    post(&mut bank, at(0), "/payments", &order("40.00", at(3600)));
    post(&mut bank, at(1), "/deposits", &json!({ "account": "A002", "amount": "5.00" }));
    post(&mut bank, at(2), "/deposits", &json!({ "account": "A009", "amount": "5.00" }));
    let (status, body) = get(&mut bank, at(3), "/statement?from=0");
    assert_eq!((status, &body["next"]), (200, &json!(2)));
    let kinds: Vec<&Value> =
        body["entries"].as_array().expect("a list").iter().map(|entry| &entry["kind"]).collect();
    assert_eq!(kinds, ["payment", "deposit"]);
    let (_, rest) = get(&mut bank, at(3), "/statement?from=1");
    let expected = json!([{
        "sequence": 2, "reference": "B000000002", "kind": "deposit", "uetr": "", "debtor": "WORLD",
        "creditor": "A002", "amount": "5.00", "currency": "USD", "at": "2026-03-09T22:00:01Z",
    }]);
    assert_eq!(rest["entries"], expected);
    let (_, first) = get(&mut bank, at(3), "/statement?from=0&limit=1");
    assert_eq!((&first["entries"][0]["sequence"], &first["next"]), (&json!(1), &json!(1)));
    assert_eq!(get(&mut bank, at(3), "/statement?from=9").1["next"], 9);
    assert_eq!(get(&mut bank, at(3), "/statement?from=all").0, 400);
}

/// A request to the bank, of few names, so that they meet.
#[derive(Clone, Debug)]
enum Ask {
    Pay { uetr: u8, debtor: u8, creditor: u8, cents: u32, valid_for: u32 },
    PayOut { uetr: u8, account: u8, cents: u32 },
    Deposit { account: u8, cents: u32, reference: u8 },
    Wait,
}

fn asks() -> impl Strategy<Value = Vec<(u32, Ask)>> {
    let ask = prop_oneof![
        4 => (0..6_u8, 0..5_u8, 0..5_u8, 1..20_000_u32, 0..200_000_u32)
            .prop_map(|(uetr, debtor, creditor, cents, valid_for)| Ask::Pay { uetr, debtor, creditor, cents, valid_for }),
        2 => (0..6_u8, 0..5_u8, 1..20_000_u32).prop_map(|(uetr, account, cents)| Ask::PayOut { uetr, account, cents }),
        2 => (0..5_u8, 1..20_000_u32, 0..4_u8)
            .prop_map(|(account, cents, reference)| Ask::Deposit { account, cents, reference }),
        1 => Just(Ask::Wait),
    ];
    proptest::collection::vec((0..40_000_u32, ask), 1..80)
}

fn cents(cents: u32) -> String {
    Money::from_minor(cents.into(), model::Currency::USD).expect("small").amount().to_string()
}

fn send(bank: &mut Bank, now: Timestamp, ask: &Ask) -> Vec<Fact> {
    let name = |account: u8| format!("A{account:03}");
    let uetr = |uetr: u8| format!("0b3f1c5a-6a1e-4c2d-9b7a-00000000000{uetr}");
    let (path, body) = match ask {
        Ask::Pay { uetr: id, debtor, creditor, cents: amount, valid_for } => {
            let valid_until = later(now, Duration::from_secs((*valid_for).into())).to_string();
            let body = json!({
                "uetr": uetr(*id), "debtor": name(*debtor), "creditor": name(*creditor),
                "amount": cents(*amount), "currency": "USD", "validUntil": valid_until,
            });
            ("/payments", body)
        }
        Ask::PayOut { uetr: id, account, cents: amount } => {
            let body = json!({
                "uetr": uetr(*id), "account": name(*account), "amount": cents(*amount), "currency": "USD",
                "validUntil": "2030-01-01T00:00:00Z",
            });
            ("/payouts", body)
        }
        Ask::Deposit { account, cents: amount, reference } => {
            let body = json!({
                "account": name(*account), "amount": cents(*amount), "reference": reference.to_string(),
            });
            ("/deposits", body)
        }
        Ask::Wait => return bank.due(now).facts,
    };
    post(bank, now, path, &body).2
}

/// The cash that a movement brings in, or takes out.
fn change(movement: &BankMovement) -> i128 {
    let amount = usd(&movement.amount).minor();
    match movement.kind {
        BankKind::Deposited => amount,
        BankKind::PaidOut => -amount,
        BankKind::Executed | BankKind::Refused => 0,
    }
}

proptest! {
    #[test]
    fn cash_is_conserved_and_no_account_overdrawn(asks in asks(), pending_ppm in 0..1_000_000_u32) {
        let opening = (0..4).map(|number| (format!("A{number:03}"), usd("100.00")));
        let settings = BankSettings { pending_ppm, ..BankSettings::default() };
        let mut bank = Bank::new(opening, settings, &mut streams(2));
        let (mut now, mut expected) = (at(0), usd("400.00").minor());
        let mut told = Vec::new();
        for (pause, ask) in asks.iter().chain([&(100_000, Ask::Wait)]) {
            now = later(now, Duration::from_secs((*pause).into()));
            let facts = send(&mut bank, now, ask);
            let movements = facts.into_iter().map(|fact| match fact {
                Fact::Bank(movement) => movement,
                other => panic!("{other:?} is not the bank's to tell"),
            });
            for movement in movements {
                expected += change(&movement);
                told.push(movement);
            }
            let sum: i128 = bank.balances().values().map(|balance| balance.minor()).sum();
            prop_assert_eq!(sum, expected);
            prop_assert!(bank.balances().values().all(|balance| !balance.is_negative()));
        }
        let executed: Vec<&BankMovement> = told.iter().filter(|told| told.kind != BankKind::Refused).collect();
        let entered: Vec<&BankMovement> = bank.books.entries().iter().map(|entry| &entry.movement).collect();
        prop_assert_eq!(executed, entered);
    }

    #[test]
    fn a_uetr_moves_cash_at_most_once_within_a_window(asks in asks(), pending_ppm in 0..1_000_000_u32) {
        let opening = (0..4).map(|number| (format!("A{number:03}"), usd("1000.00")));
        let window = Duration::from_secs(10 * 365 * 86_400);
        let settings = BankSettings { pending_ppm, deduplication_window: window, ..BankSettings::default() };
        let mut bank = Bank::new(opening, settings, &mut streams(3));
        let mut now = at(0);
        for (pause, ask) in &asks {
            now = later(now, Duration::from_secs((*pause).into()));
            send(&mut bank, now, ask);
            send(&mut bank, now, ask);
        }
        let mut uetrs: Vec<&str> =
            bank.books.entries().iter().map(|entry| entry.movement.uetr.as_str()).filter(|uetr| !uetr.is_empty()).collect();
        let all = uetrs.len();
        uetrs.sort_unstable();
        uetrs.dedup();
        prop_assert_eq!(uetrs.len(), all);
    }
}
