//! Two processes that read records of one topic, and write each to another: a value that was sent must come out once.
//!
//! The history is that of the pipeline: what was put in is sent, what has come out is the log.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;

use futures::FutureExt;
use futures::future::{join, join_all};
use kafka::client::ConsumerGroupMetadata;
use kafka_suite::history::{History, Op, Outcome, Step, logs};
use kafka_suite::raw::Isolation::ReadUncommitted;
use kafka_suite::raw::{LATEST, Topic};
use kafka_suite::{ClientError, Consumer, GroupMetadata, Polled, Read, Settings, Stage};

use super::transactions::{abort, end};
use super::writes::{record, value_of};
use super::{Canary, Clients, Run, Setup};

const PARTITIONS: i32 = 2;
const PROCESSES: u32 = 2;
const VALUES: u64 = 60;
const GROUP: &str = "workers";
const WAIT_MS: i64 = 30_000;
/// Of a wrong pipeline, which may never be done.
const DRAINED_WITHIN_MS: i64 = 900_000;
/// Who does not poll for so long is out of the group.
const OUT_MS: u64 = 6_000;

pub fn canaries() -> Vec<Canary> {
    let zombie = Canary {
        name: "zombie",
        wrong: "a `transactional.id` per process, offsets sent with the group's name alone",
        right: "the same ids, offsets sent with the consumer's metadata (KIP-447)",
        faults: "a process stalls in a transaction for longer than `max.poll.interval.ms`",
        caught_as: &["duplicate"],
        besides: &[],
        brokers: &[],
        clients: Clients::default(),
        run: |stage, setup| Box::pin(zombie(stage, setup)),
    };
    let auto_commit = Canary {
        name: "auto_commit",
        wrong: "`enable.auto.commit=true`, committed before it is processed",
        right: "offsets sent to the transaction that has the outcome",
        faults: "processes die while they process a record",
        caught_as: &["lost write"],
        besides: &["duplicate"],
        run: |stage, setup| Box::pin(auto_commit(stage, setup)),
        ..zombie
    };
    vec![zombie, auto_commit]
}

async fn zombie(stage: Stage, setup: Setup) -> Run {
    let habit = if setup == Setup::Wrong { Habit::GroupAlone } else { Habit::Member };
    Pipeline::new(stage, habit, Fault::Stall).await.run().await
}

async fn auto_commit(stage: Stage, setup: Setup) -> Run {
    let habit = if setup == Setup::Wrong { Habit::AutoCommit } else { Habit::Member };
    Pipeline::new(stage, habit, Fault::Death).await.run().await
}

/// How offsets are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// In the transaction, as a member of the group.
    Member,
    /// In the transaction, for whoever it is.
    GroupAlone,
    AutoCommit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Stall,
    Death,
}

struct Pipeline {
    stage: Stage,
    input: Topic,
    output: Topic,
    habit: Habit,
    fault: Fault,
    is_over: Cell<bool>,
    met: Cell<u32>,
}

/// The process is of no use any more.
struct Gone;

impl From<ClientError> for Gone {
    fn from(_: ClientError) -> Gone {
        Gone
    }
}

impl Pipeline {
    async fn new(stage: Stage, habit: Habit, fault: Fault) -> Pipeline {
        let input = stage.topic("in", PARTITIONS, &[]).await;
        let output = stage.topic("out", PARTITIONS, &[]).await;
        Pipeline { stage, input, output, habit, fault, is_over: Cell::new(false), met: Cell::new(0) }
    }

    fn draw(&self, below: u64) -> u64 {
        self.stage.cluster.draw() % below
    }

    async fn some_time(&self, least_ms: u64, most_ms: u64) {
        let ms = least_ms + self.draw(most_ms - least_ms);
        self.stage.sleep(i64::try_from(ms).expect("a short time")).await;
    }

    async fn run(self) -> Run {
        let feed = async {
            let ops = self.feed().await;
            self.wait_until_drained().await;
            self.is_over.set(true);
            ops
        };
        let processes = join_all((0..PROCESSES).map(|number| self.supervise(number)));
        let (ops, _) = join(feed, processes).await;
        // What a process has left open is aborted.
        for number in 0..PROCESSES {
            let producer = self.stage.producer(&[("transactional.id", &self.id_of(number))]);
            producer.init_transactions(WAIT_MS).await.expect("a coordinator");
        }
        Run { history: History { ops, logs: logs(&self.output, PARTITIONS).await }, met: self.met.get() }
    }

    async fn feed(&self) -> Vec<Op> {
        let producer = self.stage.producer(&[("enable.idempotence", "true")]);
        let mut ops = Vec::new();
        for value in 1..=VALUES {
            let partition = i32::from(self.draw(2) == 1);
            producer.produce(record(&self.input, partition, value)).expect("the queue is long");
            let steps = vec![Step::Send { partition, value, offset: None }];
            ops.push(Op { process: 0, outcome: Outcome::Committed, steps });
            self.some_time(0, 400).await;
        }
        producer.flush(WAIT_MS).await.expect("no broker dies");
        assert!(producer.reports().iter().all(|report| report.error.is_none()));
        ops
    }

