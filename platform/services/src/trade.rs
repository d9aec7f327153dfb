//! Trades: what was submitted, whether it is accepted, for which trade date, and how far it has come.
//!
//! Commands: `Submit` (HTTP, from the market integration gateway), `Reconsider` (a timer: reference data has
//! arrived, or has not in time), `Learn` (reference data), `Venue` (open, close, end of day), `Step` (news of
//! position, clearing and settlement), `WatchVenue` (a timer). Each arrives at least once. Watched by
//! `every_trade_terminates`, `trade_states_monotone`, `acknowledged_is_durable`.
//!
//! Streams: `trade/<id>`; `venue/<v>`, whose state is the open trade date; `instrument/<id>` and
//! `account/<id>`, this service's own copy of the reference data; `trade-date/<d>`, the source of a seal.
//! An acceptance reads the venue's stream and the end of day writes it, so a sealed date gets no more
//! trades. The trade date is the venue's, never the clock's. Who is short of shares or cash is not asked here.

mod accept;
mod http_face;
mod state;
mod tables;
#[cfg(test)]
mod tests;
mod venue;

use std::time::Duration;

use bytes::Bytes;
use contracts::Message;
use contracts::events::reference_data_event::Kind;
use contracts::events::settlement_failed::Outcome;
use contracts::events::trade_stored::Event;
use contracts::events::{RejectReason, Trade, TradeAdvanced, TradeState};
use host::ports::store::{Table, Value};
use host::{
    Decision, Effect, EffectAnswer, EffectCall, EffectStep, HttpAction, Lookup, LookupResult, Problem,
    Reject, Service, StreamId, StreamRef, View,
};
use http::{Request, Response};
use model::{Date, Timestamp, VenueId};

pub use self::accept::Parties;
pub use self::state::{Record, State, Venue};
pub use self::tables::{ACCEPTED, TRADES, WAITING};
pub use self::venue::{VenueKind, VenueMessage};
use crate::support::contract;

/// The service.
#[derive(Clone, Debug)]
pub struct Trades {
    pub venue: VenueId,
    /// How long a trade waits for reference data.
    pub reference_wait: Duration,
    /// How long after the scheduled close the venue is asked, if it has not sent its end of day.
    pub venue_query_after: Duration,
}

