//! Requests that wait before they are carried out, and requests that are carried out twice.
//!
//! A broker reads the next request of a connection when it has answered the last: what comes after one that waits, waits
//! too. What waits is carried out even where its client has gone, but for what only reads.

use std::collections::BTreeMap;

use super::{Trouble, Troubles, writes};
use crate::broker::{ConnectionId, ReplyTo};
use crate::client::LinkError;
use crate::cluster::TimestampMs;
use crate::peer::PeerAnswer;
use crate::protocol::Request;

/// Answers to nobody go nowhere.
pub(crate) const NOBODY: ReplyTo = ReplyTo { conn: ConnectionId(u64::MAX), correlation: 0 };

/// What waits, by when it is due and the order in which it came.
#[derive(Default)]
pub(crate) struct HeldRequests {
    held: BTreeMap<(TimestampMs, u64), Held>,
    /// Until when a connection has something that waits.
    busy: BTreeMap<ConnectionId, TimestampMs>,
    next: u64,
}

pub(crate) enum Held {
    Request(ReplyTo, Request),
    /// What came of a request to a peer, by its correlation.
    Answer(u64, Result<PeerAnswer, LinkError>),
}

impl HeldRequests {
    pub fn hold(&mut self, due: TimestampMs, what: Held) {
        if let Held::Request(reply, _) = &what
            && *reply != NOBODY
        {
            self.busy.insert(reply.conn, due);
        }
        self.held.insert((due, self.next), what);
        self.next += 1;
    }

    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.held.first_key_value().map(|((due, _), _)| *due)
    }

    /// What is due next, if its time has come.
    pub fn take_due(&mut self, now: TimestampMs) -> Option<Held> {
        let first = self.held.first_entry().filter(|first| first.key().0 <= now)?;
        let what = first.remove();
        self.busy.retain(|_, until| *until > now);
        Some(what)
    }

    pub fn drop_connection(&mut self, gone: ConnectionId) {
        if self.busy.remove(&gone).is_none() {
            return;
        }
        self.held.retain(|_, held| match held {
            Held::Request(reply, request) if reply.conn == gone => {
                *reply = NOBODY;
                writes(request.kind.api())
            }
            _ => true,
        });
    }
}

impl Troubles {
    /// Judges a request as it comes in: given back, it is to be carried out now.
    pub fn take_in(&mut self, now: TimestampMs, reply: ReplyTo, request: Request) -> Option<Request> {
        if self.is_quiet() && self.requests.busy.is_empty() {
            return Some(request);
        }
        let api = request.kind.api();
        let mut wait_ms = if writes(api) { self.disk_wait_ms() } else { 0 };
        for active in &mut self.active {
            if active.trouble.api() != Some(api) {
                continue;
            }
            let (Trouble::DelayedRequest { min_ms, max_ms, .. }
            | Trouble::RepeatedRequest { min_ms, max_ms, .. }) = active.trouble
            else {
                continue;
            };
            if !active.hits() {
                continue;
            }
            *self.met.entry(active.id).or_default() += 1;
            let ms = active.draw_ms(min_ms, max_ms);
            if matches!(active.trouble, Trouble::DelayedRequest { .. }) {
                wait_ms = wait_ms.saturating_add(ms);
            } else {
                self.requests.hold(now.saturating_add(ms), Held::Request(NOBODY, request.clone()));
            }
        }
        let busy_until = self.requests.busy.get(&reply.conn).copied();
        if wait_ms == 0 && busy_until.is_none() {
            return Some(request);
        }
        let due = now.saturating_add(wait_ms).max(busy_until.unwrap_or(now));
        self.requests.hold(due, Held::Request(reply, request));
        None
    }
}
