//! From a submission to its acceptance or refusal, with a wait for reference data in between.

use contracts::events::reference_data_event::Kind;
use contracts::events::trade_stored::Event;
use contracts::events::{
    RejectReason, Trade, TradeAccepted, TradeReceived, TradeRefused, TradeRejected, TradeSubmitted,
};
use host::ports::store::Value;
use host::{Decision, Lookup, Problem, Reject, Service, StreamId, StreamRef, View};
use model::{Quantity, arithmetic::ArithmeticError};
use serde_json::json;

use super::state::{Record, State};
use super::tables::{ACCEPTED, WAITING};
use super::{Submission, Trades, record_event, refusal};
use crate::support::contract;

/// How many waiting trades one arrival wakes; a timer takes the rest.
const WOKEN_AT_ONCE: usize = 200;

/// Names the streams that decide about a trade. Timers carry it, as a timer's id is all that comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parties {
    pub trade: String,
    pub instrument: String,
    pub buyer: String,
    pub seller: String,
}

impl Parties {
    pub fn of(trade: &Trade) -> Self {
        Self {
            trade: trade.trade_id.clone(),
            instrument: trade.instrument_id.clone(),
            buyer: trade.buyer_account_id.clone(),
            seller: trade.seller_account_id.clone(),
        }
    }

    /// Reads `<trade>/<instrument>/<buyer>/<seller>`: no id has a slash.
    pub fn named(text: &str) -> Option<Self> {
        let mut ids = text.split('/').map(str::to_owned);
        let parties =
            Self { trade: ids.next()?, instrument: ids.next()?, buyer: ids.next()?, seller: ids.next()? };
        ids.next().is_none().then_some(parties)
    }

    fn timer(&self, name: &str) -> String {
        format!("{name}/{}/{}/{}/{}", self.trade, self.instrument, self.buyer, self.seller)
    }

    fn stream(&self) -> StreamId {
        StreamId::new("trade", &self.trade)
    }

    /// The reference data that the trade needs.
    fn references(&self) -> Vec<StreamId> {
        let mut streams =
            vec![StreamId::new("instrument", &self.instrument), StreamId::new("account", &self.buyer)];
        if self.seller != self.buyer {
            streams.push(StreamId::new("account", &self.seller));
        }
        streams
    }
}

/// What stands against an acceptance.
enum Verdict {
    Fits(Box<Trade>),
    /// These streams have no events yet.
    Missing(Vec<StreamId>),
    Faulty(RejectReason, String),
}

impl Trades {
    /// The trade is written; reference data and the open trade date are read.
    pub(super) fn candidate_streams(&self, parties: &Parties) -> Vec<StreamRef> {
        let references = parties.references();
        let read = references.iter().map(|stream| StreamRef::read(stream.kind(), stream.id()));
        let own = [StreamRef::write("trade", &parties.trade), StreamRef::read("venue", &self.venue)];
        own.into_iter().chain(read).collect()
    }

    pub(super) fn submit(
        &self,
        submission: &Submission,
        view: &View<'_, State>,
    ) -> Result<Decision<Event>, Reject<Event>> {
        let parties = Parties::of(&submission.trade);
        let requested_trade_date = submission.trade_date.map(|date| date.to_string()).unwrap_or_default();
        if let Some(known) = view.state(&parties.stream()).record() {
            return answer_again(known, submission, &requested_trade_date);
        }
        let mut received = TradeReceived {
            trade: Some(submission.trade.clone()),
            client: submission.client.clone(),
            waits_until_ms: 0,
            requested_trade_date,
        };
        let verdict = match &submission.fault {
            Some((reason, detail)) => Verdict::Faulty(*reason, detail.clone()),
            None => self.judge(&submission.trade, &received.requested_trade_date, &parties, view),
        };
        match verdict {
            Verdict::Fits(trade) => {
                let (record, decision) = receive(received, &parties);
                let decision = decision.and(accept(&record, &trade, &parties));
                Ok(decision.answer(202, submitted(&parties)))
            }
            Verdict::Missing(missing) => {
                let until = view.database_time + self.reference_wait;
                received.waits_until_ms = contract::millis(until);
                let (record, decision) = receive(received, &parties);
                let decision = decision.put(&super::TRADES, super::tables::trade_row(&record));
                let decision =
                    decision.and(wait(&parties, &missing)).arm(parties.timer("reference_wait"), until);
                Ok(decision.answer(202, submitted(&parties)))
            }
            Verdict::Faulty(reason, detail) => {
                let (record, decision) = receive(received, &parties);
                let decision = decision.and(refuse(&record, &parties, reason, &detail));
                Err(decision.reject(refusal(&parties.trade, reason, &detail)))
            }
        }
    }

