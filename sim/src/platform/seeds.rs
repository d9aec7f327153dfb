//! Opening data: what every store holds when a run starts, as events, rows and recorded facts.
//!
//! Everything before the first trade date is over: its trade dates are sealed, without trades.

use std::collections::BTreeMap;
use std::rc::Rc;

use contracts::StoredEvent;
use contracts::events::{PositionOpened, VenueSealed, position_stored, trade_stored};
use contracts::stored::Payload;
use host::StreamId;
use host::ports::store::{Row, Table, Value};
use host::store_host::tables::{EVENTS, HEADS};
use invariants::Fact;
use invariants::fact::{Committed, EventRow};
use jiff::ToSpan;
use model::{AccountId, Amount, Calendar, Currency, Date, InstrumentId, Money, Quantity};
use outside::plan::Plan;
use services::{clearing, ledger, position, settlement};

use crate::nodes::database::Database;

/// The cause of seeded events.
const OPENING: &str = "opening";
/// How long the venue goes on opening after the last operation of the plan, so that carries find their dates.
const VENUE_DAYS_AFTER: i32 = 21;

/// Events and rows for one database.
#[derive(Default)]
struct Seed {
    events: BTreeMap<StreamId, Vec<bytes::Bytes>>,
    rows: Vec<(&'static Table, Row)>,
}

impl Seed {
    fn event(&mut self, stream: StreamId, event: &impl Payload) {
        self.events.entry(stream).or_default().push(event.encode());
    }
}

/// Seeds primary and standby of each database; gives the facts of it.
pub fn seed(databases: &BTreeMap<&'static str, Rc<Database>>, plan: &Plan, calendar: &Calendar) -> Vec<Fact> {
    let first = first_trade_date(plan, calendar);
    let seeds = [
        ("trade", venue(plan, calendar, first)),
        ("position", positions(plan)),
        ("clearing", events(clearing::opening(calendar, first))),
        ("settlement", events(settlement::opening(calendar, first))),
        ("ledger", balances(plan)),
    ];
    seeds.into_iter().map(|(service, seed)| plant(&databases[service], service, seed)).collect()
}

/// The date of the run's first session.
fn first_trade_date(plan: &Plan, calendar: &Calendar) -> Date {
    let start = calendar.local_datetime(plan.world.start).date();
    calendar.next_session_on_or_after(start).expect("scenarios start within the calendar")
}

/// The dates on which the venue opens, if the calendar says so.
pub fn venue_dates(plan: &Plan, calendar: &Calendar) -> Vec<Date> {
    let first = first_trade_date(plan, calendar);
    let last = plan.last().map_or(first, |last| calendar.local_datetime(last).date()).max(first);
    let last = last.saturating_add(VENUE_DAYS_AFTER.days());
    first.series(1.day()).take_while(|date| *date <= last).collect()
}

fn venue(plan: &Plan, calendar: &Calendar, first: Date) -> Seed {
    let mut seed = Seed::default();
    let before = first.series(-1.day()).skip(1).find(|date| calendar.is_session(*date));
    let before = before.expect("scenarios start after the calendar's first session");
    let sealed =
        VenueSealed { trade_date: before.to_string(), accepted: 0, next_trade_date: first.to_string() };
    seed.event(StreamId::new("venue", &plan.world.venue), &trade_stored::Event::VenueSealed(sealed));
    seed
}

fn positions(plan: &Plan) -> Seed {
    let mut seed = Seed::default();
    for account in &plan.world.accounts {
        for (instrument, quantity) in account.shares.iter().filter(|(_, shares)| **shares > 0) {
            let opened = PositionOpened { instrument_id: instrument.clone(), quantity: *quantity };
            seed.event(StreamId::new("account", &account.id), &position_stored::Event::Opened(opened));
            seed.rows.push(position::opening_row(&account.id, instrument, *quantity));
        }
    }
    seed
}

fn balances(plan: &Plan) -> Seed {
    let mut seed = Seed::default();
    let mut book = |account: &str, amount: Amount| {
        let owner = AccountId::new(account).expect("plans name accounts by valid ids");
        let (stream, event, rows) = ledger::opening(&owner, amount, plan.world.start);
        seed.event(stream, &event);
        seed.rows.extend(rows.into_iter().map(|row| (&ledger::LEGS, row)));
    };
    for account in &plan.world.accounts {
        let cash = Money::new(account.cash, Currency::USD).expect("plans hold cash in cents");
        if !cash.is_zero() {
            book(&account.id, Amount::Cash(cash));
        }
        for (instrument, shares) in account.shares.iter().filter(|(_, shares)| **shares > 0) {
            let instrument = InstrumentId::new(instrument).expect("plans name instruments by valid ids");
            let quantity = Quantity::new(*shares).incoming().expect("holdings are far below the limit");
            book(&account.id, Amount::Shares { instrument, quantity });
        }
    }
    seed
}

fn events<E: Payload>(events: Vec<(StreamId, E)>) -> Seed {
    let mut seed = Seed::default();
    events.iter().for_each(|(stream, event)| seed.event(stream.clone(), event));
    seed
}

/// Writes a seed to both servers, and says what it was.
fn plant(database: &Database, service: &str, seed: Seed) -> Fact {
    let (mut heads, mut rows, mut facts) = (Vec::new(), Vec::new(), Vec::new());
    for (stream, payloads) in &seed.events {
        heads.push(vec![stream.to_value(), Value::Int(payloads.len() as i64), "".into()]);
        for (version, payload) in (1..).zip(payloads) {
            rows.push(vec![stream.to_value(), Value::Int(version), payload.clone().into(), OPENING.into()]);
            facts.push(EventRow {
                stream: stream.to_string(),
                version: version.unsigned_abs(),
                cause: OPENING.to_owned(),
                event: StoredEvent::decode(service, payload.clone()).ok(),
                payload: payload.clone(),
            });
        }
    }
    for seat in &database.seats {
        let mut server = seat.disk.borrow_mut();
        server.seed(&HEADS, heads.clone());
        server.seed(&EVENTS, rows.clone());
        for (table, row) in &seed.rows {
            server.seed(table, vec![row.clone()]);
        }
    }
    Fact::Committed(Committed {
        database: service.to_owned(),
        transaction: 0,
        database_time_ns: 0,
        events: facts,
        outbox: Vec::new(),
        rows: u32::try_from(seed.rows.len()).expect("seeds are small"),
    })
}
