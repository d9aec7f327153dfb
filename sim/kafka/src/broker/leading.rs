//! What a leader does when its log, or its followers', has grown: the high watermark, who waited for it, who reads.
//!
//! Real: `Partition.maybeIncrementLeaderHW`, `ReplicaManager`.

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::state_topics::{CoordinatorOf, Outcome};
use super::waits::{Awaited, Wait};
use super::{Broker, Output, Then};
use crate::cluster::{TimestampMs, TopicPartition};
use crate::log::Appended;
use crate::records::{BatchHeader, EndTxnMarker};
use crate::replica::{Replica, Role};

/// Who is told that a partition has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// The log has grown: followers read on.
    End,
    /// More can be read by consumers.
    Visible,
    /// Another leader, another log start: everybody must ask again.
    State,
}

impl Broker {
    /// As many in-sync replicas as an `acks=all` append needs.
    pub(super) fn min_insync(&self, at: &TopicPartition) -> usize {
        let Some((spec, replica)) = self.replica(&at.topic, at.partition) else { return 1 };
        let wanted = spec.min_insync_replicas.unwrap_or(self.config.cluster.settings.min_insync_replicas);
        let replicas = replica.leading().map_or(1, |leading| leading.followers.len() + 1);
        usize::try_from(wanted).unwrap_or(1).clamp(1, replicas)
    }

    /// Appends a batch that was judged to a partition led here. `marker` is what a control batch says.
    pub(super) fn append_led(
        &mut self,
        now: TimestampMs,
        at: &TopicPartition,
        header: &BatchHeader,
        marker: Option<EndTxnMarker>,
        batch: Bytes,
    ) -> Result<Appended, ResponseError> {
        let clock = self.clock(now);
        super::led_in(&mut self.topics, &at.topic, at.partition)?;
        self.write_to_disk()?;
        let Broker { topics, fetch_sessions, .. } = self;
        let (spec, replica) = super::led_in(topics, &at.topic, at.partition)?;
        let segments = replica.log.segments();
        let end = replica.log.end_offset();
        let appended = replica.log.append((now, clock), spec, replica.leader_epoch, header, batch);
        let timestamp = match appended.log_append_time {
            -1 => header.max_timestamp,
            log_append_time => log_append_time,
        };
        match marker {
            None => replica.producers.appended(clock, header, timestamp, appended.base_offset),
            Some(marker) => replica.producers.ended(clock, header, marker, appended.base_offset),
        }
        let unflushed = replica.log.end_offset() - replica.log.flushed();
        if unflushed >= spec.flush_messages {
            replica.log.flush();
        }
        let is_rolled = replica.log.segments() > segments.max(1);
        // Nothing else can make something due earlier.
        let expires_at = if segments == 0 || is_rolled { replica.log.shrinks_at(spec) } else { None };
        if let Role::Leader(leading) = &mut replica.role {
            for (id, follower) in &mut leading.followers {
                if let Some(seen_at) = fetch_sessions.seen(*id) {
                    follower.seen(seen_at, end);
                }
            }
        }
        let has_laggard = replica.has_laggard();
        if let Some(expires_at) = expires_at {
            self.note_expiry(now, expires_at);
        }
        self.note_dirty(now, at, is_rolled);
        if has_laggard {
            self.watch_followers(now);
        }
        Ok(appended)
    }

    /// The log of a partition led here has grown.
    pub(super) fn log_grew(&mut self, now: TimestampMs, at: &TopicPartition, outputs: &mut Vec<Output>) {
        self.wake(at, Moved::End, outputs);
        self.try_advance(now, at, outputs);
    }

    /// Raises the high watermark if it can rise: consumers see more, and whoever waited for it is answered.
    pub(super) fn try_advance(&mut self, now: TimestampMs, at: &TopicPartition, outputs: &mut Vec<Output>) {
        let min_insync = self.min_insync(at);
        let lag = self.lag(now);
        let Broker { topics, image, .. } = self;
        let Ok((_, replica)) = super::led_in(topics, &at.topic, at.partition) else { return };
        if !replica.advance(lag, min_insync, |id| image.is_active(id)) {
            return;
        }
        let high_watermark = replica.high_watermark;
        replica.producers.high_watermark_moved(high_watermark);
        let in_sync = replica.leading().map_or(0, |leading| leading.isr.len());
        self.note_dirty(now, at, false);
        self.tell_visible(at, outputs);
        // Whoever is in the log without enough replicas hears so; the record may survive all the same.
        let outcome = match in_sync >= min_insync {
            true => Ok(()),
            false => Err(ResponseError::NotEnoughReplicasAfterAppend),
        };
        self.conclude_reached(at, outcome, outputs);
        self.wake(at, Moved::Visible, outputs);
    }

