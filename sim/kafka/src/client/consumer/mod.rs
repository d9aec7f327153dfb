//! A group consumer driven by one future: [`Consumer::poll`], or [`Consumer::drive`] while the host is busy.
//!
//! Inside, a poll keeps going what a consumer needs at the same time: the way into the group, heartbeats, and one
//! long poll per broker that leads an assigned partition. All of that is data in the consumer, so a poll may be
//! dropped at any point and called again. Idle, it wakes for heartbeats and for fetches that come back empty.
//!
//! Fakes librdkafka's and Java's consumers of the classic protocol, as far as their settings say ([`ConsumerConfig`]):
//! eager and cooperative rebalances, static members, `max.poll.interval.ms`, auto-commit, `read_committed`, fetch sessions,
//! truncation after a leader change. Omits the consumer protocol of KIP-848, reading from followers and patterns of
//! topics. Like Java's consumer, it goes on reading while it cannot reach its coordinator, also past its session's end:
//! it learns that it is out from the coordinator's next answer.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;

use super::metadata::Metadata;
use super::tasks::Tasks;
use super::{Backoff, Caller, ConsumerGroupMetadata, Link, LinkError};
use crate::cluster::{TimestampMs, TopicPartition, topic_name};

mod assignor;
mod auto_commit;
mod commit;
mod config;
mod events;
mod fetching;
mod heartbeat;
mod isolation;
mod membership;
mod partition;
mod poll_interval;
mod reader;
mod rebalance;
mod resets;
mod session;
mod validation;

use auto_commit::AutoCommit;
pub use config::{Assignor, AutoOffsetReset, ConsumerConfig, IsolationLevel};
pub use events::{CommitError, ConsumerError, ConsumerEvent, ConsumerRecord};
use fetching::Fetched;
use heartbeat::HeartbeatAnswer;
use membership::{Committed, Found, Joined, Synced};
use partition::Partition;
pub use reader::{Reader, ReaderError, ReaderPage};
use resets::ResetAnswer;
use session::Session;
use validation::EpochEnd;

/// How far the consumer is on its way into the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// To look up topics and coordinator next, then join.
    Outside,
    /// To send `JoinGroup` next.
    Rejoining,
    /// On the way; the membership slot is busy.
    Entering,
    Stable,
    /// Fenced for good.
    Fatal,
}

/// What a task is for. If several have ended, the first in this order is told first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    /// The way into the group: look-up, join, sync, committed offsets.
    Membership,
    /// The next heartbeat, with the wait before it.
    Heartbeat,
    Commit,
    /// Until the next auto-commit.
    AutoCommit,
    /// Until `max.poll.interval.ms` is over.
    PollInterval,
    /// Saying goodbye.
    Leave,
    /// `ListOffsets` for partitions without a position.
    Reset,
    /// `OffsetForLeaderEpoch` for positions of an older leader epoch.
    Validation,
    /// Leaders, after a fetch went wrong or `metadata.max.age.ms`.
    Metadata,
    /// Until the metadata is old.
    MetadataAge,
    /// The long poll at a broker.
    Fetch(i32),
}

/// A task's end.
enum Done {
    Found(Result<Found, LinkError>),
    Joined(Result<Joined, LinkError>),
    Synced(Result<Synced, LinkError>),
    Positions(Result<Committed, Failure>),
    Heartbeat(HeartbeatAnswer),
    Committed(Result<(), CommitError>),
    Reset(Vec<ResetAnswer>),
    Metadata(Result<Metadata, LinkError>),
    Fetched(Fetched),
    Validated(Vec<EpochEnd>),
    MetadataIsOld,
    AutoCommitDue,
    PollIntervalOver,
    Left,
}

/// No answer, or one that says no.
#[derive(Debug, Clone, Copy)]
enum Failure {
    Unanswered,
    Broker(ResponseError),
}

impl From<LinkError> for Failure {
    fn from(_: LinkError) -> Failure {
        Failure::Unanswered
    }
}

/// A member of a consumer group.
pub struct Consumer<L: Link + ?Sized> {
    caller: Caller<L>,
    config: Rc<ConsumerConfig>,
    topics: Rc<[TopicName]>,
    phase: Phase,
    /// Empty until the coordinator has given one.
    member_id: StrBytes,
    /// -1 outside of a generation.
    generation: i32,
    coordinator: Option<i32>,
    metadata: Metadata,
    is_cooperative: bool,
    /// Partitions of the new generation whose positions are looked up.
    entering: Vec<TopicPartition>,
    /// What the last generation gave, for sticky assignors.
    last_share: Vec<TopicPartition>,
    /// Partitions were given up for others: another rebalance hands them out.
    must_rejoin: bool,
    /// The next generation begins after what is being committed.
    waits_for_commit: bool,
    /// Of the way into the group, heartbeats and look-ups.
    group_backoff: Backoff,
    /// To be waited out before the next step into the group.
    group_delay_ms: i64,
    /// Of fetches, resets and leaders.
    fetch_backoff: Backoff,
    partitions: BTreeMap<TopicPartition, Partition>,
    /// Partitions with records to be delivered, in the order they came.
    ready: VecDeque<TopicPartition>,
    /// Brokers that are left alone until leaders have been asked for again.
    shunned: Vec<i32>,
    /// Brokers whose last answer was an error, or did not come.
    failing: Vec<i32>,
    /// Progress to be committed with the next heartbeat.
    reported: BTreeMap<TopicPartition, i64>,
    /// Progress that is being committed.
    reporting: BTreeMap<TopicPartition, i64>,
    auto_commit: AutoCommit,
    /// Fetch sessions by broker.
    sessions: BTreeMap<i32, Session>,
    /// When the host last polled.
    polled_at: Option<TimestampMs>,
    /// Out of the group until the host polls.
    is_away: bool,
    tasks: Tasks<Slot, Done>,
    events: VecDeque<ConsumerEvent>,
}

