//! A cluster that nobody uses: three brokers, and twenty consumers that wait.

use std::cell::Cell;
use std::rc::Rc;

use futures::FutureExt;
use host::ports::{Log, LogEvent};
use kafka::ClusterSettings;
use sim::adapters::log::{KafkaClientSettings, SimLog};
use sim::world::node::Program;

use crate::ours::{self, TOPIC, nodes};

const CONSUMERS: usize = 20;
const GROUPS: usize = 10;

/// Settings of brokers and of clients.
pub type Profile = (ClusterSettings, KafkaClientSettings);

type MakeProfile = fn() -> Profile;

/// The scenarios' profile and Kafka's own, with the simulated hours that each is measured over.
pub const PROFILES: &[(&str, MakeProfile, f64)] =
    &[("profile of scenarios", scenarios, 240.0), ("Kafka's defaults", kafkas, 4.0)];

fn scenarios() -> Profile {
    (ours::settings(), ours::clients())
}

fn kafkas() -> Profile {
    let settings = ClusterSettings { default_replication_factor: 3, ..ClusterSettings::default() };
    let clients = KafkaClientSettings {
        fetch_max_wait_ms: 500,
        heartbeat_interval_ms: 3_000,
        session_timeout_ms: 45_000,
        ..KafkaClientSettings::default()
    };
    (settings, clients)
}

/// What happened in each simulated second.
#[derive(Clone, Copy, Default)]
pub struct Pulse {
    pub messages: f64,
    /// Messages delivered, and alarms.
    pub wakeups: f64,
}

pub fn run((settings, clients): Profile, hours: f64) -> Pulse {
    let pulse = Cell::new(Pulse::default());
    let consumer = |number: usize| -> Program {
        Rc::new(move |node| {
            async move {
                let group = format!("group-{}", number % GROUPS);
                let mut consumer = SimLog::new(node, nodes(), clients).consumer(&group, &[TOPIC]);
                loop {
                    if let LogEvent::Assigned(partitions) = consumer.poll().await {
                        partitions.iter().for_each(|(topic, at)| consumer.seek(topic, *at, 0));
                    }
                }
            }
            .boxed_local()
        })
    };
    ours::world(settings, (0..CONSUMERS).map(consumer).collect(), async |world| {
        world.until(world.now_ns() + (hours * 3.6e12) as i64).await;
        let a_second = |count: u64| count as f64 / (hours * 3_600.0);
        let (messages, wakeups) = (world.network.messages(), world.agenda.wakeups());
        pulse.set(Pulse { messages: a_second(messages), wakeups: a_second(wakeups) });
    });
    pulse.get()
}
