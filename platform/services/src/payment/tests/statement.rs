//! The statement: its cursor, missing and doubled lines, pages.

use host::EffectStep::Send;
use insta::assert_snapshot;

use super::*;

/// With the deposits of so many lines known from notices.
fn noticed(lines: u64) -> Bench<Payment> {
    let mut bench = bench();
    for number in 1..=lines {
        let reference = format!("R-{number}");
        bench.post("/bank/notices", &reference, &notice(&reference, "B-1", "50.00"));
    }
    bench
}

#[test]
fn the_statement_is_read_each_hour_on_the_hour_from_where_it_is_settled() {
    let mut bench = noticed(2);
    let standing = bench.service.standing_timers(bench.now);
    assert_eq!(standing[0].1.to_string(), "2026-03-09T23:00:00Z");
    assert_snapshot!(bench.timer("statement"), @r"
    arm      statement at 2026-03-09T23:00:00Z
    effect   statement/1773093600000/0
    ");
    assert_snapshot!(bench.effect_calls(Send), @"statement/1773093600000/0: bank GET /statement?from=0&limit=500");
    let effect = "statement/1773093600000/0";
    assert!(!bench.queries(effect), "after silence it is simply read again");
    let body = statement_of(&[line(1), line(2)], 2);
    for (status, body) in [(500, ""), (200, "{}"), (200, r#"{"entries":[]}"#), (500, &body)] {
        assert_eq!(bench.effect_answer(effect, Send, status, body), "again\n");
    }
    assert_eq!(
        bench.effect_answer(effect, Send, 200, &body),
        "event    statement StatementRead{next_entry=2}\n"
    );
    bench.at("2026-03-09T19:00:00-04:00");
    bench.due_timers();
    assert_snapshot!(bench.effect_calls(Send), @"statement/1773097200000/2: bank GET /statement?from=2&limit=500");
    let nothing_new = statement_of(&[], 2);
    assert_eq!(bench.effect_answer("statement/1773097200000/2", Send, 200, &nothing_new), "nothing\n");
}

#[test]
fn a_missing_line_stops_the_cursor_and_is_asked_for_again() {
    let mut bench = noticed(2);
    assert_snapshot!(read(&mut bench, 0, &[line(1), line(3)], 3), @r"
    event    statement BreakOpened{subject=line 2: missing detail=the statement goes to line 3}
    event    credit/R-3 CreditTold{bank_reference=R-3 bank_account=B-1 amount=50.00 currency=USD line=3}
    event    statement StatementRead{next_entry=1}
    put      breaks 84b5ad… | 1773093601000 | statement | line 2: missing | the statement goes to line 3
    arm      statement no later than 2026-03-09T22:01:01Z
    ");
    let healed = read(&mut bench, 1, &[line(2), line(3)], 3);
    assert!(healed.contains("Deposited{bank_reference=R-3"), "{healed}");
    assert!(healed.contains("StatementRead{next_entry=3}") && !healed.contains("arm"), "{healed}");
}

#[test]
fn the_last_line_is_missed_too() {
    let mut bench = noticed(1);
    let first = read(&mut bench, 0, &[line(1)], 2);
    assert!(first.contains("BreakOpened{subject=line 2: missing"), "{first}");
    let again = read(&mut bench, 1, &[], 2);
    assert_eq!(again, "nothing\n", "it is on record, and asked for on the hour");
}

#[test]
fn a_doubled_line_is_one() {
    let mut bench = bench();
    let lines = read(&mut bench, 0, &[line(1), line(1), line(2)], 2);
    assert_eq!(lines.matches("CreditTold{").count(), 2, "a line is no second source for itself: {lines}");
    let other_number = line(3).replace("R-3", "R-2");
    let lines = read(&mut bench, 0, &[line(1), line(2), line(2), other_number], 3);
    assert_eq!(lines.matches("event    credit/R-2 Deposited{").count(), 1, "{lines}");
    assert!(lines.contains("StatementRead{next_entry=3}"), "{lines}");
}

#[test]
fn a_line_that_cannot_be_read_is_a_missing_one_and_spoils_no_other() {
    let mut bench = noticed(3);
    let lines = read(&mut bench, 0, &[line(1), r#"{"sequence":"two"}"#.to_owned(), line(3)], 3);
    assert!(lines.contains("line 2: missing") && lines.contains("StatementRead{next_entry=1}"), "{lines}");
    let nonsense = line(2).replace("50.00", "fifty");
    let lines = read(&mut bench, 1, &[nonsense, line(3)], 3);
    assert!(lines.contains("BreakOpened{subject=line 2: deposit R-2 of fifty USD"), "{lines}");
    assert!(lines.contains("StatementRead{next_entry=3}"), "{lines}");
}

#[test]
fn statements_that_come_out_of_order_settle_each_line_once() {
    let mut bench = bench();
    for _ in 0..3 {
        bench.now += Duration::from_secs(1);
        bench.timer("statement");
    }
    let body = statement_of(&[line(1)], 1);
    let mut answer = |second: u64| {
        let effect = format!("statement/{}/0", 1_773_093_600_000 + 1_000 * second);
        bench.effect_answer(&effect, Send, 200, &body)
    };
    assert!(answer(3).contains("CreditTold"));
    assert!(answer(1).contains("Deposited"));
    assert_eq!(answer(2), "nothing\n");
}

#[test]
fn a_long_statement_is_read_in_pages() {
    let mut bench = noticed(501);
    let lines: Vec<String> = (1..=501).map(line).collect();
    assert_snapshot!(read(&mut bench, 0, &lines, 501), @r"
    event    statement StatementRead{next_entry=500}
    arm      statement no later than 2026-03-09T22:00:01Z
    ");
    assert_eq!(
        read(&mut bench, 500, &lines[500..], 501),
        "event    statement StatementRead{next_entry=501}\n"
    );
}
