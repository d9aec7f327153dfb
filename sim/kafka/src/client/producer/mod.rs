//! A producer: records queue by partition and go out in batches, with a report for each of them.
//!
//! Nothing is spawned. A producer makes progress while one of its futures is polled: [`Producer::drive`] alongside
//! whatever the host does, or the call that it waits for ([`Producer::send`], [`Producer::flush`], the transaction calls).
//! All that is under way is data in the producer, so each of them may be dropped and called again.
//!
//! Fakes librdkafka's and Java's producers, as far as their settings say ([`ProducerConfig`]): batching, linger,
//! pipelining up to `max.in.flight`, retries that reorder unless idempotent, delivery time-outs with unknown outcome,
//! idempotence with epochs and gaps (KIP-98, KIP-360), transactions of version 1 and 2. Omits compression,
//! interceptors, throttling and Java's adaptive partitioning.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::rc::Rc;

use kafka_protocol::messages::InitProducerIdResponse;

use super::metadata::Metadata;
use super::tasks::Tasks;
use super::{Backoff, Caller, Error, ErrorCode, Link, LinkError, Profile};
use crate::cluster::{TimestampMs, TopicPartition};
use crate::records::BatchProducer;

mod answers;
mod config;
mod expiry;
mod identity;
mod lane;
mod placing;
mod report;
mod sending;
mod transaction;

use answers::Answer;
use config::Resolved;
pub use config::{Acks, ProducerConfig};
use lane::{BatchLimits, Lane};
use placing::Sticky;
pub use report::{DeliveryReport, MessageStatus, ProduceError, ProducerRecord, RecordMetadata, Ticket};
use sending::Flights;
use transaction::{StepAnswer, Transaction};

/// Producer id and epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    producer_id: i64,
    producer_epoch: i16,
}

/// A partition's next sequence, valid under one identity.
struct Sequence {
    identity: Identity,
    next: i32,
}

impl Sequence {
    /// What the next batch names.
    fn producer(&self) -> BatchProducer {
        let Identity { producer_id, producer_epoch } = self.identity;
        BatchProducer { producer_id, producer_epoch, base_sequence: self.next }
    }
}

/// What a task is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Produce(u64),
    Metadata,
    Identity,
    /// What a transaction's coordinators are asked for.
    Coordinator,
    /// The next linger, pause or delivery time-out to end.
    Timer,
    /// The time that a call of the host may take.
    Deadline,
}

/// A task's end.
enum Done {
    Produced { flight: u64, answer: Answer },
    Metadata(Result<Metadata, LinkError>),
    Identity(Result<InitProducerIdResponse, LinkError>),
    Coordinator(Box<StepAnswer>),
    Timer,
    Deadline,
}

/// Numbers for choices that are anybody's: each call gives one, evenly spread or not.
pub type Draws = Box<dyn FnMut() -> u32>;

/// A producer.
pub struct Producer<L: Link + ?Sized> {
    caller: Caller<L>,
    config: Rc<ProducerConfig>,
    resolved: Resolved,
    limits: BatchLimits,
    metadata: Metadata,
    /// When leaders were last asked for.
    metadata_at: Option<TimestampMs>,
    metadata_backoff: Backoff,
    needs_metadata: bool,
    identity: Option<Identity>,
    identity_backoff: Backoff,
    identity_delay_ms: i64,
    /// Waits for what is under way to end, then asks for a new producer id.
    is_draining: bool,
    lanes: BTreeMap<TopicPartition, Lane>,
    /// Records whose topic is not known yet, with the time they began to wait.
    unplaced: Vec<(TimestampMs, Ticket, ProducerRecord)>,
    sticky: Sticky,
    flights: Flights,
    next_ticket: u64,
    /// Records without a report.
    queued: usize,
    reports: VecDeque<DeliveryReport>,
    /// `linger.ms` is not waited for.
    is_flushing: bool,
    /// Tickets of the send under way, or of one that was dropped.
    sending: Option<Range<u64>>,
    fatal: Option<Error>,
    transaction: Option<Transaction>,
    tasks: Tasks<Slot, Done>,
    timer_at: Option<TimestampMs>,
}

