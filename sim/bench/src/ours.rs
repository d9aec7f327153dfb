//! The simulated Kafka: three brokers that replicate, a controller, a producer with acks=all, a consumer in a group, each on
//! a node of its own.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use futures::FutureExt;
use host::ports::{Log, LogEvent, OutRecord};
use kafka::{Broker, BrokerConfig, ClusterSettings, ClusterSpec, Controller, TopicSpec};
use madsim::runtime::Runtime;
use sim::adapters::log::{KafkaClientSettings, SimLog};
use sim::nodes::broker::{self, BrokerSeat, Brokers, Cluster};
use sim::nodes::controller::{self, ControllerSeat};
use sim::world::clock::NodeClock;
use sim::world::network::Links;
use sim::world::node::Program;
use sim::world::{World, WorldSettings};

use crate::RECORD_BYTES;

pub const TOPIC: &str = "records";
const PARTITIONS: i32 = 3;
pub const BROKERS: usize = 3;
const EPOCH_NS: i64 = 1_772_000_000_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;

/// As in scenarios.
const LINKS: Links = Links { base_ns: 100_000, jitter_ns: 200_000 };

/// The profile of scenarios.
pub fn settings() -> ClusterSettings {
    sim::platform::kafka_profile()
}

pub fn clients() -> KafkaClientSettings {
    KafkaClientSettings {
        fetch_max_wait_ms: 30_000,
        heartbeat_interval_ms: 15_000,
        session_timeout_ms: 60_000,
        ..KafkaClientSettings::default()
    }
}

/// Runs a world with a cluster and these nodes until `done` says so, or for ever.
pub fn world(settings: ClusterSettings, nodes: Vec<Program>, until: impl AsyncFnOnce(Rc<World>)) {
    Runtime::with_seed_and_config(1, madsim::Config::default()).block_on(async {
        let world = World::new(&WorldSettings { seed: 1, epoch_ns: EPOCH_NS, links: LINKS });
        let cluster = cluster(settings);
        for place in 0..BROKERS {
            let cluster = cluster.clone();
            let program: Program =
                Rc::new(move |node| broker::run(node, cluster.clone(), place).boxed_local());
            world.add_node(&format!("kafka/{}", place + 1), NodeClock::default(), program);
        }
        let program: Program = {
            let cluster = cluster.clone();
            Rc::new(move |node| controller::run(node, cluster.clone()).boxed_local())
        };
        world.add_node("kafka-controller", NodeClock::default(), program);
        for (number, program) in nodes.into_iter().enumerate() {
            world.add_node(&format!("client/{number}"), NodeClock::default(), program);
        }
        until(world.clone()).await;
        world.shut_down().await;
    });
}

fn cluster(settings: ClusterSettings) -> Cluster {
    let ids = 0..i32::try_from(BROKERS).expect("three");
    let mut spec = ClusterSpec::new(ids.clone().collect(), vec![TopicSpec::new(TOPIC, PARTITIONS)]);
    spec.settings = settings;
    let seats = ids
        .zip(0..)
        .map(|(id, node)| BrokerSeat::new(Broker::new(BrokerConfig::new(id, spec.clone())), node));
    let controller = Controller::new(spec.clone(), EPOCH_NS / 1_000_000);
    Brokers::new(seats.collect(), ControllerSeat::new(controller, BROKERS))
}

/// The brokers' nodes.
pub fn nodes() -> Rc<Vec<usize>> {
    Rc::new((0..BROKERS).collect())
}

pub fn run(records: usize, batch: usize) {
    let read = Rc::new(Cell::new(0));
    let producer: Program = Rc::new(move |node| {
        async move {
            let mut producer = SimLog::new(node, nodes(), clients()).producer();
            for sent in (0..records).step_by(batch) {
                let outcomes = producer.send(a_batch(sent / batch, batch)).await;
                assert!(outcomes.iter().all(Result::is_ok), "nothing fails here");
            }
            std::future::pending().await
        }
        .boxed_local()
    });
    let counted = read.clone();
    let consumer: Program = Rc::new(move |node| {
        let counted = counted.clone();
        async move {
            let mut consumer = SimLog::new(node, nodes(), clients()).consumer("readers", &[TOPIC]);
            loop {
                match consumer.poll().await {
                    LogEvent::Assigned(partitions) => {
                        partitions.iter().for_each(|(topic, partition)| consumer.seek(topic, *partition, 0));
                    }
                    LogEvent::Records { records, .. } => counted.set(counted.get() + records.len()),
                    LogEvent::Revoked(_) => {}
                    LogEvent::OutOfRange { .. } => unreachable!("nothing is deleted here"),
                }
            }
        }
        .boxed_local()
    });
    world(settings(), vec![producer, consumer], async |world| {
        while read.get() < records {
            world.until(world.now_ns() + SECOND_NS).await;
        }
    });
}

/// A batch for one partition.
fn a_batch(number: usize, size: usize) -> Vec<OutRecord> {
    let key = Bytes::copy_from_slice(&number.to_be_bytes());
    let value = Bytes::from_static(&[b'x'; RECORD_BYTES]);
    let record =
        OutRecord { topic: TOPIC, key, value, headers: Vec::new(), timestamp_ms: EPOCH_NS / 1_000_000 };
    vec![record; size]
}
