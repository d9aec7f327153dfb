//! A small world: three brokers and their controller, two hosts of the counter, a client.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use bytes::Bytes;
use contracts::Message;
use futures::FutureExt;
use host::ports::transactional_log::ReadError;
use host::ports::{Log, LogRecord, OutRecord, TransactionalLog};
use host::{LogHost, LogHostCounters, LogHostSettings, LogPorts};
use invariants::{Fact, Record};
use kafka::client::{IsolationLevel, Profile};
use kafka::{
    Broker, BrokerConfig, ClusterSettings, ClusterSpec, Controller, Output, ResponseError, TopicPartition,
    TopicSpec,
};
use madsim::runtime::Runtime;
use sim::adapters::log::{KafkaClientSettings, SimLog};
use sim::adapters::process::{SimClock, SimEntropy};
use sim::nodes::broker::{self, BrokerSeat, Brokers, Cluster};
use sim::nodes::controller::{self, ControllerSeat};
use sim::runner::pool::{self, Ended};
use sim::world::clock::NodeClock;
use sim::world::network::{Links, NodeIndex};
use sim::world::node::{Node, Program};
use sim::world::trace::Watcher;
use sim::world::{World, WorldSettings};

use crate::counter::{CHANGELOG, Counter, DEAD_LETTERS, INPUT, NAME, OUTPUT, input};
use crate::watched::{Lie, Watch, WatchedLog};

pub const BROKERS: [NodeIndex; 3] = [0, 1, 2];
const CONTROLLER: NodeIndex = 3;
pub const HOSTS: [NodeIndex; 2] = [4, 5];
const CLIENT: NodeIndex = 6;
/// Of the input and its changelog.
pub const PARTITIONS: i32 = 3;
const OUTPUT_PARTITIONS: i32 = 2;
/// Of the topics of both kinds of coordinators.
const COORDINATOR_PARTITIONS: i32 = 4;

/// How long a partition may be without a leader that answers.
const PATIENCE_S: u64 = 60;

/// Noon of 2026-03-06 UTC.
const EPOCH_NS: i64 = 1_772_798_400_000_000_000;

pub struct Bench {
    pub world: Rc<World>,
    pub cluster: Cluster,
    pub watch: Rc<Watch>,
    /// By host.
    pub counters: [Rc<LogHostCounters>; 2],
    pub log: SimLog,
    panics: Rc<RefCell<Vec<String>>>,
}

struct Panics(Rc<RefCell<Vec<String>>>);

impl Watcher for Panics {
    fn see(&mut self, record: &Record<'_>) {
        if let Fact::NodePanicked { message } = record.fact {
            self.0.borrow_mut().push(format!("{}: {message}", record.node));
        }
    }
}

/// Batches and snapshots are small, so that there are many.
fn settings() -> LogHostSettings {
    LogHostSettings { batch_size: 7, queued_records_max: 20, snapshot_every_events: 25 }
}

/// The transactions of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transactions {
    /// Of transaction.version 1, as librdkafka's clients have them. A request that comes late can be taken for one of the
    /// producer's next transaction.
    #[default]
    V1,
    /// Of version 2 (KIP-890): each has an epoch of its own.
    V2,
}

/// How the hosts of a run are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    pub lie: Option<Lie>,
    pub transactions: Transactions,
}

/// Runs a test in a world of its own: what it panicked with, and the identity of the run.
pub fn try_run(setup: Setup, test: impl AsyncFnOnce(&Bench) + Send + 'static) -> Result<u128, String> {
    let finished = pool::alone(move || {
        Runtime::with_seed_and_config(1, madsim::Config::default()).block_on(async {
            let bench = Bench::start(setup).await;
            test(&bench).await;
            assert_eq!(*bench.panics.borrow(), [""; 0]);
            let hash = bench.world.trace.hash();
            bench.world.shut_down().await;
            hash
        })
    });
    match finished.ended {
        Ended::Returned(hash) => Ok(hash),
        Ended::Panicked(why) => Err(why),
        Ended::OverLimit(limit) => Err(format!("not within {limit:?}")),
    }
}

#[track_caller]
pub fn run(test: impl AsyncFnOnce(&Bench) + Send + 'static) {
    if let Err(why) = try_run(Setup::default(), test) {
        panic!("{why}");
    }
}

fn spec() -> ClusterSpec {
    let topics =
        [(INPUT, PARTITIONS), (CHANGELOG, PARTITIONS), (OUTPUT, OUTPUT_PARTITIONS), (DEAD_LETTERS, 1)];
    let topics = topics.into_iter().map(|(name, partitions)| TopicSpec::new(name, partitions)).collect();
    let mut spec = ClusterSpec::new((0..3).collect(), topics);
    spec.settings = ClusterSettings {
        default_replication_factor: 3,
        min_insync_replicas: 2,
        replica_lag_time_max_ms: 10_000,
        offsets_topic_num_partitions: COORDINATOR_PARTITIONS,
        transaction_state_log_num_partitions: COORDINATOR_PARTITIONS,
        ..ClusterSettings::default()
    };
    spec
}

