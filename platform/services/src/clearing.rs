//! Clearing: novates validated trades, and says when a trade date is complete.
//!
//! Consumes trade-validated and trade-rejected (position's answers to an accepted trade) and trade-dates
//! (how many trades the venue's day accepted). A trade date is cleared when as many distinct trades are
//! answered as were accepted; then settlement learns how many instructions its settlement date got from it.
//! Every answer reads `trade-date/<d>` and the count is taken while writing it, so none can slip past.
//!
//! The timer `seal/<d>` is armed by the date's seal: before it there is nothing to compare with. From then
//! on answers wake it, and it wakes itself each minute until the date is cleared.
//!
//! Gross: each trade has its own two obligations. A netting would hold them back here until the date is
//! cleared, see [`Netting`]. Left out: busts, and margin.
//!
//! Watched by `settlement_date_correct`, `effects_follow_validation`, `every_trade_terminates`.

#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use contracts::Message;
use contracts::events::clearing_stored::Event;
use contracts::events::{
    Obligation, SettlementInstruction, Trade, TradeAnswered, TradeDateCleared, TradeDateSealed, TradeNovated,
};
use host::ports::store::{Column, Index, Row, Table, Value};
use host::{Decision, HttpAction, Lookup, Reject, Service, StreamId, StreamRef, View};
use http::Request;
use model::{AccountId, Calendar, Date, InstrumentId, Netting, Quantity, Timestamp, TradeId, TradeTerms};

use crate::support::{contract, request};

/// How long the seal of a date waits at most before it looks again.
const SEAL_RECHECK: Duration = Duration::from_secs(60);

/// Position's answers, one per trade: trade, trade date, settlement date (null without instruction),
/// whether it is instructed.
pub static ANSWERS: Table = Table {
    name: "answers",
    columns: &[
        Column::text("trade_id"),
        Column::text("trade_date"),
        Column::text("settlement_date"),
        Column::int("instructed"),
    ],
    key: 1,
    serial: false,
    indexes: &[Index { name: BY_DATE, columns: &[1, 3], only_where: None, unique: false }],
};
const BY_DATE: &str = "by_trade_date";

/// The service and its settings.
#[derive(Debug)]
pub struct Clearing {
    pub calendar: &'static Calendar,
    pub netting: Netting,
}

#[derive(Clone, Debug)]
pub enum Command {
    /// Position has reserved the shares of an accepted trade.
    Novate(Trade),
    /// Position has refused an accepted trade.
    NoteRejected(Trade),
    /// The venue's day is over.
    Seal(TradeDateSealed),
    /// Whether every accepted trade of a date is answered.
    Clear(Date),
}

/// A trade or a trade date, by the stream that it is the state of.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Of a trade: position's answer is known.
    answered: bool,
    /// Of a trade date: how many trades it accepted, once it is sealed.
    accepted: Option<u64>,
    cleared: bool,
}

impl Clearing {
    /// Gross clearing by a venue's calendar.
    pub fn gross(calendar: &'static Calendar) -> Self {
        Self { calendar, netting: Netting::Gross }
    }

    fn novate(&self, trade: &Trade, view: &View<'_, State>) -> Decision<Event> {
        let stream = trade_stream(trade);
        if view.state(&stream).answered {
            return Decision::none();
        }
        let settlement_date = self.settlement_date(contract::date(&trade.trade_date));
        let settles = settlement_date.to_string();
        let novated = TradeNovated {
            trade: Some(trade.clone()),
            settlement_date: settles.clone(),
            obligations: self.obligations(trade, settlement_date),
        };
        let instruction = SettlementInstruction {
            trade: Some(trade.clone()),
            settlement_date: settles.clone(),
            amount: contract::amount_text(contract::value(trade)),
        };
        let decision = Decision::none()
            .event(stream.clone(), Event::Novated(novated.clone()))
            .publish(stream.clone(), &trade.trade_id, &trade.trade_date, novated)
            .publish(stream, &trade.trade_id, &trade.trade_date, instruction)
            .put(&ANSWERS, answer_row(trade, Some(&settles)));
        wake_seal(decision, trade, view)
    }

    fn note_rejected(&self, trade: &Trade, view: &View<'_, State>) -> Decision<Event> {
        let stream = trade_stream(trade);
        if view.state(&stream).answered {
            return Decision::none();
        }
        let answered =
            TradeAnswered { trade_id: trade.trade_id.clone(), trade_date: trade.trade_date.clone() };
        let decision = Decision::none()
            .event(stream, Event::AnsweredRejected(answered))
            .put(&ANSWERS, answer_row(trade, None));
        wake_seal(decision, trade, view)
    }

