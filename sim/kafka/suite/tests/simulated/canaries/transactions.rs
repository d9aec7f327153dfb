//! Transactions that end otherwise than their producer said, and those who do not care how they end.

use std::collections::BTreeMap;
use std::rc::Rc;

use kafka_suite::history::{History, Op, Outcome, Plan, Step, logs, workload_read_with};
use kafka_suite::raw::Topic;
use kafka_suite::{ClientError, Producer, Settings, Stage};

use super::writes::record;
use super::{Canary, Clients, Run, Setup};

const WAIT_MS: i64 = 30_000;
const PARTITIONS: i32 = 2;

pub fn canaries() -> Vec<Canary> {
    let late_end_txn = Canary {
        name: "late_end_txn",
        wrong: "`transaction.version=1`, or a client that knows no other, as librdkafka",
        right: "`transaction.version=2` with Java's producer",
        faults: "copies of `EndTxn` come up to 150 ms late",
        caught_as: &["aborted read", "lost write"],
        besides: &[],
        brokers: &[("transaction.version", "1")],
        clients: Clients { java_producers: true, late_end_txn: true },
        run: |stage, _| Box::pin(end_again(stage)),
    };
    let read_uncommitted = Canary {
        name: "read_uncommitted",
        wrong: "`isolation.level=read_uncommitted`",
        right: "`isolation.level=read_committed`",
        faults: "one transaction in five is aborted",
        caught_as: &["aborted read"],
        // Two that are under way may read each other.
        besides: &["G1c"],
        brokers: &[],
        clients: Clients::default(),
        run: |stage, setup| Box::pin(read(stage, setup)),
    };
    vec![late_end_txn, read_uncommitted]
}

async fn read(stage: Stage, setup: Setup) -> Run {
    const WRONG: Settings<'static> = &[("isolation.level", "read_uncommitted")];
    const RIGHT: Settings<'static> = &[("isolation.level", "read_committed")];
    let reader = if setup == Setup::Wrong { WRONG } else { RIGHT };
    let plan = Plan { processes: 3, partitions: PARTITIONS, transactions: 30 };
    let history = workload_read_with(&stage, plan, reader).await;
    let aborted = history.ops.iter().filter(|op| op.outcome == Outcome::Aborted).count();
    Run { met: u32::try_from(aborted).expect("a few"), history }
}

/// One producer, one short transaction after another.
async fn end_again(stage: Stage) -> Run {
    const TRANSACTIONS: u32 = 60;
    let topic = stage.topic("t", PARTITIONS, &[]).await;
    let mut ops = Vec::new();
    let mut producer = begin(&stage).await;
    let mut last_value = 0;
    for _ in 0..TRANSACTIONS {
        let op = transaction(&topic, &producer, &mut last_value).await;
        if op.outcome == Outcome::Unknown {
            producer = begin(&stage).await;
        }
        ops.push(op);
    }
    // What one of them left open is aborted.
    begin(&stage).await;
    Run { history: History { ops, logs: logs(&topic, PARTITIONS).await }, met: 0 }
}

async fn begin(stage: &Stage) -> Rc<dyn Producer> {
    let producer = stage.producer(&[("transactional.id", &stage.name("p"))]);
    producer.init_transactions(WAIT_MS).await.expect("a coordinator");
    producer
}

async fn transaction(topic: &Topic, producer: &Rc<dyn Producer>, last_value: &mut u64) -> Op {
    let draw = |below: u64| topic.stage.cluster.draw() % below;
    let mut sent = BTreeMap::new();
    let mut begun = producer.begin_transaction();
    for _ in 0..1 + draw(3) {
        if begun.is_err() {
            break;
        }
        let partition = i32::from(draw(2) == 1);
        *last_value += 1;
        match producer.produce(record(topic, partition, *last_value)) {
            Ok(number) => drop(sent.insert(number, (partition, *last_value))),
            Err(error) => begun = Err(error),
        }
        // A failure is told again by what ends the transaction.
        let _ = producer.flush(WAIT_MS).await;
        topic.stage.sleep(i64::try_from(draw(60)).expect("a short time")).await;
    }
    let outcome = end(producer, draw(2) == 0).await;
    let offsets: BTreeMap<u64, i64> =
        producer.reports().iter().map(|report| (report.number, report.offset)).collect();
    let steps = sent.into_iter().map(|(number, (partition, value))| {
        let offset = offsets.get(&number).copied().filter(|offset| *offset >= 0);
        Step::Send { partition, value, offset }
    });
    Op { process: 0, outcome, steps: steps.collect() }
}

/// What the producer hears of it.
pub async fn end(producer: &Rc<dyn Producer>, commit: bool) -> Outcome {
    if !commit {
        return abort(producer).await;
    }
    loop {
        match producer.commit_transaction(WAIT_MS).await {
            Ok(()) => return Outcome::Committed,
            Err(ClientError { fatal: false, retriable: true, .. }) => {}
            Err(ClientError { fatal: false, abortable: true, .. }) => return abort(producer).await,
            Err(_) => return Outcome::Unknown,
        }
    }
}

pub async fn abort(producer: &Rc<dyn Producer>) -> Outcome {
    loop {
        match producer.abort_transaction(WAIT_MS).await {
            Ok(()) => return Outcome::Aborted,
            Err(ClientError { fatal: false, retriable: true, .. }) => {}
            Err(_) => return Outcome::Unknown,
        }
    }
}