fn cluster(now_ms: i64) -> Cluster {
    let seats = (0..3)
        .zip(BROKERS)
        .map(|(id, node)| BrokerSeat::new(Broker::new(BrokerConfig::new(id, spec())), node));
    Brokers::new(seats.collect(), ControllerSeat::new(Controller::new(spec(), now_ms), CONTROLLER))
}

pub fn sim_log(node: &Node) -> SimLog {
    let settings = KafkaClientSettings {
        fetch_max_wait_ms: 500,
        heartbeat_interval_ms: 3_000,
        session_timeout_ms: 10_000,
        ..KafkaClientSettings::default()
    };
    SimLog::new(node.clone(), Rc::new(BROKERS.to_vec()), settings)
}

fn host_program(counters: Rc<LogHostCounters>, watch: Rc<Watch>, transactions: Transactions) -> Program {
    let profile = match transactions {
        Transactions::V1 => Profile::Platform,
        Transactions::V2 => Profile::Java,
    };
    Rc::new(move |node| {
        let dirty = sim_log(&node).with_isolation_level(IsolationLevel::ReadUncommitted);
        let log = sim_log(&node).with_profile(profile);
        let log = WatchedLog::new(Rc::new(log), Rc::new(dirty), &node.name, watch.clone());
        let ports = LogPorts {
            clock: Rc::new(SimClock(node.clone())),
            entropy: Rc::new(SimEntropy::new(&node)),
            log: Rc::new(log),
        };
        let host = LogHost::new(Counter, &node.name, ports, settings(), counters.clone());
        async move {
            let asked_to_stop = async {
                node.asked_to_stop().await;
                host.shut_down();
            };
            futures::future::join(host.clone().run(), asked_to_stop).await;
        }
        .boxed_local()
    })
}

impl Bench {
    async fn start(setup: Setup) -> Self {
        let links = Links { base_ns: 100_000, jitter_ns: 200_000 };
        let world = World::new(&WorldSettings { seed: 1, epoch_ns: EPOCH_NS, links });
        let panics = Rc::<RefCell<Vec<String>>>::default();
        world.trace.watch(Box::new(Panics(panics.clone())));
        let cluster = cluster(EPOCH_NS / 1_000_000);
        let (watch, counters) = (Rc::<Watch>::default(), [Rc::<LogHostCounters>::default(), Rc::default()]);
        watch.lie.set(setup.lie);
        for (place, index) in BROKERS.into_iter().enumerate() {
            let cluster = cluster.clone();
            let program: Program =
                Rc::new(move |node| broker::run(node, cluster.clone(), place).boxed_local());
            assert_eq!(world.add_node(&format!("kafka/{place}"), NodeClock::default(), program), index);
        }
        let for_controller = cluster.clone();
        let program: Program =
            Rc::new(move |node| controller::run(node, for_controller.clone()).boxed_local());
        assert_eq!(world.add_node("kafka-controller", NodeClock::default(), program), CONTROLLER);
        for (place, index) in HOSTS.into_iter().enumerate() {
            let program = host_program(counters[place].clone(), watch.clone(), setup.transactions);
            let name = format!("{NAME}/{}", place + 1);
            assert_eq!(world.add_node(&name, NodeClock::default(), program), index);
        }
        let client: Rc<RefCell<Option<Node>>> = Rc::default();
        let told = client.clone();
        let program: Program = Rc::new(move |node| {
            *told.borrow_mut() = Some(node);
            std::future::pending().boxed_local()
        });
        assert_eq!(world.add_node("client", NodeClock::default(), program), CLIENT);
        // The group forms, the owners recover.
        world.until(EPOCH_NS + 8_000_000_000).await;
        let client = client.borrow().clone().expect("every node has started by now");
        Self { world, cluster, watch, counters, log: sim_log(&client), panics }
    }

    pub async fn wait_ms(&self, ms: u64) {
        self.wait_us(ms * 1_000).await;
    }

    pub async fn wait_us(&self, us: u64) {
        self.world.until(self.world.now_ns() + i64::try_from(us * 1_000).expect("short")).await;
    }

    /// Waits until the network has carried so many messages more, or for two seconds.
    pub async fn wait_messages(&self, messages: u64) {
        let until = self.world.network.messages() + messages;
        for _ in 0..20_000 {
            if self.world.network.messages() >= until {
                return;
            }
            self.wait_us(100).await;
        }
    }

    /// Puts inputs into the log: name and number each. Who sends gives up after two minutes without acknowledgement, and
    /// what is in the log counts.
    pub async fn send(&self, inputs: &[(&str, u64)]) {
        let records = inputs.iter().map(|(name, by)| record(name, input(name, *by).encode()));
        self.log.producer().send(records.collect()).await;
    }

    /// An input that cannot be decoded.
    pub async fn send_garbage(&self, name: &str, bytes: &[u8]) {
        self.log.producer().send(vec![record(name, Bytes::copy_from_slice(bytes))]).await;
    }