    async fn wait_until_drained(&self) {
        let until = self.stage.now() + DRAINED_WITHIN_MS;
        for partition in 0..PARTITIONS {
            let end = self.input.offset(partition, LATEST, ReadUncommitted).await.0;
            let group = self.stage.name(GROUP);
            while self.stage.committed(&group, &self.input, partition).await < end && self.stage.now() < until
            {
                self.stage.sleep(500).await;
            }
        }
    }

    /// Starts the process again whenever it is gone.
    async fn supervise(&self, number: u32) {
        while !self.is_over.get() {
            let is_busy = Cell::new(false);
            let mut process = pin!(self.process(number, &is_busy).fuse());
            let mut death = pin!(self.death().fuse());
            let died = futures::select_biased! {
                _ = process => false,
                () = death => true,
            };
            if died && is_busy.get() {
                self.met.set(self.met.get() + 1);
            }
            self.some_time(50, 500).await;
        }
    }

    async fn death(&self) {
        match self.fault {
            Fault::Death => self.some_time(2_000, 15_000).await,
            Fault::Stall => std::future::pending().await,
        }
    }

    async fn process(&self, number: u32, is_busy: &Cell<bool>) -> Result<(), Gone> {
        match self.habit {
            Habit::AutoCommit => self.commit_at_once(is_busy).await,
            Habit::Member | Habit::GroupAlone => self.commit_together(number, is_busy).await,
        }
    }

    fn consumer(&self, settings: Settings<'_>) -> Rc<dyn Consumer> {
        let out_ms = OUT_MS.to_string();
        let mut all =
            vec![("session.timeout.ms", out_ms.as_str()), ("max.poll.interval.ms", out_ms.as_str())];
        all.extend(settings);
        let consumer = self.stage.consumer(GROUP, &all);
        consumer.subscribe(&[&self.input.name]).expect("a topic");
        consumer
    }

    fn id_of(&self, number: u32) -> String {
        self.stage.name(&format!("process-{number}"))
    }

    /// What is between reading and writing: some stall there.
    async fn think(&self) {
        match self.fault {
            Fault::Stall if self.draw(8) == 0 => self.some_time(OUT_MS + 3_000, 2 * OUT_MS).await,
            _ => self.some_time(0, 300).await,
        }
    }

    async fn commit_at_once(&self, is_busy: &Cell<bool>) -> Result<(), Gone> {
        let producer = self.stage.producer(&[("enable.idempotence", "true")]);
        let consumer = self.consumer(&[("enable.auto.commit", "true"), ("auto.commit.interval.ms", "100")]);
        while !self.is_over.get() {
            let Some(Polled::Record(read)) = consumer.poll(100).await else { continue };
            is_busy.set(true);
            self.think().await;
            producer.produce(record(&self.output, read.partition, value_of(&read.value)))?;
            producer.flush(WAIT_MS).await?;
            is_busy.set(false);
        }
        consumer.close().await;
        Ok(())
    }

    async fn commit_together(&self, number: u32, is_busy: &Cell<bool>) -> Result<(), Gone> {
        let producer = self.stage.producer(&[("transactional.id", &self.id_of(number))]);
        producer.init_transactions(WAIT_MS).await?;
        let consumer = self.consumer(&[]);
        while !self.is_over.get() {
            let Some(Polled::Record(read)) = consumer.poll(100).await else { continue };
            is_busy.set(true);
            // Who it was when it read: later it may be somebody else, or nobody.
            let member = self.member(&consumer);
            producer.begin_transaction()?;
            producer.produce(record(&self.output, read.partition, value_of(&read.value)))?;
            self.think().await;
            self.note_zombie(&consumer, &read);
            let offsets = [(self.input.partition(read.partition), read.offset + 1)];
            let outcome = match producer.send_offsets_to_transaction(&offsets, &member, WAIT_MS).await {
                Ok(()) => end(&producer, true).await,
                Err(_) => abort(&producer).await,
            };
            is_busy.set(false);
            if outcome != Outcome::Committed {
                // It begins anew where the group is.
                consumer.close().await;
                return Err(Gone);
            }
        }
        consumer.close().await;
        Ok(())
    }

    fn member(&self, consumer: &Rc<dyn Consumer>) -> GroupMetadata {
        match self.habit {
            Habit::GroupAlone => Rc::new(ConsumerGroupMetadata::of_group(self.stage.name(GROUP))),
            Habit::Member | Habit::AutoCommit => consumer.group_metadata(),
        }
    }

    /// It goes on with a record whose partition is another's by now.
    fn note_zombie(&self, consumer: &Rc<dyn Consumer>, read: &Read) {
        if self.fault == Fault::Stall
            && !consumer.assignment().contains(&self.input.partition(read.partition))
        {
            self.met.set(self.met.get() + 1);
        }
    }
}
