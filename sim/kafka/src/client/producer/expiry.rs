//! What has waited too long, and when to look again.

use std::ops::Range;

use super::lane::Batch;
use super::{DeliveryReport, Done, ProduceError, Producer, Profile, Slot};
use crate::client::Link;
use crate::cluster::{TimestampMs, TopicPartition};

impl<L: Link + ?Sized + 'static> Producer<L> {
    /// Ends what is past its delivery time-out: records without a known topic, batches that wait, and batches under way.
    pub(super) fn expire(&mut self, now: TimestampMs) {
        self.expire_unplaced(now);
        let overdue = |batch: &Batch| batch.deadline <= now;
        let is_late = |lane: &super::Lane| {
            lane.waiting.front().is_some_and(overdue) || lane.flying.values().next().is_some_and(overdue)
        };
        let late = self.lanes.iter().filter(|(_, lane)| is_late(lane));
        let late: Vec<TopicPartition> = late.map(|(name, _)| name.clone()).collect();
        for name in late {
            let flying = self.take_flying(&name, overdue);
            let waiting = self.lanes.get_mut(&name).map(|lane| lane.take_waiting(overdue));
            let flying = flying.into_iter().map(|batch| (batch, ProduceError::Unknown));
            let waiting = waiting.unwrap_or_default().into_iter().map(|batch| {
                let error = if batch.maybe_written { ProduceError::Unknown } else { ProduceError::TimedOut };
                (batch, error)
            });
            let mut late: Vec<(Batch, ProduceError)> = flying.chain(waiting).collect();
            late.sort_by_key(|(batch, _)| batch.id());
            self.fail_all(&name, late);
        }
        if let Some(error) = self.fatal {
            self.drop_waiting(ProduceError::Fatal(error.code()));
        }
    }

    fn unplaced_timeout_ms(&self) -> i64 {
        self.config.topic_metadata_propagation_max_ms.min(self.resolved.delivery_timeout_ms)
    }

    fn expire_unplaced(&mut self, now: TimestampMs) {
        if self.unplaced.is_empty() {
            return;
        }
        let timeout_ms = self.unplaced_timeout_ms();
        let error = match self.config.profile {
            Profile::Librdkafka => ProduceError::UnknownTopic,
            Profile::Java | Profile::Platform => ProduceError::TimedOut,
        };
        for (since, ticket, record) in std::mem::take(&mut self.unplaced) {
            if now.saturating_sub(since) < timeout_ms {
                self.unplaced.push((since, ticket, record));
                continue;
            }
            self.delivery_failed(error);
            self.tell(vec![DeliveryReport { ticket, topic: record.topic, result: Err(error) }]);
        }
    }

    /// Takes the batches under way that pass out of their requests, and gives up requests that carry nothing else.
    fn take_flying(&mut self, name: &TopicPartition, which: impl Fn(&Batch) -> bool) -> Vec<Batch> {
        let Some(lane) = self.lanes.get_mut(name) else { return Vec::new() };
        let ids: Vec<u64> = lane.flying.iter().filter(|(_, batch)| which(batch)).map(|(id, _)| *id).collect();
        let batches = ids.iter().filter_map(|id| lane.flying.remove(id)).collect();
        for id in ids {
            if let Some(empty) = self.flights.drop_batch(name, id) {
                self.flights.end(empty);
                self.tasks.cancel(Slot::Produce(empty));
            }
        }
        batches
    }

    /// Drops what waits in all partitions, and records without one.
    pub(super) fn drop_waiting(&mut self, error: ProduceError) {
        for (_, ticket, record) in std::mem::take(&mut self.unplaced) {
            self.tell(vec![DeliveryReport { ticket, topic: record.topic, result: Err(error) }]);
        }
        let names: Vec<TopicPartition> = self.lanes.keys().cloned().collect();
        for name in names {
            let waiting = self.lanes.get_mut(&name).map(|lane| lane.take_waiting(|_| true));
            let dropped = waiting.unwrap_or_default().into_iter().map(|batch| {
                let maybe = batch.maybe_written && error == ProduceError::Purged;
                (batch, if maybe { ProduceError::PurgedInFlight } else { error })
            });
            self.fail_all(&name, dropped.collect());
        }
    }

    /// The records of a send that was dropped: nobody waits for them, and what becomes of them is not known.
    pub(super) fn forget(&mut self, tickets: &Range<u64>) {
        self.unplaced.retain(|(_, ticket, _)| !tickets.contains(&ticket.0));
        let names: Vec<TopicPartition> = self.lanes.keys().cloned().collect();
        for name in names {
            let is_theirs = |batch: &Batch| tickets.contains(&batch.id());
            self.take_flying(&name, is_theirs);
            if let Some(lane) = self.lanes.get_mut(&name) {
                lane.take_waiting(is_theirs);
                lane.forget_held(|id| tickets.contains(&id));
            }
        }
        self.reports.retain(|report| !tickets.contains(&report.ticket.0));
        self.queued = self.unplaced.len() + self.lanes.values().map(super::Lane::records).sum::<usize>();
        self.bump_epoch();
    }

    /// Wakes the producer when a linger, a pause, or a wait ends.
    pub(super) fn keep_timer(&mut self, now: TimestampMs) {
        let linger_ms = if self.is_flushing { 0 } else { self.config.linger_ms };
        let unplaced_timeout_ms = self.unplaced_timeout_ms();
        let unplaced = self.unplaced.first().map(|(since, ..)| since.saturating_add(unplaced_timeout_ms));
        let lanes = self.lanes.values().filter_map(|lane| {
            let first = lane.waiting.front()?;
            let ready_at = lane.ready_at(linger_ms, &self.limits).filter(|at| *at > now);
            Some(ready_at.map_or(first.deadline, |at| at.min(first.deadline)))
        });
        let Some(at) = unplaced.into_iter().chain(lanes).min() else {
            if self.timer_at.take().is_some() {
                self.tasks.cancel(Slot::Timer);
            }
            return;
        };
        if self.timer_at.is_some_and(|running| running <= at && running > now) {
            return;
        }
        self.timer_at = Some(at);
        let (caller, ms) = (self.caller.clone(), at.saturating_sub(now).max(1));
        self.tasks.start(Slot::Timer, async move {
            caller.link.sleep_ms(ms).await;
            Done::Timer
        });
    }
}
