//! The venue: it opens, closes and ends each trade date, and says so until the platform has heard it.
//!
//! Fakes the messages of a venue's post-trade feed; a trade date is sealed by its end of day and by nothing
//! else. Leaves out halts, auctions and trading itself: the trades come from clients.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use invariants::Fact;
use invariants::fact::VenueMessage;
use model::{Calendar, Date, Timestamp};
use serde_json::json;

use crate::party::{Due, Handled, Measure, Party, Post, answer, later, no_route, refusal, route};

/// Who takes the venue's messages.
pub const GATEWAY: &str = "market-integration-gateway";
const PATH: &str = "/api/v1/venue";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VenueSettings {
    /// From the close of a session to the end of its trade date.
    pub end_of_day_after_close: Duration,
    /// Between two tries of a message that nobody has taken.
    pub repeat_after: Duration,
}

impl Default for VenueSettings {
    fn default() -> Self {
        Self { end_of_day_after_close: Duration::from_secs(20 * 60), repeat_after: Duration::from_secs(5) }
    }
}

/// The venue and the trade dates that it holds.
#[derive(Debug)]
pub struct Venue {
    id: String,
    settings: VenueSettings,
    states: BTreeMap<Date, State>,
    /// What will be true, and when.
    schedule: BTreeSet<(Timestamp, Date, Step)>,
    /// Open and close of each session.
    sessions: BTreeMap<Date, (Timestamp, Timestamp)>,
    /// Messages that nobody has taken, by the order in which they became true.
    unheard: BTreeMap<(Timestamp, Date, Step), Timestamp>,
}

/// The steps of a trade date, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Open,
    Close,
    EndOfDay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Scheduled,
    Open,
    Closed,
    Ended,
}

impl Venue {
    /// A venue that holds its sessions on those of `dates` that have one.
    pub fn new(calendar: &Calendar, dates: &[Date], settings: VenueSettings) -> Self {
        let mut venue = Self {
            id: calendar.venue().to_owned(),
            settings,
            states: BTreeMap::new(),
            schedule: BTreeSet::new(),
            sessions: BTreeMap::new(),
            unheard: BTreeMap::new(),
        };
        for session in dates.iter().filter_map(|date| calendar.session(*date)) {
            venue.states.insert(session.date, State::Scheduled);
            venue.sessions.insert(session.date, (session.open, session.close));
            let end_of_day = later(session.close, settings.end_of_day_after_close);
            for (at, step) in
                [(session.open, Step::Open), (session.close, Step::Close), (end_of_day, Step::EndOfDay)]
            {
                venue.schedule.insert((at, session.date, step));
            }
        }
        venue
    }

    /// What has become true up to `now`.
    fn advance(&mut self, now: Timestamp) -> Vec<Fact> {
        let mut facts = Vec::new();
        while let Some(key) = self.schedule.first().copied().filter(|(at, ..)| *at <= now) {
            self.schedule.remove(&key);
            let (_, date, step) = key;
            // A trade date that was ended early stays so when its session closes.
            self.states.entry(date).and_modify(|state| *state = step.state().max(*state));
            self.unheard.insert(key, now);
            facts.push(Fact::Venue {
                venue: self.id.clone(),
                trade_date: date.to_string(),
                message: step.message(),
            });
        }
        facts
    }

    /// Ends trade dates so long before the close, or as usual; those whose session has closed as they would have.
    fn end_before_close(&mut self, now: Timestamp, by: Option<Duration>) {
        let ends = self.schedule.iter().filter(|(_, _, step)| *step == Step::EndOfDay).copied();
        for (at, date, step) in ends.collect::<Vec<_>>() {
            let (open, close) = self.sessions[&date];
            if close <= now {
                continue;
            }
            let usual = later(close, self.settings.end_of_day_after_close);
            let early = |by: Duration| close.checked_sub(by).unwrap_or(open).max(open);
            self.schedule.remove(&(at, date, step));
            self.schedule.insert((by.map_or(usual, early), date, step));
        }
    }

