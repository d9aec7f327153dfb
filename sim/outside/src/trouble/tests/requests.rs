//! Troubles of any party's requests, seen at the bank, whose books tell what was done.

use super::*;

const INSTRUCTIONS: Requests = Requests::Instructions;

#[test]
fn what_is_down_neither_hears_nor_does_anything() {
    for (how, seen) in [(Outage::Unavailable, "503"), (Outage::Silent, "silence")] {
        let mut bench = bank();
        bench.troubles.begin(1, Trouble::Down { how });
        let (answer, facts) = bench.pay(0, 1, "40.00");
        assert!(answer.starts_with(seen), "{answer}");
        assert_eq!((facts, bench.balance("A001").as_str(), bench.troubles.met(1)), (vec![], "100.00", 1));
        bench.troubles.end(1);
        assert_eq!(bench.query(1, 1), "404 - -");
        assert_eq!((bench.pay(2, 1, "40.00").0.as_str(), bench.troubles.met(1)), ("200 ACSC", 1));
    }
}

#[test]
fn an_error_comes_before_it_is_done_or_after() {
    for (done, left) in [(false, "100.00"), (true, "60.00")] {
        let mut bench = bank();
        bench.troubles.begin(1, Trouble::Error { of: INSTRUCTIONS, hits: Hits::ALL, status: 500, done });
        assert_eq!(bench.pay(0, 1, "40.00").0, "500 - -");
        assert_eq!((bench.balance("A001").as_str(), bench.troubles.met(1)), (left, 1));
        assert_eq!(bench.query(1, 1).starts_with("200"), done, "queries are not meant");
        bench.troubles.end(1);
        assert_eq!(bench.pay(2, 1, "40.00").0, "200 ACSC");
        assert_eq!(bench.balance("A001"), "60.00");
    }
}

#[test]
fn a_lost_request_is_never_executed_and_a_lost_answer_is() {
    let lost = |request| match request {
        true => Trouble::RequestLost { of: INSTRUCTIONS, hits: Hits::ALL },
        false => Trouble::AckLost { of: INSTRUCTIONS, hits: Hits::ALL },
    };
    for (request, query, left) in [(true, "404 - -", "100.00"), (false, "200 ACSC", "60.00")] {
        let mut bench = bank();
        bench.troubles.begin(1, lost(request));
        let (answer, facts) = bench.pay(0, 1, "40.00");
        assert_eq!((answer.as_str(), facts.len()), ("silence", usize::from(!request)));
        assert_eq!((bench.query(1, 1).as_str(), bench.balance("A001").as_str()), (query, left));
        assert_eq!(bench.troubles.met(1), 1);
        bench.troubles.end(1);
        assert_eq!(bench.pay(2, 2, "1.00").0, "200 ACSC");
    }
}

#[test]
fn a_late_answer_tells_of_what_was_done_at_once() {
    let mut bench = bank();
    bench.troubles.begin(1, Trouble::AckLate { of: INSTRUCTIONS, hits: Hits::ALL, by: seconds(15) });
    let (seen, facts) = bench.post(0, "/payments", &order(1, "40.00"));
    let seen = seen.expect("an answer");
    assert_eq!((seen.after, facts.len(), bench.troubles.met(1)), (Duration::from_secs(15), 1, 1));
    assert_eq!(bench.query(12, 1), "200 ACSC", "the query is answered before the instruction");
    bench.troubles.end(1);
    let (seen, _) = bench.post(13, "/payments", &order(2, "1.00"));
    assert_eq!(seen.expect("an answer").after, Duration::ZERO);
}

/// The platform asks in vain, sends the same again, and then the first comes, too.
#[test]
fn a_late_request_arrives_when_nobody_waits_for_it() {
    let mut bench = bank();
    bench.troubles.begin(1, Trouble::RequestLate { of: INSTRUCTIONS, hits: Hits::Every(2), by: seconds(30) });
    assert_eq!(bench.pay(0, 1, "40.00").0, "200 ACSC", "the second is hit");
    assert_eq!(bench.pay(0, 2, "10.00").0, "silence");
    assert_eq!((bench.query(11, 2).as_str(), bench.balance("CCP").as_str()), ("404 - -", "40.00"));
    let (_, facts) = bench.until(29);
    assert!(facts.is_empty());
    let (_, facts) = bench.until(30);
    assert_eq!(
        (facts.len(), bench.query(31, 2).as_str(), bench.balance("CCP").as_str()),
        (1, "200 ACSC", "50.00")
    );

    bench.troubles.end(1);
    assert_eq!(bench.pay(40, 3, "1.00").0, "200 ACSC");
    assert_eq!(bench.pay(40, 4, "1.00").0, "200 ACSC");
    assert_eq!(bench.troubles.met(1), 1);
}

