//! Marks of faults: that one of a family began, and that it met a decision, a batch or a payment; that one of an action
//! met a decision.
//!
//! It meets what it concerns only: a decision of a service that it hits or that works with what it hits, a batch by
//! settlement, position or payment, a payment by payment.
//!
//! A fault counts as active from its beginning until a second after its end, for what it hit shows by then; one
//! that is over in a moment counts for that second.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use contracts::events::{payment_stored, settlement_stored};

use super::concern::concerned;
use super::{Mark, follow};
use crate::read::{payment, settlement, subject};
use crate::{Fact, FactKind, Family, Record, family};

const AFTERMATH_NS: i64 = 1_000_000_000;
/// The services that work on a batch.
const OF_BATCH: &[&str] = &["settlement", "position", "payment"];
const OF_PAYMENT: &[&str] = &["payment"];

const FAULTS: &[FactKind] = &[FactKind::Fault];
const FAULTS_AND_COMMITS: &[FactKind] = &[FactKind::Fault, FactKind::Committed];

/// The four marks of a family.
macro_rules! of_family {
    ($family:ident, $name:literal, $about:literal) => {
        [
            follow::<()>(
                concat!("fault:", $name),
                concat!("A fault of ", $about, " began."),
                FAULTS,
                |(), record| began(record, is_of(Family::$family)).is_some(),
            ),
            follow::<Active>(
                concat!("fault:", $name, "_during_batch"),
                concat!(
                    "A fault of ",
                    $about,
                    " was active while a settlement batch that it concerns was open."
                ),
                FAULTS_AND_COMMITS,
                |active, record| active.meets(record, is_of(Family::$family), batch),
            ),
            follow::<Active>(
                concat!("fault:", $name, "_during_decision"),
                concat!(
                    "A fault of ",
                    $about,
                    " was active while a service that it concerns committed a decision."
                ),
                FAULTS_AND_COMMITS,
                |active, record| active.meets(record, is_of(Family::$family), decision),
            ),
            follow::<Active>(
                concat!("fault:", $name, "_during_payment"),
                concat!("A fault of ", $about, " was active while a payment that it concerns was under way."),
                FAULTS_AND_COMMITS,
                |active, record| active.meets(record, is_of(Family::$family), under_way),
            ),
        ]
    };
}

pub fn marks() -> Vec<Box<dyn Mark>> {
    let of_families = [
        of_family!(Links, "links", "the network"),
        of_family!(Processes, "processes", "processes"),
        of_family!(Clocks, "clocks", "clocks"),
        of_family!(Databases, "databases", "database servers"),
        of_family!(Kafka, "kafka", "the brokers"),
        of_family!(Rails, "rails", "parties outside"),
    ]
    .into_iter()
    .flatten();
    let of_actions = ACTIONS.iter().map(|about| Box::new(MetBy::new(about)) as Box<dyn Mark>);
    of_families.chain(of_actions).collect()
}

/// An action, with the name of its mark and what that is about.
struct About {
    action: &'static str,
    name: String,
    about: String,
}

static ACTIONS: LazyLock<Vec<About>> = LazyLock::new(|| {
    let actions = Family::ALL.iter().flat_map(|family| family.actions());
    let about = |action: &&'static str| About {
        action,
        name: format!("fault:{action}_during_decision"),
        about: format!(
            "A fault `{action}` was active while a service that it concerns committed a decision."
        ),
    };
    actions.map(about).collect()
});

/// A fault of one action was active while a service that it concerns committed a decision.
struct MetBy {
    of: &'static About,
    active: Active,
    seen: bool,
}

impl MetBy {
    fn new(of: &'static About) -> Self {
        Self { of, active: Active::default(), seen: false }
    }
}

