//! Position, ledger and bank tell the same story, and it is the one that the reference model computes.
//!
//! Why it can break: every book is right by itself, and one of them missed something: an entry not booked or
//! booked for another account, a notice lost, a refusal that should not have been. Compared at rest, exactly,
//! per account and asset; what position refuses, at once.

use std::collections::{BTreeMap, BTreeSet};

use contracts::events::{LedgerAction, LedgerEvent, LedgerLeg, ledger_stored, payment_stored};
use contracts::events::{position_stored, settlement_stored, trade_stored};
use rust_decimal::Decimal;

use super::cash_conserved::SUSPENSE;
use crate::book::{Balances, amount};
use crate::fact::{BankKind, BankMovement, Book, Opening};
use crate::read::{ledger, payment, position, settlement, subject, trade};
use crate::reference::Reference;
use crate::{Fact, FactKind, Invariant, Pending, Record, Verdict, Violation};

/// The ledger's accounts of what is outside: no other book has them.
const OUTSIDE: &[&str] = &["WORLD", "ISSUER"];

#[derive(Clone, Default)]
pub struct Reconciled {
    reference: Reference,
    /// Shares, as position stores them.
    positions: Balances,
    /// Shares and cash, as the ledger has posted them.
    ledger: Balances,
    /// Cash, as it stands at the bank.
    bank: Balances,
    /// Legs of pending entries.
    pending_entries: BTreeMap<String, Vec<LedgerLeg>>,
    /// The currency of each account at the bank.
    currencies: BTreeMap<String, String>,
    /// Deposits that payment has not heard of, by the bank's reference.
    uncredited: BTreeMap<String, Deposit>,
    /// Openings by book, account and asset: told as facts, and again as the services' own events.
    opened: BTreeSet<(Book, String, String)>,
}

/// Cash that the bank took in.
#[derive(Clone)]
struct Deposit {
    account: String,
    amount: Decimal,
}

impl Reconciled {
    /// An opening counts once, however it is told.
    fn opens(&mut self, book: Book, account: &str, asset: &str, amount: Decimal) {
        if !self.opened.insert((book, account.to_owned(), asset.to_owned())) {
            return;
        }
        match book {
            Book::Bank => {
                self.currencies.insert(account.to_owned(), asset.to_owned());
                self.bank.add(account, asset, amount);
                self.reference.cash.add(account, asset, amount);
            }
            Book::Position => {
                self.positions.add(account, asset, amount);
                self.reference.open_shares(account, asset, amount);
            }
            Book::Ledger => {
                self.ledger.add(account, asset, amount);
            }
        }
    }

    /// Accounts that came later hold what the others hold.
    fn currency_of(currencies: &BTreeMap<String, String>, account: &str) -> String {
        let known = currencies.get(account).or_else(|| currencies.values().next());
        known.cloned().unwrap_or_else(|| "USD".to_owned())
    }

    fn bank(&mut self, moved: &BankMovement) {
        let amount = amount(&moved.amount).unwrap_or_default();
        let (debtor, creditor) = match moved.kind {
            BankKind::Executed => (Some(&moved.debtor), Some(&moved.creditor)),
            BankKind::PaidOut => (Some(&moved.debtor), None),
            BankKind::Deposited => (None, Some(&moved.creditor)),
            BankKind::Refused => (None, None),
        };
        for (account, change) in [(debtor, -amount), (creditor, amount)] {
            let Some(account) = account else { continue };
            let currency = Self::currency_of(&self.currencies, account);
            self.bank.add(account, &currency, change);
            if moved.kind == BankKind::Deposited {
                self.reference.cash.add(account, &currency, change);
                self.uncredited
                    .insert(moved.reference.clone(), Deposit { account: account.clone(), amount: change });
            }
        }
    }

    fn position(&mut self, fact: &Fact, at: u64) -> Result<(), Violation> {
        use position_stored::Event::{Delivered, Opened, Received, Refused, Released, Reserved};
        for (row, event) in position(fact) {
            let account = subject(&row.stream);
            match event {
                Opened(opened) => {
                    self.opens(Book::Position, account, &opened.instrument_id, opened.quantity.into());
                }
                Reserved(answer) => {
                    answer.trade.iter().try_for_each(|trade| self.reference.reserves(trade, at))?
                }
                Refused(answer) => {
                    answer.trade.iter().try_for_each(|trade| self.reference.refuses(trade, at))?
                }
                Delivered(step) => {
                    self.positions.add(account, &step.instrument_id, -Decimal::from(step.quantity));
                    self.reference.delivers(&step.trade_id);
                }
                Received(step) => {
                    self.positions.add(account, &step.instrument_id, step.quantity.into());
                }
                Released(step) if step.r#final => self.reference.unpromise(&step.trade_id),
                _ => {}
            }
        }
        Ok(())
    }