#[test]
fn a_late_request_waits_for_a_bank_that_is_down_and_counts_as_arrived_then() {
    let mut bench = bank();
    bench.troubles.begin(1, Trouble::RequestLate { of: INSTRUCTIONS, hits: Hits::ALL, by: seconds(30) });
    bench.pay(0, 1, "40.00");
    bench.troubles.end(1);
    bench.troubles.begin(2, Trouble::Down { how: Outage::Silent });
    assert!(bench.until(7_230).1.is_empty());
    bench.troubles.end(2);
    let (_, facts) = bench.until(7_300);
    let [Fact::Bank(moved)] = facts.as_slice() else { panic!("{facts:?}") };
    assert_eq!((moved.reference.as_str(), bench.balance("A001").as_str()), ("TM01", "100.00"), "too late");
}

#[test]
fn a_duplicate_is_the_same_payment_and_its_credit_is_told() {
    let mut bench = bank();
    bench.troubles.begin(1, Trouble::AckDuplicate { of: INSTRUCTIONS, hits: Hits::ALL, after: seconds(5) });
    let (answer, facts) = bench.pay(0, 1, "40.00");
    assert_eq!((answer.as_str(), facts.len(), bench.troubles.met(1)), ("200 ACSC", 1, 1));
    bench.troubles.end(1);
    let (posts, facts) = bench.until(60);
    assert!(facts.is_empty(), "the bank knows it again");
    assert_eq!(bench.balance("CCP"), "40.00");
    let [(5, notice)] = posts.as_slice() else { panic!("{posts:?}") };
    let expected = json!({
        "reference": "B000000001", "account": "CCP", "amount": "40.00", "currency": "USD", "uetr": uetr(1),
    });
    assert_eq!(
        (notice.to, notice.request.uri().path(), body(notice)),
        ("payment", "/bank/notices", expected)
    );
    bench.pay(60, 2, "1.00");
    assert!(bench.until(120).0.is_empty());
}

#[test]
fn a_duplicate_deposit_is_credited_once_and_told_twice() {
    let mut bench = bank();
    bench
        .troubles
        .begin(1, Trouble::AckDuplicate { of: Requests::Deposits, hits: Hits::ALL, after: seconds(5) });
    bench.post(0, "/deposits", &json!({ "account": "A002", "amount": "7.50", "reference": "in-1" }));
    let (posts, facts) = bench.until(60);
    let told: Vec<Value> = posts.iter().map(|(_, post)| body(post)["reference"].clone()).collect();
    assert_eq!((told, facts.len()), (vec![json!("B000000001"), json!("B000000001")], 0));
    assert_ne!(posts[0].1.key, posts[1].1.key);
    assert_eq!(bench.balance("A002"), "7.50");
}

/// After the window the same order is another one; only its validity, or an idempotent sender, protects.
#[test]
fn a_duplicate_after_the_window_is_paid_twice_while_it_is_valid() {
    let mut bench = bank();
    bench
        .troubles
        .begin(1, Trouble::AckDuplicate { of: INSTRUCTIONS, hits: Hits::ALL, after: seconds(86_400) });
    let mut careless = order(1, "40.00");
    careless["validUntil"] = at(200_000).to_string().into();
    bench.post(0, "/payments", &careless);
    bench.pay(0, 2, "10.00");
    let (_, facts) = bench.until(86_400);
    let kinds: Vec<_> =
        facts.iter().map(|fact| matches!(fact, Fact::Bank(moved) if moved.reference == "TM01")).collect();
    assert_eq!((kinds, bench.balance("CCP").as_str()), (vec![false, true], "90.00"));
}
