//! Entries, their outcomes, and the sums that are read of them.

use contracts::events::{PaymentEvent, PaymentOutcome, PositionChange, PositionUpdated};
use host::ports::store::Value;
use insta::assert_snapshot;
use model::{Amount, Currency, InstrumentId, Money, SignedQuantity};

use super::*;
use crate::testing::{Bench, instant};

fn bench() -> Bench<Ledger> {
    Bench::new(Ledger, "2026-03-09T18:00:00-04:00")
}

fn position(change: PositionChange, account: &str, quantity: i64) -> PositionUpdated {
    PositionUpdated {
        change: change.into(),
        account_id: account.into(),
        instrument_id: "IBM".into(),
        trade_id: "T-1".into(),
        quantity,
        attempt: 1,
        reason: String::new(),
    }
}

fn payment(outcome: PaymentOutcome, id: &str, debtor: &str, creditor: &str) -> PaymentEvent {
    PaymentEvent {
        outcome: outcome.into(),
        leg_id: id.into(),
        debtor: debtor.into(),
        creditor: creditor.into(),
        amount: "1025.00".into(),
        currency: "USD".into(),
        attempt: 1,
        bank_reference: "R-1".into(),
        ..PaymentEvent::default()
    }
}

fn withdrawal(outcome: PaymentOutcome) -> PaymentEvent {
    payment(outcome, "W-1", "A-1", "WORLD")
}

/// A-1 buys 100 IBM of A-2, who had them.
fn settled() -> Bench<Ledger> {
    let mut bench = bench();
    let ibm = InstrumentId::new("IBM").expect("an id");
    for (account, amount) in [
        ("A-1", Amount::Cash(Money::parse("2000.00", Currency::USD).expect("an amount"))),
        ("A-2", Amount::Shares { instrument: ibm, quantity: SignedQuantity::new(100) }),
    ] {
        let account = account.parse().expect("an id");
        let (stream, event, rows) = opening(&account, amount, instant("2026-03-06T08:00:00-05:00"));
        bench.seed(stream.as_str(), event);
        rows.into_iter().for_each(|row| bench.seed_row(&LEGS, row));
    }
    bench.message(payment(PaymentOutcome::Confirmed, "T-1/buyer", "A-1", "CCP"));
    bench.message(payment(PaymentOutcome::Confirmed, "T-1/seller", "CCP", "A-2"));
    bench.message(position(PositionChange::Delivered, "A-2", -100));
    bench.message(position(PositionChange::Delivered, "A-1", 100));
    bench
}

