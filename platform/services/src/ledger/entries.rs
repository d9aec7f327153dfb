//! Entries: the legs of what was confirmed, and of what a run opens with.

use contracts::events::ledger_stored::Event;
use contracts::events::{
    LedgerAction, LedgerEvent, LedgerLeg, PaymentEvent, PaymentOutcome, PositionChange, PositionUpdated,
};
use host::StreamId;
use host::ports::store::Row;
use model::{AccountId, Amount, Entry, EntryState, InstrumentId, Leg, Money, SignedQuantity, Timestamp};

use super::{Booking, Command, reads};
use crate::support::contract;

/// The other side of the shares that exist when a run opens.
pub const ISSUER: &str = "ISSUER";

/// The entry of a position's change: only deliveries move shares.
pub fn of_position(updated: &PositionUpdated) -> Option<Command> {
    if updated.change() != PositionChange::Delivered {
        return None;
    }
    let instrument =
        InstrumentId::new(&updated.instrument_id).expect("trade checks the ids of what it accepts");
    let shares = Amount::Shares { instrument, quantity: SignedQuantity::new(updated.quantity) };
    let entry = format!("delivery/{}/{}", updated.trade_id, updated.account_id);
    Some(Command::new(entry, AccountId::ccp(), account(&updated.account_id), shares, Booking::Post))
}

/// The entry of a payment's outcome. A refused payment has moved nothing.
pub fn of_payment(event: &PaymentEvent) -> Option<Command> {
    let (entry, booking) = match event.outcome() {
        PaymentOutcome::Confirmed => (format!("payment/{}/{}", event.leg_id, event.attempt), Booking::Post),
        PaymentOutcome::Deposited => (format!("deposit/{}", event.bank_reference), Booking::Post),
        PaymentOutcome::WithdrawalRequested => (withdrawal(event), Booking::Pend),
        PaymentOutcome::WithdrawalPaid => (withdrawal(event), Booking::PostPending),
        PaymentOutcome::WithdrawalRefused => (withdrawal(event), Booking::VoidPending),
        PaymentOutcome::Refused | PaymentOutcome::Unspecified => return None,
    };
    let cash = Amount::Cash(contract::money(&event.amount, &event.currency));
    Some(Command::new(entry, account(&event.debtor), account(&event.creditor), cash, booking))
}

/// What a run opens with, of one account and asset: the stream, its event, and its rows of [`super::LEGS`].
pub fn opening(owner: &AccountId, amount: Amount, at: Timestamp) -> (StreamId, Event, Vec<Row>) {
    let (asset, other) = match &amount {
        Amount::Cash(money) => (money.currency().to_string(), AccountId::world()),
        Amount::Shares { instrument, .. } => (instrument.to_string(), account(ISSUER)),
    };
    let entry = format!("opening/{owner}/{asset}");
    let command = Command::new(entry, other, owner.clone(), amount, Booking::Post);
    let stream = StreamId::new("entry", &command.entry);
    let rows = reads::leg_rows(&command.entry, &command.legs, EntryState::Posted, at).collect();
    (stream, Event::Booked(event(&command, Booking::Post)), rows)
}

/// The event and message of a booking.
pub fn event(command: &Command, booking: Booking) -> LedgerEvent {
    let action = match booking {
        Booking::Post => LedgerAction::Posted,
        Booking::Pend => LedgerAction::Pending,
        Booking::PostPending => LedgerAction::PendingPosted,
        Booking::VoidPending => LedgerAction::PendingVoided,
    };
    LedgerEvent {
        action: action.into(),
        entry_id: command.entry.clone(),
        legs: command.legs.iter().map(stated).collect(),
        original_entry_id: String::new(),
    }
}

/// The amount as contracts write it, without its asset.
pub fn amount_text(amount: &Amount) -> String {
    match amount {
        Amount::Cash(money) => contract::amount_text(*money),
        Amount::Shares { quantity, .. } => quantity.to_string(),
    }
}

impl Command {
    /// An entry that moves an amount between two accounts.
    fn new(entry: String, from: AccountId, to: AccountId, amount: Amount, booking: Booking) -> Self {
        let out = Leg { account: from, amount: amount.clone() }.checked_neg();
        let out = out.expect("no account holds 2^63 shares");
        let legs = vec![out, Leg { account: to, amount }];
        // Double entry is the whole point of a ledger: what does not balance never becomes an entry.
        Entry::balanced(&legs).unwrap_or_else(|error| panic!("entry {entry}: {error}"));
        Self { entry, legs, booking }
    }
}

fn withdrawal(event: &PaymentEvent) -> String {
    format!("withdrawal/{}", event.leg_id)
}

fn account(id: &str) -> AccountId {
    AccountId::new(id).unwrap_or_else(|error| panic!("account `{id}` in a contract message: {error}"))
}

fn stated(leg: &Leg) -> LedgerLeg {
    LedgerLeg {
        account_id: leg.account.to_string(),
        asset: leg.amount.asset().to_string(),
        amount: amount_text(&leg.amount),
    }
}

/// Reads a leg's amount back.
pub fn amount(asset: &str, text: &str) -> Amount {
    if let Ok(currency) = asset.parse() {
        return Amount::Cash(Money::parse(text, currency).expect("this service wrote the amounts of legs"));
    }
    Amount::Shares {
        instrument: InstrumentId::new(asset).expect("this service wrote the assets of legs"),
        quantity: text.parse().expect("this service wrote the quantities of legs"),
    }
}
