//! Acknowledged records and the deaths of those who have them.

use std::cell::Cell;

use bytes::Bytes;
use futures::future::{LocalBoxFuture, join3};
use kafka_suite::history::{History, Op, Outcome, Seen, Step, logs};
use kafka_suite::raw::Topic;
use kafka_suite::{BROKERS, Polled, Settings, Stage, ToSend};

use super::{Canary, Clients, Run, Setup};

const LEADER_CRASH: &str = "the leader dies, three times";
const ALONE: &str = "both followers die, and then the leader's machine loses its power";
const UNCLEAN: &str = "a follower dies, later the others at once, and it comes back first";

pub fn canaries() -> Vec<Canary> {
    let canary = Canary {
        name: "acks_1",
        wrong: "`acks=1`",
        right: "`acks=all`, `min.insync.replicas=2`",
        faults: LEADER_CRASH,
        caught_as: &["lost write"],
        besides: &["inconsistent offset", "duplicate", "non-monotonic poll"],
        brokers: &[],
        clients: Clients::default(),
        run: |stage, setup| Box::pin(acks_1(stage, setup)),
    };
    let min_insync_1 = Canary {
        name: "min_insync_1",
        wrong: "`min.insync.replicas=1`",
        right: "`min.insync.replicas=2`",
        faults: ALONE,
        run: |stage, setup| Box::pin(min_insync_1(stage, setup)),
        ..canary
    };
    let unclean_election = Canary {
        name: "unclean_election",
        wrong: "`unclean.leader.election.enable=true`",
        right: "`unclean.leader.election.enable=false`",
        faults: UNCLEAN,
        run: |stage, setup| Box::pin(unclean_election(stage, setup)),
        ..canary
    };
    vec![canary, min_insync_1, unclean_election]
}

const PROPER: Settings<'static> = &[("enable.idempotence", "true")];

async fn acks_1(stage: Stage, setup: Setup) -> Run {
    const WRONG: Settings<'static> = &[("acks", "1"), ("enable.idempotence", "false")];
    let topic = stage.topic("t", 1, &[]).await;
    let producer = if setup == Setup::Wrong { WRONG } else { PROPER };
    write_under(&topic, producer, Box::pin(leaders_die(topic.clone()))).await
}

async fn min_insync_1(stage: Stage, setup: Setup) -> Run {
    let replicas = if setup == Setup::Wrong { "1" } else { "2" };
    let topic = stage.topic("t", 1, &[("min.insync.replicas", replicas)]).await;
    let leader = topic.leader(0).await;
    // Before it is alone nothing is written, since what it has of that would go too.
    for follower in others(leader) {
        stage.cluster.kill(follower).await;
    }
    topic.wait_for_isr(0, vec![leader]).await;
    write_under(&topic, PROPER, Box::pin(power_is_lost(topic.clone(), leader))).await
}

async fn unclean_election(stage: Stage, setup: Setup) -> Run {
    let unclean = if setup == Setup::Wrong { "true" } else { "false" };
    let topic = stage.topic("t", 1, &[("unclean.leader.election.enable", unclean)]).await;
    write_under(&topic, PROPER, Box::pin(the_last_comes_first(topic.clone()))).await
}

fn others(leader: i32) -> Vec<i32> {
    BROKERS.into_iter().filter(|broker| *broker != leader).collect()
}

async fn some_time(stage: &Stage, least_ms: i64, most_ms: u64) {
    let more = i64::try_from(stage.cluster.draw() % most_ms).expect("a short time");
    stage.sleep(least_ms + more).await;
}

async fn leaders_die(topic: Topic) -> u32 {
    const TIMES: u32 = 6;
    let stage = &topic.stage;
    for _ in 0..TIMES {
        some_time(stage, 100, 1_500).await;
        let leader = topic.leader(0).await;
        stage.cluster.kill(leader).await;
        topic.leader_other_than(0, leader).await;
        some_time(stage, 0, 1_000).await;
        stage.cluster.start(leader).await;
        topic.wait_for_isr(0, BROKERS.to_vec()).await;
    }
    TIMES
}

