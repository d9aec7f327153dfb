//! What the tests of payment share: a bench with two accounts, and the messages of its neighbours.

mod cash_in;
mod orders;
mod withdrawals;

use contracts::events::{ReferenceDataEvent, reference_data_event};

use super::*;
use crate::testing::Bench;

/// After the close of Monday, with accounts A-1 and A-2 known.
fn bench() -> Bench<Payment> {
    let mut bench = Bench::new(Payment::default(), "2026-03-09T18:00:00-04:00");
    for account in ["A-1", "A-2"] {
        for (stream, event) in opening(&opened(account)) {
            bench.seed(stream.as_str(), event);
        }
    }
    bench
}

fn opened(account: &str) -> AccountOpened {
    AccountOpened {
        account_id: account.into(),
        participant_id: "P-1".into(),
        bank_account: account.replace("A-", "B-"),
        webhook: String::new(),
    }
}

fn reference_data(account: &str) -> ReferenceDataEvent {
    ReferenceDataEvent { kind: Some(reference_data_event::Kind::AccountOpened(opened(account))) }
}

/// An attempt at a leg of trade T-1, valid until 20:00.
fn instruction(leg: &str, attempt: u32) -> PaymentInstruction {
    let (debtor, creditor) = if leg == "buyer" { ("A-1", "CCP") } else { ("CCP", "A-2") };
    PaymentInstruction {
        leg_id: format!("T-1/{leg}"),
        trade_id: "T-1".into(),
        debtor: debtor.into(),
        creditor: creditor.into(),
        amount: "1025.00".into(),
        currency: "USD".into(),
        settlement_date: "2026-03-09".into(),
        attempt,
        valid_until_ms: 1_773_100_800_000,
        trade_date: "2026-03-06".into(),
    }
}

/// The UETR of the first attempt at the buyer's leg.
const BUYER_1: &str = "be28b5c3-577e-4950-b6ea-35ef2f52894c";

const EXECUTED: &str = r#"{"status":"ACSC","reason":"","reference":"B-17"}"#;
const REFUSED: &str = r#"{"status":"RJCT","reason":"AM04","reference":""}"#;
const PENDING: &str = r#"{"status":"PDNG","reason":"","reference":""}"#;
