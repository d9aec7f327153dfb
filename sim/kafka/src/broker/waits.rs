//! Appends that wait until the in-sync replicas have them: what `acks=all` means.
//!
//! Real: the purgatory of `DelayedProduce`. A wait ends when the high watermark has passed all its appends, when this
//! broker stops leading one of them, or in time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kafka_protocol::ResponseError;

use crate::cluster::{TimestampMs, TopicPartition};

/// An append of a wait, and what came of it.
pub(super) struct Awaited {
    pub at: TopicPartition,
    /// The high watermark that ends it.
    pub required: i64,
    pub outcome: Option<Result<(), ResponseError>>,
}

pub(super) struct Wait<T> {
    pub appends: Vec<Awaited>,
    deadline: Option<TimestampMs>,
    pub then: T,
}

/// Waits for replication. `T` is what each is for.
pub(super) struct Waits<T> {
    waits: BTreeMap<u64, Wait<T>>,
    /// Rising required offsets, by partition.
    by_partition: BTreeMap<TopicPartition, VecDeque<(i64, u64)>>,
    by_deadline: BTreeSet<(TimestampMs, u64)>,
    next_id: u64,
}

impl<T> Default for Waits<T> {
    fn default() -> Waits<T> {
        Waits {
            waits: BTreeMap::new(),
            by_partition: BTreeMap::new(),
            by_deadline: BTreeSet::new(),
            next_id: 0,
        }
    }
}

impl<T> Waits<T> {
    pub fn next_deadline(&self) -> Option<TimestampMs> {
        self.by_deadline.first().map(|(deadline, _)| *deadline)
    }

    /// Waits for these appends, at least one of which has no outcome yet; without a deadline until one comes.
    pub fn add(&mut self, deadline: Option<TimestampMs>, appends: Vec<Awaited>, then: T) {
        let id = self.next_id;
        self.next_id += 1;
        for append in appends.iter().filter(|append| append.outcome.is_none()) {
            match self.by_partition.get_mut(&append.at) {
                Some(queue) => {
                    let place = queue.partition_point(|(required, _)| *required <= append.required);
                    queue.insert(place, (append.required, id));
                }
                None => {
                    let queue = VecDeque::from([(append.required, id)]);
                    self.by_partition.insert(append.at.clone(), queue);
                }
            }
        }
        self.by_deadline.extend(deadline.map(|deadline| (deadline, id)));
        self.waits.insert(id, Wait { appends, deadline, then });
    }

    /// All in-sync replicas of a partition have what is below the high watermark. Gives the waits that have ended.
    pub fn reached(
        &mut self,
        at: &TopicPartition,
        high_watermark: i64,
        outcome: Result<(), ResponseError>,
    ) -> Vec<Wait<T>> {
        let Some(queue) = self.by_partition.get_mut(at) else { return Vec::new() };
        let mut reached = Vec::new();
        while let Some((_, id)) = queue.front().filter(|(required, _)| *required <= high_watermark) {
            reached.push(*id);
            queue.pop_front();
        }
        self.conclude(at, reached, Some(high_watermark), outcome)
    }

    /// Nobody will say any more what became of appends to a partition.
    pub fn lost(&mut self, at: &TopicPartition, error: ResponseError) -> Vec<Wait<T>> {
        let waiting = self.by_partition.remove(at).unwrap_or_default();
        let ids = waiting.into_iter().map(|(_, id)| id).collect();
        self.conclude(at, ids, None, Err(error))
    }

    fn conclude(
        &mut self,
        at: &TopicPartition,
        ids: Vec<u64>,
        up_to: Option<i64>,
        outcome: Result<(), ResponseError>,
    ) -> Vec<Wait<T>> {
        let mut ended = Vec::new();
        for id in ids {
            let Some(wait) = self.waits.get_mut(&id) else { continue };
            let theirs = wait.appends.iter_mut().filter(|append| append.at == *at);
            let open = theirs.filter(|append| append.outcome.is_none());
            open.filter(|append| up_to.is_none_or(|up_to| append.required <= up_to))
                .for_each(|append| append.outcome = Some(outcome));
            if wait.appends.iter().all(|append| append.outcome.is_some()) {
                ended.extend(self.take(id));
            }
        }
        ended
    }

    fn take(&mut self, id: u64) -> Option<Wait<T>> {
        let wait = self.waits.remove(&id)?;
        wait.deadline.map(|deadline| self.by_deadline.remove(&(deadline, id)));
        Some(wait)
    }

    /// Waits whose time is up.
    pub fn expired(&mut self, now: TimestampMs) -> Vec<Wait<T>> {
        let mut ended = Vec::new();
        while let Some(&(deadline, id)) = self.by_deadline.first()
            && deadline <= now
        {
            let Some(mut wait) = self.take(id) else { continue };
            for append in wait.appends.iter_mut().filter(|append| append.outcome.is_none()) {
                append.outcome = Some(Err(ResponseError::RequestTimedOut));
                if let Some(queue) = self.by_partition.get_mut(&append.at) {
                    queue.retain(|(_, waiting)| *waiting != id);
                }
            }
            ended.push(wait);
        }
        ended
    }

    /// Drops waits that nobody would hear of.
    pub fn drop_where(&mut self, gone: impl Fn(&T) -> bool) {
        let ids: Vec<u64> =
            self.waits.iter().filter(|(_, wait)| gone(&wait.then)).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(wait) = self.take(id) else { continue };
            for append in wait.appends {
                if let Some(queue) = self.by_partition.get_mut(&append.at) {
                    queue.retain(|(_, waiting)| *waiting != id);
                }
            }
        }
    }
}
