//! The bank's books: balances, every movement in order, and what became of each payment by its UETR.
//!
//! No clock, no draws and no JSON: [`super::Bank`] decides when, this decides whether. A balance is never
//! negative, and the sum of all balances is what was opened and paid in less what was paid out.

use std::collections::BTreeMap;
use std::time::Duration;

use invariants::fact::{BankKind, BankMovement};
use model::{AccountId, Money, Timestamp};

use super::reason::Reason;
use crate::party::later;

/// An order to move cash from an account, as its sender wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub uetr: String,
    pub debtor: String,
    /// `None`: to the outside world.
    pub creditor: Option<String>,
    pub amount: Money,
    pub valid_until: Timestamp,
}

/// Where an order stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Taken, to be executed or refused at its due time.
    Pending {
        due: Timestamp,
    },
    /// Final, with the bank's reference.
    Executed {
        reference: String,
    },
    Refused(Reason),
}

/// An order that the bank took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    pub order: Order,
    pub received: Timestamp,
    pub status: Status,
}

/// A line of the statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub movement: BankMovement,
    pub at: Timestamp,
}

/// What the books know of a UETR that arrives.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// Never, or so long ago that it counts as new.
    New,
    /// The same order.
    Same(&'a Payment),
    /// Another order under the same UETR.
    Conflict,
}

#[derive(Debug, Default)]
pub struct Books {
    balances: BTreeMap<String, Money>,
    entries: Vec<Entry>,
    /// By UETR, in order of arrival. More than one only where the same came again after the window.
    payments: BTreeMap<String, Vec<Payment>>,
}

impl Books {
    pub fn new(opening: impl IntoIterator<Item = (String, Money)>) -> Self {
        let balances: BTreeMap<String, Money> = opening.into_iter().collect();
        assert!(balances.values().all(|balance| !balance.is_negative()), "no account opens overdrawn");
        Self { balances, ..Self::default() }
    }

    pub fn balances(&self) -> &BTreeMap<String, Money> {
        &self.balances
    }

    /// Every movement, in order. The number of an entry is its position, from 1.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What was ordered under a UETR: an execution where there is one, else the latest.
    pub fn payment(&self, uetr: &str) -> Option<&Payment> {
        let payments = self.payments.get(uetr)?;
        let refused = |payment: &&Payment| matches!(payment.status, Status::Refused(_));
        payments.iter().find(|payment| !refused(payment)).or(payments.last())
    }

    /// Whether an order is one of those that came within the window.
    pub fn seen(&self, order: &Order, now: Timestamp, window: Duration) -> Seen<'_> {
        let last = self.payments.get(&order.uetr).and_then(|payments| payments.last());
        match last.filter(|last| now < later(last.received, window)) {
            None => Seen::New,
            Some(last) if last.order == *order => Seen::Same(last),
            Some(_) => Seen::Conflict,
        }
    }

    /// Takes an order that will be executed or refused at `due`.
    pub fn hold(&mut self, order: Order, now: Timestamp, due: Timestamp) {
        self.file(Payment { order, received: now, status: Status::Pending { due } });
    }

    /// Executes or refuses an order now. `refusal`: why it is refused where nothing else stands against it.
    pub fn settle(&mut self, order: Order, now: Timestamp, refusal: Option<Reason>) -> BankMovement {
        let (status, movement) = self.execute_or_refuse(&order, (now, now), refusal);
        self.file(Payment { order, received: now, status });
        movement
    }

    /// Executes or refuses an order that was held.
    pub fn settle_held(&mut self, uetr: &str, now: Timestamp) -> Option<BankMovement> {
        let held = |payment: &Payment| matches!(payment.status, Status::Pending { .. });
        let place = self.payments.get(uetr)?.iter().position(held)?;
        let Payment { order, received, .. } = self.payments.get(uetr)?.get(place)?.clone();
        let (status, movement) = self.execute_or_refuse(&order, (received, now), None);
        self.payments.get_mut(uetr)?.get_mut(place)?.status = status;
        Some(movement)
    }

    /// Cash from the outside world into an account.
    pub fn deposit(&mut self, account: &str, amount: Money, now: Timestamp) -> Result<BankMovement, Reason> {
        assert!(amount.is_positive(), "nobody pays in {amount}");
        self.credit(account, amount)?;
        let world = AccountId::world().to_string();
        Ok(self.enter(BankKind::Deposited, "", (&world, account), amount, now))
    }

    /// Validity is about the arrival of the order, everything else about the moment of its execution.
    fn execute_or_refuse(
        &mut self,
        order: &Order,
        (received, now): (Timestamp, Timestamp),
        refusal: Option<Reason>,
    ) -> (Status, BankMovement) {
        let world = AccountId::world().to_string();
        let creditor = order.creditor.as_deref().unwrap_or(&world);
        if let Err(reason) = self.transfer(order, received, refusal) {
            let movement = BankMovement {
                kind: BankKind::Refused,
                uetr: order.uetr.clone(),
                debtor: order.debtor.clone(),
                creditor: creditor.to_owned(),
                amount: order.amount.amount().to_string(),
                reference: reason.code().to_owned(),
            };
            return (Status::Refused(reason), movement);
        }
        let kind = if order.creditor.is_some() { BankKind::Executed } else { BankKind::PaidOut };
        let movement = self.enter(kind, &order.uetr, (&order.debtor, creditor), order.amount, now);
        (Status::Executed { reference: movement.reference.clone() }, movement)
    }

    fn transfer(
        &mut self,
        order: &Order,
        received: Timestamp,
        refusal: Option<Reason>,
    ) -> Result<(), Reason> {
        if received > order.valid_until {
            return Err(Reason::InvalidCutOffTime);
        }
        if order.creditor.as_ref() == Some(&order.debtor) {
            return Err(Reason::TransactionForbidden);
        }
        let known = |account: &String| self.balances.contains_key(account);
        if !known(&order.debtor) || !order.creditor.as_ref().is_none_or(known) {
            return Err(Reason::IncorrectAccount);
        }
        let left = self.left(&order.debtor, order.amount)?;
        if let Some(reason) = refusal {
            return Err(reason);
        }
        self.balances.insert(order.debtor.clone(), left);
        order.creditor.as_ref().map_or(Ok(()), |creditor| self.credit(creditor, order.amount))
    }

    /// What a debit would leave.
    fn left(&self, account: &str, amount: Money) -> Result<Money, Reason> {
        let balance = self.balances.get(account).ok_or(Reason::IncorrectAccount)?;
        let left = balance.checked_sub(amount).ok().filter(|left| !left.is_negative());
        left.ok_or(Reason::InsufficientFunds)
    }

    fn credit(&mut self, account: &str, amount: Money) -> Result<(), Reason> {
        let balance = self.balances.get_mut(account).ok_or(Reason::IncorrectAccount)?;
        *balance = balance.checked_add(amount).expect("there is not so much money");
        Ok(())
    }

    fn enter(
        &mut self,
        kind: BankKind,
        uetr: &str,
        (debtor, creditor): (&str, &str),
        amount: Money,
        at: Timestamp,
    ) -> BankMovement {
        let movement = BankMovement {
            kind,
            uetr: uetr.to_owned(),
            debtor: debtor.to_owned(),
            creditor: creditor.to_owned(),
            amount: amount.amount().to_string(),
            reference: format!("B{:09}", self.entries.len() + 1),
        };
        self.entries.push(Entry { movement: movement.clone(), at });
        movement
    }

    fn file(&mut self, payment: Payment) {
        self.payments.entry(payment.order.uetr.clone()).or_default().push(payment);
    }
}