    /// Whoever waited for what is below the high watermark now. A coordinator hears of its writes and of markers in the order in
    /// which they are in the log: an offset that is told of after the marker that ends it would wait for ever.
    fn conclude_reached(
        &mut self,
        at: &TopicPartition,
        outcome: Result<(), ResponseError>,
        outputs: &mut Vec<Output>,
    ) {
        let is_of_groups = CoordinatorOf::of_topic(&at.topic) == Some(CoordinatorOf::Groups);
        let markers = if is_of_groups { self.passed_markers(at) } else { Vec::new() };
        let mut markers = markers.into_iter().peekable();
        let Ok((_, replica)) = self.led(&at.topic, at.partition) else { return };
        for wait in self.waits.reached(at, replica.high_watermark, outcome) {
            if let (Then::Written { .. }, Some(append)) = (&wait.then, wait.appends.first()) {
                while let Some((_, marker)) = markers.next_if(|(offset, _)| *offset < append.required) {
                    self.state_topics.push(marker);
                }
            }
            self.conclude(wait, outputs);
        }
        markers.for_each(|(_, marker)| self.state_topics.push(marker));
    }

    /// A partition is led elsewhere now, or in another epoch.
    pub(super) fn partition_moved(&mut self, at: &TopicPartition, outputs: &mut Vec<Output>) {
        self.wake(at, Moved::State, outputs);
    }

    pub(super) fn expire_waits(&mut self, now: TimestampMs, outputs: &mut Vec<Output>) {
        for wait in self.waits.expired(now) {
            self.conclude(wait, outputs);
        }
    }

    /// Tells whoever waited what became of its appends.
    pub(super) fn conclude(&mut self, wait: Wait<Then>, outputs: &mut Vec<Output>) {
        match wait.then {
            Then::Produced(reply) => outputs.push(reply.respond(&wait.appends)),
            Then::Marked(reply) => outputs.push(reply.conclude(&wait.appends)),
            Then::Written { of, ticket } => {
                let append = wait.appends.first().expect("a coordinator waits for one append");
                let outcome = match append.outcome.expect("a wait that has ended") {
                    // The high watermark has passed it, whoever has left the in-sync set meanwhile.
                    Ok(()) | Err(ResponseError::NotEnoughReplicasAfterAppend) => Ok(append.required - 1),
                    Err(error) => Err(error),
                };
                self.state_topics.push(Outcome::Written { of, ticket, outcome });
                if outcome == Err(ResponseError::RequestTimedOut) && of == CoordinatorOf::Groups {
                    // It is in the log all the same: the coordinator hears of it when it is replicated at last.
                    let (at, required) = (append.at.clone(), append.required);
                    let again = Awaited { at, required, outcome: None };
                    self.waits.add(None, vec![again], Then::Written { of, ticket });
                }
            }
        }
    }

    /// A follower asks for what comes at `offset`.
    pub(super) fn follower_fetched(
        &mut self,
        now: TimestampMs,
        (follower, broker_epoch): (i32, Option<i64>),
        at: &TopicPartition,
        offset: i64,
        outputs: &mut Vec<Output>,
    ) {
        let me = self.config.id;
        let is_active = self.image.is_active(follower);
        let Ok((_, replica)) = self.led_mut(&at.topic, at.partition) else { return };
        let end = replica.log.end_offset();
        let Role::Leader(leading) = &mut replica.role else { return };
        let Some(state) = leading.followers.get_mut(&follower) else { return };
        if broker_epoch < state.broker_epoch {
            return;
        }
        state.broker_epoch = broker_epoch;
        state.fetched(now, offset, end);
        let is_outside = !leading.isr.contains(&follower);
        if is_outside && let Some(isr) = replica.better_isr(me, None, |id| id == follower && is_active) {
            self.want_isr(at, isr);
        }
        self.try_advance(now, at, outputs);
    }
}

impl Replica {
    /// Producer state from the log as it is now.
    pub fn rebuild_producers(&mut self) {
        self.producers = Default::default();
        let start = self.log.start_offset();
        for batch in self.log.batches_from(start) {
            let header = BatchHeader::read(&batch.bytes).expect("stored batches were validated");
            self.producers.replay(&header, marker_of(&header, &batch.bytes));
        }
        self.producers.high_watermark_moved(self.high_watermark);
    }
}

/// What the record of a control batch says.
pub(super) fn marker_of(header: &BatchHeader, batch: &Bytes) -> Option<EndTxnMarker> {
    if !header.is_control() {
        return None;
    }
    let (_, records) = crate::records::decode_batch(batch).ok()?;
    records.first().and_then(EndTxnMarker::of)
}
