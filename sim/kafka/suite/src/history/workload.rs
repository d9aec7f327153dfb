//! Random transactions on any cluster, told as a history.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use futures::future::join_all;
use kafka::ResponseError;
use kafka_protocol::records::Record;

use super::{History, Op, Outcome, Seen, Step};
use crate::batch::{applications, value};
use crate::clients::{ClientError, Consumer, Polled, Producer, ToSend};
use crate::cluster::Settings;
use crate::stage::Stage;
use crate::topic::Isolation::ReadCommitted;
use crate::topic::Topic;

const WAIT_MS: i64 = 30_000;

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Each with a producer and a consumer of its own.
    pub processes: u32,
    pub partitions: i32,
    pub transactions: u32,
}

struct Process {
    stage: Stage,
    topic: Topic,
    plan: Plan,
    number: u32,
    producer: Rc<dyn Producer>,
    consumer: Rc<dyn Consumer>,
    /// Of the next value; values of one process have its number in front.
    next: u64,
    /// Records that the producer reported, by their numbers.
    offsets: BTreeMap<u64, i64>,
}

/// Runs the plan; the last thing is to read all logs.
pub async fn workload(stage: &Stage, plan: Plan) -> History {
    workload_read_with(stage, plan, &[]).await
}

/// The same, with consumers that are set otherwise.
pub async fn workload_read_with(stage: &Stage, plan: Plan, reader: Settings<'_>) -> History {
    let topic = stage.topic("history", plan.partitions, &[]).await;
    let processes = (0..plan.processes).map(|number| run(stage, &topic, plan, reader, number));
    let ops = join_all(processes).await.into_iter().flatten().collect();
    History { ops, logs: logs(&topic, plan.partitions).await }
}

/// The committed records of all partitions.
pub async fn logs(topic: &Topic, partitions: i32) -> BTreeMap<i32, Vec<Seen>> {
    let mut logs = BTreeMap::new();
    for partition in 0..partitions {
        logs.insert(partition, committed(topic, partition).await);
    }
    logs
}

async fn committed(topic: &Topic, partition: i32) -> Vec<Seen> {
    topic.wait_until_stable(partition).await;
    let records = topic.read(partition, ReadCommitted).await;
    let aborted = topic.fetch(partition, 0, ReadCommitted).await.aborted;
    let seen = |record: &Record| Seen { partition, offset: record.offset, value: number(&value(record)) };
    applications(&records, &aborted).map(seen).collect()
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text} was never sent"))
}

async fn run(stage: &Stage, topic: &Topic, plan: Plan, reader: Settings<'_>, process: u32) -> Vec<Op> {
    let consumer = stage.consumer(&format!("reader-{process}"), reader);
    consumer.subscribe(&[&topic.name]).expect("a topic");
    let mut process = Process {
        stage: stage.clone(),
        topic: topic.clone(),
        plan,
        number: process,
        producer: producer(stage, process).await,
        consumer,
        next: u64::from(process) * 1_000_000,
        offsets: BTreeMap::new(),
    };
    let mut ops = Vec::new();
    for _ in 0..plan.transactions {
        ops.push(process.transaction().await);
    }
    process.consumer.close().await;
    ops
}

/// Its initialization aborts what the one before left open.
async fn producer(stage: &Stage, process: u32) -> Rc<dyn Producer> {
    let id = stage.name(&format!("process-{process}"));
    let producer = stage.producer(&[("transactional.id", &id)]);
    producer.init_transactions(WAIT_MS).await.expect("a coordinator");
    producer
}

impl Process {
    fn draw(&self, below: u64) -> u64 {
        self.stage.cluster.draw() % below
    }

    async fn transaction(&mut self) -> Op {
        self.producer.begin_transaction().expect("the one before is over");
        let mut steps = Vec::new();
        let mut numbers = Vec::new();
        for _ in 0..1 + self.draw(4) {
            if self.draw(3) == 0 {
                steps.push(Step::Poll(self.poll().await));
            } else {
                numbers.push((steps.len(), self.send(&mut steps)));
            }
        }
        let outcome = self.end().await;
        self.offsets.extend(self.producer.reports().iter().map(|report| (report.number, report.offset)));
        for (step, sent) in numbers {
            if let Step::Send { offset, .. } = &mut steps[step] {
                *offset = self.offsets.get(&sent).copied().filter(|offset| *offset >= 0);
            }
        }
        Op { process: self.number, outcome, steps }
    }

    fn send(&mut self, steps: &mut Vec<Step>) -> u64 {
        let partition = self.draw(u64::from(self.plan.partitions.unsigned_abs()));
        let partition = i32::try_from(partition).expect("below the count of partitions");
        self.next += 1;
        let record = ToSend {
            topic: self.topic.name.clone(),
            partition: Some(partition),
            key: None,
            value: Some(Bytes::from(self.next.to_string())),
            headers: Vec::new(),
            timestamp: None,
        };
        let number = self.producer.produce(record).expect("a transaction is open");
        steps.push(Step::Send { partition, value: self.next, offset: None });
        number
    }

    async fn poll(&self) -> Vec<Seen> {
        let mut seen = Vec::new();
        for _ in 0..5 {
            if let Some(Polled::Record(read)) = self.consumer.poll(100).await {
                let text = String::from_utf8_lossy(&read.value.unwrap_or_default()).into_owned();
                seen.push(Seen { partition: read.partition, offset: read.offset, value: number(&text) });
            }
        }
        seen
    }

    /// One transaction in five is aborted.
    async fn end(&mut self) -> Outcome {
        if self.draw(5) == 0 {
            return self.abort().await;
        }
        for _ in 0..20 {
            match self.producer.commit_transaction(WAIT_MS).await {
                Ok(()) => return Outcome::Committed,
                Err(error) if error.retriable => {}
                Err(error) if error.abortable => return self.abort().await,
                Err(error) => panic!("nobody else has this transactional id: {error}"),
            }
        }
        panic!("a commit is not answered");
    }

    async fn abort(&mut self) -> Outcome {
        let mut last = None;
        for _ in 0..20 {
            match self.producer.abort_transaction(WAIT_MS).await {
                Ok(()) => return Outcome::Aborted,
                Err(error) if error.retriable => last = Some(error),
                Err(error) if never_began(&error) => {
                    self.producer = producer(&self.stage, self.number).await;
                    self.offsets.clear();
                    return Outcome::Aborted;
                }
                Err(error) => panic!("nobody else has this transactional id: {error}"),
            }
        }
        panic!("an abort is not answered: {last:?}");
    }
}

/// librdkafka ends the transaction while AddPartitionsToTxn is under way. Where that is answered
/// CONCURRENT_TRANSACTIONS and the transaction before was committed, there is nothing to abort, which is fatal to the
/// client: <https://github.com/confluentinc/librdkafka/issues/4849>.
fn never_began(error: &ClientError) -> bool {
    error.fatal && error.is_broker(ResponseError::InvalidTxnState)
}