    /// A waiting trade, after something has arrived or the wait is over.
    pub(super) fn reconsider(
        &self,
        parties: &Parties,
        last: bool,
        view: &View<'_, State>,
    ) -> Decision<Event> {
        let Some(record) = view.state(&parties.stream()).record().filter(|record| !record.is_decided())
        else {
            return Decision::none();
        };
        let decision = match self.judge(&record.trade, &record.requested_trade_date, parties, view) {
            Verdict::Fits(trade) => accept(record, &trade, parties),
            Verdict::Faulty(reason, detail) => refuse(record, parties, reason, &detail),
            Verdict::Missing(missing) if last => {
                let (reason, detail) = never_came(&missing);
                refuse(record, parties, reason, &detail)
            }
            Verdict::Missing(_) => return Decision::none(),
        };
        // Rows are left where the wait ends before the data has come; deleting what is gone is harmless.
        let decision = parties.references().into_iter().fold(decision, |decision, missing| {
            if last { decision.delete(&WAITING, waiting_key(&missing, parties)) } else { decision }
        });
        if last { decision } else { decision.cancel(parties.timer("reference_wait")) }
    }

    /// Checks a trade of good form against reference data and the open trade date.
    fn judge(&self, trade: &Trade, requested: &str, parties: &Parties, view: &View<'_, State>) -> Verdict {
        let mut missing = parties.references();
        missing.retain(|stream| view.state(stream).is_absent());
        let venue_stream = StreamId::new("venue", &self.venue);
        let open = view.state(&venue_stream).venue().open_trade_date;
        missing.extend(open.is_none().then_some(venue_stream));
        let instrument = StreamId::new("instrument", &parties.instrument);
        let (State::Instrument { tick, currency }, Some(open), true) =
            (view.state(&instrument), open, missing.is_empty())
        else {
            return Verdict::Missing(missing);
        };
        let price = contract::price(&trade.price);
        if !price.on_tick(*tick) {
            return Verdict::Faulty(RejectReason::PriceOffTick, format!("{price} is no multiple of {tick}"));
        }
        match price.value(Quantity::new(trade.quantity), *currency) {
            Ok(_) => {}
            Err(error @ ArithmeticError::Overflow) => {
                return Verdict::Faulty(RejectReason::BadQuantity, error.to_string());
            }
            Err(error) => return Verdict::Faulty(RejectReason::BadPrice, error.to_string()),
        }
        let trade_date = open.to_string();
        if !requested.is_empty() && requested != trade_date {
            let detail = format!("the open trade date is {trade_date}, not {requested}");
            return Verdict::Faulty(RejectReason::WrongTradeDate, detail);
        }
        Verdict::Fits(Box::new(Trade { trade_date, currency: currency.to_string(), ..trade.clone() }))
    }
}

/// A submission under an id that is known: the same is answered as before, anything else is refused.
fn answer_again(
    known: &Record,
    submission: &Submission,
    requested_trade_date: &str,
) -> Result<Decision<Event>, Reject<Event>> {
    let parties = Parties::of(&submission.trade);
    if !known.is_same_submission(&submission.trade, requested_trade_date) {
        let problem = Problem::unprocessable("idempotency-key-reused", "the key names another trade");
        return Err(Decision::none().reject(problem.of(parties.trade)));
    }
    match known.refused_at_once() {
        Some((reason, detail)) => Err(Decision::none().reject(refusal(&parties.trade, reason, detail))),
        None => Ok(Decision::none().answer(202, submitted(&parties))),
    }
}

fn submitted(parties: &Parties) -> serde_json::Value {
    json!({ "tradeId": parties.trade, "status": "SUBMITTED" })
}

