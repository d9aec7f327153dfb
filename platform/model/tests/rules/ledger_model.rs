//! Any sequence of operations on the journal, against a model that is slow and obvious.

use std::cell::RefCell;
use std::collections::BTreeMap;

use model::ledger::{Applied, StateError};
use model::{
    AccountId, Asset, Currency, Entry, EntryId, InstrumentId, Journal, JournalError, Leg, Money,
    SignedQuantity,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Few ids and few contents, so that repetitions, conflicts and chains of reversals are common.
const IDS: usize = 6;
const CONTENTS: usize = 3;

#[derive(Debug, Clone, Copy)]
enum Operation {
    Post { id: usize, content: usize },
    Pend { id: usize, content: usize },
    PostPending { id: usize },
    VoidPending { id: usize },
    Reverse { id: usize, reversal: usize },
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let operation = prop_oneof![
        3 => (0..IDS, 0..CONTENTS).prop_map(|(id, content)| Operation::Post { id, content }),
        3 => (0..IDS, 0..CONTENTS).prop_map(|(id, content)| Operation::Pend { id, content }),
        2 => (0..IDS).prop_map(|id| Operation::PostPending { id }),
        2 => (0..IDS).prop_map(|id| Operation::VoidPending { id }),
        3 => (0..IDS, 0..IDS).prop_map(|(id, reversal)| Operation::Reverse { id, reversal }),
    ];
    proptest::collection::vec(operation, 0..40)
}

/// Account, asset, signed units.
type Movement = (usize, usize, i64);

fn content(number: usize) -> Vec<Movement> {
    match number {
        0 => vec![(0, 0, -100), (1, 0, 100)],
        1 => vec![(1, 1, -7), (2, 1, 7), (1, 0, 50), (2, 0, -50)],
        // One account twice: its legs add up.
        _ => vec![(0, 0, -30), (1, 0, 15), (2, 0, 20), (1, 0, -5)],
    }
}

fn opposite(movements: &[Movement]) -> Vec<Movement> {
    movements.iter().map(|&(account, asset, units)| (account, asset, -units)).collect()
}

/// What became of an id in the model.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    movements: Vec<Movement>,
    reverses: Option<usize>,
    began_pending: bool,
    posted: bool,
    voided: bool,
}

/// Balances are not kept: they are summed anew over all entries, each time.
#[derive(Debug, Default)]
struct Naive {
    entries: BTreeMap<usize, Known>,
}

impl Naive {
    fn apply(&mut self, operation: Operation) -> &'static str {
        match operation {
            Operation::Post { id, content: number } => self.begin(id, content(number), None, false),
            Operation::Pend { id, content: number } => self.begin(id, content(number), None, true),
            Operation::PostPending { id } => self.finish(id, true),
            Operation::VoidPending { id } => self.finish(id, false),
            Operation::Reverse { id, reversal } => match self.entries.get(&id) {
                None => "unknown",
                Some(original) => {
                    let movements = opposite(&original.movements);
                    self.begin(reversal, movements, Some(id), false)
                }
            },
        }
    }

    fn begin(
        &mut self,
        id: usize,
        movements: Vec<Movement>,
        reverses: Option<usize>,
        pending: bool,
    ) -> &'static str {
        if let Some(known) = self.entries.get(&id) {
            let same =
                (&known.movements, known.reverses, known.began_pending) == (&movements, reverses, pending);
            return if same { "repeated" } else { "conflict" };
        }
        if let Some(original) = reverses {
            if !self.entries[&original].posted {
                return "not posted";
            }
            if self.entries.values().any(|known| known.reverses == Some(original)) {
                return "already reversed";
            }
        }
        let known = Known { movements, reverses, began_pending: pending, posted: !pending, voided: false };
        self.entries.insert(id, known);
        "appended"
    }

    fn finish(&mut self, id: usize, post: bool) -> &'static str {
        match self.entries.get_mut(&id) {
            None => "unknown",
            Some(known) if !known.began_pending => "never pending",
            Some(known) if known.posted => {
                if post {
                    "repeated"
                } else {
                    "already posted"
                }
            }
            Some(known) if known.voided => {
                if post {
                    "already voided"
                } else {
                    "repeated"
                }
            }
            Some(known) => {
                *(if post { &mut known.posted } else { &mut known.voided }) = true;
                "appended"
            }
        }
    }

    fn balance(&self, account: usize, asset: usize, counts: fn(&Known) -> bool) -> i128 {
        let movements =
            self.entries.values().filter(|known| counts(known)).flat_map(|known| &known.movements);
        let of_account = movements.filter(|movement| (movement.0, movement.1) == (account, asset));
        of_account.map(|movement| i128::from(movement.2)).sum()
    }
}

