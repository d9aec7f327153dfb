//! The venue's messages: open, close, end of day; and what is done when they stay away.
//!
//! They arrive over HTTP, any number of times and in any order. Only the end of day changes which trade date
//! is open; opening and closing are filed, as the session is the venue's to keep.

use std::time::Duration;

use bytes::Bytes;
use contracts::events::trade_stored::Event;
use contracts::events::{TradeDateSealed, VenueDay, VenueSealed};
use host::{
    Decision, Effect, EffectAnswer, EffectCall, NewEffect, Problem, Reject, StreamId, StreamRef, View,
};
use http::{Request, Response, StatusCode};
use model::{Calendar, Date, Timestamp, VenueId};
use serde_json::json;

use super::state::{State, Venue};
use super::{Command, Trades};

/// How far ahead of the open trade date an end of day may be: what piles up in a long outage, and no more.
const DAYS_AHEAD_MAX: i32 = 30;
/// How soon an end of day is tried again that has come before the one of an earlier date.
const OUT_OF_ORDER_RETRY: Duration = Duration::from_secs(60);
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Clone, Debug)]
pub struct VenueMessage {
    pub venue: VenueId,
    pub trade_date: Date,
    pub kind: VenueKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VenueKind {
    Open,
    Close,
    EndOfDay,
}

impl VenueKind {
    /// As in JSON: `open`, `close`, `endOfDay`.
    pub fn named(text: &str) -> Option<Self> {
        match text {
            "open" => Some(Self::Open),
            "close" => Some(Self::Close),
            "endOfDay" => Some(Self::EndOfDay),
            _ => None,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Close => "close",
            Self::EndOfDay => "endOfDay",
        }
    }
}

impl VenueMessage {
    /// A seal has a sequence of its own per date, hence a source stream.
    pub(super) fn streams(&self) -> Vec<StreamRef> {
        let mut streams = vec![StreamRef::write("venue", &self.venue)];
        if self.kind == VenueKind::EndOfDay {
            streams.push(StreamRef::write("trade-date", self.trade_date.to_string()));
        }
        streams
    }
}

/// The message can never apply: no repetition changes that.
fn never(code: &str, detail: String) -> Reject<Event> {
    Decision::none().reject(Problem::unprocessable(code, detail))
}

impl Trades {
    pub(super) fn hear_venue(
        &self,
        message: &VenueMessage,
        view: &View<'_, State>,
    ) -> Result<Decision<Event>, Reject<Event>> {
        let date = message.trade_date;
        if message.venue != self.venue {
            return Err(never("unknown-venue", format!("this is {}, not {}", self.venue, message.venue)));
        }
        if !Calendar::xnys().is_session(date) {
            return Err(never("no-session", format!("{} holds no session on {date}", self.venue)));
        }
        let stream = StreamId::new("venue", &self.venue);
        let venue = view.state(&stream).venue();
        let Some(open) = venue.open_trade_date else {
            // Only without the seed, which nothing that the venue says can replace.
            return Err(never("venue-not-seeded", format!("{} has no open trade date", self.venue)));
        };
        let answer = json!({
            "venueId": self.venue.as_str(),
            "tradeDate": date.to_string(),
            "kind": message.kind.text(),
        });
        let decision = match message.kind {
            _ if date < open => Decision::none(),
            VenueKind::Open if venue.has_opened(date) => Decision::none(),
            VenueKind::Close if venue.has_closed(date) => Decision::none(),
            VenueKind::Open => Decision::none().event(stream, Event::VenueOpened(day(date))),
            VenueKind::Close => Decision::none().event(stream, Event::VenueClosed(day(date))),
            VenueKind::EndOfDay if date == open => self.seal(date, view.lookup(0).count()),
            VenueKind::EndOfDay => {
                let ahead =
                    open.until(date).expect("dates of the calendar are a few decades apart").get_days();
                if ahead > DAYS_AHEAD_MAX {
                    return Err(never("too-far-ahead", format!("the open trade date is {open}")));
                }
                // Dates are sealed in order. The end of the open one is on its way, or will be asked for.
                Decision::none().arm(format!("end_of_day/{date}"), view.database_time + OUT_OF_ORDER_RETRY)
            }
        };
        Ok(decision.answer(200, answer))
    }

