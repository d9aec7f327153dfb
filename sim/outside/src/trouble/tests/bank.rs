//! Troubles that the bank's books have, and wrong statements.

use super::*;

#[test]
fn an_order_is_refused_for_good_with_the_reason_given() {
    let mut bench = bank();
    bench.troubles.begin(1, Trouble::Reject { hits: Hits::ALL, reason: Reason::ClosedAccount });
    let (answer, facts) = bench.pay(0, 1, "40.00");
    let [Fact::Bank(moved)] = facts.as_slice() else { panic!("{facts:?}") };
    assert_eq!((answer.as_str(), moved.reference.as_str()), ("200 RJCT AC04", "AC04"));
    assert_eq!(bench.pay(1, 2, "100.01").0, "200 RJCT AM04", "what could not be paid has its own reason");
    assert_eq!((bench.troubles.met(1), bench.balance("A001").as_str()), (1, "100.00"));
    bench.troubles.end(1);
    assert_eq!(bench.query(2, 1), "200 RJCT AC04");
    assert_eq!(bench.pay(2, 1, "40.00").0, "200 RJCT AC04", "within the window it is the same order");
    assert_eq!(bench.pay(2, 3, "40.00").0, "200 ACSC");
}

#[test]
fn an_order_that_is_known_is_not_refused() {
    let mut bench = bank();
    bench.pay(0, 1, "40.00");
    bench.troubles.begin(1, Trouble::Reject { hits: Hits::ALL, reason: Reason::BlockedAccount });
    assert_eq!(bench.pay(1, 1, "40.00").0, "200 ACSC");
    assert_eq!(bench.troubles.met(1), 0);
}

#[test]
fn a_pending_order_is_executed_in_its_time() {
    let mut bench = bank();
    bench.troubles.begin(1, Trouble::Pending { hits: Hits::ALL, lasts: seconds(600) });
    assert_eq!(bench.pay(0, 1, "40.00").0, "200 PDNG");
    bench.troubles.end(1);
    assert_eq!(bench.pay(1, 2, "10.00").0, "200 ACSC");
    assert_eq!((bench.query(599, 1).as_str(), bench.balance("CCP").as_str()), ("200 PDNG", "10.00"));
    let (_, facts) = bench.until(600);
    assert_eq!(
        (facts.len(), bench.query(600, 1).as_str(), bench.balance("CCP").as_str()),
        (1, "200 ACSC", "50.00")
    );
    assert_eq!(bench.troubles.met(1), 1);
}

#[test]
fn after_the_cut_off_orders_are_refused_or_wait_for_the_next_day() {
    let refused = Cutoff::Refused;
    let pending = Cutoff::Pending { reopens: at(36_000) };
    for (how, answer, later) in
        [(refused, "200 RJCT TM01", "200 RJCT TM01"), (pending, "200 PDNG", "200 ACSC")]
    {
        let mut bench = bank();
        bench.pay(0, 1, "40.00");
        bench.troubles.begin(1, Trouble::CutoffMissed { how });
        assert_eq!(bench.pay(1, 1, "40.00").0, "200 ACSC", "what was executed before stays so");
        assert_eq!((bench.pay(1, 2, "10.00").0.as_str(), bench.troubles.met(1)), (answer, 1));
        bench.until(35_999);
        assert_eq!((bench.query(35_999, 2).as_str(), bench.balance("CCP").as_str()), (answer, "40.00"));
        bench.troubles.end(1);
        bench.until(36_000);
        assert_eq!(bench.query(36_000, 2), later);
        let mut valid = order(3, "1.00");
        valid["validUntil"] = at(40_000).to_string().into();
        assert_eq!(line(bench.post(36_001, "/payments", &valid).0), "200 ACSC");
    }
}

#[test]
fn what_the_bank_forgets_it_pays_again() {
    let mut bench = bank();
    bench.pay(0, 1, "40.00");
    assert_eq!(bench.pay(1, 1, "40.00").1.len(), 0);
    bench.troubles.begin(1, Trouble::DedupExpired { hits: Hits::ALL });
    bench.pay(2, 2, "1.00");
    assert_eq!(bench.troubles.met(1), 0, "a new order is none that it has forgotten");
    assert_eq!(bench.pay(2, 1, "40.00").1.len(), 1);
    assert_eq!((bench.balance("CCP").as_str(), bench.troubles.met(1)), ("81.00", 1));
    bench.troubles.end(1);
    assert_eq!(bench.pay(3, 1, "40.00").1.len(), 0);
}

/// References and amounts of the lines of a statement.
fn lines(bench: &mut Bench<Bank>, now: u64, from: u64) -> Vec<String> {
    let body = bench.get(now, &format!("/statement?from={from}&limit=500")).expect("a statement").body;
    let lines = body["entries"].as_array().expect("a list").iter();
    lines.map(|line| format!("{} {}", line["reference"], line["amount"]).replace('"', "")).collect()
}

#[test]
fn a_statement_is_wrong_once_and_right_the_next_time() {
    for how in [Mismatch::Missing, Mismatch::Doubled, Mismatch::Amount] {
        let mut bench = bank();
        for number in 1..4 {
            bench.pay(0, number, &format!("{number}.00"));
        }
        let right = lines(&mut bench, 1, 0);
        assert_eq!(right, ["B000000001 1.00", "B000000002 2.00", "B000000003 3.00"]);
        bench.troubles.begin(1, Trouble::StatementMismatch { hits: Hits::ALL, how });
        let wrong: Vec<Vec<String>> = (0..4).map(|_| lines(&mut bench, 2, 0)).collect();
        for wrong in &wrong[..3] {
            match how {
                Mismatch::Missing => {
                    assert!(wrong.len() == 2 && wrong.iter().all(|line| right.contains(line)))
                }
                Mismatch::Doubled => {
                    let mut once = wrong.clone();
                    once.dedup();
                    assert_eq!((wrong.len(), once), (4, right.clone()));
                }
                Mismatch::Amount => {
                    let other: Vec<_> = wrong.iter().filter(|line| !right.contains(line)).collect();
                    assert!(wrong.len() == 3 && other.len() == 1 && other[0].ends_with(".01"), "{wrong:?}");
                }
            }
        }
        assert_eq!((&wrong[3], bench.troubles.met(1)), (&right, 3), "each line is wrong once at most");
        assert_ne!(wrong[0], wrong[1]);

        bench.pay(3, 4, "4.00");
        bench.troubles.end(1);
        assert_eq!(lines(&mut bench, 4, 3), ["B000000004 4.00"]);
    }
}
