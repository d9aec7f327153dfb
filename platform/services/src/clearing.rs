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

#[cfg(test)]
mod tests {
    use contracts::events::{RejectReason, TradeRejected, TradeValidated};
    use insta::assert_snapshot;

    use super::*;
    use crate::testing::Bench;

    fn bench() -> Bench<Clearing> {
        Bench::new(Clearing::gross(Calendar::xnys()), "2026-03-06T10:00:00-05:00")
    }

    fn trade(id: &str, trade_date: &str) -> Trade {
        Trade {
            trade_id: id.into(),
            instrument_id: "IBM".into(),
            buyer_account_id: "A-1".into(),
            seller_account_id: "A-2".into(),
            quantity: 100,
            price: "10.25".into(),
            currency: "USD".into(),
            trade_date: trade_date.into(),
        }
    }

    fn validated(id: &str) -> TradeValidated {
        TradeValidated { trade: Some(trade(id, "2026-03-06")) }
    }

    fn rejected(id: &str, by: &str) -> TradeRejected {
        let (trade, by) = (Some(trade(id, "2026-03-06")), by.into());
        TradeRejected { trade, by, reason: RejectReason::Oversell.into(), detail: String::new() }
    }

    fn sealed(accepted: u64) -> TradeDateSealed {
        TradeDateSealed { venue_id: "XNYS".into(), trade_date: "2026-03-06".into(), accepted }
    }

