//! Which partition a record goes to, and the leaders of all of them.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;

use super::{
    DeliveryReport, Done, Draws, Lane, ProduceError, Producer, ProducerRecord, Profile, Slot, Ticket,
};
use crate::client::metadata::Metadata;
use crate::client::{Link, LinkError};
use crate::cluster::{TimestampMs, TopicPartition};

/// Where records without a key go for a while: by time with librdkafka, by bytes with Java, by send here.
pub(super) struct Sticky {
    draws: Draws,
    places: BTreeMap<TopicName, Place>,
}

struct Place {
    draw: u32,
    since: TimestampMs,
    bytes: usize,
}

impl Sticky {
    pub fn new(draws: Draws) -> Sticky {
        Sticky { draws, places: BTreeMap::new() }
    }

    pub fn counting() -> Sticky {
        let mut next = 0u32;
        Sticky::new(Box::new(move || {
            next = next.wrapping_add(1);
            next
        }))
    }

    /// Another partition for each topic.
    pub fn next_send(&mut self) {
        self.places.clear();
    }

    fn choose(&mut self, now: TimestampMs, record: &ProducerRecord, stays: impl Fn(&Place) -> bool) -> u32 {
        let place = self.places.get_mut(&record.topic).filter(|place| stays(place));
        let size = record.value.len();
        match place {
            Some(place) => {
                place.bytes += size;
                place.draw
            }
            None => {
                let draw = (self.draws)();
                self.places.insert(record.topic.clone(), Place { draw, since: now, bytes: size });
                draw
            }
        }
    }
}

impl<L: Link + ?Sized + 'static> Producer<L> {
    /// Into its partition's queue. The topic is known.
    pub(super) fn place(&mut self, now: TimestampMs, ticket: Ticket, record: ProducerRecord) {
        let count = self.metadata.partitions(&record.topic);
        let partition = match record.partition {
            Some(partition) => partition,
            None => {
                let chosen = self.config.partitioner.partition_for(record.key.as_deref(), count);
                chosen.unwrap_or_else(|| self.sticky_partition(now, &record, count))
            }
        };
        if !(0..count).contains(&partition) {
            let refused = ProduceError::Refused(ResponseError::UnknownTopicOrPartition);
            return self.tell(vec![DeliveryReport { ticket, topic: record.topic, result: Err(refused) }]);
        }
        let name = TopicPartition { topic: record.topic.clone(), partition };
        let lane = self.lanes.entry(name).or_insert_with_key(|name| Lane::new(name.clone()));
        lane.add(now, ticket, record, &self.limits);
    }

    fn sticky_partition(&mut self, now: TimestampMs, record: &ProducerRecord, count: i32) -> i32 {
        let (profile, linger_ms) = (self.config.profile, self.config.sticky_partitioning_linger_ms);
        let batch_size = self.config.batch_size;
        let draw = self.sticky.choose(now, record, |place| match profile {
            Profile::Platform => true,
            Profile::Librdkafka => now - place.since < linger_ms,
            Profile::Java => place.bytes < batch_size,
        });
        let count = u32::try_from(count).expect("a partition count is not negative").max(1);
        i32::try_from(draw % count).expect("a remainder of an i32")
    }

    /// Asks for leaders when some are missing, wrong, or old: at most once per pause.
    pub(super) fn keep_metadata(&mut self, now: TimestampMs) {
        let is_old =
            self.metadata_at.is_some_and(|at| now.saturating_sub(at) >= self.config.metadata_max_age_ms);
        let is_busy = self.queued > 0;
        if self.tasks.is_running(Slot::Metadata) || !is_busy {
            return;
        }
        if !self.needs_metadata && self.unplaced.is_empty() && !is_old {
            return;
        }
        let topics: BTreeSet<TopicName> = self.wanted_topics();
        let delay_ms = match self.metadata_at {
            Some(at) => (at + self.metadata_backoff.next() - now).max(0),
            None => 0,
        };
        let (caller, config) = (self.caller.clone(), self.config.clone());
        self.needs_metadata = false;
        self.tasks.start(Slot::Metadata, async move {
            if delay_ms > 0 {
                caller.link.sleep_ms(delay_ms).await;
            }
            let servers = &config.bootstrap_servers;
            Done::Metadata(caller.metadata(servers, &topics, config.request_timeout_ms).await)
        });
    }

    fn wanted_topics(&self) -> BTreeSet<TopicName> {
        let unplaced = self.unplaced.iter().map(|(_, _, record)| record.topic.clone());
        let lanes = self.lanes.iter().filter(|(_, lane)| !lane.is_empty());
        unplaced.chain(lanes.map(|(name, _)| name.topic.clone())).collect()
    }

    pub(super) fn leaders_answered(&mut self, result: Result<Metadata, LinkError>) {
        let now = self.now();
        self.metadata_at = Some(now);
        match result {
            Ok(metadata) => self.metadata.merge(metadata),
            Err(_) => self.needs_metadata = true,
        }
        for (since, ticket, record) in std::mem::take(&mut self.unplaced) {
            if self.metadata.knows(&record.topic) {
                self.place(since, ticket, record);
            } else {
                self.unplaced.push((since, ticket, record));
            }
        }
    }
}
