//! Withdrawals: requested, paid out, refused.

use host::EffectStep::{Query, Send};
use insta::assert_snapshot;
use model::hash_id;

use super::*;

const BODY: &str = r#"{"accountId":"A-1","amount":"25.00"}"#;
/// The withdrawal that client-1 asks for under key k-1.
fn effect() -> String {
    format!("withdrawal/{}", hash_id("withdrawal", &["client-1", "k-1"], 0))
}

fn request(bench: &mut Bench<Payment>) -> String {
    bench.post("/api/v1/withdrawals", "k-1", BODY)
}

#[test]
fn a_withdrawal_is_accepted_told_and_ordered_once() {
    let mut bench = bench();
    assert_snapshot!(request(&mut bench), @r#"
    command  client-1 POST /withdrawals / k-1
    event    withdrawal/b44eb4… WithdrawalRequested{withdrawal_id=b44eb4… account_id=A-1 amount=25.00 currency=USD uetr=187c9f88-b2b9-41fe-be03-23a1d15b3f3a}
    publish  payment-events #1 from withdrawal/b44eb4… key A-1 date - PaymentEvent{outcome=WithdrawalRequested leg_id=b44eb4… uetr=187c9f88-b2b9-41fe-be03-23a1d15b3f3a debtor=A-1 creditor=WORLD amount=25.00 currency=USD attempt=1}
    put      payments 187c9f88-b2b9-41fe-be03-23a1d15b3f3a | withdrawal/b44eb4… | 1 | UNDER_WAY | 25.00 | USD
    effect   withdrawal/b44eb4… until 2026-03-10T00:00:00Z
    answer   202 {"status":"REQUESTED","withdrawalId":"b44eb4…"}
    "#);
    assert_snapshot!(request(&mut bench), @r#"
    command  client-1 POST /withdrawals / k-1
    answer   202 {"status":"REQUESTED","withdrawalId":"b44eb4…"}
    "#);
    assert_snapshot!(bench.effect_calls(Send), @r#"withdrawal/b44eb49aad64b189f8a2edd241bcb4c7: bank POST /payouts {"account":"B-1","amount":"25.00","currency":"USD","uetr":"187c9f88-b2b9-41fe-be03-23a1d15b3f3a","validUntil":1773100800000}"#);
    assert_snapshot!(bench.effect_calls(Query), @"withdrawal/b44eb49aad64b189f8a2edd241bcb4c7: bank GET /payments/187c9f88-b2b9-41fe-be03-23a1d15b3f3a");
}

#[test]
fn the_bank_pays_it() {
    let mut bench = bench();
    request(&mut bench);
    assert_snapshot!(bench.effect_answer(&effect(), Send, 200, EXECUTED), @r"
    event    withdrawal/b44eb4… WithdrawalPaid{attempt=1 uetr=187c9f88-b2b9-41fe-be03-23a1d15b3f3a}
    publish  payment-events #2 from withdrawal/b44eb4… key A-1 date - PaymentEvent{outcome=WithdrawalPaid leg_id=b44eb4… uetr=187c9f88-b2b9-41fe-be03-23a1d15b3f3a debtor=A-1 creditor=WORLD amount=25.00 currency=USD attempt=1 bank_reference=B-17}
    put      payments 187c9f88-b2b9-41fe-be03-23a1d15b3f3a | withdrawal/b44eb4… | 1 | EXECUTED | 25.00 | USD
    ");
}

#[test]
fn the_bank_refuses_it() {
    let mut bench = bench();
    request(&mut bench);
    assert_eq!(bench.effect_answer(&effect(), Send, 200, REFUSED), "pending\n");
    assert_snapshot!(bench.effect_answer(&effect(), Query, 200, REFUSED), @r"
    event    withdrawal/b44eb4… WithdrawalRefused{attempt=1 uetr=187c9f88-b2b9-41fe-be03-23a1d15b3f3a reason=AM04}
    publish  payment-events #2 from withdrawal/b44eb4… key A-1 date - PaymentEvent{outcome=WithdrawalRefused leg_id=b44eb4… uetr=187c9f88-b2b9-41fe-be03-23a1d15b3f3a debtor=A-1 creditor=WORLD amount=25.00 currency=USD attempt=1 reason=AM04}
    put      payments 187c9f88-b2b9-41fe-be03-23a1d15b3f3a | withdrawal/b44eb4… | 1 | REFUSED | 25.00 | USD
    ");
    let executed = format!("executed/1/{}", effect());
    assert!(bench.timer(&executed).contains("BreakOpened"), "a withdrawal that was refused stays refused");
}

#[test]
fn a_withdrawal_that_the_bank_never_knew_is_refused_in_the_end() {
    let mut bench = bench();
    request(&mut bench);
    assert!(bench.effect_expired(&effect()).contains("WithdrawalRefused{attempt=1"));
}

#[test]
fn what_cannot_be_withdrawn_is_refused_at_once() {
    let mut bench = bench();
    assert_snapshot!(bench.post("/api/v1/withdrawals", "k-2", &BODY.replace("A-1", "A-9")), @r"
    command  client-1 POST /withdrawals / k-2
    reject   404 unknown-account account A-9 is not known
    ");
    for (from, to, detail) in [
        ("A-1", "CCP", "accountId: is a house account"),
        ("25.00", "-25.00", "amount: must be above zero"),
        (r#""25.00""#, "25.00", "amount: must be a text"),
        ("amount", "sum", "sum: is not known here"),
    ] {
        let answer = bench.post("/api/v1/withdrawals", "k-2", &BODY.replace(from, to));
        assert!(answer.starts_with("answer   400") && answer.contains(detail), "{answer}");
    }
    assert!(bench.get("/api/v1/withdrawals").starts_with("answer   404"));
}