    #[test]
    fn a_validated_trade_is_novated_and_instructed_once() {
        let mut bench = bench();
        assert_snapshot!(bench.message(validated("T-1")), @r"
        event    trade/T-1 Novated{trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 settlement_date=2026-03-09 obligations=[Obligation{obligation_id=T-1/buyer deliverer=CCP receiver=A-1 instrument_id=IBM quantity=100 amount=1025.00 currency=USD}, Obligation{obligation_id=T-1/seller deliverer=A-2 receiver=CCP instrument_id=IBM quantity=100 amount=1025.00 currency=USD}]}
        publish  clearing-events #1 from trade/T-1 key T-1 date 2026-03-06 TradeNovated{trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 settlement_date=2026-03-09 obligations=[Obligation{obligation_id=T-1/buyer deliverer=CCP receiver=A-1 instrument_id=IBM quantity=100 amount=1025.00 currency=USD}, Obligation{obligation_id=T-1/seller deliverer=A-2 receiver=CCP instrument_id=IBM quantity=100 amount=1025.00 currency=USD}]}
        publish  settlement-instructions #1 from trade/T-1 key T-1 date 2026-03-06 SettlementInstruction{trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 settlement_date=2026-03-09 amount=1025.00}
        put      answers T-1 | 2026-03-06 | 2026-03-09 | 1
        ");
        assert_eq!(bench.message(validated("T-1")), "nothing\n");
        assert_eq!(bench.message(rejected("T-1", "position")), "nothing\n");
        assert_eq!(bench.armed(), "", "an unsealed date has nothing to wait for");
    }

    #[test]
    fn a_date_is_cleared_when_every_accepted_trade_is_answered() {
        let mut bench = bench();
        bench.message(validated("T-1"));
        assert_snapshot!(bench.message(rejected("T-2", "position")), @r"
        event    trade/T-2 AnsweredRejected{trade_id=T-2 trade_date=2026-03-06}
        put      answers T-2 | 2026-03-06 | null | 0
        ");
        assert_snapshot!(bench.message(sealed(3)), @r"
        event    trade-date/2026-03-06 DateSealed{venue_id=XNYS trade_date=2026-03-06 accepted=3}
        arm      seal/2026-03-06 no later than 2026-03-06T15:00:00Z
        ");
        assert_snapshot!(bench.due_timers(), @r"
        fire     seal/2026-03-06
        arm      seal/2026-03-06 no later than 2026-03-06T15:01:00Z
        ");
        // The last answer wakes the date, which would look by itself a minute after the last time.
        assert!(
            bench
                .message(validated("T-3"))
                .contains("arm      seal/2026-03-06 no later than 2026-03-06T15:00:00Z")
        );
        assert_snapshot!(bench.due_timers(), @r"
        fire     seal/2026-03-06
        event    trade-date/2026-03-06 DateCleared{trade_date=2026-03-06 settlement_date=2026-03-09 instructions=2}
        publish  settlement-dates #1 from trade-date/2026-03-06 key 2026-03-09 date 2026-03-06 TradeDateCleared{trade_date=2026-03-06 settlement_date=2026-03-09 instructions=2}
        ");
        assert_eq!(bench.armed(), "");
    }

    #[test]
    fn a_seal_that_comes_last_finds_all_answers() {
        let mut bench = bench();
        for id in ["T-1", "T-2"] {
            bench.message(validated(id));
        }
        bench.message(sealed(2));
        assert!(
            bench
                .due_timers()
                .contains("DateCleared{trade_date=2026-03-06 settlement_date=2026-03-09 instructions=2}")
        );
    }

    #[test]
    fn duplicates_change_nothing_and_are_not_counted() {
        let mut bench = bench();
        for _ in 0..2 {
            bench.message(validated("T-1"));
            bench.message(rejected("T-2", "position"));
        }
        bench.message(sealed(3));
        assert_eq!(bench.message(sealed(3)), "nothing\n");
        assert!(!bench.due_timers().contains("DateCleared"), "two of three are answered");
        bench.message(validated("T-3"));
        assert!(bench.due_timers().contains("DateCleared"));
        assert_eq!(bench.message(validated("T-3")), "nothing\n");
        assert_eq!(bench.timer("seal/2026-03-06"), "nothing\n");
    }

    #[test]
    fn trades_own_refusals_were_never_accepted() {
        assert_eq!(bench().message(rejected("T-1", "trade")), "ignored\n");
    }

    #[test]
    fn a_day_without_trades_is_cleared_with_no_instructions() {
        let mut bench = bench();
        bench.message(sealed(0));
        assert_snapshot!(bench.due_timers(), @r"
        fire     seal/2026-03-06
        event    trade-date/2026-03-06 DateCleared{trade_date=2026-03-06 settlement_date=2026-03-09}
        publish  settlement-dates #1 from trade-date/2026-03-06 key 2026-03-09 date 2026-03-06 TradeDateCleared{trade_date=2026-03-06 settlement_date=2026-03-09}
        ");
    }

    #[test]
    fn a_timer_without_a_seal_does_nothing() {
        assert_eq!(bench().timer("seal/2026-03-06"), "nothing\n");
    }

    #[test]
    fn settlement_dates_come_from_the_settlement_calendar() {
        let mut bench = bench();
        for (trade_date, settles) in [
            // Columbus Day trades and does not settle.
            ("2025-10-10", "2025-10-14"),
            ("2025-10-13", "2025-10-14"),
            // Over Good Friday.
            ("2026-04-02", "2026-04-06"),
        ] {
            let outcome = bench.message(TradeValidated { trade: Some(trade(trade_date, trade_date)) });
            assert!(outcome.contains(&format!("settlement_date={settles} ")), "{outcome}");
        }
    }

    #[test]
    fn the_opening_clears_the_dates_that_settle_in_the_run() {
        let opened = |first: &str| -> String {
            let events = opening(Calendar::xnys(), contract::date(first));
            events.iter().map(|(stream, event)| format!("{stream} {event:?}\n")).collect()
        };
        assert_snapshot!(opened("2026-03-06"), @r#"
        trade-date/2026-03-05 DateSealed(TradeDateSealed { venue_id: "XNYS", trade_date: "2026-03-05", accepted: 0 })
        trade-date/2026-03-05 DateCleared(TradeDateCleared { trade_date: "2026-03-05", settlement_date: "2026-03-06", instructions: 0 })
        "#);
        // The Friday before Columbus Day settles with it.
        assert_snapshot!(opened("2025-10-13"), @r#"
        trade-date/2025-10-10 DateSealed(TradeDateSealed { venue_id: "XNYS", trade_date: "2025-10-10", accepted: 0 })
        trade-date/2025-10-10 DateCleared(TradeDateCleared { trade_date: "2025-10-10", settlement_date: "2025-10-14", instructions: 0 })
        "#);
        // Two days' cycle around an ad-hoc closure.
        assert_snapshot!(opened("2018-12-07"), @r#"
        trade-date/2018-12-06 DateSealed(TradeDateSealed { venue_id: "XNYS", trade_date: "2018-12-06", accepted: 0 })
        trade-date/2018-12-06 DateCleared(TradeDateCleared { trade_date: "2018-12-06", settlement_date: "2018-12-10", instructions: 0 })
        "#);
    }
}
