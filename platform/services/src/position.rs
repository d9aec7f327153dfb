//! Positions: how many shares an account has settled, and how many of them are promised.
//!
//! Commands: `Validate` (a submitted trade reserves the seller's shares and expects them at the buyer),
//! `Block`, `Deliver` and `Release` (settlement moves them); each arrives at least once. Position alone may
//! refuse a trade for want of shares. Watched by `no_oversell`, `shares_conserved`,
//! `effects_follow_validation`, `trade_legs_atomic`.
//!
//! Only streams `account/<id>`: a decision about a trade writes the seller's and, where shares or
//! expectations move, the buyer's. There is no stream of the clearing house: its position is always flat.

mod account;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use contracts::Message;
use contracts::events::position_stored::Event;
use contracts::events::{
    DeliveryAction, PositionChange, PositionRefused, PositionStep, PositionTrade, PositionUpdated,
    RejectReason, Trade, TradeRejected, TradeValidated,
};
use host::ports::store::{Column, Row, Table, Value};
use host::{Decision, HttpAction, Lookup, LookupResult, Problem, Reject, Service, StreamId, StreamRef, View};
use http::{Request, Response};
use model::Timestamp;
use serde_json::json;

pub use self::account::{Account, Holding};
use self::account::{Phase, Reservation};
use crate::support::contract;
use crate::support::request::{self, Path};

/// The service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Position {
    /// Whether shares that were bought and have not settled may be sold.
    pub unsettled_purchases_count: bool,
}

#[derive(Clone, Debug)]
pub enum Command {
    Validate(Trade),
    Block(Delivery),
    Deliver(Delivery),
    Release { delivery: Delivery, last: bool },
}

/// What settlement asks for a trade, in which of its attempts.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub trade: Trade,
    pub attempt: u32,
}

/// Read model: one row per account and instrument.
pub static POSITIONS: Table = Table {
    name: "positions",
    columns: &[
        Column::text("account"),
        Column::text("instrument"),
        Column::int("settled"),
        Column::int("reserved"),
        Column::int("blocked"),
        Column::int("pending"),
    ],
    key: 2,
    serial: false,
    indexes: &[],
};

/// Reason of an answer about a trade that promised nothing.
const NOT_RESERVED: &str = "NOT_RESERVED";
/// More instruments than a venue lists.
const POSITIONS_PER_ACCOUNT_MAX: usize = 20_000;

/// The row that belongs to an opening position, which the simulator seeds as event `PositionOpened`.
pub fn opening_row(account: &str, instrument: &str, quantity: u64) -> (&'static Table, Row) {
    (&POSITIONS, row(account, instrument, Holding { settled: quantity, ..Holding::default() }))
}

/// The seller has not enough free shares: recorded, published, final.
fn oversell(trade: &Trade, free: u64) -> Reject<Event> {
    let detail = format!("free {free}, wanted {}", trade.quantity);
    let stream = account_stream(&trade.seller_account_id);
    let message = TradeRejected {
        trade: Some(trade.clone()),
        by: Position::NAME.to_owned(),
        reason: RejectReason::Oversell.into(),
        detail: detail.clone(),
    };
    Decision::none()
        .event(stream.clone(), Event::Refused(PositionRefused { trade: Some(trade.clone()), free }))
        .publish(stream, &trade.seller_account_id, &trade.trade_date, message)
        .reject(Problem::unprocessable("oversell", detail).of(&trade.trade_id))
}

impl Service for Position {
    const NAME: &'static str = "position";
    type Command = Command;
    type Event = Event;
    type State = Account;

