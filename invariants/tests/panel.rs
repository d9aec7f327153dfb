//! The panel: who is fed with what, what is reported, what stays unknown.

use invariants::fact::{Book, Opening};
use invariants::{Fact, FactKind, Invariant, Judges, Record, Verdict, Violation, marks};

/// Violated by the third fact that it sees.
#[derive(Default)]
struct NotThree(u64);

impl Invariant for NotThree {
    fn name(&self) -> &'static str {
        "not_three"
    }

    fn about(&self) -> &'static str {
        "Never three."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Node]
    }

    fn welcomes(&self) -> &'static [FactKind] {
        &[FactKind::Phase]
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        self.0 += 1;
        if self.0 == 3 {
            Verdict::Violated(Violation::new("three").seen_at([record.sequence]))
        } else {
            Verdict::Holds
        }
    }

    fn at_rest(&mut self) -> Verdict {
        if self.0 == 1 { Verdict::Violated(Violation::new("only one")) } else { Verdict::Holds }
    }
}

fn show(judges: &mut Judges, sequence: u64, fact: &Fact) -> Option<(&'static str, Violation)> {
    judges.observe(&Record { sequence, at_ns: 0, node: "node", cause: "", fact })
}

fn panel() -> Judges {
    Judges::of(vec![Box::new(NotThree::default())], marks::all())
}

#[test]
fn facts_reach_those_who_listen() {
    let mut judges = panel();
    assert_eq!(judges.unknown(), ["not_three"]);
    let promoted = Fact::Promoted { database: "trade".to_owned(), timeline: 2 };
    for sequence in 1..10 {
        assert_eq!(show(&mut judges, sequence, &promoted), None, "nobody listens to it");
    }
    assert_eq!(show(&mut judges, 10, &Fact::Phase(invariants::fact::Phase::Load)), None);
    assert_eq!(judges.unknown(), ["not_three"], "a welcome kind is not a needed one");
    assert_eq!(show(&mut judges, 11, &Fact::NodeDied), None);
    assert_eq!(judges.unknown(), [""; 0]);
    let (name, violation) = show(&mut judges, 12, &Fact::NodeStarted).expect("the third one breaks it");
    assert_eq!((name, violation.evidence), ("not_three", vec![12]));
}

#[test]
fn the_rest_is_judged_too() {
    let mut judges = panel();
    show(&mut judges, 1, &Fact::NodeStarted);
    assert_eq!(
        judges.at_rest().iter().map(|(_, violation)| violation.why.as_str()).collect::<Vec<_>>(),
        ["only one"]
    );
}

#[test]
fn marks_are_met_or_missing() {
    let mut judges = panel();
    let wanted = ["node:restarted", "store:failed_over", "no:mark"];
    show(&mut judges, 1, &Fact::NodeDied);
    assert_eq!(judges.missing(wanted), wanted);
    show(&mut judges, 2, &Fact::NodeStarted);
    assert_eq!(judges.missing(wanted), ["store:failed_over", "no:mark"]);
    assert_eq!(judges.seen().collect::<Vec<_>>(), ["node:restarted"]);
}

#[test]
fn names_select_invariants() {
    let judges = Judges::select(["no_oversell", "reconciled"]).expect("both are registered");
    assert_eq!(judges.invariants().map(Invariant::name).collect::<Vec<_>>(), ["no_oversell", "reconciled"]);
    let error = Judges::select(["no_oversel"]).err().expect("a typo is no name");
    assert_eq!(error.to_string(), "no invariant is called `no_oversel`");
}

#[test]
fn an_opening_balance_shows_that_its_book_is_watched() {
    let mut judges = Judges::select(["cash_conserved", "no_oversell"]).expect("both are registered");
    assert_eq!(judges.unknown(), ["cash_conserved", "no_oversell"]);
    for (book, left) in [(Book::Bank, &["no_oversell"][..]), (Book::Position, &[])] {
        let [account, asset, amount] = ["B", "USD", "1.00"].map(ToOwned::to_owned);
        show(&mut judges, 1, &Fact::Opening(Opening { book, account, asset, amount }));
        assert_eq!(judges.unknown(), left);
    }
    assert!(judges.is_settled() && judges.pending().is_empty() && judges.at_rest().is_empty());
}
