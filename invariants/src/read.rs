//! Reading facts: the stored events of one service, the messages of a commit, ids out of names.

use contracts::events::{
    clearing_stored, ledger_stored, notification_stored, payment_stored, position_stored, reference_stored,
    settlement_stored, trade_stored,
};
use contracts::{Message, StoredEvent};

use crate::Fact;
use crate::fact::EventRow;

fn rows(fact: &Fact) -> &[EventRow] {
    match fact {
        Fact::Committed(committed) => &committed.events,
        _ => &[],
    }
}

macro_rules! stored_events {
    ($($function:ident: $variant:ident($module:ident)),* $(,)?) => {$(
        /// The service's events of a commit with their rows, in order; none for any other fact.
        pub fn $function(fact: &Fact) -> impl Iterator<Item = (&EventRow, &$module::Event)> {
            rows(fact).iter().filter_map(|row| match &row.event {
                Some(StoredEvent::$variant(event)) => Some((row, event)),
                _ => None,
            })
        }
    )*};
}

stored_events! {
    reference: Reference(reference_stored),
    trade: Trade(trade_stored),
    position: Position(position_stored),
    clearing: Clearing(clearing_stored),
    settlement: Settlement(settlement_stored),
    ledger: Ledger(ledger_stored),
    payment: Payment(payment_stored),
    notification: Notification(notification_stored),
}

/// The messages that a commit means to publish, in order; none for any other fact.
pub fn messages(fact: &Fact) -> impl Iterator<Item = &Message> {
    let outbox = match fact {
        Fact::Committed(committed) => committed.outbox.as_slice(),
        _ => &[],
    };
    outbox.iter().filter_map(|row| row.message.as_ref())
}

/// What a stream is about: `account/A-1` is about `A-1`. Empty where there is no such part.
pub fn subject(stream: &str) -> &str {
    stream.split_once('/').map_or("", |(_, subject)| subject)
}

/// The trade of a payment leg: `T-1/buyer` pays for `T-1`.
pub fn trade_of_leg(leg: &str) -> &str {
    leg.rsplit_once('/').map_or(leg, |(trade, _)| trade)
}

/// Client and idempotency key of the request that is a cause: `request/<client> <route>/<key>`.
pub fn request_of(cause: &str) -> Option<(&str, &str)> {
    let (scope, key) = cause.strip_prefix("request/")?.rsplit_once('/')?;
    Some((scope.split(' ').next()?, key))
}
