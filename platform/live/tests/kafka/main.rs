//! The behaviours of `kafka-suite` with librdkafka: one test each on every kind of brokers.
//!
//! `ours::...` runs on our brokers over TCP. `apache::...` runs on Apache Kafka, which `sim/kafka/tests/apache_kafka.sh`
//! fetches and starts. Where there is no Java or Maven, these tests are reported as ignored, loudly, and none as passed.
//! Behaviours that stop brokers have the cluster for themselves, all others share it. A random workload's history is judged on
//! both.
#![expect(clippy::disallowed_methods, reason = "real servers need real time and threads")]

mod apache;
mod consumer;
mod errors;
mod log_port;
mod ours;
mod producer;
mod servers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use futures::future::LocalBoxFuture;
use kafka_suite::history::{Plan, check, workload};
use kafka_suite::{Kind, Stage};
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::apache::Apache;
use crate::ours::Ours;
use crate::servers::{RealCluster, Servers};

/// Most of them wait, so there are more than cores.
const THREADS: usize = 6;

/// One kind of brokers: started for the first behaviour, and used by one that disturbs or by several that do not.
struct Ground {
    kind: Kind,
    name: &'static str,
    servers: OnceLock<Result<Arc<dyn Servers>, String>>,
    turn: RwLock<()>,
}

impl Ground {
    fn new(kind: Kind, name: &'static str) -> Arc<Ground> {
        Arc::new(Ground { kind, name, servers: OnceLock::new(), turn: RwLock::new(()) })
    }

    fn start(&self) -> Result<Arc<dyn Servers>, String> {
        match self.kind {
            Kind::Apache => {
                let apache = Apache::start()?;
                eprintln!("Apache Kafka {}", apache.version);
                Ok(Arc::new(apache))
            }
            _ => Ok(Arc::new(Ours::start()?)),
        }
    }

    fn show(
        &self,
        name: &str,
        disturbs: bool,
        run: impl FnOnce(Stage, String) -> LocalBoxFuture<'static, ()>,
    ) -> Result<(), Failed> {
        let (_shared, _alone);
        if disturbs {
            _alone = self.turn.write().unwrap_or_else(PoisonError::into_inner);
        } else {
            _shared = self.turn.read().unwrap_or_else(PoisonError::into_inner);
        }
        let servers = self.servers.get_or_init(|| self.start()).clone()?;
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let bootstrap_servers = bootstrap(servers.addresses());
        let cluster = Rc::new(RealCluster::new(servers));
        let stage = Stage::new(cluster, format!("{name}-{}", std::process::id()));
        LocalSet::new().block_on(&runtime, run(stage, bootstrap_servers));
        Ok(())
    }

    fn trials(self: &Arc<Ground>, is_absent: bool) -> Vec<Trial> {
        let mut trials = Vec::new();
        for behaviour in kafka_suite::all() {
            let ground = Arc::clone(self);
            let is_ignored = is_absent || self.kind.lacks(behaviour).is_some();
            let show =
                move || ground.show(behaviour.name, behaviour.disturbs(), |stage, _| (behaviour.run)(stage));
            trials.push(
                Trial::test(format!("{}::{}", self.name, behaviour.name), show).with_ignored_flag(is_ignored),
            );
        }
        let more: [(&str, Show); 2] = [
            ("a_random_history_has_no_anomaly", |stage, _| Box::pin(random_history(stage))),
            ("the_log_port_reads_what_it_wrote", |stage, servers| Box::pin(log_port::run(stage, servers))),
        ];
        for (test, run) in more {
            let ground = Arc::clone(self);
            let name = format!("{}::{test}", self.name);
            trials
                .push(Trial::test(name, move || ground.show(test, false, run)).with_ignored_flag(is_absent));
        }
        trials
    }
}

/// What is shown on a stage, told its bootstrap servers.
type Show = fn(Stage, String) -> LocalBoxFuture<'static, ()>;

fn bootstrap(addresses: &BTreeMap<i32, SocketAddr>) -> String {
    let servers: Vec<String> = addresses.values().map(SocketAddr::to_string).collect();
    servers.join(",")
}

async fn random_history(stage: Stage) {
    let history = workload(&stage, Plan { processes: 3, partitions: 3, transactions: 30 }).await;
    assert_eq!(check(&history), []);
    assert!(history.logs.values().flatten().count() > 50, "it says something");
}

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let no_apache = if arguments.list { None } else { Apache::is_possible().err() };
    if let Some(error) = &no_apache {
        eprintln!("LOUD: no behaviour is judged on Apache Kafka: {error}");
    }
    let grounds = [Ground::new(Kind::Tcp, "ours"), Ground::new(Kind::Apache, "apache")];
    let (ours, apache) = (grounds[0].trials(false), grounds[1].trials(no_apache.is_some()));
    // By turns, so that who waits for the one does not keep the other waiting.
    let trials = ours.into_iter().zip(apache).flat_map(|(ours, apache)| [ours, apache]).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Brokers end before the process does.
    drop(grounds);
    conclusion.exit();
}