impl Mark for MetBy {
    fn name(&self) -> &'static str {
        &self.of.name
    }

    fn about(&self) -> &'static str {
        &self.of.about
    }

    fn watches(&self) -> &'static [FactKind] {
        FAULTS_AND_COMMITS
    }

    fn observe(&mut self, record: &Record<'_>) {
        // There are many of these marks, and most faults are not there: nothing is looked at for them.
        if self.active.faults.is_empty() && !matches!(record.fact, Fact::FaultBegan { .. }) {
            return;
        }
        let is_it = |action: &str, _: &str| action == self.of.action;
        self.seen |= self.active.meets(record, is_it, decision);
    }

    fn seen(&self) -> bool {
        self.seen
    }
}

fn is_of(of: Family) -> impl Fn(&str, &str) -> bool {
    move |action, target| family(action, target) == of
}

/// The id and the target of a fault that begins, if it is one of these by its action and target.
fn began<'a>(record: &Record<'a>, is_one: impl Fn(&str, &str) -> bool) -> Option<(u32, &'a str)> {
    match record.fact {
        Fact::FaultBegan { id, action, target } if is_one(action, target) => Some((*id, target)),
        _ => None,
    }
}

#[derive(Default)]
struct Active {
    /// Faults of the kind: whom they concern, and the time until which they count, once it is known.
    faults: BTreeMap<u32, (Vec<&'static str>, i64)>,
    /// Batches that run, or payments without an answer.
    open: BTreeSet<String>,
}

impl Active {
    /// Whether a fault is active at this record and concerns one of those who are at work.
    fn meets(&mut self, record: &Record<'_>, is_one: impl Fn(&str, &str) -> bool, at_work: AtWork) -> bool {
        if let Some((id, target)) = began(record, is_one) {
            self.faults.insert(id, (concerned(target), i64::MAX));
        }
        if let Fact::FaultEnded { id } = record.fact
            && let Some((_, until)) = self.faults.get_mut(id)
        {
            *until = record.at_ns.saturating_add(AFTERMATH_NS);
        }
        let services = at_work(&mut self.open, record.fact);
        self.faults.retain(|_, (_, until)| record.at_ns <= *until);
        self.faults.values().any(|(concerned, _)| services.iter().any(|service| concerned.contains(service)))
    }
}

/// The services that are at work on what a mark is about.
type AtWork = for<'a> fn(&mut BTreeSet<String>, &'a Fact) -> Vec<&'a str>;

/// A decision that changed a stream.
fn decision<'a>(_: &mut BTreeSet<String>, fact: &'a Fact) -> Vec<&'a str> {
    match fact {
        Fact::Committed(committed) if !committed.events.is_empty() => vec![&committed.database],
        _ => Vec::new(),
    }
}

fn those(services: &'static [&'static str], are_at_work: bool) -> Vec<&'static str> {
    if are_at_work { services.to_vec() } else { Vec::new() }
}

/// A batch with instructions is open, also if it closes just now.
fn batch<'a>(open: &mut BTreeSet<String>, fact: &'a Fact) -> Vec<&'a str> {
    let was_open = !open.is_empty();
    for (_, event) in settlement(fact) {
        match event {
            settlement_stored::Event::BatchStarted(batch) if batch.instructions > 0 => {
                open.insert(batch.settlement_date.clone());
            }
            settlement_stored::Event::BatchClosed(batch) => {
                open.remove(&batch.settlement_date);
            }
            _ => {}
        }
    }
    those(OF_BATCH, was_open || !open.is_empty())
}

/// A payment was instructed, or a withdrawal asked for, and its outcome is not known.
fn under_way<'a>(open: &mut BTreeSet<String>, fact: &'a Fact) -> Vec<&'a str> {
    use payment_stored::Event::{
        Confirmed, Instructed, Refused, WithdrawalPaid, WithdrawalRefused, WithdrawalRequested,
    };
    let was_open = !open.is_empty();
    for (row, event) in payment(fact) {
        match event {
            Instructed(_) | WithdrawalRequested(_) => {
                open.insert(subject(&row.stream).to_owned());
            }
            Confirmed(_) | Refused(_) | WithdrawalPaid(_) | WithdrawalRefused(_) => {
                open.remove(subject(&row.stream));
            }
            _ => {}
        }
    }
    those(OF_PAYMENT, was_open || !open.is_empty())
}

#[cfg(test)]
mod tests {
    use contracts::events::{BatchClosed, BatchStarted};