impl<L: Link + ?Sized + 'static> Consumer<L> {
    /// Nothing happens before the first poll.
    pub fn new(link: Rc<L>, config: ConsumerConfig) -> Consumer<L> {
        let backoff = Backoff::new(config.retry_backoff_ms, config.retry_backoff_max_ms);
        Consumer {
            caller: Caller::new(link, &config.client_id),
            topics: config.topics.iter().map(topic_name).collect(),
            is_cooperative: config.is_cooperative(),
            entering: Vec::new(),
            last_share: Vec::new(),
            must_rejoin: false,
            waits_for_commit: false,
            config: Rc::new(config),
            phase: Phase::Outside,
            member_id: StrBytes::default(),
            generation: -1,
            coordinator: None,
            metadata: Metadata::default(),
            group_backoff: backoff.clone(),
            group_delay_ms: 0,
            fetch_backoff: backoff,
            partitions: BTreeMap::new(),
            ready: VecDeque::new(),
            shunned: Vec::new(),
            failing: Vec::new(),
            reported: BTreeMap::new(),
            reporting: BTreeMap::new(),
            auto_commit: AutoCommit::default(),
            sessions: BTreeMap::new(),
            polled_at: None,
            is_away: false,
            tasks: Tasks::new(),
            events: VecDeque::new(),
        }
    }

    /// The next thing that happened. Cancel-safe. The consumer advances only in here and in [`Consumer::drive`],
    /// heartbeats included: race it with whatever else the host waits for, and do not stay away longer than the session
    /// time-out.
    pub async fn poll(&mut self) -> ConsumerEvent {
        self.polled();
        self.poll_begins();
        loop {
            if let Some(event) = self.events.pop_front().or_else(|| self.deliver()) {
                return event;
            }
            self.advance();
            let done = self.tasks.next().await;
            self.still_polling();
            self.conclude(done);
        }
    }

    /// Starts everything that can be started.
    fn advance(&mut self) {
        self.advance_membership();
        self.keep_auto_commit();
        self.keep_metadata();
        self.advance_fetching();
    }

    fn conclude(&mut self, done: Done) {
        match done {
            Done::Found(result) => self.found(result),
            Done::Joined(result) => self.joined(result),
            Done::Synced(result) => self.synced(result),
            Done::Positions(result) => self.positions(result),
            Done::Heartbeat(answer) => self.heartbeat_answered(answer),
            Done::Committed(result) => self.commit_answered(result),
            Done::Reset(answers) => self.reset_answered(answers),
            Done::Metadata(result) => self.leaders_answered(result),
            Done::Fetched(fetched) => self.fetched(fetched),
            Done::Validated(ends) => self.validated(ends),
            Done::MetadataIsOld => self.metadata_is_old(),
            Done::AutoCommitDue => self.auto_commit_due(),
            Done::PollIntervalOver => self.poll_interval_over(),
            Done::Left => {}
        }
    }

    /// Reads on from `offset`. Records of the partition that were fetched and not delivered are dropped. Without
    /// effect on a partition that is not assigned.
    pub fn seek(&mut self, partition: &TopicPartition, offset: i64) {
        if let Some(state) = self.partitions.get_mut(partition) {
            state.seek(offset);
            self.ready.retain(|ready| ready != partition);
            self.restart_fetch(partition);
        }
    }

    /// Stops delivering these partitions, and fetching them after what is under way.
    pub fn pause(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            if let Some(state) = self.partitions.get_mut(partition) {
                state.paused = true;
            }
        }
    }

    /// Goes on delivering these partitions; what was fetched before the pause is still there.
    pub fn resume(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            let resumed = self.partitions.get_mut(partition).is_some_and(|p| std::mem::take(&mut p.paused));
            if resumed {
                self.restart_fetch(partition);
            }
        }
    }

    /// The offset of the next record to be delivered; `None` while it is not known, or not assigned.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.partitions.get(partition).and_then(|state| state.position)
    }

    /// This member's partitions.
    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.partitions.keys().cloned().collect()
    }

    /// Who this member is, for [`Producer::send_offsets_to_transaction`](super::Producer::send_offsets_to_transaction).
    pub fn group_metadata(&self) -> ConsumerGroupMetadata {
        ConsumerGroupMetadata {
            group_id: self.config.group_id.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.config.group_instance_id.clone(),
        }
    }
}