    fn seal(&self, sealed: &TradeDateSealed, view: &View<'_, State>) -> Decision<Event> {
        let stream = date_stream(&sealed.trade_date);
        if view.state(&stream).accepted.is_some() {
            return Decision::none();
        }
        Decision::none()
            .event(stream, Event::DateSealed(sealed.clone()))
            .arm_no_later(seal_timer(&sealed.trade_date), view.database_time)
    }

    fn clear(&self, trade_date: Date, view: &View<'_, State>) -> Decision<Event> {
        let date = trade_date.to_string();
        let stream = date_stream(&date);
        let state = view.state(&stream);
        let Some(accepted) = state.accepted.filter(|_| !state.cleared) else {
            return Decision::none();
        };
        if view.lookup(0).count() != accepted {
            return Decision::none().arm_no_later(seal_timer(&date), view.database_time + SEAL_RECHECK);
        }
        let cleared = TradeDateCleared {
            trade_date: date.clone(),
            settlement_date: self.settlement_date(trade_date).to_string(),
            instructions: view.lookup(1).count(),
        };
        Decision::none().event(stream.clone(), Event::DateCleared(cleared.clone())).publish(
            stream,
            cleared.settlement_date.clone(),
            date,
            cleared,
        )
    }

    fn settlement_date(&self, trade_date: Date) -> Date {
        self.calendar.settlement_date(trade_date).expect("trade accepts trades of covered dates only")
    }

    fn obligations(&self, trade: &Trade, settlement_date: Date) -> Vec<Obligation> {
        let terms = terms(trade, settlement_date);
        let checked = model::Trade::new(terms).expect("trade refuses what has not the form of a trade");
        let obligations = self.netting.obligations(&[checked]).expect("the value of one trade is an amount");
        obligations.iter().map(|obligation| stated(trade, obligation)).collect()
    }
}

impl Service for Clearing {
    const NAME: &'static str = "clearing";
    type Command = Command;
    type Event = Event;
    type State = State;

    fn tables(&self) -> Vec<&'static Table> {
        vec![&ANSWERS]
    }

    fn streams(&self, command: &Command) -> Vec<StreamRef> {
        match command {
            Command::Novate(trade) | Command::NoteRejected(trade) => vec![
                StreamRef::write("trade", &trade.trade_id),
                StreamRef::read("trade-date", &trade.trade_date),
            ],
            Command::Seal(sealed) => vec![StreamRef::write("trade-date", &sealed.trade_date)],
            Command::Clear(trade_date) => vec![StreamRef::write("trade-date", trade_date.to_string())],
        }
    }

    fn lookups(&self, command: &Command) -> Vec<Lookup> {
        let Command::Clear(trade_date) = command else { return Vec::new() };
        let date = Value::text(trade_date.to_string());
        let instructed = vec![date.clone(), Value::Int(1)];
        vec![
            Lookup::count(&ANSWERS, Some(BY_DATE), vec![date]),
            Lookup::count(&ANSWERS, Some(BY_DATE), instructed),
        ]
    }

    fn decide(
        &self,
        _now: Timestamp,
        command: &Command,
        view: &View<'_, State>,
    ) -> Result<Decision<Event>, Reject<Event>> {
        Ok(match command {
            Command::Novate(trade) => self.novate(trade, view),
            Command::NoteRejected(trade) => self.note_rejected(trade, view),
            Command::Seal(sealed) => self.seal(sealed, view),
            Command::Clear(trade_date) => self.clear(*trade_date, view),
        })
    }

    fn apply(&self, state: &mut State, event: &Event) {
        match event {
            Event::Novated(_) | Event::AnsweredRejected(_) => state.answered = true,
            Event::DateSealed(sealed) => state.accepted = Some(sealed.accepted),
            Event::DateCleared(_) => state.cleared = true,
        }
    }

    fn on_message(&self, message: &Message) -> Option<Command> {
        match message {
            Message::TradeValidated(validated) => {
                Some(Command::Novate(contract::trade(&validated.trade).clone()))
            }
            // What trade itself refuses was never accepted, and is not counted.
            Message::TradeRejected(rejected) if rejected.by == "position" => {
                Some(Command::NoteRejected(contract::trade(&rejected.trade).clone()))
            }
            Message::TradeDateSealed(sealed) => Some(Command::Seal(sealed.clone())),
            _ => None,
        }
    }

    fn on_timer(&self, id: &str) -> Option<Command> {
        id.strip_prefix("seal/").map(|date| Command::Clear(contract::date(date)))
    }

    fn on_request(&self, request: &Request<Bytes>) -> HttpAction<Command> {
        HttpAction::Answer(request::no_route(request).response())
    }
}

