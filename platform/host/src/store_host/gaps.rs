//! Gaps: messages that stay parked because their predecessors do not come.
//!
//! A gap usually closes by itself, for relays may overtake each other. One that is older than a minute is asked of
//! the source: its outbox rows are kept, and it publishes them again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::StoreHost;
use super::connection::Connection;
use super::operations::{Republication, republication_request};
use super::replies::Replies;
use super::tables::{PARKED, SEQUENCES};
use crate::ports::store::{Row, Scan, Statement, Value};
use crate::service::Service;

/// How long a gap may take to close by itself, milliseconds.
const PATIENCE_MS: i64 = 60_000;
const SOURCE_TIMEOUT: Duration = Duration::from_secs(10);

/// Parked messages, oldest first.
pub(super) fn parked(before_ms: Option<i64>, limit: usize) -> Statement {
    Statement::Scan(Scan {
        table: &PARKED,
        index: Some("since"),
        prefix: Vec::new(),
        after: None,
        up_to: before_ms.map(Value::Int),
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
        let statements = [parked(Some(before_ms), self.settings.page_size)];
        let Some(mut replies) = self.on_duty(connection, &statements).await else { return false };
        let first_parked = first_of_each_stream(&replies.rows());
        if first_parked.is_empty() {
            return true;
        }
        let keys =
            first_parked.keys().map(|(source, topic)| vec![source.as_str().into(), topic.as_str().into()]);
        let statements: Vec<Statement> =
            keys.map(|key| Statement::Get { table: &SEQUENCES, keys: vec![key] }).collect();
        let Some(mut replies) = self.on_duty(connection, &statements).await else { return false };
        for ((source, topic), parked) in first_parked {
            let taken = last_taken(&mut replies);
            if parked > taken + 1 {
                self.ask(&source, topic, taken + 1, parked - 1).await;
            } else {
                // The gap is closed, and whoever closed it died before it took what had waited.
                self.take_parked(connection, vec![(source, topic)]).await;
            }
        }
        true
    }

    async fn ask(&self, source: &str, topic: String, from: u64, to: u64) {
        let Some((service, stream)) = source.split_once('/') else { return };
        tracing::info!(instance = %self.instance, source, topic, from, to, "asking for what is missing");
        let wanted = Republication { stream: stream.to_owned(), topic, from, to };
        let answer = self.ports.http.call(service, republication_request(&wanted), SOURCE_TIMEOUT).await;
        if let Err(error) = answer {
            tracing::warn!(instance = %self.instance, source, %error, "the source does not answer; asked again");
        }
    }
}

fn first_of_each_stream(rows: &[Row]) -> BTreeMap<(String, String), u64> {
    let mut first: BTreeMap<(String, String), u64> = BTreeMap::new();
    for row in rows {
        let sequence = row[2].as_int().unsigned_abs();
        let stream = (row[0].as_text().to_owned(), row[1].as_text().to_owned());
        let known = first.entry(stream).or_insert(sequence);
        *known = (*known).min(sequence);
    }
    first
}

fn last_taken(replies: &mut Replies) -> u64 {
    replies.rows().first().map_or(0, |row| row[2].as_int().unsigned_abs())
}
