//! Deposits: notices, and what of the statement agrees with them.

use insta::assert_snapshot;

use super::*;

fn post(bench: &mut Bench<Payment>, key: &str, body: &str) -> String {
    bench.post("/bank/notices", key, body)
}

#[test]
fn a_notice_is_a_deposit_once_per_bank_reference() {
    let mut bench = bench();
    let notice = notice("R-1", "B-1", "50.00");
    assert_snapshot!(post(&mut bench, "R-1", &notice), @r#"
    command  bank POST /bank/notices / R-1
    event    credit/R-1 Deposited{bank_reference=R-1 account_id=A-1 amount=50.00 currency=USD}
    publish  payment-events #1 from credit/R-1 key A-1 date - PaymentEvent{outcome=Deposited leg_id=R-1 debtor=WORLD creditor=A-1 amount=50.00 currency=USD bank_reference=R-1}
    answer   200 {"reference":"R-1","status":"DEPOSIT"}
    "#);
    assert_snapshot!(post(&mut bench, "R-1.again", &notice), @r#"
    command  bank POST /bank/notices / R-1.again
    answer   200 {"reference":"R-1","status":"DEPOSIT"}
    "#);
    assert_eq!(read(&mut bench, 0, &[line(1)], 1), "event    statement StatementRead{next_entry=1}\n");
}

#[test]
fn what_only_the_statement_tells_is_booked_when_the_next_one_agrees() {
    let mut bench = bench();
    assert_snapshot!(read(&mut bench, 0, &[line(1)], 1), @r"
    event    credit/R-1 CreditTold{bank_reference=R-1 bank_account=B-1 amount=50.00 currency=USD line=1}
    arm      statement no later than 2026-03-09T22:01:01Z
    ");
    assert_snapshot!(read(&mut bench, 0, &[line(1)], 1), @r"
    event    credit/R-1 Deposited{bank_reference=R-1 account_id=A-1 amount=50.00 currency=USD}
    event    statement StatementRead{next_entry=1}
    publish  payment-events #1 from credit/R-1 key A-1 date - PaymentEvent{outcome=Deposited leg_id=R-1 debtor=WORLD creditor=A-1 amount=50.00 currency=USD bank_reference=R-1}
    ");
    assert!(!post(&mut bench, "R-1", &notice("R-1", "B-1", "50.00")).contains("event"), "a late notice");
}

#[test]
fn a_notice_after_the_line_is_the_second_source() {
    let mut bench = bench();
    read(&mut bench, 0, &[line(1)], 1);
    assert!(post(&mut bench, "R-1", &notice("R-1", "B-1", "50.00")).contains("Deposited{"));
    assert_eq!(read(&mut bench, 0, &[line(1)], 1), "event    statement StatementRead{next_entry=1}\n");
}

#[test]
fn a_line_that_differs_from_the_notice_is_a_break_and_changes_nothing() {
    let mut bench = bench();
    post(&mut bench, "R-1", &notice("R-1", "B-1", "50.00"));
    post(&mut bench, "R-2", &notice("R-2", "B-1", "50.00"));
    let wrong = [line(1).replace("50.00", "50.01"), line(2).replace("B-1", "B-2")];
    assert_snapshot!(read(&mut bench, 0, &wrong, 2), @r"
    event    credit/R-1 BreakOpened{subject=line 1: 50.01 USD for B-1 detail=50.00 USD is booked for A-1}
    event    credit/R-2 BreakOpened{subject=line 2: 50.00 USD for B-2 detail=50.00 USD is booked for A-1}
    event    statement StatementRead{next_entry=2}
    put      breaks ff412e… | 1773093601000 | credit/R-1 | line 1: 50.01 USD for B-1 | 50.00 USD is booked for A-1
    put      breaks 36a7ab… | 1773093601000 | credit/R-2 | line 2: 50.00 USD for B-2 | 50.00 USD is booked for A-1
    ");
    let again = post(&mut bench, "R-1.again", &notice("R-1", "B-1", "49.00"));
    assert!(again.contains("BreakOpened{subject=notice: 49.00 USD for B-1"), "{again}");
    assert!(again.contains("answer   200"), "it is taken in");
    let again = post(&mut bench, "R-1.once more", &notice("R-1", "B-1", "49.00"));
    assert!(!again.contains("BreakOpened"), "{again}");
}

#[test]
fn two_statements_that_differ_are_a_break_and_the_third_decides() {
    let mut bench = bench();
    read(&mut bench, 0, &[line(1).replace("50.00", "50.01")], 1);
    assert_snapshot!(read(&mut bench, 0, &[line(1)], 1), @r"
    event    credit/R-1 BreakOpened{subject=line 1: 50.00 USD for B-1 detail=50.01 USD for B-1 was told before}
    event    credit/R-1 CreditTold{bank_reference=R-1 bank_account=B-1 amount=50.00 currency=USD line=1}
    put      breaks 834e11… | 1773093602000 | credit/R-1 | line 1: 50.00 USD for B-1 | 50.01 USD for B-1 was told before
    arm      statement no later than 2026-03-09T22:01:02Z
    ");
    let third = read(&mut bench, 0, &[line(1)], 1);
    assert!(third.contains("Deposited{bank_reference=R-1 account_id=A-1 amount=50.00"), "{third}");
}

#[test]
fn a_notice_that_differs_from_the_line_before_is_not_booked_until_a_statement_agrees() {
    let mut bench = bench();
    read(&mut bench, 0, &[line(1).replace("50.00", "50.01")], 1);
    assert_snapshot!(post(&mut bench, "R-1", &notice("R-1", "B-1", "50.00")), @r#"
    command  bank POST /bank/notices / R-1
    event    credit/R-1 BreakOpened{subject=notice: 50.00 USD for B-1 detail=50.01 USD for B-1 was told before}
    event    credit/R-1 CreditTold{bank_reference=R-1 bank_account=B-1 amount=50.00 currency=USD}
    put      breaks 5baa98… | 1773093601000 | credit/R-1 | notice: 50.00 USD for B-1 | 50.01 USD for B-1 was told before
    arm      statement no later than 2026-03-09T22:01:01Z
    answer   200 {"reference":"R-1","status":"BREAK"}
    "#);
    assert!(read(&mut bench, 0, &[line(1)], 1).contains("Deposited{"));
}

const OTHERS: &str = "eb6305c9-1f7f-49de-aed0-16487c27b42d";

#[test]
fn what_carries_a_uetr_of_ours_confirms_that_payment_and_is_no_deposit() {
    let mut bench = bench();
    for leg in ["buyer", "seller"] {
        bench.message(instruction(leg, 1));
    }
    assert_snapshot!(post(&mut bench, "R-1", &notice_of(BUYER_1, "1025.00")), @r#"
    command  bank POST /bank/notices / R-1
    arm      executed/1/payment/T-1/buyer no later than 2026-03-09T22:00:00Z
    answer   200 {"reference":"R-1","status":"PAYMENT"}
    "#);
    assert_snapshot!(bench.due_timers(), @r"
    fire     executed/1/payment/T-1/buyer
    event    payment/T-1/buyer Confirmed{attempt=1 uetr=be28b5c3-577e-4950-b6ea-35ef2f52894c}
    publish  payment-events #1 from payment/T-1/buyer key A-1 date 2026-03-06 PaymentEvent{outcome=Confirmed leg_id=T-1/buyer trade_id=T-1 uetr=be28b5c3-577e-4950-b6ea-35ef2f52894c debtor=A-1 creditor=CCP amount=1025.00 currency=USD attempt=1}
    put      payments be28b5c3-577e-4950-b6ea-35ef2f52894c | payment/T-1/buyer | 1 | EXECUTED | 1025.00 | USD
    ");
    // The answer to the order itself comes later.
    assert_eq!(bench.effect_answer("T-1/buyer/1", host::EffectStep::Query, 200, EXECUTED), "nothing\n");
    let again = post(&mut bench, "R-2", &notice_of(BUYER_1, "1025.00"));
    assert!(!again.contains("arm"), "it is known as executed");
}

#[test]
fn a_line_confirms_an_order_that_it_agrees_with() {
    let mut bench = bench();
    bench.message(instruction("buyer", 1));
    assert_snapshot!(read(&mut bench, 0, &[line_of(1, BUYER_1, "1025.00")], 1), @r"
    event    statement StatementRead{next_entry=1}
    arm      executed/1/payment/T-1/buyer no later than 2026-03-09T22:00:01Z
    ");
}

#[test]
fn what_differs_from_the_order_confirms_nothing() {
    let mut bench = bench();
    bench.message(instruction("buyer", 1));
    let lines = [line_of(1, BUYER_1, "1025.01"), line_of(2, OTHERS, "50.00")];
    assert_snapshot!(read(&mut bench, 0, &lines, 2), @r"
    event    statement BreakOpened{subject=line 1: payment of 1025.01 USD detail=be28b5c3-577e-4950-b6ea-35ef2f52894c is an order of 1025.00 USD}
    event    statement BreakOpened{subject=line 2: payment R-2 of 50.00 USD detail=neither a deposit nor a payment of ours}
    event    statement StatementRead{next_entry=2}
    put      breaks 30418c… | 1773093601000 | statement | line 1: payment of 1025.01 USD | be28b5c3-577e-4950-b6ea-35ef2f52894c is an order of 1025.00 USD
    put      breaks 17883e… | 1773093601000 | statement | line 2: payment R-2 of 50.00 USD | neither a deposit nor a payment of ours
    ");
    let noticed = post(&mut bench, "R-1", &notice_of(BUYER_1, "1025.01"));
    assert!(noticed.contains("BreakOpened{subject=notice: 1025.01 USD for CCP"), "{noticed}");
    assert!(noticed.contains(r#"answer   200 {"reference":"R-1","status":"BREAK"}"#), "{noticed}");
    assert_eq!(bench.armed(), "statement at 2026-03-09T23:00:00Z\n");
}

#[test]
fn a_payment_under_somebody_elses_uetr_is_a_deposit() {
    let mut bench = bench();
    let notice = notice_of(OTHERS, "50.00").replace("CCP", "B-1");
    assert!(post(&mut bench, "R-1", &notice).contains("Deposited{bank_reference=R-1 account_id=A-1"));
}

#[test]
fn cash_for_an_unknown_account_goes_to_suspense_when_the_statement_agrees() {
    let mut bench = bench();
    let unknown = notice("R-1", "B-9", "50.00");
    assert_snapshot!(post(&mut bench, "R-1", &unknown), @r#"
    command  bank POST /bank/notices / R-1
    event    credit/R-1 CreditTold{bank_reference=R-1 bank_account=B-9 amount=50.00 currency=USD}
    answer   200 {"reference":"R-1","status":"UNKNOWN_ACCOUNT"}
    "#);
    assert!(
        !post(&mut bench, "R-1.again", &unknown).contains("event"),
        "the same notice is no second source"
    );
    let lines = read(&mut bench, 0, &[line(1).replace("B-1", "B-9")], 1);
    assert!(
        lines.contains("Deposited{bank_reference=R-1 account_id=SUSPENSE amount=50.00 currency=USD}"),
        "{lines}"
    );
    let later = post(&mut bench, "R-1.later", &notice("R-1", "B-1", "50.00"));
    assert!(!later.contains("event"), "what is in suspense may be anybody's: {later}");
}

#[test]
fn a_notice_that_does_not_read_is_refused_with_its_field() {
    let mut bench = bench();
    let told = r#""50.00""#;
    for (from, to, detail) in [
        ("50.00", "0.00", "amount: must be above zero"),
        ("50.00", "50.001", "amount: at most 2 decimals are allowed"),
        ("USD", "XXX", "currency: `XXX` is not a known currency"),
        ("B-1", "", "account: an id must not be empty"),
        ("R-1", "R 1", "reference: is not a reference"),
        (told, r#""50.00","status":"PDNG""#, "status: is ACSC or RJCT"),
        (told, r#""50.00","status":"RJCT""#, "uetr: names the order that was refused"),
        (told, r#""50.00","reason":"MS/3""#, "reason: is not a status reason code"),
    ] {
        let answer = post(&mut bench, "R-1", &notice("R-1", "B-1", "50.00").replace(from, to));
        assert!(answer.starts_with("answer   400") && answer.contains(detail), "{answer}");
    }
}
