//! A cluster against a small sequential specification: random deeds, one after another, and after each of them everything that
//! can be read is compared.
//!
//! The specification knows a log as a list of slots, and transactions as marks on them. Brokers that die and come back are among
//! the deeds, and change nothing that is acknowledged by all in-sync replicas.

#[path = "simulated/cluster.rs"]
mod cluster;
#[path = "simulated/consumer.rs"]
mod consumer;
#[path = "simulated/producer.rs"]
mod producer;
#[path = "simulated/settings.rs"]
mod settings;
#[path = "simulated/state.rs"]
mod state;
#[path = "simulated/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::rc::Rc;

use kafka_suite::raw::Isolation::{self, ReadCommitted, ReadUncommitted};
use kafka_suite::raw::{EARLIEST, LATEST, Member, Topic, Transactional, applications, batch, value};
use kafka_suite::{BROKERS, Stage};
use proptest::prelude::*;

use crate::cluster::{Peculiar, SimCluster};

const PARTITIONS: i32 = 2;
const PRODUCERS: usize = 2;
/// No transaction takes so long.
const TIMEOUT_MS: i32 = 900_000;
/// A transactional id that is not used for 45 s is forgotten, and a broker takes 5 s to be missed.
const DEATHS_MAX: usize = 3;
/// After it everybody knows who leads instead.
const MISSED_MS: i64 = 6_000;

#[derive(Debug, Clone)]
enum Deed {
    Produce {
        partition: i32,
        count: usize,
    },
    Write {
        producer: usize,
        partition: i32,
    },
    End {
        producer: usize,
        commit: bool,
    },
    /// Deletes so many of the records that are there.
    Delete {
        partition: i32,
        count: i64,
    },
    CommitOffset {
        partition: i32,
        offset: i64,
    },
    /// At most one is down, so that acks=all goes on.
    Kill {
        broker: i32,
    },
    /// Starts the one that is down.
    Start,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        4 => (0..PARTITIONS, 1..4usize).prop_map(|(partition, count)| Deed::Produce { partition, count }),
        5 => (0..PRODUCERS, 0..PARTITIONS).prop_map(|(producer, partition)| Deed::Write { producer, partition }),
        4 => (0..PRODUCERS, any::<bool>()).prop_map(|(producer, commit)| Deed::End { producer, commit }),
        1 => (0..PARTITIONS, 1..3i64).prop_map(|(partition, count)| Deed::Delete { partition, count }),
        2 => (0..PARTITIONS, 0..50i64).prop_map(|(partition, offset)| Deed::CommitOffset { partition, offset }),
        1 => (0..BROKERS.len()).prop_map(|index| Deed::Kill { broker: BROKERS[index] }),
        1 => Just(Deed::Start),
    ];
    prop::collection::vec(deed, 1..30)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Committed,
    Aborted,
    Open {
        producer: usize,
    },
    /// The end of a transaction.
    Control,
}

/// What is known of a partition: a slot for each offset.
#[derive(Default)]
struct Log {
    start: i64,
    slots: Vec<(String, Mark)>,
}

impl Log {
    fn end(&self) -> i64 {
        i64::try_from(self.slots.len()).expect("a short log")
    }

    fn last_stable_offset(&self) -> i64 {
        let open = self.slots.iter().position(|(_, mark)| matches!(mark, Mark::Open { .. }));
        open.map_or(self.end(), |at| i64::try_from(at).expect("a short log"))
    }

    /// What an application sees.
    fn values(&self, isolation: Isolation) -> Vec<String> {
        let until = if isolation == ReadCommitted { self.last_stable_offset() } else { self.end() };
        let begin = usize::try_from(self.start).expect("not negative");
        let end = usize::try_from(until).expect("not negative").max(begin);
        let is_seen =
            |mark: &Mark| *mark != Mark::Control && (isolation == ReadUncommitted || *mark != Mark::Aborted);
        self.slots[begin..end]
            .iter()
            .filter(|(_, mark)| is_seen(mark))
            .map(|(value, _)| value.clone())
            .collect()
    }

    fn touched_by(&self, producer: usize) -> bool {
        self.slots.iter().any(|(_, mark)| *mark == Mark::Open { producer })
    }

    fn finish(&mut self, producer: usize, commit: bool) {
        if !self.touched_by(producer) {
            return;
        }
        for (_, mark) in self.slots.iter_mut().filter(|(_, mark)| *mark == Mark::Open { producer }) {
            *mark = if commit { Mark::Committed } else { Mark::Aborted };
        }
        self.slots.push((String::new(), Mark::Control));
    }
}

/// What a producer has written to a partition in its epoch.
#[derive(Default)]
struct Written {
    next_sequence: i32,
    last_offset: i64,
}

/// Cluster and specification side by side.
struct Machine {
    stage: Stage,
    topic: Topic,
    producers: Vec<Transactional>,
    written: BTreeMap<(usize, i32), Written>,
    logs: BTreeMap<i32, Log>,
    offsets: BTreeMap<i32, i64>,
    last_value: u64,
    down: Option<i32>,
    deaths: usize,
}

impl Machine {
    async fn new(stage: Stage) -> Machine {
        let topic = stage.topic("t", PARTITIONS, &[]).await;
        let mut producers = Vec::new();
        for producer in 0..PRODUCERS {
            producers.push(stage.transactional(&format!("p{producer}"), TIMEOUT_MS).await);
        }
        let logs = (0..PARTITIONS).map(|partition| (partition, Log::default())).collect();
        let (written, offsets) = (BTreeMap::new(), BTreeMap::new());
        Machine { stage, topic, producers, written, logs, offsets, last_value: 0, down: None, deaths: 0 }
    }