fn receive(received: TradeReceived, parties: &Parties) -> (Record, Decision<Event>) {
    let event = Event::Received(received);
    let mut record = Record::default();
    record.apply(&event);
    (record, Decision::none().event(parties.stream(), event))
}

fn accept(record: &Record, trade: &Trade, parties: &Parties) -> Decision<Event> {
    let accepted = TradeAccepted { trade_date: trade.trade_date.clone(), currency: trade.currency.clone() };
    let row = vec![Value::text(trade.trade_id.as_str()), Value::text(trade.trade_date.as_str())];
    let message = TradeSubmitted { trade: Some(trade.clone()) };
    record_event(record, parties.stream(), Event::Accepted(accepted)).put(&ACCEPTED, row).publish(
        parties.stream(),
        &parties.seller,
        &trade.trade_date,
        message,
    )
}

fn refuse(record: &Record, parties: &Parties, reason: RejectReason, detail: &str) -> Decision<Event> {
    let by = Trades::NAME.to_owned();
    let refused = TradeRefused { by: by.clone(), reason: reason.into(), detail: detail.to_owned() };
    let message = TradeRejected {
        trade: Some(record.trade.clone()),
        by,
        reason: reason.into(),
        detail: detail.to_owned(),
    };
    record_event(record, parties.stream(), Event::Refused(refused)).publish(
        parties.stream(),
        &parties.seller,
        "",
        message,
    )
}

fn wait(parties: &Parties, missing: &[StreamId]) -> Decision<Event> {
    missing.iter().fold(Decision::none(), |decision, missing| {
        let mut row = waiting_key(missing, parties);
        row.extend([&parties.instrument, &parties.buyer, &parties.seller].map(|id| Value::text(id.as_str())));
        decision.put(&WAITING, row)
    })
}

fn waiting_key(missing: &StreamId, parties: &Parties) -> Vec<Value> {
    vec![missing.to_value(), Value::text(parties.trade.as_str())]
}

/// The trades that wait for a stream, as many as one decision takes.
pub(super) fn waiting_for(stream: &StreamId) -> Lookup {
    Lookup::rows(&WAITING, None, vec![stream.to_value()], WOKEN_AT_ONCE)
}

/// Takes reference data into this service's own store, and wakes what waited for it.
pub(super) fn learn(kind: &Kind, view: &View<'_, State>) -> Decision<Event> {
    let (stream, event) = match kind {
        Kind::InstrumentListed(listed) => {
            (StreamId::new("instrument", &listed.instrument_id), Event::InstrumentListed(listed.clone()))
        }
        Kind::AccountOpened(opened) => {
            (StreamId::new("account", &opened.account_id), Event::AccountOpened(opened.clone()))
        }
    };
    let decision = wake(&stream, view);
    if view.state(&stream).is_absent() { decision.event(stream, event) } else { decision }
}

/// Reconsiders, in decisions of their own, the trades that waited for a stream.
pub(super) fn wake(stream: &StreamId, view: &View<'_, State>) -> Decision<Event> {
    let rows = view.lookup(0).rows();
    let mut decision = Decision::none();
    for row in rows {
        let [trade, instrument, buyer, seller] = [1, 2, 3, 4].map(|column| row[column].as_text().to_owned());
        let parties = Parties { trade, instrument, buyer, seller };
        let key = waiting_key(stream, &parties);
        decision = decision.delete(&WAITING, key).arm(parties.timer("reconsider"), view.database_time);
    }
    if rows.len() == WOKEN_AT_ONCE {
        decision.arm(format!("arrived/{stream}"), view.database_time)
    } else {
        decision
    }
}

fn never_came(missing: &[StreamId]) -> (RejectReason, String) {
    let first = missing.first().expect("a verdict of missing names what is missing");
    let reason = match first.kind() {
        "instrument" => RejectReason::UnknownInstrument,
        "account" => RejectReason::UnknownAccount,
        _ => RejectReason::WrongTradeDate,
    };
    let names: Vec<&str> = missing.iter().map(StreamId::as_str).collect();
    (reason, format!("unknown: {}", names.join(", ")))
}
