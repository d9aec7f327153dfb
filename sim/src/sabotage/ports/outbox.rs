//! The outbox, done wrong: read by a cursor, sent out of order, or passed by.

use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;
use bytes::Bytes;
use contracts::Message;
use host::Ports;
use host::ports::http::Http;
use host::ports::log::{Log, LogConsumer, LogProducer, OutRecord, SendError};
use host::ports::store::{Reply, Row, Scan, Session, Statement, StoreError, Value};
use host::store_host::tables::OUTBOX;
use host::store_host::writes::headers_of;
use http::Request;
use serde_json::json;
use std::time::Duration;

const UNSENT: &str = "unsent";

/// The row of a message that is stored to be published.
fn published(statement: &Statement) -> Option<&Row> {
    match statement {
        Statement::Insert { table, row, .. } if table.name == OUTBOX.name => Some(row),
        _ => None,
    }
}

/// Reads what to publish behind the greatest id that it has read, and never looks back. Ids are the database's, which
/// gives them when rows are written; each commit is asked for by a message of its own, and so comes later the slower
/// the link.
pub struct Cursor {
    pub inner: Box<dyn Session>,
    pub read: LastRead,
}

/// The greatest id that a process has read, on whichever session.
pub type LastRead = Rc<Cell<i64>>;

impl Cursor {
    fn page(&self, statement: Statement) -> (Statement, bool) {
        match statement {
            Statement::Scan(scan) if scan.index == Some(UNSENT) && scan.limit > 1 => {
                let after = Some(vec![Value::Int(self.read.get())]);
                (Statement::Scan(Scan { index: None, after, ..scan }), true)
            }
            other => (other, false),
        }
    }
}

#[async_trait(?Send)]
impl Session for Cursor {
    async fn run(&mut self, statements: Vec<Statement>) -> Result<Vec<Reply>, StoreError> {
        let publishes = statements.iter().any(|statement| published(statement).is_some());
        let (mut statements, pages): (Vec<_>, Vec<_>) =
            statements.into_iter().map(|statement| self.page(statement)).unzip();
        let commit = statements.pop_if(|last| publishes && matches!(last, Statement::Commit));
        let mut replies = self.inner.run(statements).await?;
        if let Some(commit) = commit {
            replies.extend(self.inner.run(vec![commit]).await?);
        }
        for (reply, is_page) in replies.iter().zip(pages) {
            if let (Reply::Rows(rows), true) = (reply, is_page) {
                let last = rows.iter().map(|row| row[0].as_int()).max();
                self.read.set(last.unwrap_or(0).max(self.read.get()));
            }
        }
        Ok(replies)
    }

    async fn notified(&mut self) -> Result<&'static str, StoreError> {
        self.inner.notified().await
    }
}

/// Tells others of a decision, and only then commits it.
pub struct Hasty<T> {
    pub inner: Box<dyn Session>,
    pub tell: T,
}

/// How others are told of rows that are not committed.
#[async_trait(?Send)]
pub trait Tell {
    async fn tell(&mut self, rows: Vec<Row>);
}

#[async_trait(?Send)]
impl<T: Tell> Session for Hasty<T> {
    async fn run(&mut self, statements: Vec<Statement>) -> Result<Vec<Reply>, StoreError> {
        let rows: Vec<Row> = statements.iter().filter_map(published).cloned().collect();
        if !rows.is_empty() {
            self.tell.tell(rows).await;
        }
        self.inner.run(statements).await
    }

    async fn notified(&mut self) -> Result<&'static str, StoreError> {
        self.inner.notified().await
    }
}

/// Through the log.
pub struct ByLog {
    pub service: String,
    pub producer: Box<dyn LogProducer>,
}

#[async_trait(?Send)]
impl Tell for ByLog {
    async fn tell(&mut self, rows: Vec<Row>) {
        let records = rows.iter().map(|row| record_of(&self.service, row)).collect();
        // What is not acknowledged comes through the outbox all the same.
        let _ = self.producer.send(records).await;
    }
}

fn record_of(service: &str, row: &Row) -> OutRecord {
    let topic =
        contracts::topics::find(row[2].as_text()).expect("services publish on topics of the catalogue");
    OutRecord {
        topic: topic.name,
        key: row[4].as_text().to_owned().into(),
        value: row[5].as_bytes().clone(),
        headers: headers_of(service, row).to_pairs(),
        timestamp_ms: row[9].as_int(),
    }
}

/// By a notice to the operator.
pub struct ByNotice {
    pub http: Rc<dyn Http>,
}

const TIMEOUT: Duration = Duration::from_secs(10);

#[async_trait(?Send)]
impl Tell for ByNotice {
    async fn tell(&mut self, rows: Vec<Row>) {
        for row in rows {
            let message = Message::decode(row[2].as_text(), row[5].as_bytes().clone());
            let Ok(Message::SettlementCompleted(completed)) = message else { continue };
            let Some(trade) = completed.trade else { continue };
            let event = format!("{}/{}", contracts::topics::SETTLEMENT_COMPLETED, trade.trade_id);
            let body = json!({ "eventId": event, "channel": "operator", "tradeId": trade.trade_id });
            let request = Request::post("/hooks/operator").header("content-type", "application/json");
            let request = request.body(Bytes::from(body.to_string())).expect("a constant path is a URI");
            // Who does not hear it now hears it from the notification service.
            let _ = self.http.call("webhooks", request, TIMEOUT).await;
        }
    }
}

/// The ports, with records sent in the opposite order.
pub fn reversed(ports: Ports) -> Ports {
    let log = Rc::new(ReversedLog(ports.log));
    Ports { log, ..ports }
}

struct ReversedLog(Rc<dyn Log>);

impl Log for ReversedLog {
    fn producer(&self) -> Box<dyn LogProducer> {
        Box::new(ReversedProducer(self.0.producer()))
    }

    fn consumer(&self, group: &str, topics: &[&'static str]) -> Box<dyn LogConsumer> {
        self.0.consumer(group, topics)
    }

    fn partition_of(&self, topic: &'static str, key: &[u8]) -> i32 {
        self.0.partition_of(topic, key)
    }
}

struct ReversedProducer(Box<dyn LogProducer>);

#[async_trait(?Send)]
impl LogProducer for ReversedProducer {
    async fn send(&mut self, records: Vec<OutRecord>) -> Vec<Result<(), SendError>> {
        let mut results = self.0.send(records.into_iter().rev().collect()).await;
        results.reverse();
        results
    }
}
