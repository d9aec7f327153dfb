//! Reading: one long poll per leader of an assigned partition, leaders that moved, and delivery.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::fetch_request::FetchRequest;
use kafka_protocol::messages::fetch_response::{FetchResponse, PartitionData};

use super::session::{Session, Wanted};
use super::{AutoOffsetReset, Consumer, ConsumerError, ConsumerEvent, Done, IsolationLevel, Phase, Slot};
use crate::client::metadata::Metadata;
use crate::client::{Link, LinkError};
use crate::cluster::TopicPartition;
use crate::protocol::check;

/// The end of a long poll.
pub(super) struct Fetched {
    broker: i32,
    /// What was asked for, to recognise answers that a seek has overtaken.
    wanted: Wanted,
    result: Result<FetchResponse, LinkError>,
}

impl<L: Link + ?Sized + 'static> Consumer<L> {
    /// The next records, at most `max.poll.records` of one partition.
    pub(super) fn deliver(&mut self) -> Option<ConsumerEvent> {
        let place =
            self.ready.iter().position(|name| self.partitions.get(name).is_some_and(|p| !p.paused))?;
        let name = self.ready.remove(place)?;
        let partition = self.partitions.get_mut(&name)?;
        let records = partition.take(self.config.max_poll_records);
        if partition.buffered() > 0 {
            self.ready.push_front(name.clone());
        }
        let position = partition.position;
        self.delivered(&name, position);
        Some(ConsumerEvent::Records { topic: name.topic, partition: name.partition, records })
    }

    /// Starts what is missing: resets, leaders, and a long poll at each leader.
    pub(super) fn advance_fetching(&mut self) {
        let mut by_leader: BTreeMap<i32, Wanted> = BTreeMap::new();
        let mut resets: BTreeMap<i32, Vec<TopicPartition>> = BTreeMap::new();
        let mut validations: BTreeMap<i32, Vec<TopicPartition>> = BTreeMap::new();
        let mut leaderless = false;
        for (name, partition) in &mut self.partitions {
            if partition.leader.is_none()
                && let Some(leader) = self.metadata.leader(name)
            {
                let epoch = self.metadata.leader_epoch(name);
                partition.led_by(leader, epoch, self.config.validate_positions);
            }
            let Some((leader, leader_epoch)) = partition.leader else {
                leaderless = true;
                continue;
            };
            if self.shunned.contains(&leader) {
                continue;
            }
            match partition.fetch_offset() {
                Some(_) if partition.needs_validation => {
                    validations.entry(leader).or_default().push(name.clone());
                }
                Some(_) if self.tasks.is_running(Slot::Fetch(leader)) => {}
                Some(offset)
                    if !partition.paused && partition.buffered() < self.config.queued_min_messages.max(1) =>
                {
                    by_leader.entry(leader).or_default().insert(name.clone(), (offset, leader_epoch));
                }
                None if partition.needs_reset => resets.entry(leader).or_default().push(name.clone()),
                _ => {}
            }
        }
        for (leader, wanted) in by_leader {
            self.start_fetch(leader, wanted);
        }
        if !resets.is_empty() && !self.tasks.is_running(Slot::Reset) {
            self.start_reset(resets);
        }
        if !validations.is_empty() && !self.tasks.is_running(Slot::Validation) {
            self.start_validation(validations);
        }
        if (leaderless || !self.shunned.is_empty()) && !self.tasks.is_running(Slot::Metadata) {
            let delay_ms = self.fetch_backoff.next();
            self.start_refresh(delay_ms);
        }
    }

    fn start_fetch(&mut self, broker: i32, wanted: Wanted) {
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(self.config.fetch_max_wait_ms)
            .with_min_bytes(self.config.fetch_min_bytes)
            .with_max_bytes(self.config.fetch_max_bytes)
            .with_isolation_level(self.config.isolation_level as i8);
        let session = self.sessions.entry(broker).or_default();
        let mut request = session.ask(request, &wanted, self.config.max_partition_fetch_bytes);
        if !self.config.fetch_sessions {
            request = request.with_session_epoch(-1);
        }
        let timeout_ms = self.config.request_timeout_ms + i64::from(self.config.fetch_max_wait_ms);
        let caller = self.caller.clone();
        self.tasks.start(Slot::Fetch(broker), async move {
            let result = caller.call(broker, request, timeout_ms).await;
            Done::Fetched(Fetched { broker, wanted, result })
        });
    }

    pub(super) fn fetched(&mut self, fetched: Fetched) {
        let Fetched { broker, wanted, result } = fetched;
        let session = self.sessions.entry(broker).or_default();
        let response = match result {
            Ok(response) => response,
            Err(_) => {
                session.start_over();
                return self.shun(broker);
            }
        };
        match check(response.error_code) {
            Ok(()) => session.answered(response.session_id, wanted.clone()),
            Err(ResponseError::FetchSessionIdNotFound) => {
                *session = Session::default();
                return;
            }
            Err(ResponseError::InvalidFetchSessionEpoch) => return session.start_over(),
            Err(error) => {
                session.start_over();
                if !error.is_retriable() {
                    self.events.push_back(ConsumerEvent::Error(ConsumerError::Broker(error)));
                }
                return self.shun(broker);
            }
        }
        for topic in response.responses {
            for data in topic.partitions {
                let name = TopicPartition { topic: topic.topic.clone(), partition: data.partition_index };
                if let Some((offset, _)) = wanted.get(&name) {
                    self.take_over(broker, name, *offset, data);
                }
            }
        }
        if !self.shunned.contains(&broker) {
            self.failing.retain(|failing| *failing != broker);
            if self.failing.is_empty() {
                self.fetch_backoff.reset();
            }
        }
    }

    fn take_over(&mut self, broker: i32, name: TopicPartition, offset: i64, data: PartitionData) {
        let Some(partition) = self.partitions.get_mut(&name) else { return };
        if partition.fetch_offset() != Some(offset) {
            return;
        }
        let diverges_at = data.diverging_epoch.end_offset;
        match check(data.error_code) {
            // The leader's log went another way from there on (KIP-320): read it.
            Ok(()) if (0..offset).contains(&diverges_at) => partition.seek(diverges_at),
            Ok(()) => {
                let end = match self.config.isolation_level {
                    IsolationLevel::ReadUncommitted => data.high_watermark,
                    IsolationLevel::ReadCommitted => data.last_stable_offset,
                };
                partition.watermarks = Some((data.log_start_offset, end));
                let records = data.records.filter(|records| !records.is_empty());
                let Some(records) = records else { return };
                let aborted = data.aborted_transactions.unwrap_or_default();
                if partition.fill(offset, records, aborted).is_err() {
                    partition.stand_still();
                    self.events.push_back(ConsumerEvent::Error(ConsumerError::Corrupt(name)));
                } else if partition.buffered() > 0 && !self.ready.contains(&name) {
                    self.ready.push_back(name);
                }
            }
            Err(ResponseError::OffsetOutOfRange) => {
                partition.stand_still();
                self.ready.retain(|ready| *ready != name);
                partition.needs_reset = self.config.auto_offset_reset != AutoOffsetReset::None;
                if !partition.needs_reset {
                    let error = ConsumerError::OffsetOutOfRange { partition: name, offset };
                    self.events.push_back(ConsumerEvent::Error(error));
                }
            }
            Err(error) => {
                if !error.is_retriable() {
                    self.events.push_back(ConsumerEvent::Error(ConsumerError::Broker(error)));
                }
                self.shun(broker);
            }
        }
    }

    /// Leaves a broker alone until its partitions' leaders have been asked for again.
    pub(super) fn shun(&mut self, broker: i32) {
        for list in [&mut self.shunned, &mut self.failing] {
            if !list.contains(&broker) {
                list.push(broker);
            }
        }
    }

    fn start_refresh(&mut self, delay_ms: i64) {
        let (caller, config, topics) = (self.caller.clone(), self.config.clone(), self.topics.clone());
        self.tasks.start(Slot::Metadata, async move {
            caller.link.sleep_ms(delay_ms).await;
            let servers = &config.bootstrap_servers;
            Done::Metadata(caller.metadata(servers, topics.iter(), config.request_timeout_ms).await)
        });
    }

    /// Leaders and partitions are asked for once in `metadata.max.age.ms` even if nothing is wrong.
    pub(super) fn keep_metadata(&mut self) {
        let max_age_ms = self.config.metadata_max_age_ms;
        let is_idle = !self.tasks.is_running(Slot::MetadataAge) && !self.partitions.is_empty();
        if max_age_ms < i64::MAX && is_idle {
            let caller = self.caller.clone();
            self.tasks.start(Slot::MetadataAge, async move {
                caller.link.sleep_ms(max_age_ms).await;
                Done::MetadataIsOld
            });
        }
    }

    pub(super) fn metadata_is_old(&mut self) {
        if !self.tasks.is_running(Slot::Metadata) {
            self.start_refresh(0);
        }
    }

    pub(super) fn leaders_answered(&mut self, result: Result<Metadata, LinkError>) {
        let Ok(metadata) = result else { return };
        let before = self.partition_counts();
        self.metadata.merge(metadata);
        self.shunned.clear();
        self.partitions.values_mut().for_each(|partition| partition.leader = None);
        if self.phase == Phase::Stable && self.partition_counts() != before {
            self.rejoin();
        }
    }

    fn partition_counts(&self) -> Vec<i32> {
        self.topics.iter().map(|topic| self.metadata.partitions(topic)).collect()
    }

    /// The long poll under way does not ask for what this partition needs now.
    pub(super) fn restart_fetch(&mut self, partition: &TopicPartition) {
        if let Some(leader) = self.metadata.leader(partition)
            && self.tasks.is_running(Slot::Fetch(leader))
        {
            self.tasks.cancel(Slot::Fetch(leader));
            self.sessions.entry(leader).or_default().start_over();
        }
    }
}
