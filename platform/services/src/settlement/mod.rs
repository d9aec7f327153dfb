//! Settlement: delivery versus payment of every trade through the CCP, in one batch per settlement date.
//!
//! Consumes settlement-instructions and settlement-dates (clearing), position-updated and payment-events.
//! `seals/<d>` collects how many instructions each trade date gave settlement date d. When venue time is
//! 18:00, all trade dates that settle on d have told it and all instructions are here, `settlement/<d>`
//! starts as its version 1 and pages through the open obligations due on or before d. Each is an attempt of
//! its own (gross, BIS/CPSS model 1): block the seller's shares, pay buyer to CCP, pay CCP to seller, deliver
//! both sides. A failed attempt is carried to the first settlement date that has not opened, a few times.
//!
//! | file | holds |
//! |---|---|
//! | `unit` | the state of `obligation/<trade>` |
//! | `steps` | the saga: what each answer leads to |
//! | `batch` | seals, start, pages, close; opening facts |
//! | `reads` | tables, rows, `GET /api/v1/settlements/{date}` |
//!
//! Streams: `obligation/<trade>`; `obligation-seller/<trade>`, only the source of payment instructions keyed
//! by the seller (the others are keyed by the buyer); `seals/<d>`; `settlement/<d>`; `settlement/open`, the
//! last date that opened. Nothing reads a clock but for cut-offs: database time.
//!
//! Left out: netted obligations, partial deliveries, buy-ins.
//!
//! Watched by `settles_exactly_once`, `delivery_versus_payment`, `not_early`, `batch_once_per_date`,
//! `payment_once_per_leg`, `every_trade_terminates`.

mod batch;
mod reads;
mod steps;
#[cfg(test)]
mod tests;
mod unit;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use contracts::Message;
use contracts::events::settlement_stored::Event;
use contracts::events::{
    BatchStarted, PaymentEvent, PaymentOutcome, PositionChange, PositionUpdated, SettlementInstruction,
    TradeDateCleared,
};
use host::ports::store::Table;
use host::{Decision, HttpAction, Lookup, LookupResult, Reject, Service, StreamId, StreamRef, View};
use http::{Request, Response};
use model::{Calendar, Date, Time, Timestamp};

use self::unit::{Answer, Leg, Unit};
use crate::support::contract;

pub use self::batch::opening;
pub use self::reads::{BATCHES, OBLIGATIONS};

/// When the batch of a settlement date starts, venue time.
pub const BATCH_TIME: Time = Time::constant(18, 0, 0, 0);

/// The service and its settings.
#[derive(Debug)]
pub struct Settlement {
    pub calendar: &'static Calendar,
    /// How many obligations one page of a batch takes.
    pub page_size: usize,
    /// How often an obligation is carried before its trade fails.
    pub max_carries: u32,
    /// How often CCP to seller is tried before the trade fails and the buyer gets the cash back.
    pub max_payouts: u32,
    /// How long the bank may execute a payment; shorter than it remembers references.
    pub payment_valid_for: Duration,
    /// How long after a refusal a payment out of the CCP is tried again.
    pub payment_retry_after: Duration,
}

#[derive(Clone, Debug)]
pub enum Command {
    Instruct(SettlementInstruction),
    NoteSeal(TradeDateCleared),
    /// The batch of a date, if it is time.
    Start(Date),
    /// The open obligations after a due date and trade, or the first ones.
    Page {
        date: Date,
        after: Option<(Date, String)>,
    },
    Attempt {
        date: Date,
        trade: String,
    },
    /// Position or payment has answered.
    Hear(Heard),
    /// A refused payment out of the CCP, once more.
    PayAgain {
        trade: String,
    },
    Close(Date),
}

/// An answer to an attempt at something.
#[derive(Clone, Debug)]
pub struct Heard {
    pub trade: String,
    pub answer: Answer,
    pub attempt: u32,
    pub uetr: String,
    pub reason: String,
    /// Whose position changed.
    pub account: String,
}

