//! What the bank says against itself, and the list of it.

use host::EffectStep::{Query, Send};
use insta::assert_snapshot;

use super::*;

fn refused(bench: &mut Bench<Payment>, key: &str) -> String {
    let answer = bench.post("/bank/notices", key, &refusal_of(BUYER_1));
    answer + &bench.due_timers()
}

#[test]
fn a_refusal_after_the_execution_is_heard_and_is_one_break() {
    let mut bench = bench();
    bench.message(instruction("buyer", 1));
    bench.effect_answer("T-1/buyer/1", Send, 200, EXECUTED);
    assert_snapshot!(refused(&mut bench, "R-1.refusal"), @r#"
    command  bank POST /bank/notices / R-1.refusal
    arm      refused/1/MS03/payment/T-1/buyer no later than 2026-03-09T22:00:00Z
    answer   200 {"reference":"R-1","status":"PAYMENT"}
    fire     refused/1/MS03/payment/T-1/buyer
    event    payment/T-1/buyer BreakOpened{subject=attempt 1 refused by notice, MS03 detail=it is known as executed}
    put      breaks 2f21e0… | 1773093600000 | payment/T-1/buyer | attempt 1 refused by notice, MS03 | it is known as executed
    "#);
    assert!(!refused(&mut bench, "R-1.again").contains("event"));
    assert!(bench.rows(&PAYMENTS).contains("| EXECUTED |"), "it is never a transition");
}

#[test]
fn a_refusal_before_the_answer_waits_for_it() {
    let mut bench = bench();
    bench.message(instruction("buyer", 1));
    let told = refused(&mut bench, "R-1.refusal");
    assert!(told.contains("event    payment/T-1/buyer RefusalTold{attempt=1"), "{told}");
    assert!(!refused(&mut bench, "R-1.again").contains("event"));
    let answer = bench.effect_answer("T-1/buyer/1", Query, 200, super::EXECUTED);
    assert!(answer.contains("Confirmed{attempt=1"), "{answer}");
    assert!(
        answer.contains("BreakOpened{subject=attempt 1 refused by notice, MS03 detail=it is executed}"),
        "{answer}"
    );
}

#[test]
fn a_refusal_that_the_bank_stands_by_is_none() {
    let mut bench = bench();
    bench.message(instruction("buyer", 1));
    refused(&mut bench, "R-1.refusal");
    let answer = bench.effect_answer("T-1/buyer/1", Query, 200, REFUSED);
    assert!(answer.contains("Refused{attempt=1") && !answer.contains("BreakOpened"), "{answer}");
    assert!(!refused(&mut bench, "R-1.again").contains("arm"));
}

#[test]
fn a_refusal_of_what_was_never_ordered_is_a_break() {
    let mut bench = bench();
    assert_snapshot!(refused(&mut bench, "R-1.refusal"), @r#"
    command  bank POST /bank/notices / R-1.refusal
    event    credit/R-1 BreakOpened{subject=notice: 1025.00 USD for CCP detail=it refuses be28b5c3-577e-4950-b6ea-35ef2f52894c, which is no payment of ours}
    put      breaks d4857d… | 1773093600000 | credit/R-1 | notice: 1025.00 USD for CCP | it refuses be28b5c3-577e-4950-b6ea-35ef2f52894c, which is no payment of ours
    answer   200 {"reference":"R-1","status":"UNKNOWN_PAYMENT"}
    "#);
}

#[test]
fn a_credit_after_the_refusal_is_one_break() {
    let mut bench = bench();
    bench.message(instruction("buyer", 1));
    bench.effect_answer("T-1/buyer/1", Query, 200, REFUSED);
    let answer = bench.post("/bank/notices", "credit", &notice_of(BUYER_1, "1025.00"));
    assert!(answer.contains("answer   200"), "{answer}");
    assert_snapshot!(bench.due_timers(), @r"
    fire     executed/1/payment/T-1/buyer
    event    payment/T-1/buyer BreakOpened{subject=attempt 1 executed detail=it is known as refused}
    put      breaks e182ed… | 1773093600000 | payment/T-1/buyer | attempt 1 executed | it is known as refused
    ");
    assert!(bench.rows(&PAYMENTS).contains("| REFUSED |"));
}

#[test]
fn operators_read_all_breaks_page_by_page() {
    let mut bench = bench();
    assert_eq!(bench.get("/api/v1/breaks"), "answer   200 {\"breaks\":[],\"next\":null}\n");
    bench.message(instruction("buyer", 1));
    bench.effect_answer("T-1/buyer/1", Send, 200, EXECUTED);
    refused(&mut bench, "R-1.refusal");
    read(&mut bench, 0, &[], 1);
    let first = bench.get("/api/v1/breaks?limit=1");
    assert!(first.contains(r#""openedAt":"2026-03-09T22:00:00Z","stream":"payment/T-1/buyer""#), "{first}");
    let row = bench.rows(&BREAKS);
    let id = row.lines().find(|row| row.contains("payment/T-1/buyer")).and_then(|row| row.split(' ').next());
    let after = format!("1773093600000.{}", id.expect("a row"));
    let second = bench.get(&format!("/api/v1/breaks?limit=1&after={after}"));
    assert!(second.contains(r#""stream":"statement","subject":"line 1: missing""#), "{second}");
    assert!(bench.get("/api/v1/breaks").ends_with("\"next\":null}\n"));
    for query in ["limit=0", "limit=1001", "after=first"] {
        let answer = bench.get(&format!("/api/v1/breaks?{query}"));
        assert!(answer.starts_with("answer   400"), "{answer}");
    }
}