    fn post(&self, date: Date, step: Step) -> Post {
        let body = json!({ "venueId": self.id, "tradeDate": date.to_string(), "kind": step.word() });
        Post::json(GATEWAY, PATH, self.key(date, step), &body)
    }

    fn key(&self, date: Date, step: Step) -> String {
        format!("{}/{date}/{}", self.id, step.word())
    }

    fn trade_date(&self, text: &str) -> Response<Bytes> {
        let Ok(date) = text.parse::<Date>() else {
            return refusal(StatusCode::BAD_REQUEST, "a trade date is written 2026-03-06");
        };
        match self.states.get(&date) {
            Some(state) => {
                let body = json!({ "venueId": self.id, "tradeDate": text, "state": state.word() });
                answer(StatusCode::OK, &body)
            }
            None => refusal(StatusCode::NOT_FOUND, "no session of this venue"),
        }
    }
}

impl Party for Venue {
    /// `GET /api/v1/venues/{venue}/trade-dates/{date}`, or without what is before `trade-dates`, tells the state of
    /// a trade date: `{venueId, tradeDate, state: SCHEDULED | OPEN | CLOSED | ENDED}`.
    fn handle(&mut self, now: Timestamp, request: &Request<Bytes>) -> Handled {
        let facts = self.advance(now);
        let (method, path) = route(request);
        let response = match (method, path.as_slice()) {
            ("GET", ["trade-dates", date]) => self.trade_date(date),
            ("GET", ["api", "v1", "venues", venue, "trade-dates", date]) if *venue == self.id => {
                self.trade_date(date)
            }
            _ => no_route(),
        };
        Handled { facts, ..Handled::answer(response) }
    }

    fn next_due(&self) -> Option<Timestamp> {
        let scheduled = self.schedule.first().map(|(at, ..)| *at);
        scheduled.into_iter().chain(self.unheard.values().copied()).min()
    }

    fn due(&mut self, now: Timestamp) -> Due {
        let facts = self.advance(now);
        let again = later(now, self.settings.repeat_after);
        let mut keys = Vec::new();
        for ((_, date, step), next) in self.unheard.iter_mut().filter(|(_, next)| **next <= now) {
            *next = again;
            keys.push((*date, *step));
        }
        let posts = keys.into_iter().map(|(date, step)| self.post(date, step)).collect();
        Due { posts, facts }
    }

    fn adopt(&mut self, now: Timestamp, measure: Measure) {
        if let Measure::EndBeforeClose(by) = measure {
            self.end_before_close(now, by);
        }
    }

    fn answered(&mut self, _: Timestamp, key: &str, status: StatusCode) {
        if status.is_success() {
            let heard = self.unheard.keys().find(|(_, date, step)| self.key(*date, *step) == key).copied();
            heard.and_then(|heard| self.unheard.remove(&heard));
        }
    }
}

impl Step {
    fn state(self) -> State {
        match self {
            Self::Open => State::Open,
            Self::Close => State::Closed,
            Self::EndOfDay => State::Ended,
        }
    }

