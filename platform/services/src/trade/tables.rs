//! Tables of the trade service: its read model, what waits, and what a seal counts.

use contracts::events::{RejectReason, TradeState};
use host::ports::store::{Column, Index, Row, Table, Value};
use serde_json::json;

use super::state::Record;

const fn index(name: &'static str, columns: &'static [usize]) -> Index {
    Index { name, columns, only_where: None, unique: false }
}

/// Read model: every trade, as it stands.
pub static TRADES: Table = Table {
    name: "trades",
    columns: &[
        Column::text("trade"),
        Column::text("trade_date"),
        Column::text("buyer"),
        Column::text("seller"),
        Column::text("instrument"),
        Column::int("quantity"),
        Column::text("price"),
        Column::text("currency"),
        Column::text("state"),
        Column::text("settlement_date"),
        Column::text("reason"),
    ],
    key: 1,
    serial: false,
    indexes: &[index("by_buyer", &[2, 1]), index("by_seller", &[3, 1])],
};

/// Accepted trades: what the end of day counts. Whoever adds a row reads the venue's stream.
pub static ACCEPTED: Table = Table {
    name: "accepted",
    columns: &[Column::text("trade"), Column::text("trade_date")],
    key: 1,
    serial: false,
    indexes: &[index("by_trade_date", &[1])],
};

/// Trades that wait for reference data: one row per stream that was missing. Whoever adds a row reads that
/// stream.
pub static WAITING: Table = Table {
    name: "waiting",
    columns: &[
        Column::text("missing"),
        Column::text("trade"),
        Column::text("instrument"),
        Column::text("buyer"),
        Column::text("seller"),
    ],
    key: 2,
    serial: false,
    indexes: &[],
};

pub fn trade_row(record: &Record) -> Row {
    let trade = &record.trade;
    let quantity = i64::try_from(trade.quantity).unwrap_or(i64::MAX);
    vec![
        trade.trade_id.as_str().into(),
        trade.trade_date.as_str().into(),
        trade.buyer_account_id.as_str().into(),
        trade.seller_account_id.as_str().into(),
        trade.instrument_id.as_str().into(),
        // Beyond i64 only in a trade that was refused for it.
        Value::Int(quantity),
        trade.price.as_str().into(),
        trade.currency.as_str().into(),
        state_text(record.state).into(),
        record.settlement_date.as_str().into(),
        record.reason.as_str().into(),
    ]
}

/// What an answer says of a trade.
pub fn trade_json(row: &Row) -> serde_json::Value {
    let text = |column: usize| match row[column].as_text() {
        "" => serde_json::Value::Null,
        text => text.into(),
    };
    json!({
        "tradeId": text(0),
        "tradeDate": text(1),
        "buyerAccountId": text(2),
        "sellerAccountId": text(3),
        "instrumentId": text(4),
        "quantity": row[5].as_int(),
        "price": text(6),
        "currency": text(7),
        "status": text(8),
        "settlementDate": text(9),
        "reason": text(10),
    })
}

/// `SUBMITTED`, `VALIDATED`, …
fn state_text(state: TradeState) -> &'static str {
    state.as_str_name().trim_start_matches("TRADE_STATE_")
}

/// `price-off-tick`, …
pub fn reason_text(reason: RejectReason) -> String {
    reason.as_str_name().trim_start_matches("REJECT_REASON_").to_lowercase().replace('_', "-")
}
