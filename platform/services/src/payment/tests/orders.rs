//! Payments: attempts, answers, silence, contradictions.

use host::EffectStep::{Query, Send};
use insta::assert_snapshot;

use super::*;

#[test]
fn an_instruction_is_an_order_to_the_bank_under_its_own_uetr() {
    let mut bench = bench();
    assert_snapshot!(bench.message(instruction("buyer", 1)), @r"
    event    payment/T-1/buyer Instructed{leg_id=T-1/buyer trade_id=T-1 debtor=A-1 creditor=CCP amount=1025.00 currency=USD settlement_date=2026-03-09 attempt=1 valid_until_ms=1773100800000 trade_date=2026-03-06}
    put      payments be28b5c3-577e-4950-b6ea-35ef2f52894c | payment/T-1/buyer | 1 | UNDER_WAY | 1025.00 | USD
    effect   T-1/buyer/1 until 2026-03-10T00:00:00Z
    ");
    assert_eq!(bench.message(instruction("buyer", 1)), "nothing\n");
    assert!(bench.effect_calls(Query).contains(BUYER_1));
    assert_snapshot!(bench.effect_calls(Send), @r#"T-1/buyer/1: bank POST /payments {"amount":"1025.00","creditor":"CCP","currency":"USD","debtor":"B-1","uetr":"be28b5c3-577e-4950-b6ea-35ef2f52894c","validUntil":1773100800000}"#);
    assert_snapshot!(bench.effect_calls(Query), @"T-1/buyer/1: bank GET /payments/be28b5c3-577e-4950-b6ea-35ef2f52894c");
    assert!(bench.queries("T-1/buyer/1"), "silence is resolved by asking, never by sending again");
}

#[test]
fn an_execution_is_believed_at_once_and_told_under_the_participants_key() {
    let mut bench = bench();
    for leg in ["buyer", "seller"] {
        bench.message(instruction(leg, 1));
    }
    assert_snapshot!(bench.effect_answer("T-1/buyer/1", Send, 201, EXECUTED), @r"
    event    payment/T-1/buyer Confirmed{attempt=1 uetr=be28b5c3-577e-4950-b6ea-35ef2f52894c}
    publish  payment-events #1 from payment/T-1/buyer key A-1 date 2026-03-06 PaymentEvent{outcome=Confirmed leg_id=T-1/buyer trade_id=T-1 uetr=be28b5c3-577e-4950-b6ea-35ef2f52894c debtor=A-1 creditor=CCP amount=1025.00 currency=USD attempt=1 bank_reference=B-17}
    put      payments be28b5c3-577e-4950-b6ea-35ef2f52894c | payment/T-1/buyer | 1 | EXECUTED | 1025.00 | USD
    ");
    assert_snapshot!(bench.effect_answer("T-1/seller/1", Query, 200, EXECUTED), @r"
    event    payment/T-1/seller Confirmed{attempt=1 uetr=e127c738-f4f6-4123-9201-528c47bafed7}
    publish  payment-events #1 from payment/T-1/seller key A-2 date 2026-03-06 PaymentEvent{outcome=Confirmed leg_id=T-1/seller trade_id=T-1 uetr=e127c738-f4f6-4123-9201-528c47bafed7 debtor=CCP creditor=A-2 amount=1025.00 currency=USD attempt=1 bank_reference=B-17}
    put      payments e127c738-f4f6-4123-9201-528c47bafed7 | payment/T-1/seller | 1 | EXECUTED | 1025.00 | USD
    ");
    assert_eq!(bench.message(instruction("buyer", 1)), "nothing\n");
    assert_eq!(bench.effect_calls(Send), "", "nothing is left to be sent");
}

#[test]
fn a_refusal_is_definite_only_as_the_answer_to_a_query() {
    let mut bench = bench();
    bench.message(instruction("buyer", 1));
    assert_eq!(bench.effect_answer("T-1/buyer/1", Send, 200, REFUSED), "pending\n");
    assert_snapshot!(bench.effect_answer("T-1/buyer/1", Query, 200, REFUSED), @r"
    event    payment/T-1/buyer Refused{attempt=1 uetr=be28b5c3-577e-4950-b6ea-35ef2f52894c reason=AM04}
    publish  payment-events #1 from payment/T-1/buyer key A-1 date 2026-03-06 PaymentEvent{outcome=Refused leg_id=T-1/buyer trade_id=T-1 uetr=be28b5c3-577e-4950-b6ea-35ef2f52894c debtor=A-1 creditor=CCP amount=1025.00 currency=USD attempt=1 reason=AM04}
    put      payments be28b5c3-577e-4950-b6ea-35ef2f52894c | payment/T-1/buyer | 1 | REFUSED | 1025.00 | USD
    ");
}

#[test]
fn what_is_not_an_outcome_leaves_the_order_under_way() {
    let mut bench = bench();
    bench.message(instruction("buyer", 1));
    for (step, status, body, answer) in [
        (Send, 200, PENDING, "pending\n"),
        (Query, 200, PENDING, "pending\n"),
        (Send, 503, "", "again\n"),
        (Query, 429, "", "again\n"),
        (Send, 409, "{}", "pending\n"),
        (Send, 200, "not JSON", "pending\n"),
        (Query, 200, r#"{"status":"ACCP"}"#, "pending\n"),
        (Query, 404, r#"{"bankTime":"2026-03-09T22:00:01Z"}"#, "not found at 2026-03-09T22:00:01Z\n"),
        (Query, 404, r#"{"bankTime":1773093601000}"#, "not found at 2026-03-09T22:00:01Z\n"),
        (Query, 404, "no such path", "again\n"),
    ] {
        assert_eq!(
            bench.effect_answer("T-1/buyer/1", step, status, body),
            answer,
            "{step:?} {status} {body}"
        );
    }
}

#[test]
fn an_order_that_the_bank_never_knew_is_refused_when_its_time_is_over() {
    let mut bench = bench();
    bench.message(instruction("buyer", 1));
    assert_snapshot!(bench.effect_expired("T-1/buyer/1"), @r"
    event    payment/T-1/buyer Refused{attempt=1 uetr=be28b5c3-577e-4950-b6ea-35ef2f52894c reason=TM01}
    publish  payment-events #1 from payment/T-1/buyer key A-1 date 2026-03-06 PaymentEvent{outcome=Refused leg_id=T-1/buyer trade_id=T-1 uetr=be28b5c3-577e-4950-b6ea-35ef2f52894c debtor=A-1 creditor=CCP amount=1025.00 currency=USD attempt=1 reason=TM01}
    put      payments be28b5c3-577e-4950-b6ea-35ef2f52894c | payment/T-1/buyer | 1 | REFUSED | 1025.00 | USD
    ");
}

#[test]
fn a_new_attempt_follows_a_refusal_and_has_a_new_uetr() {
    let mut bench = bench();
    bench.message(instruction("buyer", 1));
    bench.effect_answer("T-1/buyer/1", Query, 200, REFUSED);
    assert_eq!(bench.message(instruction("buyer", 1)), "nothing\n", "a late duplicate");
    bench.message(instruction("buyer", 2));
    let calls = bench.effect_calls(Send);
    assert!(calls.starts_with("T-1/buyer/2: bank POST /payments") && !calls.contains(BUYER_1), "{calls}");
    assert!(bench.effect_answer("T-1/buyer/2", Send, 200, EXECUTED).contains("Confirmed{attempt=2"));
    assert_snapshot!(bench.rows(&PAYMENTS), @r"
    694f7e1b-99e0-47dd-84d1-f6a0fdce3f29 | payment/T-1/buyer | 2 | EXECUTED | 1025.00 | USD
    be28b5c3-577e-4950-b6ea-35ef2f52894c | payment/T-1/buyer | 1 | REFUSED | 1025.00 | USD
    ");
}

#[test]
fn a_new_attempt_before_a_refusal_is_a_break_and_is_not_sent() {
    let mut bench = bench();
    bench.message(instruction("buyer", 1));
    assert_snapshot!(bench.message(instruction("buyer", 2)), @r"
    event    payment/T-1/buyer BreakOpened{subject=attempt 2 instructed detail=attempt 1 is not refused}
    put      breaks 17e7ac… | 1773093600000 | payment/T-1/buyer | attempt 2 instructed | attempt 1 is not refused
    ");
    assert_eq!(bench.message(instruction("buyer", 2)), "nothing\n");
    bench.effect_answer("T-1/buyer/1", Send, 200, EXECUTED);
    assert!(bench.message(instruction("buyer", 3)).contains("BreakOpened"), "it is paid");
    assert_eq!(bench.effect_calls(Send), "");
}

#[test]
fn a_later_contradiction_opens_one_break_and_changes_nothing() {
    let mut bench = bench();
    bench.message(instruction("buyer", 1));
    bench.effect_expired("T-1/buyer/1");
    assert_snapshot!(bench.timer("executed/1/payment/T-1/buyer"), @r"
    event    payment/T-1/buyer BreakOpened{subject=attempt 1 executed detail=it is known as refused}
    put      breaks e182ed… | 1773093600000 | payment/T-1/buyer | attempt 1 executed | it is known as refused
    ");
    assert_eq!(bench.timer("executed/1/payment/T-1/buyer"), "nothing\n");
    assert!(bench.timer("executed/7/payment/T-1/buyer").contains("it was never instructed"));
    assert_eq!(bench.timer("executed/1/payment/T-2/buyer"), "nothing\n", "no such payment");
}

#[test]
fn an_instruction_waits_until_both_accounts_at_the_bank_are_known() {
    let mut bench = Bench::new(Payment::default(), "2026-03-09T18:00:00-04:00");
    assert_snapshot!(bench.message(instruction("buyer", 1)), @r"
    event    payment/T-1/buyer Instructed{leg_id=T-1/buyer trade_id=T-1 debtor=A-1 creditor=CCP amount=1025.00 currency=USD settlement_date=2026-03-09 attempt=1 valid_until_ms=1773100800000 trade_date=2026-03-06}
    put      payments be28b5c3-577e-4950-b6ea-35ef2f52894c | payment/T-1/buyer | 1 | UNDER_WAY | 1025.00 | USD
    arm      send/A-1/CCP/T-1/buyer no later than 2026-03-09T22:00:01Z
    ");
    assert_eq!(
        bench.timer("send/A-1/CCP/T-1/buyer"),
        "arm      send/A-1/CCP/T-1/buyer no later than 2026-03-09T22:00:01Z\n"
    );
    assert_snapshot!(bench.message(reference_data("A-1")), @r"
    event    account/A-1 AccountOpened{account_id=A-1 participant_id=P-1 bank_account=B-1}
    event    bank-account/B-1 AccountOpened{account_id=A-1 participant_id=P-1 bank_account=B-1}
    ");
    assert_eq!(bench.message(reference_data("A-1")), "nothing\n");
    assert_eq!(bench.timer("send/A-1/CCP/T-1/buyer"), "effect   T-1/buyer/1 until 2026-03-10T00:00:00Z\n");
    bench.effect_answer("T-1/buyer/1", Send, 200, EXECUTED);
    assert_eq!(bench.timer("send/A-1/CCP/T-1/buyer"), "nothing\n");
}