    fn message(self) -> VenueMessage {
        match self {
            Self::Open => VenueMessage::Open,
            Self::Close => VenueMessage::Close,
            Self::EndOfDay => VenueMessage::EndOfDay,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Close => "close",
            Self::EndOfDay => "endOfDay",
        }
    }
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::Open => "OPEN",
            Self::Closed => "CLOSED",
            Self::Ended => "ENDED",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("an instant")
    }

    /// Friday with 16:00 and Saturday, which has no session.
    fn venue() -> Venue {
        let dates = [Date::constant(2026, 3, 6), Date::constant(2026, 3, 7)];
        Venue::new(Calendar::xnys(), &dates, VenueSettings::default())
    }

    fn state(venue: &mut Venue, now: &str, date: &str) -> String {
        let request = Request::get(format!("/api/v1/venues/XNYS/trade-dates/{date}"))
            .body(Bytes::new())
            .expect("a request");
        let handled = venue.handle(at(now), &request);
        let response = handled.response().expect("an answer");
        let body: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
        format!("{} {}", response.status().as_u16(), body["state"].as_str().unwrap_or("-"))
    }

    fn keys(due: &Due) -> Vec<&str> {
        due.posts.iter().map(|post| post.key.as_str()).collect()
    }

    #[test]
    fn a_day_is_told_in_three_messages_until_each_is_taken() {
        let mut venue = venue();
        assert_eq!(venue.next_due(), Some(at("2026-03-06T14:30:00Z")));
        let due = venue.due(at("2026-03-06T14:30:00Z"));
        assert_eq!(keys(&due), ["XNYS/2026-03-06/open"]);
        assert_eq!(due.facts.len(), 1);
        assert_eq!(due.posts[0].request.uri().path(), "/api/v1/venue");

        let key = due.posts[0].key.clone();
        venue.answered(at("2026-03-06T14:30:01Z"), &key, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(venue.next_due(), Some(at("2026-03-06T14:30:05Z")));
        let again = venue.due(at("2026-03-06T14:30:05Z"));
        assert_eq!((keys(&again), again.facts.len()), (vec!["XNYS/2026-03-06/open"], 0));

        venue.answered(at("2026-03-06T14:30:06Z"), &key, StatusCode::OK);
        assert_eq!(venue.next_due(), Some(at("2026-03-06T21:00:00Z")));
        assert_eq!(keys(&venue.due(at("2026-03-06T21:00:00Z"))), ["XNYS/2026-03-06/close"]);
        venue.answered(at("2026-03-06T21:00:00Z"), "XNYS/2026-03-06/close", StatusCode::NO_CONTENT);
        assert_eq!(venue.next_due(), Some(at("2026-03-06T21:20:00Z")));
        assert_eq!(keys(&venue.due(at("2026-03-06T21:20:00Z"))), ["XNYS/2026-03-06/endOfDay"]);
        venue.answered(at("2026-03-06T21:20:00Z"), "XNYS/2026-03-06/endOfDay", StatusCode::OK);
        assert_eq!(venue.next_due(), None);
    }

    #[test]
    fn a_trade_date_can_end_before_its_session_closes() {
        let mut venue = venue();
        venue.due(at("2026-03-06T14:30:00Z"));
        let early = Measure::EndBeforeClose(Some(Duration::from_secs(600)));
        venue.adopt(at("2026-03-06T15:00:00Z"), early);
        assert_eq!(state(&mut venue, "2026-03-06T20:49:59Z", "2026-03-06"), "200 OPEN");
        venue.adopt(at("2026-03-06T20:49:59Z"), Measure::EndBeforeClose(None));
        assert_eq!(state(&mut venue, "2026-03-06T20:50:00Z", "2026-03-06"), "200 OPEN");
        venue.adopt(at("2026-03-06T20:50:00Z"), early);
        for now in ["2026-03-06T20:50:00Z", "2026-03-06T21:00:00Z", "2026-03-06T21:20:00Z"] {
            assert_eq!(state(&mut venue, now, "2026-03-06"), "200 ENDED");
        }
        assert_eq!(venue.due(at("2026-03-06T21:20:00Z")).posts.len(), 3, "it says each thing, once");
    }

    #[test]
    fn a_query_is_answered_from_the_books_even_when_nothing_was_posted() {
        let mut venue = venue();
        for (now, expected) in [
            ("2026-03-06T14:29:59Z", "200 SCHEDULED"),
            ("2026-03-06T14:30:00Z", "200 OPEN"),
            ("2026-03-06T21:00:00Z", "200 CLOSED"),
            ("2026-03-06T21:20:00Z", "200 ENDED"),
        ] {
            assert_eq!(state(&mut venue, now, "2026-03-06"), expected);
        }
        assert_eq!(state(&mut venue, "2026-03-06T21:20:00Z", "2026-03-07"), "404 -");
        assert_eq!(state(&mut venue, "2026-03-06T21:20:00Z", "friday"), "400 -");
        let all = venue.due(at("2026-03-06T21:21:00Z"));
        assert_eq!(all.posts.len(), 3, "what became true is still told");
        assert!(all.facts.is_empty(), "and is a fact only once");
    }
}
