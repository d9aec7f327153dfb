//! Gaps: messages that stay parked because their predecessors do not come.
//!
//! A gap usually closes by itself, for relays may overtake each other. One that is older than a minute is asked of
//! the source: its outbox rows are kept, and it publishes them again.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::stream::StreamExt;

use super::StoreHost;
use super::connection::Connection;
use super::operations::{Republication, republication_request};
use super::replies::Replies;
use super::tables::{DEAD_LETTERS, PARKED, SEQUENCES};
use crate::ports::store::{Row, Scan, Statement, Value};
use crate::service::Service;

/// How long a gap may take to close by itself, milliseconds.
pub(super) const PATIENCE_MS: i64 = 60_000;
pub(super) const SOURCE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most requests for republication at a time.
const ASKS_AT_A_TIME: usize = 16;

/// A source stream and a topic.
pub(super) type Stream = (String, String);

/// Parked messages, oldest first.
pub(super) fn parked(before_ms: i64, after: Option<&Row>, limit: usize) -> Statement {
    Statement::Scan(Scan {
        table: &PARKED,
        index: Some("since"),
        prefix: Vec::new(),
        after: after.map(|row| [&row[5..6], &row[..3]].concat()),
        up_to: Some(Value::Int(before_ms)),
        limit,
    })
}

pub(super) fn patience_ends_ms(now_ms: i64) -> i64 {
    now_ms - PATIENCE_MS
}

impl<S: Service> StoreHost<S> {
    /// Asks the sources of old gaps for what is missing, and takes what waits behind closed ones. `false` once the
    /// lease is lost.
    pub(crate) async fn ask_for_missing(&self, connection: &mut Connection) -> bool {
        let before_ms = patience_ends_ms(self.database_now().as_millisecond());
        let (mut first_parked, mut last): (BTreeMap<Stream, u64>, Option<Row>) = Default::default();
        loop {
            let statements = [parked(before_ms, last.as_ref(), self.settings.page_size)];
            let Some(mut replies) = self.on_duty(connection, &statements).await else { return false };
            let mut rows = replies.rows();
            file_first_of_each_stream(&rows, &mut first_parked);
            let is_last = rows.len() < self.settings.page_size;
            last = rows.pop();
            if is_last {
                break;
            }
        }
        let mut streams: Vec<(Stream, u64)> = first_parked.into_iter().collect();
        while !streams.is_empty() {
            let rest = streams.split_off(streams.len().min(self.settings.page_size));
            let page = std::mem::replace(&mut streams, rest);
            if !self.ask_for_page(connection, page).await {
                return false;
            }
        }
        true
    }

    /// The same for some streams, each with its first parked message.
    async fn ask_for_page(&self, connection: &mut Connection, first_parked: Vec<(Stream, u64)>) -> bool {
        let statements: Vec<Statement> =
            first_parked.iter().flat_map(|(stream, _)| standing_of(stream)).collect();
        let Some(mut replies) = self.on_duty(connection, &statements).await else { return false };
        let (mut closed, mut asks) = (Vec::new(), Vec::new());
        for ((source, topic), parked) in first_parked {
            let next = last_taken(&mut replies) + 1;
            let is_dead = replies.rows().iter().any(|row| row[5].as_int().unsigned_abs() == next);
            if parked <= next {
                // Whoever closed the gap died before it took what had waited; or what is parked came again through
                // the log and was taken from there, and only its row is left.
                closed.push((source, topic));
            } else if !is_dead {
                asks.push(self.ask(source, topic, next, parked - 1));
            }
        }
        let asks = futures::stream::iter(asks).buffer_unordered(ASKS_AT_A_TIME);
        asks.collect::<()>().await;
        self.take_parked(connection, closed).await;
        true
    }

    pub(super) async fn ask(&self, source: String, topic: String, from: u64, to: u64) {
        let Some((service, stream)) = source.split_once('/') else { return };
        tracing::info!(instance = %self.instance, source, topic, from, to, "asking for what is missing");
        let wanted = Republication { stream: stream.to_owned(), topic, from, to };
        let answer = self.ports.http.call(service, republication_request(&wanted), SOURCE_TIMEOUT).await;
        if !answer.as_ref().is_ok_and(|response| response.status().is_success()) {
            // Logs name statuses, never bodies.
            let answer = answer.map(|response| response.status());
            tracing::warn!(instance = %self.instance, source, ?answer, "the source does not help; asked again");
        }
    }
}

/// What was taken of a stream last, and its dead letters: those wait for an operator, not for the source.
pub(super) fn standing_of((source, topic): &Stream) -> [Statement; 2] {
    let (source, topic) = (Value::from(source.as_str()), Value::from(topic.as_str()));
    let taken = Statement::Get { table: &SEQUENCES, keys: vec![vec![source.clone(), topic.clone()]] };
    let dead = Scan {
        table: &DEAD_LETTERS,
        index: Some("by_message"),
        prefix: vec![topic, source],
        after: None,
        up_to: None,
        limit: usize::MAX,
    };
    [taken, Statement::Scan(dead)]
}

fn file_first_of_each_stream(rows: &[Row], first: &mut BTreeMap<Stream, u64>) {
    for row in rows {
        let sequence = row[2].as_int().unsigned_abs();
        let stream = (row[0].as_text().to_owned(), row[1].as_text().to_owned());
        let known = first.entry(stream).or_insert(sequence);
        *known = (*known).min(sequence);
    }
}

pub(super) fn last_taken(replies: &mut Replies) -> u64 {
    replies.rows().first().map_or(0, |row| row[2].as_int().unsigned_abs())
}