#[test]
fn a_delivery_is_booked_against_the_ccp_for_each_account() {
    let mut bench = bench();
    assert_snapshot!(bench.message(position(PositionChange::Delivered, "A-2", -100)), @r"
    event    entry/delivery/T-1/A-2 Booked{action=Posted entry_id=delivery/T-1/A-2 legs=[LedgerLeg{account_id=CCP asset=IBM amount=100}, LedgerLeg{account_id=A-2 asset=IBM amount=-100}]}
    publish  ledger-events #1 from entry/delivery/T-1/A-2 key delivery/T-1/A-2 date - LedgerEvent{action=Posted entry_id=delivery/T-1/A-2 legs=[LedgerLeg{account_id=CCP asset=IBM amount=100}, LedgerLeg{account_id=A-2 asset=IBM amount=-100}]}
    put      legs delivery/T-1/A-2 | 0 | CCP | IBM | 100 | POSTED | 1773093600000
    put      legs delivery/T-1/A-2 | 1 | A-2 | IBM | -100 | POSTED | 1773093600000
    ");
    assert_snapshot!(bench.message(position(PositionChange::Delivered, "A-1", 100)), @r"
    event    entry/delivery/T-1/A-1 Booked{action=Posted entry_id=delivery/T-1/A-1 legs=[LedgerLeg{account_id=CCP asset=IBM amount=-100}, LedgerLeg{account_id=A-1 asset=IBM amount=100}]}
    publish  ledger-events #1 from entry/delivery/T-1/A-1 key delivery/T-1/A-1 date - LedgerEvent{action=Posted entry_id=delivery/T-1/A-1 legs=[LedgerLeg{account_id=CCP asset=IBM amount=-100}, LedgerLeg{account_id=A-1 asset=IBM amount=100}]}
    put      legs delivery/T-1/A-1 | 0 | CCP | IBM | -100 | POSTED | 1773093600000
    put      legs delivery/T-1/A-1 | 1 | A-1 | IBM | 100 | POSTED | 1773093600000
    ");
}

#[test]
fn only_deliveries_move_shares() {
    let mut bench = bench();
    for change in [PositionChange::Blocked, PositionChange::BlockRefused, PositionChange::Released] {
        assert_eq!(bench.message(position(change, "A-2", 0)), "ignored\n");
    }
}

#[test]
fn a_payment_is_booked_when_it_is_confirmed() {
    let mut bench = bench();
    assert_snapshot!(bench.message(payment(PaymentOutcome::Confirmed, "T-1/buyer", "A-1", "CCP")), @r"
    event    entry/payment/T-1/buyer/1 Booked{action=Posted entry_id=payment/T-1/buyer/1 legs=[LedgerLeg{account_id=A-1 asset=USD amount=-1025.00}, LedgerLeg{account_id=CCP asset=USD amount=1025.00}]}
    publish  ledger-events #1 from entry/payment/T-1/buyer/1 key payment/T-1/buyer/1 date - LedgerEvent{action=Posted entry_id=payment/T-1/buyer/1 legs=[LedgerLeg{account_id=A-1 asset=USD amount=-1025.00}, LedgerLeg{account_id=CCP asset=USD amount=1025.00}]}
    put      legs payment/T-1/buyer/1 | 0 | A-1 | USD | -1025.00 | POSTED | 1773093600000
    put      legs payment/T-1/buyer/1 | 1 | CCP | USD | 1025.00 | POSTED | 1773093600000
    ");
    assert_eq!(bench.message(payment(PaymentOutcome::Refused, "T-2/buyer", "A-1", "CCP")), "ignored\n");
}

#[test]
fn a_deposit_comes_from_the_world() {
    assert_snapshot!(bench().message(payment(PaymentOutcome::Deposited, "R-1", "WORLD", "A-1")), @r"
    event    entry/deposit/R-1 Booked{action=Posted entry_id=deposit/R-1 legs=[LedgerLeg{account_id=WORLD asset=USD amount=-1025.00}, LedgerLeg{account_id=A-1 asset=USD amount=1025.00}]}
    publish  ledger-events #1 from entry/deposit/R-1 key deposit/R-1 date - LedgerEvent{action=Posted entry_id=deposit/R-1 legs=[LedgerLeg{account_id=WORLD asset=USD amount=-1025.00}, LedgerLeg{account_id=A-1 asset=USD amount=1025.00}]}
    put      legs deposit/R-1 | 0 | WORLD | USD | -1025.00 | POSTED | 1773093600000
    put      legs deposit/R-1 | 1 | A-1 | USD | 1025.00 | POSTED | 1773093600000
    ");
}

#[test]
fn a_withdrawal_is_pending_until_it_is_paid() {
    let mut bench = bench();
    assert_snapshot!(bench.message(withdrawal(PaymentOutcome::WithdrawalRequested)), @r"
    event    entry/withdrawal/W-1 Booked{action=Pending entry_id=withdrawal/W-1 legs=[LedgerLeg{account_id=A-1 asset=USD amount=-1025.00}, LedgerLeg{account_id=WORLD asset=USD amount=1025.00}]}
    publish  ledger-events #1 from entry/withdrawal/W-1 key withdrawal/W-1 date - LedgerEvent{action=Pending entry_id=withdrawal/W-1 legs=[LedgerLeg{account_id=A-1 asset=USD amount=-1025.00}, LedgerLeg{account_id=WORLD asset=USD amount=1025.00}]}
    put      legs withdrawal/W-1 | 0 | A-1 | USD | -1025.00 | PENDING | 1773093600000
    put      legs withdrawal/W-1 | 1 | WORLD | USD | 1025.00 | PENDING | 1773093600000
    ");
    assert_snapshot!(bench.get("/api/v1/ledger/accounts/A-1"), @r#"answer   200 {"accountId":"A-1","balances":[{"asset":"USD","pending":"-1025.00","posted":"0.00"}],"entries":[{"amount":"-1025.00","asset":"USD","at":"2026-03-09T22:00:00Z","entryId":"withdrawal/W-1","state":"PENDING"}]}"#);
    assert_snapshot!(bench.message(withdrawal(PaymentOutcome::WithdrawalPaid)), @r"
    event    entry/withdrawal/W-1 Booked{action=PendingPosted entry_id=withdrawal/W-1 legs=[LedgerLeg{account_id=A-1 asset=USD amount=-1025.00}, LedgerLeg{account_id=WORLD asset=USD amount=1025.00}]}
    publish  ledger-events #2 from entry/withdrawal/W-1 key withdrawal/W-1 date - LedgerEvent{action=PendingPosted entry_id=withdrawal/W-1 legs=[LedgerLeg{account_id=A-1 asset=USD amount=-1025.00}, LedgerLeg{account_id=WORLD asset=USD amount=1025.00}]}
    put      legs withdrawal/W-1 | 0 | A-1 | USD | -1025.00 | POSTED | 1773093600000
    put      legs withdrawal/W-1 | 1 | WORLD | USD | 1025.00 | POSTED | 1773093600000
    ");
    assert_snapshot!(bench.get("/api/v1/ledger/accounts/A-1"), @r#"answer   200 {"accountId":"A-1","balances":[{"asset":"USD","pending":"0.00","posted":"-1025.00"}],"entries":[{"amount":"-1025.00","asset":"USD","at":"2026-03-09T22:00:00Z","entryId":"withdrawal/W-1","state":"POSTED"}]}"#);
}

#[test]
fn a_refused_withdrawal_is_voided_on_both_sides() {
    let mut bench = bench();
    bench.message(withdrawal(PaymentOutcome::WithdrawalRequested));
    assert_snapshot!(bench.message(withdrawal(PaymentOutcome::WithdrawalRefused)), @r"
    event    entry/withdrawal/W-1 Booked{action=PendingVoided entry_id=withdrawal/W-1 legs=[LedgerLeg{account_id=A-1 asset=USD amount=-1025.00}, LedgerLeg{account_id=WORLD asset=USD amount=1025.00}]}
    publish  ledger-events #2 from entry/withdrawal/W-1 key withdrawal/W-1 date - LedgerEvent{action=PendingVoided entry_id=withdrawal/W-1 legs=[LedgerLeg{account_id=A-1 asset=USD amount=-1025.00}, LedgerLeg{account_id=WORLD asset=USD amount=1025.00}]}
    put      legs withdrawal/W-1 | 0 | A-1 | USD | -1025.00 | VOIDED | 1773093600000
    put      legs withdrawal/W-1 | 1 | WORLD | USD | 1025.00 | VOIDED | 1773093600000
    ");
    assert_snapshot!(bench.get("/api/v1/ledger/trial-balance"), @r#"answer   200 {"assets":[{"asset":"USD","pending":"0.00","posted":"0.00"}],"balanced":true,"legs":2}"#);
    assert_eq!(bench.message(withdrawal(PaymentOutcome::WithdrawalPaid)), "nothing\n", "voided for good");
}

#[test]
fn an_outcome_without_its_request_is_booked_whole() {
    let mut bench = bench();
    let lines = bench.message(withdrawal(PaymentOutcome::WithdrawalPaid));
    assert!(lines.find("action=Pending ") < lines.find("action=PendingPosted "), "{lines}");
    assert_eq!(bench.message(withdrawal(PaymentOutcome::WithdrawalRequested)), "nothing\n");
    assert_eq!(bench.rows(&LEGS).matches("POSTED").count(), 2);
}

#[test]
fn every_message_books_once() {
    let mut bench = settled();
    let rows = bench.rows(&LEGS);
    for message in [
        Message::from(payment(PaymentOutcome::Confirmed, "T-1/buyer", "A-1", "CCP")),
        Message::from(payment(PaymentOutcome::Confirmed, "T-1/seller", "CCP", "A-2")),
        Message::from(position(PositionChange::Delivered, "A-2", -100)),
        Message::from(position(PositionChange::Delivered, "A-1", 100)),
    ] {
        assert_eq!(bench.message(message), "nothing\n");
    }
    assert_eq!(bench.rows(&LEGS), rows);
    bench.message(withdrawal(PaymentOutcome::WithdrawalRequested));
    bench.message(withdrawal(PaymentOutcome::WithdrawalPaid));
    for outcome in [PaymentOutcome::WithdrawalRequested, PaymentOutcome::WithdrawalPaid] {
        assert_eq!(bench.message(withdrawal(outcome)), "nothing\n");
    }
}

#[test]
fn trial_balance_and_accounts_are_sums_of_legs() {
    let mut bench = settled();
    assert_snapshot!(bench.get("/api/v1/ledger/trial-balance"), @r#"answer   200 {"assets":[{"asset":"USD","pending":"0.00","posted":"0.00"},{"asset":"IBM","pending":"0","posted":"0"}],"balanced":true,"legs":12}"#);
    assert_snapshot!(bench.get("/api/v1/ledger/accounts/A-1"), @r#"answer   200 {"accountId":"A-1","balances":[{"asset":"USD","pending":"0.00","posted":"975.00"},{"asset":"IBM","pending":"0","posted":"100"}],"entries":[{"amount":"-1025.00","asset":"USD","at":"2026-03-09T22:00:00Z","entryId":"payment/T-1/buyer/1","state":"POSTED"},{"amount":"100","asset":"IBM","at":"2026-03-09T22:00:00Z","entryId":"delivery/T-1/A-1","state":"POSTED"},{"amount":"2000.00","asset":"USD","at":"2026-03-06T13:00:00Z","entryId":"opening/A-1/USD","state":"POSTED"}]}"#);
    assert_snapshot!(bench.get("/api/v1/ledger/accounts/CCP"), @r#"answer   200 {"accountId":"CCP","balances":[{"asset":"USD","pending":"0.00","posted":"0.00"},{"asset":"IBM","pending":"0","posted":"0"}],"entries":[{"amount":"-1025.00","asset":"USD","at":"2026-03-09T22:00:00Z","entryId":"payment/T-1/seller/1","state":"POSTED"},{"amount":"1025.00","asset":"USD","at":"2026-03-09T22:00:00Z","entryId":"payment/T-1/buyer/1","state":"POSTED"},{"amount":"100","asset":"IBM","at":"2026-03-09T22:00:00Z","entryId":"delivery/T-1/A-2","state":"POSTED"},{"amount":"-100","asset":"IBM","at":"2026-03-09T22:00:00Z","entryId":"delivery/T-1/A-1","state":"POSTED"}]}"#);
    assert!(bench.get("/api/v1/ledger").starts_with("answer   404"));
}

#[test]
fn a_leg_that_is_missing_shows_in_the_trial_balance() {
    let mut bench = settled();
    let row = ["payment/T-1/buyer/1", "A-1", "USD", "-1025.01", "POSTED"].map(Value::text);
    let [entry, account, asset, amount, state] = row;
    bench.seed_row(&LEGS, vec![entry, Value::Int(0), account, asset, amount, state, Value::Int(0)]);
    let answer = bench.get("/api/v1/ledger/trial-balance");
    assert!(answer.contains(r#"{"asset":"USD","pending":"0.00","posted":"-0.01"}"#), "{answer}");
    assert!(answer.contains(r#""balanced":false"#), "{answer}");
}

#[test]
#[should_panic(expected = "entry delivery/T-1/A-1: the leg of CCP in IBM is zero")]
fn what_does_not_balance_never_becomes_an_entry() {
    bench().message(position(PositionChange::Delivered, "A-1", 0));
}