    use super::super::{all, check};
    use super::*;
    use crate::testing::{Commit, confirmed, history, pays, validated};

    fn began(action: &str, target: &str) -> Fact {
        Fact::FaultBegan { id: 7, action: action.to_owned(), target: target.to_owned() }
    }

    fn ended() -> Fact {
        Fact::FaultEnded { id: 7 }
    }

    fn started(instructions: u64) -> Commit {
        let settlement_date = "2026-03-09".to_owned();
        let batch = BatchStarted { settlement_date, at_ms: 0, instructions };
        Commit::by("settlement").event("settlement/2026-03-09", settlement_stored::Event::BatchStarted(batch))
    }

    fn closed() -> Commit {
        let batch = BatchClosed { settlement_date: "2026-03-09".to_owned() };
        Commit::by("settlement").event("settlement/2026-03-09", settlement_stored::Event::BatchClosed(batch))
    }

    #[test]
    fn a_family_begins() {
        check("fault:links", history![began("partition", "position")], true);
        check("fault:links", history![began("kill", "position/1"), ended()], false);
        check("fault:databases", history![began("kill", "postgres/trade/primary")], true);
        check("fault:processes", history![began("kill", "postgres/trade/primary")], false);
    }

    #[test]
    fn a_decision_is_met_while_the_fault_lasts_and_shortly_after() {
        let mark = "fault:kafka_during_decision";
        let fault = || began("rebalance", "kafka");
        check(mark, history![validated("T-1"), fault(), ended()], false);
        check(mark, history![fault(), validated("T-1")], true);
        check(mark, history![fault(), ended(), (AFTERMATH_NS, validated("T-1"))], true);
        check(mark, history![fault(), ended(), (AFTERMATH_NS + 1, validated("T-1"))], false);
        check(mark, history![began("kill", "kafka/1"), validated("T-1")], false);
    }

    #[test]
    fn an_action_is_met_by_a_decision_that_it_concerns() {
        let mark = "fault:ack-lost_during_decision";
        let paying = || pays("T-1/buyer", "B", "CCP");
        check(mark, history![began("ack-lost", "bank"), paying()], true);
        check(mark, history![began("ack-late", "bank"), paying()], false);
        check(mark, history![paying(), began("ack-lost", "bank")], false);
        let mark = "fault:pause_during_decision";
        check(mark, history![began("pause", "trade/1"), validated("T-1")], false);
        check(mark, history![began("pause", "position/1"), validated("T-1")], true);
    }

    #[test]
    fn names_are_different() {
        let mut names: Vec<&str> = all().iter().map(|mark| mark.name()).collect();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn only_what_a_fault_concerns_is_met() {
        let mark = "fault:processes_during_decision";
        check(mark, history![began("kill", "position/1"), validated("T-1")], true);
        check(mark, history![began("kill", "ledger/1"), validated("T-1")], false);
        let mark = "fault:databases_during_batch";
        check(mark, history![started(1), began("failover", "postgres/payment")], true);
        check(mark, history![started(1), began("failover", "postgres/trade")], false);
        let mark = "fault:rails_during_payment";
        check(mark, history![pays("T-1/buyer", "B", "CCP"), began("webhook-down", "webhooks")], false);
    }

    #[test]
    fn a_batch_is_met_while_it_is_open() {
        let mark = "fault:databases_during_batch";
        let fault = || began("failover", "postgres/settlement");
        check(mark, history![started(1), fault()], true);
        check(mark, history![fault(), started(1)], true);
        check(mark, history![started(1), closed(), fault()], false);
        check(mark, history![fault(), started(0)], false);
    }

    #[test]
    fn a_payment_is_met_until_its_answer() {
        let mark = "fault:rails_during_payment";
        let fault = || began("ack-lost", "bank");
        check(mark, history![pays("T-1/buyer", "B", "CCP"), fault()], true);
        let answered = history![pays("T-1/buyer", "B", "CCP"), confirmed("T-1/buyer", "U-1"), fault()];
        check(mark, answered, false);
    }
}
