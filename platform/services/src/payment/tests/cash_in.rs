//! Deposits, credit notices and statements.

use host::EffectStep::{Query, Send};
use insta::assert_snapshot;

use super::*;

fn notice(reference: &str, account: &str, uetr: &str) -> String {
    let uetr = if uetr.is_empty() { String::new() } else { format!(r#","uetr":"{uetr}""#) };
    format!(r#"{{"reference":"{reference}","account":"{account}","amount":"50.00","currency":"USD"{uetr}}}"#)
}

fn post(bench: &mut Bench<Payment>, reference: &str, account: &str, uetr: &str) -> String {
    bench.post("/bank/notices", reference, &notice(reference, account, uetr))
}

fn line(sequence: u32, kind: &str, uetr: &str, creditor: &str) -> String {
    format!(
        r#"{{"sequence":{sequence},"reference":"R-{sequence}","kind":"{kind}","uetr":"{uetr}","debtor":"X",
        "creditor":"{creditor}","amount":"50.00","currency":"USD","at":"2026-03-09T22:00:00Z"}}"#
    )
}

fn statement(lines: &[String]) -> String {
    format!(r#"{{"entries":[{}],"next":{}}}"#, lines.join(","), lines.len())
}

/// Asks for the statement and answers with these lines.
fn read(bench: &mut Bench<Payment>, effect: &str, lines: &[String]) -> String {
    bench.timer("statement");
    bench.effect_answer(effect, Send, 200, &statement(lines))
}

#[test]
fn a_notice_is_a_deposit_once_per_bank_reference() {
    let mut bench = bench();
    assert_snapshot!(post(&mut bench, "R-1", "B-1", ""), @r#"
    command  bank POST /bank/notices / R-1
    event    credit/R-1 Deposited{bank_reference=R-1 account_id=A-1 amount=50.00 currency=USD}
    publish  payment-events #1 from credit/R-1 key A-1 date - PaymentEvent{outcome=Deposited leg_id=R-1 debtor=WORLD creditor=A-1 amount=50.00 currency=USD bank_reference=R-1}
    answer   200 {"reference":"R-1","status":"DEPOSIT"}
    "#);
    assert_snapshot!(post(&mut bench, "R-1", "B-1", ""), @r#"
    command  bank POST /bank/notices / R-1
    answer   200 {"reference":"R-1","status":"DEPOSIT"}
    "#);
    let lines = read(&mut bench, "statement/1773097200000/0", &[line(1, "deposit", "", "B-1")]);
    assert_eq!(lines, "event    statement StatementRead{next_entry=1}\n", "the statement tells nothing new");
}

#[test]
fn the_statement_heals_a_notice_that_was_lost_and_a_late_one_changes_nothing() {
    let mut bench = bench();
    assert_snapshot!(read(&mut bench, "statement/1773097200000/0", &[line(1, "deposit", "", "B-1")]), @r"
    event    statement StatementRead{next_entry=1}
    event    credit/R-1 Deposited{bank_reference=R-1 account_id=A-1 amount=50.00 currency=USD}
    publish  payment-events #1 from credit/R-1 key A-1 date - PaymentEvent{outcome=Deposited leg_id=R-1 debtor=WORLD creditor=A-1 amount=50.00 currency=USD bank_reference=R-1}
    ");
    assert!(!post(&mut bench, "R-1", "B-1", "").contains("event"));
}

#[test]
fn what_carries_a_uetr_of_ours_confirms_that_payment_and_is_no_deposit() {
    let mut bench = bench();
    for leg in ["buyer", "seller"] {
        bench.message(instruction(leg, 1));
    }
    assert_snapshot!(post(&mut bench, "R-1", "B-2", BUYER_1), @r#"
    command  bank POST /bank/notices / R-1
    arm      executed/1/payment/T-1/buyer no later than 2026-03-09T22:00:00Z
    answer   200 {"reference":"R-1","status":"PAYMENT"}
    "#);
    assert_snapshot!(bench.due_timers(), @r"
    fire     executed/1/payment/T-1/buyer
    event    payment/T-1/buyer Confirmed{attempt=1 uetr=be28b5c3-577e-4950-b6ea-35ef2f52894c}
    publish  payment-events #1 from payment/T-1/buyer key A-1 date 2026-03-06 PaymentEvent{outcome=Confirmed leg_id=T-1/buyer trade_id=T-1 uetr=be28b5c3-577e-4950-b6ea-35ef2f52894c debtor=A-1 creditor=CCP amount=1025.00 currency=USD attempt=1}
    put      payments be28b5c3-577e-4950-b6ea-35ef2f52894c | payment/T-1/buyer | 1 | EXECUTED
    ");
    // The answer to the order itself comes later.
    assert_eq!(bench.effect_answer("T-1/buyer/1", Query, 200, EXECUTED), "nothing\n");
    assert!(!post(&mut bench, "R-2", "B-2", BUYER_1).contains("arm"), "it is known as executed");
    let lines = [
        line(1, "payment", BUYER_1, "CCP"),
        line(2, "deposit", "", "B-2"),
        line(3, "payout", "not-ours", "WORLD"),
    ];
    assert_snapshot!(read(&mut bench, "statement/1773097200000/0", &lines), @r"
    event    statement StatementRead{next_entry=3}
    event    credit/R-2 Deposited{bank_reference=R-2 account_id=A-2 amount=50.00 currency=USD}
    publish  payment-events #1 from credit/R-2 key A-2 date - PaymentEvent{outcome=Deposited leg_id=R-2 debtor=WORLD creditor=A-2 amount=50.00 currency=USD bank_reference=R-2}
    ");
}

#[test]
fn a_payment_under_somebody_elses_uetr_is_a_deposit() {
    let mut bench = bench();
    assert!(
        post(&mut bench, "R-1", "B-1", "eb6305c9-1f7f-49de-aed0-16487c27b42d")
            .contains("Deposited{bank_reference=R-1 account_id=A-1")
    );
}

#[test]
fn cash_for_an_unknown_account_waits_for_the_statement_and_then_goes_to_suspense() {
    let mut bench = bench();
    assert_snapshot!(post(&mut bench, "R-1", "B-9", ""), @r#"
    command  bank POST /bank/notices / R-1
    answer   200 {"reference":"R-1","status":"UNKNOWN_ACCOUNT"}
    "#);
    let lines = read(&mut bench, "statement/1773097200000/0", &[line(1, "deposit", "", "B-9")]);
    assert!(
        lines.contains("Deposited{bank_reference=R-1 account_id=SUSPENSE amount=50.00 currency=USD}"),
        "{lines}"
    );
}

#[test]
fn the_statement_is_read_each_hour_on_the_hour_from_where_it_ended() {
    let mut bench = bench();
    let standing = bench.service.standing_timers(bench.now);
    assert_eq!(standing[0].1.to_string(), "2026-03-09T23:00:00Z");
    assert_snapshot!(bench.timer("statement"), @r"
    arm      statement at 2026-03-09T23:00:00Z
    effect   statement/1773097200000/0
    ");
    assert_snapshot!(bench.effect_calls(Send), @"statement/1773097200000/0: bank GET /statement?from=0&limit=500");
    assert!(!bench.queries("statement/1773097200000/0"), "after silence it is simply read again");
    let body = statement(&[line(1, "deposit", "", "B-1"), line(2, "deposit", "", "B-2")]);
    assert_eq!(bench.effect_answer("statement/1773097200000/0", Send, 500, ""), "again\n");
    assert_eq!(bench.effect_answer("statement/1773097200000/0", Send, 200, "{}"), "again\n");
    bench.effect_answer("statement/1773097200000/0", Send, 200, &body);
    bench.at("2026-03-09T19:00:00-04:00");
    bench.due_timers();
    assert_snapshot!(bench.effect_calls(Send), @"statement/1773100800000/2: bank GET /statement?from=2&limit=500");
    assert_eq!(bench.effect_answer("statement/1773100800000/2", Send, 200, &statement(&[])), "nothing\n");
}

#[test]
fn lines_that_were_read_meanwhile_are_not_read_again() {
    let mut bench = bench();
    bench.timer("statement");
    bench.at("2026-03-09T19:00:00-04:00");
    bench.timer("statement");
    let body = statement(&[line(1, "deposit", "", "B-1")]);
    assert!(bench.effect_answer("statement/1773100800000/0", Send, 200, &body).contains("Deposited"));
    assert_eq!(bench.effect_answer("statement/1773097200000/0", Send, 200, &body), "nothing\n");
}

#[test]
fn a_reference_that_stands_twice_in_a_statement_is_one_deposit() {
    let mut bench = bench();
    let twice = [line(1, "deposit", "", "B-1"), line(1, "deposit", "", "B-1")];
    let lines = read(&mut bench, "statement/1773097200000/0", &twice);
    assert_eq!(lines.matches("Deposited{bank_reference=R-1").count(), 1, "{lines}");
}

#[test]
fn a_long_statement_is_read_in_pieces() {
    let mut bench = bench();
    let lines: Vec<String> = (1..=501).map(|sequence| line(sequence, "deposit", "", "B-1")).collect();
    let first = read(&mut bench, "statement/1773097200000/0", &lines);
    assert!(first.starts_with("event    statement StatementRead{next_entry=500}\n"));
    assert!(first.ends_with("arm      statement no later than 2026-03-09T22:00:00Z\n"));
    assert_eq!(first.matches("Deposited{bank_reference").count(), 500);
    let rest = read(&mut bench, "statement/1773097200000/500", &lines[500..]);
    assert!(
        rest.contains("StatementRead{next_entry=501}") && rest.contains("bank_reference=R-501"),
        "{rest}"
    );
}

#[test]
fn a_notice_that_does_not_read_is_refused_with_its_field() {
    let mut bench = bench();
    for (from, to, detail) in [
        ("50.00", "0.00", "amount: must be above zero"),
        ("50.00", "50.001", "amount: at most 2 decimals are allowed"),
        ("USD", "XXX", "currency: `XXX` is not a known currency"),
        ("B-1", "", "account: an id must not be empty"),
        ("R-1", "R 1", "reference: is not a reference"),
    ] {
        let answer = bench.post("/bank/notices", "R-1", &notice("R-1", "B-1", "").replace(from, to));
        assert!(answer.starts_with("answer   400") && answer.contains(detail), "{answer}");
    }
}
