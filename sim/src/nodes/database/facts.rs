//! What a database server does, as facts: transactions with events or messages, losses, promotions.

use contracts::{Message, SCHEMA_VERSION, StoredEvent};
use host::ports::store::Value;
use invariants::Fact;
use invariants::fact::{Committed, EventRow, OutboxRow};
use postgres::{CommittedTx, StoredRow};

use crate::world::node::Node;

/// Leases, marks and positions change all the time and mean nothing outside the hosts: they are not told.
pub fn tell_committed(node: &Node, database: &str, transaction: &CommittedTx) {
    let committed = committed_fact(database, transaction);
    if committed.events.is_empty() && committed.outbox.is_empty() {
        return;
    }
    let cause = committed.events.first().map(|event| event.cause.clone());
    let cause = cause.or_else(|| committed.outbox.first().map(|row| row.headers.cause.clone()));
    node.tell(&cause.unwrap_or_default(), &Fact::Committed(committed));
}

fn committed_fact(database: &str, transaction: &CommittedTx) -> Committed {
    let events = transaction.inserted("events").map(|row| event_row(database, row)).collect();
    let outbox = transaction.inserted("outbox").map(|row| outbox_row(database, row)).collect();
    let others =
        transaction.changes.iter().filter(|change| !matches!(change.table.name, "events" | "outbox"));
    Committed {
        database: database.to_owned(),
        transaction: transaction.transaction,
        database_time_ns: i64::try_from(transaction.now_ns).expect("runs end before the year 2262"),
        events,
        outbox,
        rows: u32::try_from(others.count()).expect("a transaction writes fewer than 2^32 rows"),
    }
}

fn event_row(database: &str, row: &StoredRow) -> EventRow {
    let payload = row[2].as_bytes().clone();
    EventRow {
        stream: row[0].as_text().to_owned(),
        version: row[1].as_int().unsigned_abs(),
        cause: row[3].as_text().to_owned(),
        event: StoredEvent::decode(database, payload.clone()).ok(),
        payload,
    }
}

fn outbox_row(database: &str, row: &[Value]) -> OutboxRow {
    let headers = contracts::Headers {
        source: format!("{database}/{}", row[1].as_text()),
        sequence: row[3].as_int().unsigned_abs(),
        event_id: row[6].as_text().to_owned(),
        cause: row[7].as_text().to_owned(),
        trade_date: row[8].as_text().to_owned(),
        schema_version: SCHEMA_VERSION,
    };
    let topic = row[2].as_text();
    OutboxRow {
        topic: topic.to_owned(),
        key: row[4].as_text().to_owned(),
        headers,
        message: Message::decode(topic, row[5].as_bytes().clone()).ok(),
    }
}