    fn log(&mut self, partition: i32) -> &mut Log {
        self.logs.get_mut(&partition).expect("a partition of the topic")
    }

    fn next_value(&mut self) -> String {
        self.last_value += 1;
        self.last_value.to_string()
    }

    async fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Produce { partition, count } => {
                let values: Vec<String> = (0..count).map(|_| self.next_value()).collect();
                let texts: Vec<&str> = values.iter().map(String::as_str).collect();
                let offset = self.topic.produce(partition, -1, batch(&texts)).await;
                assert_eq!(offset, Ok(self.log(partition).end()));
                self.log(partition).slots.extend(values.into_iter().map(|value| (value, Mark::Committed)));
            }
            Deed::Write { producer, partition } => self.write(producer, partition).await,
            Deed::End { producer, commit } => self.end(producer, commit).await,
            Deed::Delete { partition, count } => {
                let before =
                    (self.log(partition).start + count).min(self.log(partition).last_stable_offset());
                let before = before.max(self.log(partition).start);
                assert_eq!(self.topic.delete_before(partition, before).await, Ok(before));
                self.log(partition).start = before;
            }
            Deed::CommitOffset { partition, offset } => {
                let member = Member::of(self.stage.name("g"));
                self.stage.commit(&member, &self.topic, partition, offset).await;
                self.offsets.insert(partition, offset);
            }
            Deed::Kill { broker } => self.kill(broker).await,
            Deed::Start => self.start().await,
        }
    }

    async fn write(&mut self, producer: usize, partition: i32) {
        let start = self.log(partition).start;
        let is_forgotten =
            self.written.get(&(producer, partition)).is_some_and(|written| written.last_offset < start);
        if is_forgotten && self.is_open(producer) {
            return;
        }
        if is_forgotten {
            self.begin_anew(producer).await;
        }
        let value = self.next_value();
        let written = self.written.entry((producer, partition)).or_default();
        let sequence = written.next_sequence;
        let offset = self.producers[producer].write(&self.topic, partition, sequence, &[&value]).await;
        *written = Written { next_sequence: sequence + 1, last_offset: offset };
        assert_eq!(offset, self.log(partition).end());
        self.log(partition).slots.push((value, Mark::Open { producer }));
    }

    /// A replica that has only a marker of a producer's epoch wants its sequence 0. So a producer whose records were
    /// deleted takes a new epoch.
    async fn begin_anew(&mut self, producer: usize) {
        self.producers[producer] = self.stage.transactional(&format!("p{producer}"), TIMEOUT_MS).await;
        self.written.retain(|(other, _), _| *other != producer);
    }

    fn is_open(&self, producer: usize) -> bool {
        self.logs.values().any(|log| log.touched_by(producer))
    }

    async fn kill(&mut self, broker: i32) {
        if self.down.is_some() || self.deaths == DEATHS_MAX {
            return;
        }
        self.down = Some(broker);
        self.deaths += 1;
        self.stage.cluster.kill(broker).await;
        self.stage.sleep(MISSED_MS).await;
    }

    async fn start(&mut self) {
        let Some(broker) = self.down.take() else { return };
        self.stage.cluster.start(broker).await;
        for partition in 0..PARTITIONS {
            self.topic.wait_for_isr(partition, BROKERS.to_vec()).await;
        }
    }

    /// Without a record there is nothing to end.
    async fn end(&mut self, producer: usize, commit: bool) {
        if !self.is_open(producer) {
            return;
        }
        self.producers[producer].end(commit).await;
        self.logs.values_mut().for_each(|log| log.finish(producer, commit));
        for (partition, log) in &self.logs {
            self.stage
                .eventually("the markers are written", async || {
                    let end = self.topic.offset(*partition, LATEST, ReadUncommitted).await.0;
                    (end == log.end()).then_some(())
                })
                .await;
        }
    }

    async fn compare(&self) {
        for (partition, log) in &self.logs {
            let offset = async |which, isolation| self.topic.offset(*partition, which, isolation).await.0;
            assert_eq!(offset(EARLIEST, ReadUncommitted).await, log.start, "log start offset");
            assert_eq!(offset(LATEST, ReadUncommitted).await, log.end(), "high watermark");
            assert_eq!(offset(LATEST, ReadCommitted).await, log.last_stable_offset(), "last stable offset");
            for isolation in [ReadUncommitted, ReadCommitted] {
                let records = self.topic.read(*partition, isolation).await;
                let aborted = self.topic.fetch(*partition, log.start, ReadCommitted).await.aborted;
                let aborted = if isolation == ReadCommitted { aborted } else { Vec::new() };
                let seen: Vec<String> = applications(&records, &aborted).map(value).collect();
                assert_eq!(seen, log.values(isolation), "{isolation:?}");
            }
        }
        for (partition, offset) in &self.offsets {
            let committed = self.stage.committed(&self.stage.name("g"), &self.topic, *partition).await;
            assert_eq!(committed, *offset, "committed offset");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cluster_is_what_its_specification_says(seed in any::<u64>(), deeds in deeds()) {
        let (world, cluster) = SimCluster::new(seed, Peculiar::default());
        let stage = Stage::new(Rc::new(cluster), "machine");
        world.run(async move {
            let mut machine = Machine::new(stage).await;
            for deed in deeds {
                machine.act(deed).await;
                machine.compare().await;
            }
        });
    }
}
