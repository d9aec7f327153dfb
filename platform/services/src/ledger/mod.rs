//! Ledger: books in double entry what position and payment have confirmed, and never refuses.
//!
//! Consumes position-updated (deliveries) and payment-events (payments, deposits, withdrawals). Each is one
//! entry, in stream `entry/<id>`; its id names the business fact, so a repetition books nothing:
//!
//! | id | legs |
//! |---|---|
//! | `delivery/<trade>/<account>` | the account's shares, against the CCP |
//! | `payment/<trade>/<leg>/<attempt>` | debtor −, creditor + |
//! | `deposit/<bank reference>` | the account +, WORLD − |
//! | `withdrawal/<id>` | the account −, WORLD +: pending until the bank has paid or refused |
//! | `opening/<account>/<asset>` | the account +, WORLD − for cash and ISSUER − for shares |
//!
//! Balances are sums of legs, made when somebody asks: the CCP is a party to nearly every entry, and a stored
//! balance of it would make all of them wait for each other. Left out: limits, and interest.
//!
//! Watched by `ledger_balances`, `reconciled`.

mod entries;
mod reads;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use contracts::Message;
use contracts::events::LedgerAction;
use contracts::events::ledger_stored::Event;
use host::ports::store::Table;
use host::{Decision, HttpAction, LookupResult, Reject, Service, StreamId, StreamRef, View};
use http::{Request, Response};
use model::{EntryState, Leg, Timestamp};

pub use self::entries::{ISSUER, opening};
pub use self::reads::LEGS;

/// The service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ledger;

/// An entry to be booked, or the outcome of a pending one.
#[derive(Clone, Debug)]
pub struct Command {
    entry: String,
    /// Balanced.
    legs: Vec<Leg>,
    booking: Booking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Booking {
    Post,
    Pend,
    PostPending,
    VoidPending,
}

/// Where an entry stands; `None` before it is booked.
#[derive(Clone, Debug, Default)]
pub struct State {
    standing: Option<EntryState>,
}

impl Service for Ledger {
    const NAME: &'static str = "ledger";
    type Command = Command;
    type Event = Event;
    type State = State;

    fn tables(&self) -> Vec<&'static Table> {
        vec![&LEGS]
    }

    fn streams(&self, command: &Command) -> Vec<StreamRef> {
        vec![StreamRef::write("entry", &command.entry)]
    }

    fn decide(
        &self,
        _now: Timestamp,
        command: &Command,
        view: &View<'_, State>,
    ) -> Result<Decision<Event>, Reject<Event>> {
        let stream = StreamId::new("entry", &command.entry);
        let before = view.state(&stream).standing;
        // The outcome of a pending entry says all that its beginning said.
        let begins = (before.is_none() && command.booking.ends_pending()).then_some(Booking::Pend);
        let bookings = begins.into_iter().chain([command.booking]);
        let (mut decision, mut standing) = (Decision::none(), before);
        for booking in bookings {
            let Some(after) = booking.after(standing) else { continue };
            standing = Some(after);
            let event = entries::event(command, booking);
            decision = decision
                .event(stream.clone(), Event::Booked(event.clone()))
                .publish(stream.clone(), &command.entry, "", event)
                .and(reads::put_legs(&command.entry, &command.legs, after, view.database_time));
        }
        Ok(decision)
    }

    fn apply(&self, state: &mut State, event: &Event) {
        let Event::Booked(booked) = event;
        let after = Booking::of(booked.action()).and_then(|booking| booking.after(state.standing));
        state.standing = after.or(state.standing);
    }

    fn on_message(&self, message: &Message) -> Option<Command> {
        match message {
            Message::PositionUpdated(updated) => entries::of_position(updated),
            Message::PaymentEvent(event) => entries::of_payment(event),
            _ => None,
        }
    }

    fn on_request(&self, request: &Request<Bytes>) -> HttpAction<Command> {
        reads::on_request(request)
    }

    fn render(&self, request: &Request<Bytes>, rows: &[LookupResult]) -> Response<Bytes> {
        reads::render(request, rows)
    }
}

impl Booking {
    fn of(action: LedgerAction) -> Option<Self> {
        match action {
            LedgerAction::Posted => Some(Self::Post),
            LedgerAction::Pending => Some(Self::Pend),
            LedgerAction::PendingPosted => Some(Self::PostPending),
            LedgerAction::PendingVoided => Some(Self::VoidPending),
            // Made by nobody yet: what is confirmed is not corrected.
            LedgerAction::Reversed | LedgerAction::Unspecified => None,
        }
    }

    fn ends_pending(self) -> bool {
        matches!(self, Self::PostPending | Self::VoidPending)
    }

    /// Where the entry stands afterwards; `None` if nothing changes.
    fn after(self, before: Option<EntryState>) -> Option<EntryState> {
        let after = match (self, before) {
            (Self::Post, None) => Some(EntryState::Posted),
            (Self::Pend, None) => Some(EntryState::Pending),
            (Self::PostPending, Some(before)) => before.post_pending().ok(),
            (Self::VoidPending, Some(before)) => before.void_pending().ok(),
            _ => None,
        };
        after.filter(|after| before != Some(*after))
    }
}