    fn now_ms(&self) -> i64 {
        self.world.now_ns() / 1_000_000
    }

    /// Every member of the hosts' group must join again.
    pub fn rebalance(&self) {
        self.stir_group(|broker, now_ms| broker.rebalance(now_ms, NAME));
    }

    /// The group goes on without a host, as if its session had ended.
    pub fn throw_out(&self, host: NodeIndex) {
        let name = &self.world.node_names()[host];
        self.stir_group(|broker, now_ms| broker.remove_member(now_ms, NAME, name));
    }

    fn stir_group(&self, stir: impl FnOnce(&mut Broker, i64) -> Result<Vec<Output>, ResponseError>) {
        let at = self.cluster.controller.controller.borrow().coordinator_partition(NAME);
        let Some(seat) = self.cluster.leader_of(&at).filter(|seat| self.world.is_running(seat.node)) else {
            return;
        };
        let outputs = stir(&mut seat.broker.borrow_mut(), self.now_ms());
        // There is no group there, or the host is not in it.
        seat.stir(outputs.unwrap_or_default());
    }

    /// The calls that a host waits for at the moment.
    pub fn calls_of(&self, host: usize) -> Vec<&'static str> {
        let is_running = self.world.is_running(HOSTS[host]);
        let name = &self.world.node_names()[HOSTS[host]];
        if is_running { self.watch.calls_of(name) } else { Vec::new() }
    }

    /// Another replica leads a partition, if it is alive and in sync: whether it was another before.
    pub fn move_leader(&self, topic: &str, partition: i32, to: i32) -> bool {
        let at = TopicPartition::new(topic, partition);
        let seat = &self.cluster.controller;
        let (moved, outputs) = seat.controller.borrow_mut().move_leader(self.now_ms(), &at, to);
        seat.stir(outputs);
        moved
    }

    /// The changelogs begin at this offset from now on, or where their logs end before it.
    pub fn drop_changelogs(&self, before_offset: i64) {
        for partition in 0..PARTITIONS {
            let at = TopicPartition::new(CHANGELOG, partition);
            let seat = self.cluster.leader_of(&at).expect("every broker is up");
            let end = seat.broker.borrow().log_range(&at).expect("it leads").1;
            let dropped = seat.broker.borrow_mut().delete_records(&at, before_offset.min(end));
            seat.stir(dropped.expect("it leads, and nothing is beyond its end"));
        }
    }

    /// All that can be read of a partition at `read_committed`. A broker that has just come back, or a leader that is being
    /// elected, is waited for.
    pub async fn read(&self, topic: &'static str, partition: i32) -> Vec<LogRecord> {
        let mut why = None;
        for _ in 0..PATIENCE_S {
            match self.try_read(topic, partition).await {
                Ok(records) => return records,
                Err(error) => why = Some(error),
            }
            self.wait_ms(1_000).await;
        }
        panic!("{topic}/{partition} cannot be read: {why:?}");
    }

    async fn try_read(&self, topic: &'static str, partition: i32) -> Result<Vec<LogRecord>, ReadError> {
        let mut reader = TransactionalLog::reader(&self.log);
        let (mut at, end) = reader.bounds(topic, partition).await?;
        let mut records = Vec::new();
        while at < end {
            let page = reader.read(topic, partition, at).await?;
            if page.next == at {
                return Err(ReadError::Unanswered(format!("nothing beyond {at}, and the end is {end}")));
            }
            records.extend(page.records);
            at = page.next;
        }
        Ok(records)
    }

    pub async fn committed(&self, partition: i32) -> Result<Option<i64>, ReadError> {
        TransactionalLog::reader(&self.log).committed(NAME, INPUT, partition).await
    }

    /// Waits until all inputs are processed. Where something is left after so long: where.
    pub async fn settle(&self, seconds: u64) -> BTreeSet<i32> {
        let mut ends = Vec::new();
        for partition in 0..PARTITIONS {
            ends.push(self.read(INPUT, partition).await.last().map(|last| last.offset + 1));
        }
        let mut left: BTreeSet<i32> = (0..PARTITIONS).collect();
        for _ in 0..seconds {
            for partition in left.clone() {
                let committed = self.committed(partition).await;
                if committed.is_ok_and(|committed| committed >= ends[partition as usize]) {
                    left.remove(&partition);
                }
            }
            if left.is_empty() {
                break;
            }
            self.wait_ms(1_000).await;
        }
        left
    }
}

/// One key per name, so that its inputs keep their order.
fn record(name: &str, value: Bytes) -> OutRecord {
    let timestamp_ms = EPOCH_NS / 1_000_000;
    OutRecord {
        topic: INPUT,
        key: name.to_owned().into(),
        value,
        headers: vec![("origin", "client".into())],
        timestamp_ms,
    }
}

/// As a judge reads an input.
pub fn message_of(record: &LogRecord) -> Option<Message> {
    Message::decode(INPUT, record.value.clone()).ok()
}