    fn trades(&mut self, fact: &Fact, at: u64) {
        for (row, event) in trade(fact) {
            match event {
                trade_stored::Event::Received(received) => {
                    if let Some(trade) = &received.trade {
                        self.reference.receives(trade, at);
                    }
                }
                trade_stored::Event::Refused(_) => self.reference.ends_without_effect(subject(&row.stream)),
                _ => {}
            }
        }
        for (row, event) in settlement(fact) {
            let trade = subject(&row.stream);
            match event {
                settlement_stored::Event::Settled(_) => {
                    let currencies = &self.currencies;
                    self.reference.settles(trade, |account| Self::currency_of(currencies, account));
                }
                settlement_stored::Event::Failed(_) => self.reference.ends_without_effect(trade),
                _ => {}
            }
        }
    }

    fn payments(&mut self, fact: &Fact) {
        for (row, event) in payment(fact) {
            match event {
                payment_stored::Event::Deposited(deposit) => {
                    if let Some(taken) = self.uncredited.remove(&deposit.bank_reference)
                        && deposit.account_id == SUSPENSE
                    {
                        self.suspends(&taken);
                    }
                }
                payment_stored::Event::WithdrawalRequested(asked) => self.reference.wants_out(asked),
                payment_stored::Event::WithdrawalPaid(_) => {
                    let currencies = &self.currencies;
                    self.reference
                        .pays_out(subject(&row.stream), |account| Self::currency_of(currencies, account));
                }
                payment_stored::Event::WithdrawalRefused(_) => self.reference.keeps(subject(&row.stream)),
                _ => {}
            }
        }
    }

    /// Whose it is, the bank knows and the platform does not: in its books it stands in suspense.
    fn suspends(&mut self, deposit: &Deposit) {
        let currency = Self::currency_of(&self.currencies, &deposit.account);
        for cash in [&mut self.bank, &mut self.reference.cash] {
            cash.add(&deposit.account, &currency, -deposit.amount);
            cash.add(SUSPENSE, &currency, deposit.amount);
        }
    }

    fn booked(&mut self, entry: &LedgerEvent) {
        let target =
            if entry.original_entry_id.is_empty() { &entry.entry_id } else { &entry.original_entry_id };
        match entry.action() {
            LedgerAction::Pending => {
                self.pending_entries.insert(entry.entry_id.clone(), entry.legs.clone());
            }
            LedgerAction::PendingVoided => {
                self.pending_entries.remove(target);
            }
            LedgerAction::PendingPosted => {
                let pending = self.pending_entries.remove(target).unwrap_or_default();
                self.post(if entry.legs.is_empty() { &pending } else { &entry.legs });
            }
            LedgerAction::Posted if entry.entry_id.starts_with("opening/") => {
                for leg in &entry.legs {
                    let amount = amount(&leg.amount).unwrap_or_default();
                    self.opens(Book::Ledger, &leg.account_id, &leg.asset, amount);
                }
            }
            LedgerAction::Posted | LedgerAction::Reversed => self.post(&entry.legs),
            LedgerAction::Unspecified => {}
        }
    }

    fn post(&mut self, legs: &[LedgerLeg]) {
        for leg in legs {
            self.ledger.add(&leg.account_id, &leg.asset, amount(&leg.amount).unwrap_or_default());
        }
    }

    /// Accounts and assets of which the books differ, in words.
    fn differences(&self) -> Vec<(String, String)> {
        let is_cash =
            |asset: &str| self.currencies.values().any(|currency| currency == asset) || asset == "USD";
        let books = [&self.reference.shares, &self.reference.cash, &self.positions, &self.ledger, &self.bank];
        let keys: BTreeSet<(&str, &str)> = books.into_iter().flat_map(Balances::keys).collect();
        let differ = |(account, asset): (&str, &str)| {
            let (owner, own, expected) = if is_cash(asset) {
                ("bank", self.bank.of(account, asset), self.reference.cash.of(account, asset))
            } else {
                ("position", self.positions.of(account, asset), self.reference.shares.of(account, asset))
            };
            let ledger = self.ledger.of(account, asset);
            let told = format!("{account} {asset}: {owner} has {own}, ledger {ledger}, reference {expected}");
            (own != ledger || own != expected).then(|| (account.to_owned(), told))
        };
        keys.into_iter().filter(|(account, _)| !OUTSIDE.contains(account)).filter_map(differ).collect()
    }
}

