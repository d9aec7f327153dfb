//! The ledger's rules, one refusal at a time.

use model::ledger::{Applied, Record, StateError};
use model::{
    AccountId, Amount, ArithmeticError, Asset, Currency, Entry, EntryError, EntryId, EntryState,
    InstrumentId, Journal, JournalError, Leg, Money, SignedQuantity,
};

fn account(text: &str) -> AccountId {
    AccountId::new(text).expect("a valid id")
}

fn id(text: &str) -> EntryId {
    EntryId::new(text).expect("a valid id")
}

fn acme() -> InstrumentId {
    InstrumentId::new("ACME").expect("a valid id")
}

fn cash(holder: &str, minor: i128) -> Leg {
    Leg::cash(account(holder), Money::from_minor(minor, Currency::USD).expect("in range"))
}

fn shares(holder: &str, count: i64) -> Leg {
    Leg::shares(account(holder), acme(), SignedQuantity::new(count))
}

fn transfer(name: &str, minor: i128) -> Entry {
    Entry::new(id(name), vec![cash("A", -minor), cash("B", minor)]).expect("balanced")
}

fn usd() -> Asset {
    Asset::Currency(Currency::USD)
}

#[test]
fn each_reason_to_refuse_legs() {
    let refused = |legs: &[Leg]| Entry::balanced(legs).expect_err("legs that are no entry");
    assert_eq!(refused(&[]), EntryError::TooFewLegs { legs: 0 });
    assert_eq!(refused(&[cash("A", 1)]), EntryError::TooFewLegs { legs: 1 });
    let zero = EntryError::ZeroLeg { account: account("B"), asset: usd() };
    assert_eq!(refused(&[cash("A", 1), cash("B", 0)]), zero);
    let unbalanced = EntryError::Unbalanced { asset: usd(), units: 1 };
    assert_eq!(refused(&[cash("A", 101), cash("B", -100)]), unbalanced);
    // Cash does not balance shares.
    let unbalanced = EntryError::Unbalanced { asset: usd(), units: 5 };
    assert_eq!(refused(&[cash("A", 5), shares("B", -5)]), unbalanced);
    let large = EntryError::LegTooLarge { account: account("A"), asset: Asset::Instrument(acme()) };
    assert_eq!(refused(&[shares("A", i64::MIN), shares("B", i64::MAX), shares("C", 1)]), large);
}

#[test]
fn partial_sums_may_leave_the_range_of_an_amount() {
    let legs = [("A", i64::MAX), ("B", i64::MAX), ("C", -i64::MAX), ("D", -i64::MAX)];
    assert_eq!(Entry::balanced(&legs.map(|(holder, count)| shares(holder, count))), Ok(()));
}

#[test]
fn several_assets_balance_one_by_one() {
    let legs = vec![cash("A", -100), shares("A", 3), cash("B", 100), shares("B", -3)];
    let mut journal = Journal::default();
    journal.post(Entry::new(id("E"), legs).expect("balanced")).expect("booked");
    assert_eq!(journal.posted(&account("A"), &usd()).to_string(), "-1.00 USD");
    assert_eq!(journal.posted(&account("A"), &Asset::Instrument(acme())).to_string(), "3 ACME");
    assert_eq!(journal.posted(&account("C"), &usd()), Amount::zero(&usd()));
}

#[test]
fn pending_and_posted_balances_are_apart() {
    let mut journal = Journal::default();
    let held = |journal: &Journal| {
        let of = |amount: Amount| amount.units();
        (of(journal.posted(&account("B"), &usd())), of(journal.pending(&account("B"), &usd())))
    };
    journal.pend(transfer("P", 7)).expect("booked");
    journal.pend(transfer("V", 20)).expect("booked");
    assert_eq!(held(&journal), (0, 27));
    journal.post_pending(&id("P")).expect("posted");
    assert_eq!(held(&journal), (7, 20));
    journal.void_pending(&id("V")).expect("voided");
    assert_eq!(held(&journal), (7, 0));
    journal.reverse(&id("P"), id("R")).expect("reversed");
    assert_eq!(held(&journal), (0, 0));
    assert_eq!(journal.reversed_by(&id("P")), Some(&id("R")));
    let expected = [
        Record::Pended(transfer("P", 7)),
        Record::Pended(transfer("V", 20)),
        Record::PendingPosted(id("P")),
        Record::PendingVoided(id("V")),
        Record::Posted(Entry::reversal_of(&transfer("P", 7), id("R"))),
    ];
    assert_eq!(journal.records(), expected);
    let (reversal, state) = journal.entry(&id("R")).expect("in the journal");
    assert_eq!((reversal.reverses(), state), (Some(&id("P")), EntryState::Posted));
}

type Step = fn(&mut Journal) -> Result<Applied, JournalError>;

