//! The behaviours of `kafka-suite` with librdkafka: one test each on every kind of brokers.
//!
//! `apache::...` runs on Apache Kafka, which `sim/kafka/tests/apache_kafka.sh` fetches and starts. Where there is no
//! Java or Maven, these tests are reported as ignored, loudly, and none as passed. Behaviours that stop brokers have
//! the cluster for themselves, all others share it.
#![expect(clippy::disallowed_methods, reason = "real servers need real time and threads")]

mod apache;
mod consumer;
mod errors;
mod producer;
mod servers;

use std::rc::Rc;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use kafka_suite::{Behaviour, Stage};
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::apache::Apache;
use crate::servers::{RealCluster, Servers, lacks_power};

/// Most of them wait, so there are more than cores.
const THREADS: usize = 6;

/// One kind of brokers: started for the first behaviour, and used by one that disturbs or by several that do not.
struct Ground {
    name: &'static str,
    start: fn() -> Result<Arc<dyn Servers>, String>,
    servers: OnceLock<Result<Arc<dyn Servers>, String>>,
    turn: RwLock<()>,
    lacks: fn(&Behaviour) -> Option<String>,
}

impl Ground {
    fn show(&self, behaviour: &'static Behaviour) -> Result<(), Failed> {
        let (_shared, _alone);
        if behaviour.disturbs() {
            _alone = self.turn.write().unwrap_or_else(PoisonError::into_inner);
        } else {
            _shared = self.turn.read().unwrap_or_else(PoisonError::into_inner);
        }
        let servers = self.servers.get_or_init(self.start).clone()?;
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let cluster = Rc::new(RealCluster::new(servers, self.lacks));
        let stage = Stage::new(cluster, format!("{}-{}", behaviour.name, std::process::id()));
        LocalSet::new().block_on(&runtime, (behaviour.run)(stage));
        Ok(())
    }
}

fn start_apache() -> Result<Arc<dyn Servers>, String> {
    let apache = Apache::start()?;
    eprintln!("Apache Kafka {}", apache.version);
    Ok(Arc::new(apache))
}

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let no_apache = if arguments.list { None } else { Apache::is_possible().err() };
    if let Some(error) = &no_apache {
        eprintln!("LOUD: no behaviour is judged on Apache Kafka: {error}");
    }
    let apache = Arc::new(Ground {
        name: "apache",
        start: start_apache,
        servers: OnceLock::new(),
        turn: RwLock::new(()),
        lacks: lacks_power,
    });
    let mut trials = Vec::new();
    for behaviour in kafka_suite::all() {
        let is_ignored = no_apache.is_some() || (apache.lacks)(behaviour).is_some();
        let ground = Arc::clone(&apache);
        let name = format!("{}::{}", ground.name, behaviour.name);
        trials.push(Trial::test(name, move || ground.show(behaviour)).with_ignored_flag(is_ignored));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Brokers end before the process does.
    drop(apache);
    conclusion.exit();
}