impl Invariant for Reconciled {
    fn name(&self) -> &'static str {
        "reconciled"
    }

    fn about(&self) -> &'static str {
        "At rest position, ledger, bank and a single-threaded reference model hold the same shares and \
         cash, exactly, for every account and asset. It breaks when one book misses what another one has, \
         or position refuses what it could promise."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Opening, FactKind::Committed, FactKind::Bank]
    }

    fn fork(&self) -> Option<Box<dyn Invariant>> {
        Some(Box::new(self.clone()))
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        match record.fact {
            Fact::Opening(Opening { book, account, asset, amount: text }) => {
                self.opens(*book, account, asset, amount(text).unwrap_or_default());
            }
            Fact::Bank(moved) => self.bank(moved),
            fact => {
                self.trades(fact, record.sequence);
                self.payments(fact);
                for (_, ledger_stored::Event::Booked(entry)) in ledger(fact) {
                    self.booked(entry);
                }
                return self.position(fact, record.sequence).into();
            }
        }
        Verdict::Holds
    }

    fn at_rest(&mut self) -> Verdict {
        let differences = self.differences();
        let Some((_, first)) = differences.first() else { return Verdict::Holds };
        let why = match differences.len() {
            1 => first.clone(),
            more => format!("{first} (and {} more)", more - 1),
        };
        let accounts: BTreeSet<&String> = differences.iter().map(|(account, _)| account).collect();
        Verdict::Violated(Violation::new(why).about(accounts.into_iter().take(10)))
    }

    fn pending(&self) -> Vec<Pending> {
        let deposits = self.uncredited.iter().map(|(reference, deposit)| {
            let why = format!("payment has not heard of it, the bank booked it as {reference}");
            Pending { what: format!("deposit of {} to {}", deposit.amount, deposit.account), why }
        });
        let withdrawals = self.reference.withdrawals().iter().map(|(id, asked)| {
            let what = format!("withdrawal {id}");
            Pending {
                what,
                why: format!("{} for {} is neither paid nor refused", asked.amount, asked.account),
            }
        });
        deposits.chain(withdrawals).collect()
    }

    fn is_settled(&self) -> bool {
        self.uncredited.is_empty() && self.reference.withdrawals().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::{Deposited, PositionOpened, PositionRefused, WithdrawalRequested};

    use super::*;
    use crate::testing::trade;
    use crate::testing::*;

    /// S sells 10 ACME to B for 25.00.
    fn world() -> Vec<Told> {
        history![
            opening(Book::Position, "S", "ACME", "10"),
            opening(Book::Ledger, "S", "ACME", "10"),
            opening(Book::Bank, "B", "USD", "100.00"),
            opening(Book::Ledger, "B", "USD", "100.00"),
            Commit::by("trade").event("trade/T-1", received("T-1")),
        ]
    }

    const SHARES: &[(&str, &str, &str)] =
        &[("S", "ACME", "-10"), ("CCP", "ACME", "10"), ("CCP", "ACME", "-10"), ("B", "ACME", "10")];
    const CASH: &[(&str, &str, &str)] =
        &[("B", "USD", "-25.00"), ("CCP", "USD", "25.00"), ("CCP", "USD", "-25"), ("S", "USD", "25")];

    fn settles() -> Vec<Told> {
        let mut told = world();
        told.push(validated("T-1").into());
        told.extend(paid("T-1"));
        told.extend(history![delivered("T-1"), booked("E-1", LedgerAction::Posted, SHARES), settled("T-1")]);
        told
    }

    fn refused() -> Commit {
        let event = PositionRefused { trade: Some(trade("T-2")), free: 0 };
        Commit::by("position").event("account/S", position_stored::Event::Refused(event))
    }

    #[test]
    fn holds_when_all_books_agree() {
        let mut told = settles();
        told.push(booked("E-2", LedgerAction::Posted, CASH).into());
        told.push(refused().into());
        holds(Reconciled::default(), told);
    }

    #[test]
    fn counts_an_opening_once_however_it_is_told() {
        let opened = PositionOpened { instrument_id: "ACME".to_owned(), quantity: 10 };
        let entry: &[(&str, &str, &str)] = &[("ISSUER", "ACME", "-10"), ("S", "ACME", "10")];
        let mut told = history![
            Commit::by("position").event("account/S", position_stored::Event::Opened(opened)),
            booked("opening/S/ACME", LedgerAction::Posted, entry),
        ];
        holds(Reconciled::default(), told.clone());
        told.extend(world());
        holds(Reconciled::default(), told);
    }

    #[test]
    fn breaks_at_rest_when_the_ledger_missed_an_entry() {
        let why = "B USD: bank has 75.00, ledger 100.00, reference 75.00 (and 1 more)";
        breaks_at_rest(Reconciled::default(), settles(), why);
    }

    #[test]
    fn breaks_at_rest_when_position_moved_for_nothing() {
        let mut told = world();
        told.extend(history![validated("T-1"), delivered("T-1")]);
        let why = "B ACME: position has 10, ledger 0, reference 0 (and 1 more)";
        breaks_at_rest(Reconciled::default(), told, why);
    }

    #[test]
    fn breaks_when_position_refuses_free_shares() {
        let mut told = world();
        told.push(refused().into());
        breaks(Reconciled::default(), told, "S has 10 settled and 0 promised");
        let mut told = world();
        told.extend(history![validated("T-1"), refused()]);
        holds(Reconciled::default(), told);
    }

    #[test]
    fn follows_deposits_and_withdrawals() {
        let deposit = Deposited { bank_reference: "R-1".to_owned(), ..Deposited::default() };
        let [withdrawal_id, account_id, amount] = ["W-1", "B", "30.00"].map(ToOwned::to_owned);
        let asked =
            WithdrawalRequested { withdrawal_id, account_id, amount, ..WithdrawalRequested::default() };
        let paid = payment_stored::Event::WithdrawalPaid(answer("U-1"));
        let out: &[(&str, &str, &str)] = &[("B", "USD", "-30.00"), ("WORLD", "USD", "30.00")];
        let mut told = world();
        told.extend(history![
            bank(BankKind::Deposited, "", "", "B", "5.00", "R-1"),
            Commit::by("payment").event("credit/R-1", payment_stored::Event::Deposited(deposit)),
            booked("E-1", LedgerAction::Posted, &[("WORLD", "USD", "-5.00"), ("B", "USD", "5.00")]),
            Commit::by("payment").event("withdrawal/W-1", payment_stored::Event::WithdrawalRequested(asked)),
            booked("E-2", LedgerAction::Pending, out),
            bank(BankKind::PaidOut, "U-1", "B", "", "30.00", "R-2"),
            Commit::by("payment").event("withdrawal/W-1", paid),
            booked("E-2", LedgerAction::PendingPosted, &[]),
        ]);
        holds(Reconciled::default(), told);
    }

    #[test]
    fn holds_when_a_deposit_stands_in_suspense() {
        let deposited = Deposited {
            bank_reference: "R-1".to_owned(),
            account_id: SUSPENSE.to_owned(),
            amount: "5.00".to_owned(),
            ..Deposited::default()
        };
        let mut told = world();
        told.extend(history![
            bank(BankKind::Deposited, "", "", "B", "5.00", "R-1"),
            Commit::by("payment").event("credit/R-1", payment_stored::Event::Deposited(deposited)),
            booked("E-1", LedgerAction::Posted, &[("WORLD", "USD", "-5.00"), (SUSPENSE, "USD", "5.00")]),
        ]);
        holds(Reconciled::default(), told);
    }

    #[test]
    fn waits_for_deposits_to_be_heard_of() {
        let mut reconciled = Reconciled::default();
        let fact = bank(BankKind::Deposited, "", "", "B", "5.00", "R-1");
        let record = Record { sequence: 1, at_ns: 0, node: "bank", cause: "", fact: &fact };
        assert_eq!(reconciled.observe(&record), Verdict::Holds);
        assert!(!reconciled.is_settled());
        assert_eq!(reconciled.pending()[0].what, "deposit of 5.00 to B");
    }
}
