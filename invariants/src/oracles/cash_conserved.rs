//! Cash is neither made nor lost: the bank's accounts never go below zero, and payment knows only what the
//! bank did.
//!
//! Why it can break: a payment taken for executed because it was sent, a credit notice counted under two
//! references, a withdrawal paid twice. The bank's own books are the ground truth: every confirmation must be
//! one of its movements, of the same parties and amount, and confirms it once. Only a deposit into an account of
//! which payment has not heard yet may be booked elsewhere: in suspense.

use std::collections::{BTreeMap, BTreeSet};

use contracts::events::payment_stored::Event;
use rust_decimal::Decimal;

use crate::book::{amount, entry};
use crate::fact::{BankKind, BankMovement, Book};
use crate::read::{payment, subject};
use crate::{Fact, FactKind, Invariant, Record, Verdict, Violation};

#[derive(Clone, Default)]
pub struct CashConserved {
    /// The bank's accounts.
    balances: BTreeMap<String, Decimal>,
    /// What the bank did and payment has not confirmed: transfers and payouts by UETR, deposits by reference.
    moved: BTreeMap<String, (Payment, u64)>,
    /// What payment asked for and has not been answered yet, by leg or withdrawal.
    wanted: BTreeMap<String, Payment>,
    /// Accounts at the bank whose owner payment knows.
    known: BTreeSet<String>,
}

/// Holds deposits into accounts of which payment has not heard in time.
pub const SUSPENSE: &str = "SUSPENSE";

/// Parties are empty where the outside world is one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Payment {
    debtor: String,
    creditor: String,
    amount: Decimal,
}

impl Payment {
    fn new(debtor: &str, creditor: &str, text: &str) -> Self {
        let amount = amount(text).unwrap_or_default();
        Self { debtor: debtor.to_owned(), creditor: creditor.to_owned(), amount }
    }
}

impl std::fmt::Display for Payment {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = |party: &str| if party.is_empty() { "outside".to_owned() } else { party.to_owned() };
        write!(out, "{} from {} to {}", self.amount, named(&self.debtor), named(&self.creditor))
    }
}

impl CashConserved {
    fn moves(&mut self, moved: &BankMovement, at: u64) -> Result<(), Violation> {
        let (debtor, creditor) = match moved.kind {
            BankKind::Executed => (moved.debtor.as_str(), moved.creditor.as_str()),
            BankKind::Deposited => ("", moved.creditor.as_str()),
            BankKind::PaidOut => (moved.debtor.as_str(), ""),
            BankKind::Refused => return Ok(()),
        };
        let payment = Payment::new(debtor, creditor, &moved.amount);
        let key = if moved.kind == BankKind::Deposited { &moved.reference } else { &moved.uetr };
        let broken = |why: &str, first: Option<u64>| {
            let subjects = [key.as_str(), debtor, creditor].into_iter().filter(|name| !name.is_empty());
            let why = format!("the bank moved {payment}: {why}");
            Err(Violation::new(why).about(subjects).seen_at(first.into_iter().chain([at])))
        };
        if payment.amount <= Decimal::ZERO || key.is_empty() || debtor == creditor {
            return broken("not a payment", None);
        }
        for (account, change) in [(debtor, -payment.amount), (creditor, payment.amount)] {
            if account.is_empty() {
                continue;
            }
            let balance = entry(&mut self.balances, account);
            *balance += change;
            if balance.is_sign_negative() && !balance.is_zero() {
                return broken(&format!("{account} is left with {balance}"), None);
            }
        }
        match self.moved.insert(key.clone(), (payment.clone(), at)) {
            // A settlement payment under one UETR twice is the subject of `payment_once_per_leg`.
            Some((_, first)) if moved.kind != BankKind::Executed => {
                broken(&format!("{key} is booked twice"), Some(first))
            }
            _ => Ok(()),
        }
    }

    /// Payment says that the bank did something.
    fn confirms(
        &mut self,
        what: &str,
        key: &str,
        expected: Option<Payment>,
        at: u64,
    ) -> Result<(), Violation> {
        let broken = |why: String, first: Option<u64>| {
            Err(Violation::new(why).about([what, key]).seen_at(first.into_iter().chain([at])))
        };
        let Some((moved, moved_at)) = self.moved.remove(key) else {
            return broken(
                format!("{what} is confirmed by {key}, which the bank never did, or not twice"),
                None,
            );
        };
        match expected {
            Some(expected) if expected != moved => {
                broken(format!("{what} is {expected}, but by {key} the bank moved {moved}"), Some(moved_at))
            }
            _ => Ok(()),
        }
    }