async fn power_is_lost(topic: Topic, leader: i32) -> u32 {
    let stage = &topic.stage;
    some_time(stage, 500, 3_000).await;
    stage.cluster.power_off(&[leader]).await;
    for broker in BROKERS {
        stage.cluster.start(broker).await;
    }
    topic.wait_for_isr(0, BROKERS.to_vec()).await;
    1
}

async fn the_last_comes_first(topic: Topic) -> u32 {
    let stage = &topic.stage;
    some_time(stage, 100, 1_000).await;
    let leader = topic.leader(0).await;
    let others = others(leader);
    let which = usize::from(stage.cluster.draw().is_multiple_of(2));
    let (first, second) = (others[which], others[1 - which]);
    stage.cluster.kill(first).await;
    topic.wait_for_isr(0, vec![leader, second]).await;
    some_time(stage, 100, 1_000).await;
    stage.cluster.kill(second).await;
    stage.cluster.kill(leader).await;
    stage.cluster.start(first).await;
    some_time(stage, 8_000, 5_000).await;
    for broker in [leader, second] {
        stage.cluster.start(broker).await;
    }
    topic.wait_for_isr(0, BROKERS.to_vec()).await;
    1
}

/// Writes and reads until the faults are over; they tell how often they struck.
async fn write_under(topic: &Topic, producer: Settings<'_>, faults: LocalBoxFuture<'_, u32>) -> Run {
    let is_over = Cell::new(false);
    let faults = async {
        let met = faults.await;
        is_over.set(true);
        met
    };
    let (met, mut ops, read) = join3(faults, write(topic, producer, &is_over), read(topic, &is_over)).await;
    ops.push(read);
    Run { history: History { ops, logs: logs(topic, 1).await }, met }
}

/// A record every few milliseconds.
async fn write(topic: &Topic, settings: Settings<'_>, is_over: &Cell<bool>) -> Vec<Op> {
    const LONG_MS: i64 = 600_000;
    let stage = &topic.stage;
    let producer = stage.producer(settings);
    let mut ops = Vec::new();
    let mut value = 0;
    while !is_over.get() {
        value += 1;
        let number = producer.produce(record(topic, 0, value)).expect("the queue is long");
        assert_eq!(number + 1, value, "one report for each value");
        let steps = vec![Step::Send { partition: 0, value, offset: None }];
        ops.push(Op { process: 0, outcome: Outcome::Unknown, steps });
        some_time(stage, 1, 10).await;
    }
    producer.flush(LONG_MS).await.expect("each has its report by now");
    for report in producer.reports().into_iter().filter(|report| report.error.is_none()) {
        let op = &mut ops[usize::try_from(report.number).expect("a small number")];
        op.outcome = Outcome::Committed;
        for step in &mut op.steps {
            if let Step::Send { offset, .. } = step {
                *offset = (report.offset >= 0).then_some(report.offset);
            }
        }
    }
    ops
}

pub fn record(topic: &Topic, partition: i32, value: u64) -> ToSend {
    ToSend {
        topic: topic.name.clone(),
        partition: Some(partition),
        key: None,
        value: Some(Bytes::from(value.to_string())),
        headers: Vec::new(),
        timestamp: None,
    }
}

pub fn value_of(value: &Option<Bytes>) -> u64 {
    let text = String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned();
    text.parse().unwrap_or_else(|_| panic!("{text} was never sent"))
}

async fn read(topic: &Topic, is_over: &Cell<bool>) -> Op {
    let consumer = topic.stage.consumer("reader", &[]);
    consumer.subscribe(&[&topic.name]).expect("a topic");
    let mut steps = Vec::new();
    while !is_over.get() {
        match consumer.poll(100).await {
            Some(Polled::Record(read)) => {
                let (partition, offset) = (read.partition, read.offset);
                steps.push(Step::Poll(vec![Seen { partition, offset, value: value_of(&read.value) }]));
            }
            Some(Polled::Assigned(_)) => steps.push(Step::Moved),
            _ => {}
        }
    }
    Op { process: 1, outcome: Outcome::Committed, steps }
}