impl Default for Trades {
    fn default() -> Self {
        Self {
            venue: VenueId::new("XNYS").expect("a market identifier code is a valid id"),
            reference_wait: Duration::from_secs(5 * 60),
            venue_query_after: Duration::from_secs(30 * 60),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Command {
    Submit(Submission),
    /// Everything may be there now. `last`: what is still missing is not waited for any longer.
    Reconsider {
        parties: Parties,
        last: bool,
    },
    /// An instrument or an account exists.
    Learn(Kind),
    /// More trades waited for it than one decision takes.
    Arrived(StreamId),
    Venue(VenueMessage),
    WatchVenue,
    Step {
        trade: String,
        advanced: TradeAdvanced,
    },
}

/// What a participant submitted. Readable, but not yet checked.
#[derive(Clone, Debug)]
pub struct Submission {
    pub client: String,
    /// Without trade date and currency, which come with the acceptance.
    pub trade: Trade,
    pub trade_date: Option<Date>,
    /// What is wrong with its form, whatever the reference data says.
    pub fault: Option<(RejectReason, String)>,
}

impl Service for Trades {
    const NAME: &'static str = "trade";
    type Command = Command;
    type Event = Event;
    type State = State;

    fn tables(&self) -> Vec<&'static Table> {
        vec![&TRADES, &ACCEPTED, &WAITING]
    }

    fn streams(&self, command: &Command) -> Vec<StreamRef> {
        match command {
            Command::Submit(submission) => self.candidate_streams(&Parties::of(&submission.trade)),
            Command::Reconsider { parties, .. } => self.candidate_streams(parties),
            Command::Learn(Kind::InstrumentListed(listed)) => {
                vec![StreamRef::write("instrument", &listed.instrument_id)]
            }
            Command::Learn(Kind::AccountOpened(opened)) => {
                vec![StreamRef::write("account", &opened.account_id)]
            }
            Command::Arrived(stream) => vec![StreamRef::write(stream.kind(), stream.id())],
            Command::Venue(message) => message.streams(),
            Command::WatchVenue => vec![StreamRef::read("venue", &self.venue)],
            Command::Step { trade, .. } => vec![StreamRef::write("trade", trade)],
        }
    }

    fn lookups(&self, command: &Command) -> Vec<Lookup> {
        match command {
            Command::Learn(Kind::InstrumentListed(listed)) => {
                vec![accept::waiting_for(&StreamId::new("instrument", &listed.instrument_id))]
            }
            Command::Learn(Kind::AccountOpened(opened)) => {
                vec![accept::waiting_for(&StreamId::new("account", &opened.account_id))]
            }
            Command::Arrived(stream) => vec![accept::waiting_for(stream)],
            Command::Venue(VenueMessage { kind: VenueKind::EndOfDay, trade_date, .. }) => {
                let date = vec![Value::text(trade_date.to_string())];
                vec![Lookup::count(&ACCEPTED, Some("by_trade_date"), date)]
            }
            _ => Vec::new(),
        }
    }

    fn decide(
        &self,
        _: Timestamp,
        command: &Command,
        view: &View<'_, State>,
    ) -> Result<Decision<Event>, Reject<Event>> {
        match command {
            Command::Submit(submission) => self.submit(submission, view),
            Command::Reconsider { parties, last } => Ok(self.reconsider(parties, *last, view)),
            Command::Learn(kind) => Ok(accept::learn(kind, view)),
            Command::Arrived(stream) => Ok(accept::wake(stream, view)),
            Command::Venue(message) => self.hear_venue(message, view),
            Command::WatchVenue => Ok(self.watch_venue(view)),
            Command::Step { trade, advanced } => Ok(advance(trade, advanced, view)),
        }
    }

    fn apply(&self, state: &mut State, event: &Event) {
        state.apply(event);
    }

    fn on_message(&self, message: &Message) -> Option<Command> {
        match message {
            Message::ReferenceData(event) => event.kind.clone().map(Command::Learn),
            Message::TradeValidated(validated) => Some(step(&validated.trade, TradeState::Validated, "", "")),
            // Its own refusals are recorded where they are decided.
            Message::TradeRejected(rejected) if rejected.by == Self::NAME => None,
            Message::TradeRejected(rejected) => {
                let reason = format!("{}: {}", tables::reason_text(rejected.reason()), rejected.detail);
                Some(step(&rejected.trade, TradeState::Rejected, "", &reason))
            }
            Message::TradeNovated(novated) => {
                Some(step(&novated.trade, TradeState::Cleared, &novated.settlement_date, ""))
            }
            Message::SettlementInstruction(instruction) => {
                Some(step(&instruction.trade, TradeState::Instructed, &instruction.settlement_date, ""))
            }
            Message::SettlementCompleted(completed) => {
                Some(step(&completed.trade, TradeState::Settled, &completed.settled_on, ""))
            }
            Message::SettlementFailed(failed) => Some(match &failed.outcome {
                Some(Outcome::CarriedTo(date)) => {
                    step(&failed.trade, TradeState::Instructed, date, &failed.reason)
                }
                _ => step(&failed.trade, TradeState::Failed, "", &failed.reason),
            }),
            _ => None,
        }
    }

    fn on_timer(&self, id: &str) -> Option<Command> {
        let (name, rest) = id.split_once('/')?;
        match name {
            "reconsider" => Some(Command::Reconsider { parties: Parties::named(rest)?, last: false }),
            "reference_wait" => Some(Command::Reconsider { parties: Parties::named(rest)?, last: true }),
            "arrived" => Some(Command::Arrived(StreamId::named(rest))),
            "end_of_day" => Some(Command::Venue(VenueMessage {
                venue: self.venue.clone(),
                trade_date: rest.parse().ok()?,
                kind: VenueKind::EndOfDay,
            })),
            "venue_query" => Some(Command::WatchVenue),
            _ => None,
        }
    }

    fn on_request(&self, request: &Request<Bytes>) -> HttpAction<Command> {
        self.read_request(request)
    }

    fn render(&self, request: &Request<Bytes>, rows: &[LookupResult]) -> Response<Bytes> {
        http_face::render(request, rows)
    }

    fn effect_call(&self, effect: &Effect, _: EffectStep) -> EffectCall {
        venue::query_call(effect)
    }

    fn effect_answer(
        &self,
        effect: &Effect,
        _: EffectStep,
        response: &Response<Bytes>,
    ) -> EffectAnswer<Command> {
        self.venue_answer(effect, response)
    }

    fn standing_timers(&self, now: Timestamp) -> Vec<(String, Timestamp)> {
        vec![(self.watch_timer(), now)]
    }
}

fn step(trade: &Option<Trade>, step: TradeState, settlement_date: &str, reason: &str) -> Command {
    Command::Step {
        trade: contract::trade(trade).trade_id.clone(),
        advanced: TradeAdvanced {
            step: step.into(),
            state: TradeState::Unspecified.into(),
            settlement_date: settlement_date.to_owned(),
            reason: reason.to_owned(),
        },
    }
}

/// Files a step. The state is the furthest step, and a terminal state is never left.
fn advance(trade: &str, advanced: &TradeAdvanced, view: &View<'_, State>) -> Decision<Event> {
    let stream = StreamId::new("trade", trade);
    let Some(record) = view.state(&stream).record() else {
        // Only if this service has lost what it once acknowledged. There is nothing to add a step to.
        return Decision::none();
    };
    if record.has_filed(advanced) {
        return Decision::none();
    }
    let state = record.state_after(advanced.step());
    let event = Event::Advanced(TradeAdvanced { state: state.into(), ..advanced.clone() });
    record_event(record, stream, event)
}

/// An event of a trade, and the row that shows it after the event.
fn record_event(record: &Record, stream: StreamId, event: Event) -> Decision<Event> {
    let mut after = record.clone();
    after.apply(&event);
    Decision::none().event(stream, event).put(&TRADES, tables::trade_row(&after))
}

/// Why a trade is refused, as a problem of the trade.
fn refusal(trade: &str, reason: RejectReason, detail: &str) -> Problem {
    Problem::unprocessable(&tables::reason_text(reason), detail).of(trade)
}