/// What the opening of a run records here: the trade dates before the first one that settle on or after it
/// are over, without trades.
pub fn opening(calendar: &Calendar, first_trade_date: Date) -> Vec<(StreamId, Event)> {
    let mut events = Vec::new();
    let yesterday = first_trade_date.yesterday().expect("a covered date");
    let mut settlement_dates =
        std::iter::successors(calendar.next_settlement_day_after(yesterday).ok(), |date| {
            calendar.next_settlement_day_after(*date).ok()
        });
    // Settlement dates never decrease: the first one of a trade date of the run is the last of interest.
    let reached = settlement_dates.any(|settlement_date| {
        let trade_dates = calendar.trade_dates_settling_on(settlement_date);
        for trade_date in trade_dates.iter().filter(|date| **date < first_trade_date) {
            events.extend(nothing_traded(calendar, *trade_date, settlement_date));
        }
        trade_dates.iter().any(|date| *date >= first_trade_date)
    });
    assert!(reached, "the calendar covers the settlement of the first trade date {first_trade_date}");
    events
}

fn nothing_traded(calendar: &Calendar, trade_date: Date, settlement_date: Date) -> [(StreamId, Event); 2] {
    let date = trade_date.to_string();
    let stream = date_stream(&date);
    let sealed =
        TradeDateSealed { venue_id: calendar.venue().to_owned(), trade_date: date.clone(), accepted: 0 };
    let settlement_date = settlement_date.to_string();
    let cleared = TradeDateCleared { trade_date: date, settlement_date, instructions: 0 };
    [(stream.clone(), Event::DateSealed(sealed)), (stream, Event::DateCleared(cleared))]
}

/// An answer after the seal may be the one that the date waits for.
fn wake_seal(decision: Decision<Event>, trade: &Trade, view: &View<'_, State>) -> Decision<Event> {
    let date = view.state(&date_stream(&trade.trade_date));
    if date.accepted.is_none() || date.cleared {
        return decision;
    }
    decision.arm_no_later(seal_timer(&trade.trade_date), view.database_time)
}

fn trade_stream(trade: &Trade) -> StreamId {
    StreamId::new("trade", &trade.trade_id)
}

fn date_stream(trade_date: &str) -> StreamId {
    StreamId::new("trade-date", trade_date)
}

fn seal_timer(trade_date: &str) -> String {
    format!("seal/{trade_date}")
}

fn answer_row(trade: &Trade, settlement_date: Option<&str>) -> Row {
    vec![
        Value::text(trade.trade_id.as_str()),
        Value::text(trade.trade_date.as_str()),
        settlement_date.map_or(Value::Null, Value::from),
        Value::Int(settlement_date.is_some().into()),
    ]
}

fn terms(trade: &Trade, settlement_date: Date) -> TradeTerms {
    const CHECKED: &str = "trade checks the ids of what it accepts";
    TradeTerms {
        id: TradeId::new(&trade.trade_id).expect(CHECKED),
        instrument: InstrumentId::new(&trade.instrument_id).expect(CHECKED),
        buyer: AccountId::new(&trade.buyer_account_id).expect(CHECKED),
        seller: AccountId::new(&trade.seller_account_id).expect(CHECKED),
        quantity: Quantity::new(trade.quantity),
        price: contract::price(&trade.price),
        currency: contract::currency(&trade.currency),
        trade_date: contract::date(&trade.trade_date),
        settlement_date,
    }
}

/// An obligation as contracts write it, named after the party that it binds to the CCP.
fn stated(trade: &Trade, obligation: &model::Obligation) -> Obligation {
    let side = if obligation.deliverer == AccountId::ccp() { "buyer" } else { "seller" };
    Obligation {
        obligation_id: format!("{}/{side}", trade.trade_id),
        deliverer: obligation.deliverer.to_string(),
        receiver: obligation.receiver.to_string(),
        instrument_id: obligation.instrument.to_string(),
        quantity: obligation.quantity.get(),
        amount: contract::amount_text(obligation.cash),
        currency: obligation.cash.currency().code().to_owned(),
    }
}
