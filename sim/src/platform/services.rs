//! The platform's services, by name: how each is made and what its process runs.

use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use host::ports::Ports;
use host::ports::store::Table;
use host::store_host::{HostSettings, tables_of as host_tables};
use host::{Edge, EdgeHost, Service, StoreHost};
use model::Calendar;
use scenario::Scenario;
use services::api_gateway::{self, ApiGateway};
use services::clearing::Clearing;
use services::ledger::Ledger;
use services::market_integration_gateway::MarketIntegrationGateway;
use services::notification::Notification;
use services::payment::Payment;
use services::position::Position;
use services::reference_data::ReferenceData;
use services::settlement::Settlement;
use services::trade::Trades;

use super::Platform;
use crate::adapters::http::SimHttp;
use crate::adapters::log::{KafkaClientSettings, SimLog};
use crate::adapters::process::{SimClock, SimEntropy, SimTasks};
use crate::adapters::store::SimStore;
use crate::sabotage::Saboteur;
use crate::sabotage::rules::Sabotable;
use crate::sabotage::service::Sabotaged;
use crate::world::node::{Node, Program};

/// Business settings of a run, from its scenario.
#[derive(Clone)]
pub struct Settings {
    calendar: &'static Calendar,
    kafka: KafkaClientSettings,
    saboteur: Rc<Saboteur>,
    max_carries: u32,
    reference_wait: Duration,
    rate_limit_per_second: u32,
    page_size: usize,
    unsettled_purchases_count: bool,
}

impl Settings {
    pub fn of(
        scenario: &Scenario,
        calendar: &'static Calendar,
        kafka: KafkaClientSettings,
        saboteur: Rc<Saboteur>,
    ) -> Self {
        let platform = &scenario.platform;
        Self {
            calendar,
            kafka,
            saboteur,
            max_carries: platform.max_carries,
            reference_wait: platform.reference_wait.0,
            rate_limit_per_second: platform.rate_limit_per_second,
            page_size: platform.page_size as usize,
            unsettled_purchases_count: platform.unsettled_purchases_count,
        }
    }

    fn trade(&self) -> Trades {
        Trades { reference_wait: self.reference_wait, ..Trades::default() }
    }

    fn gateway(&self) -> api_gateway::Settings {
        let requests_per_second = self.rate_limit_per_second;
        api_gateway::Settings { requests_per_second, burst: 2 * requests_per_second, ..Default::default() }
    }

    fn position(&self) -> Position {
        Position { unsettled_purchases_count: self.unsettled_purchases_count }
    }

    fn settlement(&self) -> Settlement {
        Settlement {
            page_size: self.page_size,
            max_carries: self.max_carries,
            ..Settlement::new(self.calendar)
        }
    }
}

/// The tables of a service's database.
pub fn tables_of(service: &str) -> Vec<&'static Table> {
    let calendar = Calendar::xnys();
    match service {
        "reference-data" => host_tables(&ReferenceData),
        "trade" => host_tables(&Trades::default()),
        "position" => host_tables(&Position::default()),
        "clearing" => host_tables(&Clearing::gross(calendar)),
        "settlement" => host_tables(&Settlement::new(calendar)),
        "ledger" => host_tables(&Ledger),
        "payment" => host_tables(&Payment::default()),
        "notification" => host_tables(&Notification),
        other => panic!("{other} has no database"),
    }
}

/// What the process of an instance runs. Programmer error for a name that is no service.
pub fn program(platform: &Platform, settings: &Settings, instance: &str) -> Program {
    let service = instance.split('/').next().expect("a split has a first part");
    let settings = settings.clone();
    match service {
        "api-gateway" => edge(platform, &settings.clone(), move || ApiGateway::new(settings.gateway())),
        "market-integration-gateway" => edge(platform, &settings, || MarketIntegrationGateway),
        "reference-data" => stored(platform, &settings, || ReferenceData),
        "trade" => stored(platform, &settings.clone(), move || settings.trade()),
        "position" => stored(platform, &settings.clone(), move || settings.position()),
        "clearing" => stored(platform, &settings.clone(), move || Clearing::gross(settings.calendar)),
        "settlement" => stored(platform, &settings.clone(), move || settings.settlement()),
        "ledger" => stored(platform, &settings, || Ledger),
        "notification" => stored(platform, &settings, || Notification),
        "payment" => stored(platform, &settings, Payment::default),
        other => panic!("there is no service {other}"),
    }
}

/// A service with a store of its own; with wrong rules, where the scenario plants some.
fn stored<S: Sabotable>(platform: &Platform, settings: &Settings, make: impl Fn() -> S + 'static) -> Program {
    let saboteur = settings.saboteur.clone();
    if saboteur.rules::<S>().is_empty() {
        return hosted(platform, settings, make);
    }
    hosted(platform, settings, move || Sabotaged::new(make(), saboteur.rules()))
}

fn hosted<S: Service>(platform: &Platform, settings: &Settings, make: impl Fn() -> S + 'static) -> Program {
    let database = platform.layout.database(S::NAME);
    let (layout, kafka, counters) = (platform.layout.clone(), settings.kafka, platform.counters.clone());
    let saboteur = settings.saboteur.clone();
    Rc::new(move |node| {
        let store = SimStore::new(node.clone(), database.clone());
        let log = SimLog::new(node.clone(), layout.brokers(), kafka);
        let http = SimHttp::new(node.clone(), layout.directory());
        let ports = saboteur.ports(&node.name, ports(&node, Rc::new(store), Rc::new(log), Rc::new(http)));
        let instance = node.name.clone();
        let host = StoreHost::new(make(), &instance, ports, HostSettings::default(), counters.clone());
        let run = host.clone().run();
        until_stopped(node, run, move || host.shut_down()).boxed_local()
    })
}

fn edge<E: Edge>(platform: &Platform, settings: &Settings, make: impl Fn() -> E + 'static) -> Program {
    let (layout, kafka) = (platform.layout.clone(), settings.kafka);
    let saboteur = settings.saboteur.clone();
    Rc::new(move |node| {
        // A gateway has neither store nor log; its host never asks for them.
        let store = SimStore::new(node.clone(), layout.database("trade"));
        let log = SimLog::new(node.clone(), layout.brokers(), kafka);
        let http = SimHttp::new(node.clone(), layout.directory());
        let ports = ports(&node, Rc::new(store), Rc::new(log), Rc::new(http));
        let instance = node.name.clone();
        let ports = saboteur.ports(&instance, ports);
        let host = EdgeHost::new(make(), &instance, ports);
        let run = host.clone().run();
        until_stopped(node, run, move || host.shut_down()).boxed_local()
    })
}

/// Runs a host until its process is asked to stop, and then until it has come to its end.
async fn until_stopped(node: Node, run: impl Future<Output = ()>, shut_down: impl FnOnce()) {
    let mut run = std::pin::pin!(run.fuse());
    futures::select_biased! {
        () = run => return,
        () = node.asked_to_stop().fuse() => shut_down(),
    }
    run.await
}

fn ports(node: &Node, store: Rc<SimStore>, log: Rc<SimLog>, http: Rc<SimHttp>) -> Ports {
    Ports {
        clock: Rc::new(SimClock(node.clone())),
        tasks: Rc::new(SimTasks(node.clone())),
        entropy: Rc::new(SimEntropy::new(node)),
        store,
        log,
        http,
    }
}
