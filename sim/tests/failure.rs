//! How a failure is told: the chain back to the client's request, the faults, the command.

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use invariants::{Fact, Record, Violation};
use sim::runner::evidence::Evidence;
use sim::runner::pool::{self, Ended, Finished};
use sim::runner::report::RunReport;
use sim::runner::simulate::{Broken, End};
use sim::runner::subject::{Subject, catalogue};
use sim::world::trace::Watcher;

const SEED: u64 = 7;

fn subject() -> Arc<Subject> {
    let file = support::root().join("scenarios/market/short_day.toml");
    let few = ["load[0].count=5".to_owned()];
    Arc::new(Subject::load(&file, &catalogue(), &few).unwrap_or_else(|mistakes| panic!("{mistakes}")))
}

/// Remembers where the first obligation settled.
struct Settled(Rc<RefCell<Option<Broken>>>);

impl Watcher for Settled {
    fn see(&mut self, record: &Record<'_>) {
        let Fact::Committed(committed) = record.fact else { return };
        let mut found = self.0.borrow_mut();
        let settled = committed.events.iter().find(|row| format!("{:?}", row.event).contains("Settled("));
        if let (Some(row), None) = (settled, &*found) {
            let trade = row.stream.split('/').nth(1).expect("an obligation's trade");
            let violation = Violation::new("one is not two").about([trade]).seen_at([record.sequence]);
            let (at_ns, record) = (record.at_ns, record.sequence);
            *found = Some(Broken { invariant: "settles_exactly_once", at_ns, record, violation });
        }
    }
}

#[test]
fn the_evidence_goes_back_to_the_request_and_the_last_line_reproduces_it() {
    let subject = subject();
    let run = subject.clone();
    let found = pool::alone(move || {
        let settled: Rc<RefCell<Option<Broken>>> = Rc::default();
        run.run(SEED, vec![Box::new(Settled(settled.clone()))]).expect("it has a plan");
        settled.take()
    });
    let Ended::Returned(Some(broken)) = found.ended else { panic!("no trade settled: {found:?}") };

    let evidence = Evidence::of(&subject, SEED, &broken);
    let [first, .., last] = evidence.lines.as_slice() else { panic!("{evidence:?}") };
    assert!(first.contains(" asks under session-"), "{first}");
    assert!(last.contains(" SETTLED in the batch of 2026-03-04"), "{last}");
    assert!(evidence.lines.iter().any(|line| line.contains("  bank  ")) || evidence.lines.len() > 5);
    assert_eq!(evidence.faults, Vec::<String>::new());

    let end = End { violations: vec![broken.clone()], ..End::default() };
    let finished = Finished { ended: Ended::Returned(Ok(end)), wall: std::time::Duration::ZERO };
    let told = RunReport::of(subject.clone(), SEED, finished).failure(&evidence);
    let place = |text: &str| told.find(text).unwrap_or_else(|| panic!("no `{text}` in\n{told}"));
    let parts = [
        "  invariant  settles_exactly_once at ",
        "  why        one is not two",
        "  evidence\n",
        "  faults     none active\n",
    ];
    assert!(parts.map(place).is_sorted(), "{told}");
    let last = told.lines().last().expect("it has lines");
    assert_eq!(last, format!("  reproduce  {}", subject.command("run", SEED)));
}