fn account(number: usize) -> AccountId {
    AccountId::new(&format!("A{number}")).expect("a valid id")
}

fn entry_id(number: usize) -> EntryId {
    EntryId::new(&format!("E{number}")).expect("a valid id")
}

fn instrument() -> InstrumentId {
    InstrumentId::new("ACME").expect("a valid id")
}

fn asset(number: usize) -> Asset {
    if number == 0 { Asset::Currency(Currency::USD) } else { Asset::Instrument(instrument()) }
}

fn entry(id: usize, number: usize) -> Entry {
    let leg = |(holder, asset, units): Movement| match asset {
        0 => Leg::cash(account(holder), Money::from_minor(units.into(), Currency::USD).expect("in range")),
        _ => Leg::shares(account(holder), instrument(), SignedQuantity::new(units)),
    };
    Entry::new(entry_id(id), content(number).into_iter().map(leg).collect()).expect("balanced")
}

fn apply(journal: &mut Journal, operation: Operation) -> &'static str {
    let result = match operation {
        Operation::Post { id, content } => journal.post(entry(id, content)),
        Operation::Pend { id, content } => journal.pend(entry(id, content)),
        Operation::PostPending { id } => journal.post_pending(&entry_id(id)),
        Operation::VoidPending { id } => journal.void_pending(&entry_id(id)),
        Operation::Reverse { id, reversal } => journal.reverse(&entry_id(id), entry_id(reversal)),
    };
    match result {
        Ok(Applied::Appended) => "appended",
        Ok(Applied::Repeated) => "repeated",
        Err(JournalError::UnknownEntry { .. }) => "unknown",
        Err(JournalError::Conflict { .. }) => "conflict",
        Err(JournalError::AlreadyReversed { .. }) => "already reversed",
        Err(JournalError::State { error: StateError::NeverPending, .. }) => "never pending",
        Err(JournalError::State { error: StateError::AlreadyPosted, .. }) => "already posted",
        Err(JournalError::State { error: StateError::AlreadyVoided, .. }) => "already voided",
        Err(JournalError::State { error: StateError::NotPosted, .. }) => "not posted",
        Err(other) => panic!("not reachable by these operations: {other}"),
    }
}

fn check_step(
    journal: &mut Journal,
    naive: &mut Naive,
    operation: Operation,
) -> Result<&'static str, TestCaseError> {
    let before = journal.records().to_vec();
    let outcome = apply(journal, operation);
    prop_assert_eq!(outcome, naive.apply(operation), "{:?}", operation);

    let grown = usize::from(outcome == "appended");
    prop_assert_eq!(journal.records().len(), before.len() + grown);
    prop_assert_eq!(&journal.records()[..before.len()], &before[..]);
    prop_assert!(journal.trial_balance().is_zero());
    for holder in 0..3 {
        for number in 0..2 {
            let (account, asset) = (account(holder), asset(number));
            let posted = naive.balance(holder, number, |known| known.posted);
            let pending = naive.balance(holder, number, |known| !known.posted && !known.voided);
            prop_assert_eq!(journal.posted(&account, &asset).units(), posted);
            prop_assert_eq!(journal.pending(&account, &asset).units(), pending);
        }
    }
    Ok(outcome)
}

#[test]
fn any_sequence_of_operations_agrees_with_the_naive_model() {
    let outcomes = RefCell::new(BTreeMap::<&str, u32>::new());
    let mut runner = TestRunner::new(Config { cases: 512, ..Config::default() });
    let result = runner.run(&operations(), |operations| {
        let (mut journal, mut naive) = (Journal::default(), Naive::default());
        for operation in operations {
            let outcome = check_step(&mut journal, &mut naive, operation)?;
            *outcomes.borrow_mut().entry(outcome).or_default() += 1;
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    // Every outcome that the operations can have was met, or the test proved less than it says.
    let met: Vec<&str> = outcomes.borrow().keys().copied().collect();
    let all = [
        "already posted",
        "already reversed",
        "already voided",
        "appended",
        "conflict",
        "never pending",
        "not posted",
        "repeated",
        "unknown",
    ];
    assert_eq!(met, all);
}