/// Every operation once, then again: the second time nothing is appended.
#[test]
fn repetitions_change_nothing() {
    let mut journal = Journal::default();
    let steps: [Step; 6] = [
        |journal| journal.post(transfer("E", 5)),
        |journal| journal.pend(transfer("P", 6)),
        |journal| journal.pend(transfer("V", 7)),
        |journal| journal.post_pending(&id("P")),
        |journal| journal.void_pending(&id("V")),
        |journal| journal.reverse(&id("E"), id("R")),
    ];
    for (position, step) in steps.iter().enumerate() {
        assert_eq!(step(&mut journal), Ok(Applied::Appended), "step {position}");
        assert_eq!(step(&mut journal), Ok(Applied::Repeated), "step {position}");
    }
    let before = journal.records().to_vec();
    for step in steps {
        assert_eq!(step(&mut journal), Ok(Applied::Repeated));
    }
    assert_eq!(journal.records(), before);
}

#[test]
fn each_reason_to_refuse_an_operation() {
    let mut journal = Journal::default();
    journal.post(transfer("E", 5)).expect("booked");
    journal.pend(transfer("P", 6)).expect("booked");
    let state = |name, error| Err(JournalError::State { id: id(name), error });
    let conflict = |name| Err(JournalError::Conflict { id: id(name) });
    let unknown = |name| Err(JournalError::UnknownEntry { id: id(name) });

    assert_eq!(journal.post(transfer("E", 4)), conflict("E"));
    assert_eq!(journal.pend(transfer("E", 5)), conflict("E"));
    assert_eq!(journal.post(transfer("P", 6)), conflict("P"));
    assert_eq!(journal.reverse(&id("E"), id("P")), conflict("P"));
    assert_eq!(journal.reverse(&id("E"), id("E")), conflict("E"));
    assert_eq!(journal.post_pending(&id("X")), unknown("X"));
    assert_eq!(journal.void_pending(&id("X")), unknown("X"));
    assert_eq!(journal.reverse(&id("X"), id("R")), unknown("X"));
    assert_eq!(journal.post_pending(&id("E")), state("E", StateError::NeverPending));
    assert_eq!(journal.void_pending(&id("E")), state("E", StateError::NeverPending));
    assert_eq!(journal.reverse(&id("P"), id("R")), state("P", StateError::NotPosted));
    journal.post_pending(&id("P")).expect("posted");
    assert_eq!(journal.void_pending(&id("P")), state("P", StateError::AlreadyPosted));
    journal.pend(transfer("V", 7)).expect("booked");
    journal.void_pending(&id("V")).expect("voided");
    assert_eq!(journal.post_pending(&id("V")), state("V", StateError::AlreadyVoided));
    assert_eq!(journal.reverse(&id("V"), id("R")), state("V", StateError::NotPosted));
    journal.reverse(&id("E"), id("R")).expect("reversed");
    let twice = JournalError::AlreadyReversed { id: id("E"), by: id("R") };
    assert_eq!(journal.reverse(&id("E"), id("R2")), Err(twice));
    let pending = JournalError::PendingReversal { id: id("R3") };
    assert_eq!(journal.pend(Entry::reversal_of(&transfer("P", 6), id("R3"))), Err(pending));
    assert_eq!(journal.records().len(), 6);
}

#[test]
fn a_stored_reversal_must_mirror_what_it_names() {
    let mut journal = Journal::default();
    journal.post(transfer("E", 5)).expect("booked");
    let stored = serde_json::to_value(Entry::reversal_of(&transfer("E", 6), id("R"))).expect("JSON");
    let claimed: Entry = serde_json::from_value(stored).expect("balanced, so an entry");
    let refused = JournalError::NotAMirror { id: id("R"), original: id("E") };
    assert_eq!(journal.post(claimed), Err(refused));
    assert_eq!(journal.reversed_by(&id("E")), None);
}

#[test]
fn an_entry_is_not_read_from_storage_unbalanced() {
    let stored = serde_json::to_string(&transfer("E", 5)).expect("JSON");
    assert_eq!(serde_json::from_str::<Entry>(&stored).expect("as written"), transfer("E", 5));
    let forged = stored.replacen("0.05 USD", "0.06 USD", 1);
    assert_ne!(forged, stored);
    let refused = serde_json::from_str::<Entry>(&forged).expect_err("not balanced").to_string();
    assert!(refused.contains("not to zero"), "{refused}");
}

#[test]
fn a_balance_that_does_not_fit_books_no_leg_at_all() {
    let mut journal = Journal::default();
    let large = |name: &str| {
        Entry::new(id(name), vec![shares("A", -i64::MAX), shares("B", i64::MAX)]).expect("balanced")
    };
    journal.post(large("E1")).expect("booked");
    journal.pend(large("P")).expect("booked");
    let overflow = Err(JournalError::Arithmetic(ArithmeticError::Overflow));
    assert_eq!(journal.post(large("E2")), overflow);
    assert_eq!(journal.post_pending(&id("P")), overflow);
    assert!(journal.entry(&id("E2")).is_none() && journal.records().len() == 2);
    let pending = journal.pending(&account("B"), &Asset::Instrument(acme()));
    assert_eq!(pending.units(), i128::from(i64::MAX));
    assert!(journal.trial_balance().is_zero());
    journal.void_pending(&id("P")).expect("voided");
}