    fn told(&mut self, stream: &str, event: &Event, at: u64) -> Result<(), Violation> {
        let what = subject(stream);
        match event {
            Event::Instructed(payment) => {
                let wanted = Payment::new(&payment.debtor, &payment.creditor, &payment.amount);
                self.wanted.insert(what.to_owned(), wanted);
                Ok(())
            }
            Event::WithdrawalRequested(asked) => {
                self.wanted.insert(what.to_owned(), Payment::new(&asked.account_id, "", &asked.amount));
                Ok(())
            }
            Event::Confirmed(answer) | Event::WithdrawalPaid(answer) => {
                let wanted = self.wanted.remove(what);
                self.confirms(what, &answer.uetr, wanted, at)
            }
            Event::Deposited(deposit) => {
                let credited = Payment::new("", &deposit.account_id, &deposit.amount);
                let unknown = self
                    .moved
                    .get(&deposit.bank_reference)
                    .filter(|(moved, _)| {
                        deposit.account_id == SUSPENSE && !self.known.contains(&moved.creditor)
                    })
                    .map(|(moved, _)| moved.creditor.clone());
                let credited = Payment { creditor: unknown.unwrap_or(credited.creditor), ..credited };
                self.confirms(stream, &deposit.bank_reference, Some(credited), at)
            }
            Event::AccountOpened(opened) => {
                self.known.insert(opened.bank_account.clone());
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Invariant for CashConserved {
    fn name(&self) -> &'static str {
        "cash_conserved"
    }

    fn about(&self) -> &'static str {
        "No account at the bank goes below zero, and payment confirms exactly the movements on the bank's \
         books, once each. It breaks when sent is taken for paid, or a credit notice is counted under two \
         references."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Bank]
    }

    fn welcomes(&self) -> &'static [FactKind] {
        &[FactKind::Opening, FactKind::Committed]
    }

    fn fork(&self) -> Option<Box<dyn Invariant>> {
        Some(Box::new(self.clone()))
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        match record.fact {
            Fact::Opening(opening) if opening.book == Book::Bank => {
                *entry(&mut self.balances, &opening.account) = amount(&opening.amount).unwrap_or_default();
                Verdict::Holds
            }
            Fact::Bank(moved) => self.moves(moved, record.sequence).into(),
            fact => payment(fact)
                .try_for_each(|(row, event)| self.told(&row.stream, event, record.sequence))
                .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::{AccountOpened, Deposited};

    use super::*;
    use crate::testing::{Commit, bank, breaks, confirmed, executed, history, holds, opening, paid, pays};

    fn credited(reference: &str, amount: &str) -> Commit {
        let [bank_reference, account_id, amount, currency] =
            [reference, "B", amount, "USD"].map(ToOwned::to_owned);
        let event = Deposited { bank_reference, account_id, amount, currency };
        Commit::by("payment").event(&format!("credit/{reference}"), Event::Deposited(event))
    }

    fn deposit(reference: &str) -> Fact {
        bank(BankKind::Deposited, "", "", "B", "25.00", reference)
    }

    #[test]
    fn holds_when_both_books_agree() {
        let mut told =
            history![opening(Book::Bank, "B", "USD", "0.00"), deposit("R-1"), credited("R-1", "25.0")];
        told.extend(paid("T-1"));
        holds(CashConserved::default(), told);
    }

    fn in_suspense() -> Commit {
        let deposited = Deposited {
            account_id: SUSPENSE.to_owned(),
            ..Deposited {
                bank_reference: "R-1".to_owned(),
                amount: "25.00".to_owned(),
                ..Deposited::default()
            }
        };
        Commit::by("payment").event("credit/R-1", Event::Deposited(deposited))
    }

    #[test]
    fn holds_when_nobody_knows_whose_deposit_it_is() {
        holds(CashConserved::default(), history![deposit("R-1"), in_suspense()]);
    }

    #[test]
    fn breaks_when_a_known_account_waits_in_suspense() {
        let opened = AccountOpened { bank_account: "B".to_owned(), ..AccountOpened::default() };
        let opened = Commit::by("payment").event("bank-account/B", Event::AccountOpened(opened));
        let told = history![opened, deposit("R-1"), in_suspense()];
        breaks(
            CashConserved::default(),
            told,
            "to SUSPENSE, but by R-1 the bank moved 25.00 from outside to B",
        );
    }

    #[test]
    fn holds_when_the_bank_refuses_and_executes_the_next_attempt() {
        let mut told = history![opening(Book::Bank, "B", "USD", "25.00"), pays("T-1/buyer", "B", "CCP")];
        told.push(bank(BankKind::Refused, "U-0", "B", "CCP", "25.00", "AM04").into());
        told.extend(paid("T-1"));
        holds(CashConserved::default(), told);
    }

    #[test]
    fn breaks_when_an_account_is_overdrawn() {
        let told = history![opening(Book::Bank, "B", "USD", "24.99"), executed("U-1", "B", "CCP")];
        breaks(CashConserved::default(), told, "B is left with -0.01");
    }

    #[test]
    fn breaks_when_sent_is_taken_for_paid() {
        let told = history![pays("T-1/buyer", "B", "CCP"), confirmed("T-1/buyer", "U-1")];
        breaks(CashConserved::default(), told, "T-1/buyer is confirmed by U-1, which the bank never did");
    }

    #[test]
    fn breaks_when_a_credit_counts_twice_or_for_more() {
        let told = history![deposit("R-1"), credited("R-1", "25.00"), credited("R-1", "25.00")];
        breaks(CashConserved::default(), told, "or not twice");
        let told = history![deposit("R-1"), credited("R-1", "26.00")];
        breaks(CashConserved::default(), told, "26.00 from outside to B, but by R-1 the bank moved 25.00");
    }
}
