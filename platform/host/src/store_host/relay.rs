//! Relay: publishes what committed decisions left in the outbox.
//!
//! It reads the rows that are not marked, never a cursor over ids: an id can become visible after a greater
//! one. Each stream is sent in sequence order and stops at its first error; rows are marked after the broker's
//! acknowledgement, in the transaction that reads the next ones.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::connection::Connection;
use super::tables::OUTBOX;
use super::writes::headers_of;
use super::{StoreHost, later};
use crate::ports::log::OutRecord;
use crate::ports::store::{Role, Row, Scan, Statement, Value};
use crate::service::Service;

const SENT: usize = 10;
/// Pause after an error of the log.
const AFTER_ERROR_MS: u64 = 1_000;

impl<S: Service> StoreHost<S> {
    /// Publishes until the lease is lost or the process is to end.
    pub(crate) async fn relay(self: &Rc<Self>) {
        let mut connection = Connection::new(self.ports.clone(), Role::Primary);
        let mut producer = self.ports.log.producer();
        let mut sent: Vec<Statement> = Vec::new();
        loop {
            let marks = sent.len();
            let goes_on = !self.shutdown.is_asked();
            if goes_on {
                sent.push(unsent(self.settings.page_size));
            }
            let Some(mut replies) = self.on_duty(&mut connection, &sent).await else { return };
            for _ in 0..marks {
                replies.changed();
            }
            sent.clear();
            if !goes_on {
                return;
            }
            let mut rows = replies.rows();
            if rows.is_empty() {
                self.woken_or_due(&self.duties.relay, None).await;
                continue;
            }
            rows.sort_by(|a, b| (&a[1], &a[2], &a[3]).cmp(&(&b[1], &b[2], &b[3])));
            let records = rows.iter().map(|row| record_of(S::NAME, row)).collect();
            let results = producer.send(records).await;
            let failed = self.mark_acknowledged(&rows, &results, &mut sent);
            if failed {
                self.ports.clock.sleep_until(later(self.ports.clock.now(), AFTER_ERROR_MS)).await;
            }
        }
    }

    /// Marks for what the log acknowledged, up to each stream's first error. Whether there was one.
    fn mark_acknowledged<E: std::fmt::Display>(
        &self,
        rows: &[Row],
        results: &[Result<(), E>],
        marks: &mut Vec<Statement>,
    ) -> bool {
        let mut stopped: BTreeSet<(&Value, &Value)> = BTreeSet::new();
        for (row, result) in rows.iter().zip(results) {
            let stream = (&row[1], &row[2]);
            match result {
                Ok(()) if !stopped.contains(&stream) => marks.push(Statement::UpdateIf {
                    table: &OUTBOX,
                    key: vec![row[0].clone()],
                    expected: Vec::new(),
                    set: vec![(SENT, Value::Int(1))],
                }),
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(instance = %self.instance, stream = row[1].as_text(), %error, "not published");
                    stopped.insert(stream);
                }
            }
        }
        !stopped.is_empty()
    }
}

pub(super) fn unsent(limit: usize) -> Statement {
    Statement::Scan(Scan {
        table: &OUTBOX,
        index: Some("unsent"),
        prefix: Vec::new(),
        after: None,
        up_to: None,
        limit,
    })
}

fn record_of(service: &str, row: &Row) -> OutRecord {
    let topic = row[2].as_text();
    let topic = contracts::topics::find(topic).expect("only topics of the catalogue are published");
    OutRecord {
        topic: topic.name,
        key: row[4].as_text().to_owned().into(),
        value: row[5].as_bytes().clone(),
        headers: headers_of(service, row).to_pairs(),
        timestamp_ms: row[9].as_int(),
    }
}