/// The state of a stream, by its kind.
#[derive(Clone, Debug, Default)]
pub enum State {
    #[default]
    Absent,
    /// `obligation/<trade>`
    Unit(Box<Unit>),
    /// `obligation-seller/<trade>`: how many payments to the seller were instructed.
    Payouts(u32),
    /// `seals/<d>`: instructions by trade date.
    Seals(BTreeMap<Date, u64>),
    /// `settlement/<d>`
    Batch { started: BatchStarted, closed: bool },
    /// `settlement/open`
    Open(Date),
}

impl Settlement {
    /// With the settings of the design: pages of 200, three carries.
    pub fn new(calendar: &'static Calendar) -> Self {
        Self {
            calendar,
            page_size: 200,
            max_carries: 3,
            max_payouts: 12,
            payment_valid_for: Duration::from_secs(2 * 60 * 60),
            payment_retry_after: Duration::from_secs(5 * 60),
        }
    }
}

impl Service for Settlement {
    const NAME: &'static str = "settlement";
    type Command = Command;
    type Event = Event;
    type State = State;

    fn tables(&self) -> Vec<&'static Table> {
        vec![&OBLIGATIONS, &BATCHES]
    }

    fn streams(&self, command: &Command) -> Vec<StreamRef> {
        let write = |id: StreamId| StreamRef { id, access: host::Access::Write };
        let read = |id: StreamId| StreamRef { id, access: host::Access::Read };
        match command {
            Command::Instruct(instruction) => {
                let trade = &contract::trade(&instruction.trade).trade_id;
                vec![write(stream::unit(trade)), read(stream::seals(&instruction.settlement_date))]
            }
            Command::NoteSeal(cleared) => vec![write(stream::seals(&cleared.settlement_date))],
            Command::Start(date) => {
                vec![write(stream::batch(*date)), write(stream::open()), write(stream::seals(date))]
            }
            Command::Page { date, .. } | Command::Close(date) => vec![write(stream::batch(*date))],
            Command::Attempt { date, trade } => vec![write(stream::unit(trade)), read(stream::batch(*date))],
            Command::PayAgain { trade } => vec![write(stream::unit(trade)), write(stream::seller(trade))],
            Command::Hear(Heard { trade, answer, .. }) => {
                let also = match answer {
                    Answer::BlockRefused | Answer::Released => Some(read(stream::open())),
                    Answer::Paid(Leg::Buyer | Leg::Seller) | Answer::PaymentRefused(Leg::Seller) => {
                        Some(write(stream::seller(trade)))
                    }
                    _ => None,
                };
                std::iter::once(write(stream::unit(trade))).chain(also).collect()
            }
        }
    }

    fn lookups(&self, command: &Command) -> Vec<Lookup> {
        match command {
            Command::Start(date) => vec![reads::count_instructed(*date)],
            Command::Page { date, after } => vec![reads::open_page(*date, after.as_ref(), self.page_size)],
            Command::Close(date) => vec![reads::open_page(*date, None, 1)],
            _ => Vec::new(),
        }
    }

    fn decide(
        &self,
        _now: Timestamp,
        command: &Command,
        view: &View<'_, State>,
    ) -> Result<Decision<Event>, Reject<Event>> {
        Ok(match command {
            Command::Instruct(instruction) => self.instruct(instruction, view),
            Command::NoteSeal(cleared) => self.note_seal(cleared, view),
            Command::Start(date) => self.start(*date, view),
            Command::Page { date, .. } => self.page(*date, view),
            Command::Attempt { date, trade } => self.attempt(*date, trade, view),
            Command::Hear(heard) => self.hear(heard, view),
            Command::PayAgain { trade } => self.pay_again(trade, view),
            Command::Close(date) => self.close(*date, view),
        })
    }

    fn apply(&self, state: &mut State, event: &Event) {
        match (&mut *state, event) {
            (_, Event::Instructed(instruction)) => {
                *state = State::Unit(Box::new(Unit::instructed(instruction)))
            }
            (State::Unit(unit), _) => unit.apply(event),
            (_, Event::PaymentInstructed(step)) => *state = State::Payouts(step.attempt),
            (State::Seals(seals), Event::SealReceived(seal)) => {
                seals.insert(contract::date(&seal.trade_date), seal.instructions);
            }
            (_, Event::SealReceived(seal)) => {
                *state =
                    State::Seals(BTreeMap::from([(contract::date(&seal.trade_date), seal.instructions)]));
            }
            (_, Event::BatchStarted(started)) => {
                *state = State::Batch { started: started.clone(), closed: false };
            }
            (State::Batch { closed, .. }, Event::BatchClosed(_)) => *closed = true,
            (_, Event::DateOpened(opened)) => *state = State::Open(contract::date(&opened.settlement_date)),
            (state, event) => panic!("{event:?} does not follow {state:?}"),
        }
    }

    fn on_message(&self, message: &Message) -> Option<Command> {
        match message {
            Message::SettlementInstruction(instruction) => Some(Command::Instruct(instruction.clone())),
            Message::TradeDateCleared(cleared) => Some(Command::NoteSeal(cleared.clone())),
            Message::PositionUpdated(updated) => Heard::of_position(updated).map(Command::Hear),
            Message::PaymentEvent(event) => Heard::of_payment(event).map(Command::Hear),
            _ => None,
        }
    }

    fn on_timer(&self, id: &str) -> Option<Command> {
        let (kind, rest) = id.split_once('/')?;
        match (kind, rest.split('/').collect::<Vec<_>>().as_slice()) {
            ("batch", [date]) => Some(Command::Start(contract::date(date))),
            ("page", [date, ""]) => Some(Command::Page { date: contract::date(date), after: None }),
            ("page", [date, due, trade]) => {
                let after = Some((contract::date(due), (*trade).to_owned()));
                Some(Command::Page { date: contract::date(date), after })
            }
            ("attempt", [date, trade]) => {
                Some(Command::Attempt { date: contract::date(date), trade: (*trade).to_owned() })
            }
            ("pay-again", [trade]) => Some(Command::PayAgain { trade: (*trade).to_owned() }),
            ("close", [date]) => Some(Command::Close(contract::date(date))),
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

impl Heard {
    fn of_position(updated: &PositionUpdated) -> Option<Self> {
        let account = updated.account_id.clone();
        let answer = match updated.change() {
            PositionChange::Blocked => Answer::Blocked,
            PositionChange::BlockRefused => Answer::BlockRefused,
            PositionChange::Delivered => Answer::Delivered(account.clone()),
            PositionChange::Released => Answer::Released,
            PositionChange::Unspecified => return None,
        };
        let (trade, reason) = (updated.trade_id.clone(), updated.reason.clone());
        Some(Self { trade, answer, attempt: updated.attempt, uetr: String::new(), reason, account })
    }

    /// Deposits and withdrawals are none of settlement's business.
    fn of_payment(event: &PaymentEvent) -> Option<Self> {
        let (trade, leg) = Leg::of_id(&event.leg_id)?;
        let answer = match event.outcome() {
            PaymentOutcome::Confirmed => Answer::Paid(leg),
            PaymentOutcome::Refused => Answer::PaymentRefused(leg),
            _ => return None,
        };
        Some(Self {
            trade: trade.to_owned(),
            answer,
            attempt: event.attempt,
            uetr: event.uetr.clone(),
            reason: event.reason.clone(),
            account: String::new(),
        })
    }
}

/// The names of the streams.
mod stream {
    use std::fmt::Display;

    use host::StreamId;
    use model::Date;

    pub fn unit(trade: &str) -> StreamId {
        StreamId::new("obligation", trade)
    }

    pub fn seller(trade: &str) -> StreamId {
        StreamId::new("obligation-seller", trade)
    }

    pub fn seals(date: impl Display) -> StreamId {
        StreamId::new("seals", date.to_string())
    }

    pub fn batch(date: Date) -> StreamId {
        StreamId::new("settlement", date.to_string())
    }

    pub fn open() -> StreamId {
        StreamId::named("settlement/open")
    }
}
