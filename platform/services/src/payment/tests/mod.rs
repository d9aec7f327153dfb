//! What the tests of payment share: a bench with two accounts, and the messages of its neighbours.

mod breaks;
mod cash_in;
mod orders;
mod statement;
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

fn notice(reference: &str, account: &str, amount: &str) -> String {
    format!(r#"{{"reference":"{reference}","account":"{account}","amount":"{amount}","currency":"USD"}}"#)
}

/// A notice about an order of ours.
fn notice_of(uetr: &str, amount: &str) -> String {
    notice("R-1", "CCP", amount).replace('}', &format!(r#","uetr":"{uetr}"}}"#))
}

fn refusal_of(uetr: &str) -> String {
    notice_of(uetr, "1025.00").replace('}', r#","status":"RJCT","reason":"MS03"}"#)
}

/// A line of the statement: a deposit of 50.00 for account B-1, under reference `R-<sequence>`.
fn line(sequence: u64) -> String {
    format!(
        r#"{{"sequence":{sequence},"reference":"R-{sequence}","kind":"deposit","uetr":"","debtor":"WORLD",
        "creditor":"B-1","amount":"50.00","currency":"USD","at":"2026-03-09T22:00:00Z"}}"#
    )
}

/// A line about an order of ours.
fn line_of(sequence: u64, uetr: &str, amount: &str) -> String {
    let line = line(sequence).replace("deposit", "payment").replace("50.00", amount);
    line.replace(r#""uetr":"""#, &format!(r#""uetr":"{uetr}""#)).replace("B-1", "CCP")
}

fn statement_of(lines: &[String], next: u64) -> String {
    format!(r#"{{"entries":[{}],"next":{next}}}"#, lines.join(","))
}

/// Asks for the statement after the first `from` lines, a second later, and answers with these lines.
fn read(bench: &mut Bench<Payment>, from: u64, lines: &[String], next: u64) -> String {
    bench.now += Duration::from_secs(1);
    bench.timer("statement");
    let effect = format!("statement/{}/{from}", bench.now.as_millisecond());
    bench.effect_answer(&effect, host::EffectStep::Send, 200, &statement_of(lines, next))
}

const EXECUTED: &str = r#"{"status":"ACSC","reason":"","reference":"B-17"}"#;
const REFUSED: &str = r#"{"status":"RJCT","reason":"AM04","reference":""}"#;
const PENDING: &str = r#"{"status":"PDNG","reason":"","reference":""}"#;
