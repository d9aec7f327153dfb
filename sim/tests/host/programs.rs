//! What the nodes of the small world run.

use std::cell::Cell;
use std::rc::Rc;

use futures::FutureExt;
use host::ports::{Http, Ports};
use host::store_host::HostCounters;
use host::{HostSettings, StoreHost};
use kafka::{Broker, BrokerConfig, ClusterSpec, Controller, TopicSpec};
use sim::adapters::http::{Directory, SimHttp};
use sim::adapters::log::{KafkaClientSettings, SimLog};
use sim::adapters::process::{SimClock, SimEntropy, SimTasks};
use sim::adapters::store::SimStore;
use sim::nodes::broker::{self, BrokerSeat, Brokers, Cluster};
use sim::nodes::controller::ControllerSeat;
use sim::nodes::database::{self, Database};
use sim::sabotage::Odds;
use sim::sabotage::ports::planted;
use sim::world::node::{Node, Program};

use crate::bench::{KAFKA, POSTGRES, STANDBY};
use crate::counter::Counter;
use crate::outside::Outside;
use crate::sabotage::{Lie, Sabotage, SabotagedHttp, SabotagedLog, SabotagedStore};

pub fn cluster() -> Cluster {
    let topics = contracts::TOPICS.iter().map(|topic| TopicSpec::new(topic.name, topic.partitions)).collect();
    let spec = ClusterSpec::new(vec![0], topics);
    let broker = Broker::new(BrokerConfig::new(0, spec.clone()));
    // A broker without peers asks nothing of its controller.
    let controller = ControllerSeat::new(Controller::new(spec, 0), KAFKA);
    Brokers::new(vec![BrokerSeat::new(broker, KAFKA)], controller)
}

pub fn broker(cluster: &Cluster) -> Program {
    let cluster = cluster.clone();
    Rc::new(move |node| broker::run(node, cluster.clone(), KAFKA).boxed_local())
}

pub fn primary(database: &Rc<Database>) -> Program {
    let database = database.clone();
    Rc::new(move |node| database::run(node, database.clone(), 0).boxed_local())
}

pub fn outside_program(directory: &Directory, outside: &Rc<Outside>) -> Program {
    let (directory, outside) = (directory.clone(), outside.clone());
    Rc::new(move |node| {
        let (http, outside) = (SimHttp::new(node.clone(), directory.clone()), outside.clone());
        async move {
            loop {
                let incoming = http.accept().await;
                if let Some(response) = outside.answer(node.world.now_ns(), &incoming.request) {
                    (incoming.respond)(response);
                }
            }
        }
        .boxed_local()
    })
}

pub fn sim_log(node: &Node) -> SimLog {
    let settings = KafkaClientSettings {
        fetch_max_wait_ms: 500,
        heartbeat_interval_ms: 3_000,
        session_timeout_ms: 10_000,
        ..KafkaClientSettings::default()
    };
    SimLog::new(node.clone(), Rc::new(vec![KAFKA]), settings)
}

/// What a host is made of.
pub struct HostProgram {
    pub directory: Directory,
    pub settings: HostSettings,
    pub counters: Rc<HostCounters>,
    pub cured: Rc<Cell<bool>>,
    pub sabotage: Rc<Sabotage>,
}

impl HostProgram {
    pub fn program(self) -> Program {
        Rc::new(move |node| {
            let counter = Counter { cured: self.cured.clone() };
            let ports = self.ports(&node);
            let host =
                StoreHost::new(counter, &node.name, ports, self.settings.clone(), self.counters.clone());
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

    fn ports(&self, node: &Node) -> Ports {
        let (clock, sabotage) = (Rc::new(SimClock(node.clone())), self.sabotage.clone());
        let store = Rc::new(SimStore::new(node.clone(), [POSTGRES, STANDBY].into()));
        let log = Rc::new(sim_log(node));
        let http = Rc::new(SimHttp::new(node.clone(), self.directory.clone()));
        let owned = Rc::default();
        let ports = Ports {
            clock: clock.clone(),
            tasks: Rc::new(SimTasks(node.clone())),
            entropy: Rc::new(SimEntropy::new(node)),
            store: Rc::new(SabotagedStore { store, sabotage: sabotage.clone(), owned }),
            log: Rc::new(SabotagedLog { log, clock, sabotage: sabotage.clone() }),
            http: Rc::new(SabotagedHttp { http, sabotage }),
        };
        match self.sabotage.lie.get() {
            Some(Lie::Habit(habit)) => with_habit(habit, ports),
            _ => ports,
        }
    }
}

fn with_habit(name: &str, ports: Ports) -> Ports {
    let habit = scenario::Sabotage { habit: name.to_owned(), ..scenario::Sabotage::default() };
    planted(&habit, &Odds::new(1), ports)
}
