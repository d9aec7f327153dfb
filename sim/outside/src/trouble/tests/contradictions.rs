//! A bank that says the opposite of what its books have.

use super::*;

fn contradict(how: Contradiction) -> Bench<Bank> {
    let bench = bank();
    bench.troubles.begin(1, Trouble::Contradict { hits: Hits::ALL, how });
    bench
}

#[test]
fn an_execution_is_answered_as_refused_and_query_and_statement_have_it() {
    let mut bench = contradict(Contradiction::RefusedButExecuted);
    let (answer, facts) = bench.pay(0, 1, "40.00");
    assert_eq!((answer.as_str(), facts.len(), bench.troubles.met(1)), ("200 RJCT MS03", 1, 1));
    assert_eq!((bench.query(1, 1).as_str(), bench.balance("CCP").as_str()), ("200 ACSC", "40.00"));
    let statement = bench.get(1, "/statement?from=0").expect("a statement");
    assert_eq!(statement.body["entries"][0]["uetr"], json!(uetr(1)));
    assert_eq!(bench.pay(2, 2, "100.00").0, "200 RJCT AM04", "a true refusal is no contradiction");
    assert_eq!(bench.troubles.met(1), 1);
    bench.troubles.end(1);
    assert_eq!(bench.pay(3, 3, "1.00").0, "200 ACSC");
}

#[test]
fn a_refusal_is_answered_as_executed() {
    let mut bench = contradict(Contradiction::ExecutedButRefused);
    assert_eq!(bench.pay(0, 1, "100.01").0, "200 ACSC");
    assert_eq!((bench.query(1, 1).as_str(), bench.balance("CCP").as_str()), ("200 RJCT AM04", "0.00"));
    assert_eq!(bench.pay(2, 2, "1.00").0, "200 ACSC");
    assert_eq!(bench.troubles.met(1), 1);
    bench.troubles.end(1);
    assert_eq!(bench.pay(3, 3, "100.01").0, "200 RJCT AM04");
}

#[test]
fn a_query_is_answered_as_if_the_order_had_never_come() {
    let mut bench = contradict(Contradiction::UnknownButTaken);
    assert_eq!(bench.pay(0, 1, "40.00").0, "200 ACSC");
    let seen = bench.get(5, &format!("/payments/{}", uetr(1))).expect("an answer");
    assert_eq!((seen.status, seen.body), (404, json!({ "bankTime": at(5).to_string() })));
    assert_eq!(bench.query(6, 2), "404 - -");
    assert_eq!(bench.troubles.met(1), 1, "what it does not know is no contradiction");
    bench.troubles.end(1);
    assert_eq!(bench.query(7, 1), "200 ACSC");
}

#[test]
fn an_execution_is_followed_by_a_notice_of_its_refusal() {
    let mut bench = contradict(Contradiction::RefusalAfterExecution { after: seconds(60) });
    assert_eq!(bench.pay(0, 1, "40.00").0, "200 ACSC");
    bench.pay(0, 2, "100.00");
    let (posts, facts) = bench.until(600);
    let [(60, notice)] = posts.as_slice() else { panic!("{posts:?}") };
    assert_eq!((&body(notice)["status"], &body(notice)["uetr"]), (&json!("RJCT"), &json!(uetr(1))));
    assert_eq!((facts, bench.balance("CCP").as_str(), bench.troubles.met(1)), (vec![], "40.00", 1));
    bench.troubles.end(1);
    bench.pay(600, 3, "1.00");
    assert!(bench.until(1_200).0.is_empty());
}

#[test]
fn a_refusal_is_followed_by_a_notice_of_the_credit() {
    let mut bench = contradict(Contradiction::CreditAfterRefusal { after: seconds(60) });
    assert_eq!(bench.pay(0, 1, "100.01").0, "200 RJCT AM04");
    let payout = json!({
        "uetr": uetr(2), "account": "A001", "amount": "100.01", "currency": "USD",
        "validUntil": at(60).as_millisecond(),
    });
    assert_eq!(line(bench.post(0, "/payouts", &payout).0), "200 RJCT AM04");
    let (posts, _) = bench.until(600);
    let [(60, notice)] = posts.as_slice() else { panic!("nobody gets a notice of a payout: {posts:?}") };
    let expected = json!({
        "reference": uetr(1), "account": "CCP", "amount": "100.01", "currency": "USD", "uetr": uetr(1),
    });
    assert_eq!((body(notice), bench.query(600, 1).as_str()), (expected, "200 RJCT AM04"));
    bench.troubles.end(1);
    bench.pay(600, 3, "100.01");
    assert!(bench.until(1_200).0.is_empty());
}
