//! Relay: publishes what committed decisions left in the outbox.
//!
//! It reads the rows that are not marked, never a cursor over ids: an id can become visible after a greater
//! one. Each stream is sent in sequence order and stops at its first error; rows are marked after the broker's
//! acknowledgement, in the transaction that reads the next ones.
//!
//! While all goes well there is one producer and one send at a time. When a send is slow or fails, each partition
//! has a lane of its own until all go well again, so that one without a leader holds up nothing but itself.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use model::Timestamp;

use super::connection::Connection;
use super::tables::OUTBOX;
use super::writes::headers_of;
use super::{StoreHost, later};
use crate::ports::log::{LogProducer, OutRecord, SendError};
use crate::ports::store::{Role, Row, Scan, Statement, Value};
use crate::service::Service;

const SENT: usize = 10;
/// Pause of a lane after an error of the log.
const AFTER_ERROR_MS: u64 = 1_000;
/// A send that takes longer is left alone, and what it sent is sent again by lanes.
const SLOW_MS: u64 = 5_000;
/// How long rows that became visible late, behind others of blocked lanes, may be passed over.
const FROM_THE_START_EVERY_MS: u64 = 10_000;

/// A topic's partition, as its records' keys say.
type Lane = (&'static str, i32);

/// A lane's send that has ended.
struct Sent {
    lane: Lane,
    producer: Box<dyn LogProducer>,
    rows: Vec<Row>,
    results: Vec<Result<(), SendError>>,
}

/// Lanes while not all goes well.
#[derive(Default)]
struct Lanes {
    idle: BTreeMap<Lane, Box<dyn LogProducer>>,
    busy: BTreeSet<Lane>,
    /// After an error, until when.
    blocked: BTreeMap<Lane, Timestamp>,
    /// No row up to this id is of a free lane; and when to look at them again all the same.
    passed_over: Option<(i64, Timestamp)>,
}

impl<S: Service> StoreHost<S> {
    /// Publishes until the lease is lost or the process is to end.
    pub(crate) async fn relay(self: &Rc<Self>) {
        let mut connection = Connection::new(self.ports.clone(), Role::Primary);
        let mut producer = self.ports.log.producer();
        let mut marks: Vec<Statement> = Vec::new();
        loop {
            let goes_on = !self.shutdown.is_asked();
            let scan = goes_on.then(|| unsent(None, self.settings.page_size));
            let Some(rows) = self.mark_and_read(&mut connection, &mut marks, scan).await else { return };
            if !goes_on {
                return;
            }
            if rows.is_empty() {
                self.woken_or_due(&self.duties.relay, None).await;
                continue;
            }
            let went_well = match self.send_in_time(producer.as_mut(), &rows).await {
                Some(results) => self.mark_acknowledged(&rows, &results, &mut marks),
                None => false,
            };
            if !went_well && !self.relay_by_lanes(&mut connection, &mut marks).await {
                return;
            }
        }
    }

    /// Marks what was acknowledged and reads on, in one transaction. In order of their streams. `None`: the lease
    /// is lost.
    async fn mark_and_read(
        &self,
        connection: &mut Connection,
        marks: &mut Vec<Statement>,
        scan: Option<Statement>,
    ) -> Option<Vec<Row>> {
        let (marked, reads) = (marks.len(), scan.is_some());
        marks.extend(scan);
        let mut replies = self.on_duty(connection, marks).await?;
        marks.clear();
        for _ in 0..marked {
            replies.changed();
        }
        Some(if reads { replies.rows() } else { Vec::new() })
    }

    async fn send_in_time(
        &self,
        producer: &mut dyn LogProducer,
        rows: &[Row],
    ) -> Option<Vec<Result<(), SendError>>> {
        let records = in_stream_order(rows).map(|row| record_of(S::NAME, row)).collect();
        let too_slow = self.ports.clock.sleep_until(later(self.ports.clock.now(), SLOW_MS));
        futures::select_biased! {
            results = producer.send(records).fuse() => Some(results),
            () = too_slow.fuse() => None,
        }
    }

    /// Publishes by lanes until all of them go well. `false`: the lease is lost, or the process is to end.
    async fn relay_by_lanes(
        self: &Rc<Self>,
        connection: &mut Connection,
        marks: &mut Vec<Statement>,
    ) -> bool {
        tracing::info!(instance = %self.instance, "the log is slow or refuses: one lane per partition");
        let mut lanes = Lanes::default();
        let mut sending: FuturesUnordered<LocalBoxFuture<'_, Sent>> = FuturesUnordered::new();
        loop {
            lanes.unblock(self.ports.clock.now());
            let Some(rows) = self.rows_of_free_lanes(connection, marks, &mut lanes).await else {
                return false;
            };
            for (lane, rows) in rows {
                let producer = lanes.idle.remove(&lane).unwrap_or_else(|| self.ports.log.producer());
                lanes.busy.insert(lane);
                sending.push(self.send_on(lane, producer, rows).boxed_local());
            }
            if sending.is_empty() && lanes.blocked.is_empty() {
                return true;
            }
            let retry = lanes.blocked.values().min().copied();
            let retry = async {
                match retry {
                    Some(at) => self.ports.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            futures::select_biased! {
                () = self.shutdown.asked().fuse() => {
                    // What is acknowledged so far stays marked; the rest is sent again by whoever comes next.
                    self.mark_and_read(connection, marks, None).await;
                    return false;
                }
                sent = sending.select_next_some() => self.end_send(sent, &mut lanes, marks),
                () = self.duties.relay.received().fuse() => {}
                () = retry.fuse() => {}
            }
        }
    }

    async fn send_on(&self, lane: Lane, mut producer: Box<dyn LogProducer>, rows: Vec<Row>) -> Sent {
        let rows: Vec<Row> = in_stream_order(&rows).cloned().collect();
        let records = rows.iter().map(|row| record_of(S::NAME, row)).collect();
        let results = producer.send(records).await;
        Sent { lane, producer, rows, results }
    }

    fn end_send(&self, sent: Sent, lanes: &mut Lanes, marks: &mut Vec<Statement>) {
        let Sent { lane, producer, rows, results } = sent;
        lanes.busy.remove(&lane);
        lanes.idle.insert(lane, producer);
        if self.mark_acknowledged(&rows, &results, marks) {
            lanes.passed_over = None;
        } else {
            lanes.blocked.insert(lane, later(self.ports.clock.now(), AFTER_ERROR_MS));
        }
    }

    /// The next rows of lanes that are neither sending nor blocked: about a page, found page by page, for rows of the
    /// others may stand before them.
    async fn rows_of_free_lanes(
        &self,
        connection: &mut Connection,
        marks: &mut Vec<Statement>,
        lanes: &mut Lanes,
    ) -> Option<BTreeMap<Lane, Vec<Row>>> {
        let (now, page_size) = (self.ports.clock.now(), self.settings.page_size);
        lanes.passed_over = lanes.passed_over.filter(|(_, until)| now < *until);
        let mut after = lanes.passed_over.map(|(id, _)| id);
        let mut free: BTreeMap<Lane, Vec<Row>> = BTreeMap::new();
        let mut found = 0;
        loop {
            let rows = self.mark_and_read(connection, marks, Some(unsent(after, page_size))).await?;
            let is_last = rows.len() < page_size;
            after = rows.last().map(|row| row[0].as_int()).or(after);
            for row in rows {
                let lane = self.lane_of(&row);
                if !lanes.busy.contains(&lane) && !lanes.blocked.contains_key(&lane) {
                    found += 1;
                    free.entry(lane).or_default().push(row);
                }
            }
            if let (0, Some(id)) = (found, after) {
                let until = lanes.passed_over.map(|(_, until)| until);
                lanes.passed_over = Some((id, until.unwrap_or(later(now, FROM_THE_START_EVERY_MS))));
            }
            if is_last || found >= page_size {
                return Some(free);
            }
        }
    }

    fn lane_of(&self, row: &Row) -> Lane {
        let topic = topic_of(row);
        (topic, self.ports.log.partition_of(topic, row[4].as_text().as_bytes()))
    }

    /// Marks for what the log acknowledged, up to each stream's first error. Whether there was none.
    fn mark_acknowledged(
        &self,
        rows: &[Row],
        results: &[Result<(), SendError>],
        marks: &mut Vec<Statement>,
    ) -> bool {
        let mut stopped: BTreeSet<(&Value, &Value)> = BTreeSet::new();
        for (row, result) in in_stream_order(rows).zip(results) {
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
        stopped.is_empty()
    }
}

impl Lanes {
    fn unblock(&mut self, now: Timestamp) {
        let before = self.blocked.len();
        self.blocked.retain(|_, until| now < *until);
        if self.blocked.len() < before {
            self.passed_over = None;
        }
    }
}

/// Rows that are not marked, lowest ids first.
pub(super) fn unsent(after: Option<i64>, limit: usize) -> Statement {
    Statement::Scan(Scan {
        table: &OUTBOX,
        index: Some("unsent"),
        prefix: Vec::new(),
        after: after.map(|id| vec![Value::Int(id)]),
        up_to: None,
        limit,
    })
}

/// By stream, topic and sequence.
fn in_stream_order(rows: &[Row]) -> impl Iterator<Item = &Row> {
    let mut order: Vec<&Row> = rows.iter().collect();
    order.sort_by(|a, b| (&a[1], &a[2], &a[3]).cmp(&(&b[1], &b[2], &b[3])));
    order.into_iter()
}

fn topic_of(row: &Row) -> &'static str {
    let topic = contracts::topics::find(row[2].as_text());
    topic.expect("only topics of the catalogue are published").name
}

fn record_of(service: &str, row: &Row) -> OutRecord {
    OutRecord {
        topic: topic_of(row),
        key: row[4].as_text().to_owned().into(),
        value: row[5].as_bytes().clone(),
        headers: headers_of(service, row).to_pairs(),
        timestamp_ms: row[9].as_int(),
    }
}