impl<L: Link + ?Sized + 'static> Producer<L> {
    /// # Panics
    /// If the settings exclude each other; see [`Producer::create`].
    pub fn new(link: Rc<L>, config: ProducerConfig) -> Producer<L> {
        Producer::create(link, config).expect("the settings go together")
    }

    /// Refuses settings that exclude each other. Nothing happens before one of its futures is polled.
    pub fn create(link: Rc<L>, config: ProducerConfig) -> Result<Producer<L>, Error> {
        let resolved = config.resolve()?;
        let backoff = Backoff::new(config.retry_backoff_ms, config.retry_backoff_max_ms);
        let limits = BatchLimits {
            batch_size: config.batch_size,
            batch_num_messages: config.batch_num_messages,
            delivery_timeout_ms: resolved.delivery_timeout_ms,
            backoff: backoff.clone(),
        };
        Ok(Producer {
            caller: Caller::new(link, &config.client_id),
            transaction: config.transactional_id.as_deref().map(|id| Transaction::new(id, backoff.clone())),
            config: Rc::new(config),
            resolved,
            limits,
            metadata: Metadata::default(),
            metadata_at: None,
            metadata_backoff: backoff.clone(),
            needs_metadata: false,
            identity: None,
            identity_backoff: backoff,
            identity_delay_ms: 0,
            is_draining: false,
            lanes: BTreeMap::new(),
            unplaced: Vec::new(),
            sticky: Sticky::counting(),
            flights: Flights::default(),
            next_ticket: 0,
            queued: 0,
            reports: VecDeque::new(),
            is_flushing: false,
            sending: None,
            fatal: None,
            tasks: Tasks::new(),
            timer_at: None,
        })
    }

    /// Where partitions for records without a key are drawn from. Without it a counter is.
    pub fn with_draws(mut self, draws: Draws) -> Producer<L> {
        self.sticky = Sticky::new(draws);
        self
    }

    /// Queues a record. Its report comes later, from [`Producer::next_report`] or [`Producer::take_reports`].
    pub fn produce(&mut self, record: ProducerRecord) -> Result<Ticket, Error> {
        if let Some(error) = self.fatal {
            return Err(error);
        }
        if let Some(transaction) = &self.transaction {
            transaction.may_produce()?;
        }
        if self.queued >= self.config.queue_buffering_max_messages {
            return Err(Error::plain(ErrorCode::QueueFull, "queue.buffering.max.messages are waiting"));
        }
        self.is_flushing = false;
        Ok(self.enqueue(record))
    }

    fn enqueue(&mut self, record: ProducerRecord) -> Ticket {
        let (ticket, now) = (Ticket(self.next_ticket), self.now());
        self.next_ticket += 1;
        self.queued += 1;
        if self.metadata.knows(&record.topic) {
            self.place(now, ticket, record);
        } else {
            self.unplaced.push((now, ticket, record));
        }
        ticket
    }

    /// Writes records: one outcome each, in the given order. In the platform's profile, records of a partition after a
    /// failed one are not sent.
    ///
    /// Dropped half-way, its records have an unknown outcome; the next send then begins a new epoch.
    ///
    /// # Panics
    /// If the producer is transactional: records go with [`Producer::produce`] there.
    pub async fn send(&mut self, records: Vec<ProducerRecord>) -> Vec<Result<RecordMetadata, ProduceError>> {
        assert!(self.transaction.is_none(), "a transactional producer sends within its transactions");
        if let Some(dropped) = self.sending.take() {
            self.forget(&dropped);
        }
        let range = self.next_ticket..self.next_ticket + records.len() as u64;
        self.sending = Some(range.clone());
        self.sticky.next_send();
        self.is_flushing = true;
        let mut outcomes = vec![None; records.len()];
        let mut missing = records.len();
        for record in records {
            self.enqueue(record);
        }
        loop {
            self.advance();
            self.reports.retain(|report| {
                let is_ours = range.contains(&report.ticket.0);
                if is_ours {
                    outcomes[(report.ticket.0 - range.start) as usize] = Some(report.result);
                    missing -= 1;
                }
                !is_ours
            });
            if missing == 0 {
                break;
            }
            self.step().await;
        }
        self.sending = None;
        outcomes.into_iter().map(|outcome| outcome.expect("every record is reported")).collect()
    }

    /// Keeps going what was queued; never ends. Cancel-safe: race it with whatever else the host waits for.
    pub async fn drive(&mut self) {
        loop {
            self.advance();
            self.step().await;
        }
    }

    /// The next report; waits while there is none, also when nothing is queued. Cancel-safe.
    pub async fn next_report(&mut self) -> DeliveryReport {
        loop {
            self.advance();
            if let Some(report) = self.reports.pop_front() {
                return report;
            }
            self.step().await;
        }
    }

    /// The reports that are there.
    pub fn take_reports(&mut self) -> Vec<DeliveryReport> {
        self.reports.drain(..).collect()
    }

    /// Records without a report.
    pub fn in_queue(&self) -> usize {
        self.queued
    }

    /// The error after which this producer is of no more use.
    pub fn fatal_error(&self) -> Option<Error> {
        self.fatal
    }

    /// Waits until everything queued is reported, without `linger.ms`.
    pub async fn flush(&mut self, timeout_ms: i64) -> Result<(), Error> {
        self.is_flushing = true;
        let done = self.run_until(timeout_ms, |producer| producer.queued == 0).await;
        if done { Ok(()) } else { Err(Error::retriable(ErrorCode::TimedOut, "records are still queued")) }
    }

    /// True once `is_done`, false if the time is up first.
    async fn run_until(&mut self, timeout_ms: i64, is_done: impl Fn(&Producer<L>) -> bool) -> bool {
        let deadline = self.now().saturating_add(timeout_ms);
        self.tasks.cancel(Slot::Deadline);
        loop {
            self.advance();
            if is_done(self) {
                self.tasks.cancel(Slot::Deadline);
                return true;
            }
            if self.now() >= deadline {
                return false;
            }
            if !self.tasks.is_running(Slot::Deadline) {
                let (caller, ms) = (self.caller.clone(), deadline - self.now());
                self.tasks.start(Slot::Deadline, async move {
                    caller.link.sleep_ms(ms).await;
                    Done::Deadline
                });
            }
            self.step().await;
        }
    }

    fn now(&self) -> TimestampMs {
        self.caller.link.now_ms()
    }

    /// Starts everything that can be started.
    fn advance(&mut self) {
        let now = self.now();
        self.expire(now);
        self.advance_transaction();
        self.keep_identity();
        self.send_ready(now);
        self.keep_metadata(now);
        self.keep_timer(now);
    }

    /// Waits for something under way to end.
    async fn step(&mut self) {
        let done = self.tasks.next().await;
        self.conclude(done);
    }

    fn conclude(&mut self, done: Done) {
        match done {
            Done::Produced { flight, answer } => self.landed(flight, &answer),
            Done::Metadata(result) => self.leaders_answered(result),
            Done::Identity(result) => self.identity_answered(result),
            Done::Coordinator(answer) => self.coordinator_answered(*answer),
            Done::Timer => self.timer_at = None,
            Done::Deadline => {}
        }
    }

    fn tell(&mut self, reports: Vec<DeliveryReport>) {
        self.queued -= reports.len();
        self.reports.extend(reports);
    }
}