    fn tables(&self) -> Vec<&'static Table> {
        vec![&POSITIONS]
    }

    fn streams(&self, command: &Command) -> Vec<StreamRef> {
        let (trade, both) = match command {
            Command::Validate(trade) => (trade, true),
            Command::Deliver(delivery) => (&delivery.trade, true),
            Command::Block(delivery) => (&delivery.trade, false),
            Command::Release { delivery, last } => (&delivery.trade, *last),
        };
        let mut streams = vec![StreamRef::write("account", &trade.seller_account_id)];
        if both {
            streams.push(StreamRef::write("account", &trade.buyer_account_id));
        }
        streams
    }

    fn decide(
        &self,
        _: Timestamp,
        command: &Command,
        view: &View<'_, Account>,
    ) -> Result<Decision<Event>, Reject<Event>> {
        match command {
            Command::Validate(trade) => self.validate(trade, view),
            Command::Block(delivery) => Ok(self.block(delivery, view)),
            Command::Deliver(delivery) => Ok(self.deliver(delivery, view)),
            Command::Release { delivery, last: false } => Ok(self.release(delivery, view)),
            Command::Release { delivery, last: true } => Ok(self.end(delivery, view)),
        }
    }

    fn apply(&self, account: &mut Account, event: &Event) {
        account.apply(event);
    }

    fn on_message(&self, message: &Message) -> Option<Command> {
        match message {
            Message::TradeSubmitted(submitted) => {
                Some(Command::Validate(contract::trade(&submitted.trade).clone()))
            }
            Message::DeliveryRequest(request) => {
                let trade = contract::trade(&request.trade).clone();
                let delivery = Delivery { trade, attempt: request.attempt };
                match request.action() {
                    DeliveryAction::Block => Some(Command::Block(delivery)),
                    DeliveryAction::Deliver => Some(Command::Deliver(delivery)),
                    DeliveryAction::Release => Some(Command::Release { delivery, last: request.r#final }),
                    DeliveryAction::Unspecified => {
                        panic!("a delivery request of {} asks nothing", request.attempt)
                    }
                }
            }
            _ => None,
        }
    }

    fn on_request(&self, request: &Request<Bytes>) -> HttpAction<Command> {
        let path = Path::of(request);
        match path.parts() {
            ("GET", ["api", "v1", "positions", account]) => {
                let prefix = vec![Value::text(*account)];
                HttpAction::Read(vec![Lookup::rows(&POSITIONS, None, prefix, POSITIONS_PER_ACCOUNT_MAX)])
            }
            _ => HttpAction::Answer(request::no_route(request).response()),
        }
    }

    fn render(&self, request: &Request<Bytes>, rows: &[LookupResult]) -> Response<Bytes> {
        let account = Path::of(request).segments[3];
        let positions: Vec<serde_json::Value> = rows[0].rows().iter().map(render_row).collect();
        host::http_api::json(200, &json!({ "accountId": account, "positions": positions }))
    }
}

impl Position {
    fn validate(&self, trade: &Trade, view: &View<'_, Account>) -> Result<Decision<Event>, Reject<Event>> {
        let (seller, buyer) = parties(trade);
        if view.state(&seller).knows(&trade.trade_id) {
            return Ok(Decision::none());
        }
        let free = view.state(&seller).holding(&trade.instrument_id).free(self.unsettled_purchases_count);
        if free < trade.quantity {
            return Err(oversell(trade, free));
        }
        let promised = PositionTrade { trade: Some(trade.clone()) };
        let decision =
            append(Decision::none(), view, trade, &seller, vec![Event::Reserved(promised.clone())]);
        let decision = append(decision, view, trade, &buyer, vec![Event::Expected(promised)]);
        let validated = TradeValidated { trade: Some(trade.clone()) };
        Ok(decision.publish(seller, &trade.seller_account_id, &trade.trade_date, validated))
    }

    fn block(&self, delivery: &Delivery, view: &View<'_, Account>) -> Decision<Event> {
        let trade = &delivery.trade;
        let (seller, _) = parties(trade);
        let account = view.state(&seller);
        let reason = match account.reservation(&trade.trade_id) {
            None if account.knows(&trade.trade_id) => return Decision::none(),
            // Only if this service has lost what it once answered: then shares are not there to be blocked.
            None => NOT_RESERVED,
            Some(reservation) if delivery.attempt <= reservation.attempt => return Decision::none(),
            Some(Reservation { phase: Phase::Blocked, attempt: earlier, .. }) => {
                // The release of the earlier attempt was skipped: its shares serve this one.
                let steps = vec![
                    Event::Released(step(trade, *earlier, trade.quantity, false)),
                    Event::Blocked(step(trade, delivery.attempt, trade.quantity, false)),
                ];
                let decision = append(Decision::none(), view, trade, &seller, steps);
                return tell(decision, delivery, &seller, PositionChange::Blocked, 0, "");
            }
            Some(_) if account.holding(&trade.instrument_id).unblocked() < trade.quantity => {
                "SHARES_NOT_SETTLED"
            }
            Some(_) => {
                let blocked = Event::Blocked(step(trade, delivery.attempt, trade.quantity, false));
                let decision = append(Decision::none(), view, trade, &seller, vec![blocked]);
                return tell(decision, delivery, &seller, PositionChange::Blocked, 0, "");
            }
        };
        let refused = PositionStep { reason: reason.to_owned(), ..step(trade, delivery.attempt, 0, false) };
        let decision = append(Decision::none(), view, trade, &seller, vec![Event::BlockRefused(refused)]);
        tell(decision, delivery, &seller, PositionChange::BlockRefused, 0, reason)
    }

    /// Both legs in one decision: the shares leave the seller and are the buyer's.
    fn deliver(&self, delivery: &Delivery, view: &View<'_, Account>) -> Decision<Event> {
        let trade = &delivery.trade;
        let (seller, buyer) = parties(trade);
        match view.state(&seller).reservation(&trade.trade_id) {
            Some(reservation)
                if reservation.phase == Phase::Blocked && reservation.attempt == delivery.attempt => {}
            _ => return Decision::none(),
        }
        let moved = step(trade, delivery.attempt, trade.quantity, false);
        let shares = i64::try_from(trade.quantity).expect("trade accepts no quantity above i64::MAX");
        let decision = append(Decision::none(), view, trade, &seller, vec![Event::Delivered(moved.clone())]);
        let decision = append(decision, view, trade, &buyer, vec![Event::Received(moved)]);
        let decision = tell(decision, delivery, &seller, PositionChange::Delivered, -shares, "");
        tell(decision, delivery, &buyer, PositionChange::Delivered, shares, "")
    }

    /// The attempt is over, the promise stays.
    fn release(&self, delivery: &Delivery, view: &View<'_, Account>) -> Decision<Event> {
        let trade = &delivery.trade;
        let (seller, _) = parties(trade);
        if !view.state(&seller).knows(&trade.trade_id) {
            return never_reserved(delivery, false, view);
        }
        let reservation = match view.state(&seller).reservation(&trade.trade_id) {
            Some(reservation)
                if reservation.released < delivery.attempt && reservation.attempt <= delivery.attempt =>
            {
                reservation
            }
            _ => return Decision::none(),
        };
        let shares = if reservation.phase == Phase::Blocked { trade.quantity } else { 0 };
        let released = Event::Released(step(trade, delivery.attempt, shares, false));
        let decision = append(Decision::none(), view, trade, &seller, vec![released]);
        tell(decision, delivery, &seller, PositionChange::Released, 0, "")
    }

    /// The trade has failed: the promise ends on both sides.
    fn end(&self, delivery: &Delivery, view: &View<'_, Account>) -> Decision<Event> {
        let trade = &delivery.trade;
        let (seller, buyer) = parties(trade);
        if !view.state(&seller).knows(&trade.trade_id) {
            return never_reserved(delivery, true, view);
        }
        match view.state(&seller).reservation(&trade.trade_id) {
            Some(reservation) if reservation.attempt <= delivery.attempt => {}
            _ => return Decision::none(),
        }
        let ended = step(trade, delivery.attempt, trade.quantity, true);
        let decision = append(Decision::none(), view, trade, &seller, vec![Event::Released(ended.clone())]);
        let decision = append(decision, view, trade, &buyer, vec![Event::ReceiptCancelled(ended)]);
        tell(decision, delivery, &seller, PositionChange::Released, 0, "")
    }
}

/// Releases what was never promised: only if this service has lost what it once answered. Settlement waits
/// for the confirmation, so it gets one.
fn never_reserved(delivery: &Delivery, last: bool, view: &View<'_, Account>) -> Decision<Event> {
    let trade = &delivery.trade;
    let (seller, _) = parties(trade);
    let released = PositionStep { reason: NOT_RESERVED.to_owned(), ..step(trade, delivery.attempt, 0, last) };
    let decision = append(Decision::none(), view, trade, &seller, vec![Event::Released(released)]);
    tell(decision, delivery, &seller, PositionChange::Released, 0, NOT_RESERVED)
}

/// Events about a trade on one of its accounts, and the row that shows the position after them.
fn append(
    decision: Decision<Event>,
    view: &View<'_, Account>,
    trade: &Trade,
    stream: &StreamId,
    events: Vec<Event>,
) -> Decision<Event> {
    let mut account = view.state(stream).excerpt(&trade.instrument_id, &trade.trade_id);
    events.iter().for_each(|event| account.apply(event));
    let row = row(stream.id(), &trade.instrument_id, account.holding(&trade.instrument_id));
    events
        .into_iter()
        .fold(decision, |decision, event| decision.event(stream.clone(), event))
        .put(&POSITIONS, row)
}

/// Tells settlement and ledger what became of a request, on the account's own stream.
fn tell(
    decision: Decision<Event>,
    delivery: &Delivery,
    stream: &StreamId,
    change: PositionChange,
    quantity: i64,
    reason: &str,
) -> Decision<Event> {
    let trade = &delivery.trade;
    let message = PositionUpdated {
        change: change.into(),
        account_id: stream.id().to_owned(),
        instrument_id: trade.instrument_id.clone(),
        trade_id: trade.trade_id.clone(),
        quantity,
        attempt: delivery.attempt,
        reason: reason.to_owned(),
    };
    decision.publish(stream.clone(), stream.id(), &trade.trade_date, message)
}

fn step(trade: &Trade, attempt: u32, quantity: u64, last: bool) -> PositionStep {
    PositionStep {
        trade_id: trade.trade_id.clone(),
        instrument_id: trade.instrument_id.clone(),
        quantity,
        attempt,
        r#final: last,
        reason: String::new(),
    }
}

fn parties(trade: &Trade) -> (StreamId, StreamId) {
    (account_stream(&trade.seller_account_id), account_stream(&trade.buyer_account_id))
}

fn account_stream(account: &str) -> StreamId {
    StreamId::new("account", account)
}

fn row(account: &str, instrument: &str, holding: Holding) -> Row {
    let shares = |shares: u64| Value::Int(i64::try_from(shares).expect("issued shares are below i64::MAX"));
    vec![
        account.into(),
        instrument.into(),
        shares(holding.settled),
        shares(holding.reserved),
        shares(holding.blocked),
        shares(holding.pending),
    ]
}

fn render_row(row: &Row) -> serde_json::Value {
    json!({
        "instrumentId": row[1].as_text(),
        "settled": row[2].as_int(),
        "reserved": row[3].as_int(),
        "blocked": row[4].as_int(),
        "pending": row[5].as_int(),
    })
}