    /// From here on, arrivals take the next trade date. `accepted` was counted under the venue's write lock.
    fn seal(&self, date: Date, accepted: u64) -> Decision<Event> {
        let next = Calendar::xnys()
            .next_session_after(date)
            .expect("a venue whose calendar has ended takes no more trades: extend the calendar");
        let trade_date = date.to_string();
        let sealed =
            VenueSealed { trade_date: trade_date.clone(), accepted, next_trade_date: next.to_string() };
        let message =
            TradeDateSealed { venue_id: self.venue.to_string(), trade_date: trade_date.clone(), accepted };
        Decision::none()
            .event(StreamId::new("venue", &self.venue), Event::VenueSealed(sealed))
            .publish(
                StreamId::new("trade-date", &trade_date),
                trade_date.clone(),
                trade_date.clone(),
                message,
            )
            .cancel(format!("end_of_day/{trade_date}"))
            .arm(self.watch_timer(), self.query_due(next))
    }

    /// Asks the venue for an end of day that is overdue.
    pub(super) fn watch_venue(&self, view: &View<'_, State>) -> Decision<Event> {
        let venue: Venue = view.state(&StreamId::new("venue", &self.venue)).venue();
        let Some(open) = venue.open_trade_date else {
            return Decision::none().arm(self.watch_timer(), view.database_time + self.venue_query_after);
        };
        let due = self.query_due(open);
        if view.database_time < due {
            return Decision::none().arm(self.watch_timer(), due);
        }
        // Armed again by the seal that the answer brings; the same query twice is one effect.
        let date = open.to_string();
        Decision::none().effect(NewEffect {
            id: format!("venue_query/{}/{date}", self.venue),
            valid_until: None,
            payload: Bytes::from(date),
        })
    }

    pub(super) fn watch_timer(&self) -> String {
        format!("venue_query/{}", self.venue)
    }

    fn query_due(&self, date: Date) -> Timestamp {
        let session = Calendar::xnys().session(date).expect("an open trade date is a session");
        session.close + self.venue_query_after
    }

    /// `{venueId, tradeDate, state: OPEN | CLOSED | ENDED}`
    pub(super) fn venue_answer(&self, effect: &Effect, response: &Response<Bytes>) -> EffectAnswer<Command> {
        let body: serde_json::Value = match response.status() {
            StatusCode::OK => serde_json::from_slice(response.body()).unwrap_or_default(),
            _ => return EffectAnswer::Again,
        };
        if body["state"] != "ENDED" {
            return EffectAnswer::Pending;
        }
        EffectAnswer::Definite(Command::Venue(VenueMessage {
            venue: self.venue.clone(),
            trade_date: crate::support::contract::date(payload_text(effect)),
            kind: VenueKind::EndOfDay,
        }))
    }
}

/// Reading is harmless, so the query after silence is the call itself.
pub(super) fn query_call(effect: &Effect) -> EffectCall {
    let venue = effect.id.split('/').nth(1).expect("the id is venue_query/<venue>/<date>");
    let request = Request::get(format!("/api/v1/venues/{venue}/trade-dates/{}", payload_text(effect)))
        .body(Bytes::new())
        .expect("ids and dates make a valid path");
    EffectCall { party: "venue", request, timeout: QUERY_TIMEOUT }
}

fn payload_text(effect: &Effect) -> &str {
    std::str::from_utf8(&effect.payload).expect("the payload is the date that the decision wrote")
}

fn day(date: Date) -> VenueDay {
    VenueDay { trade_date: date.to_string() }
}
