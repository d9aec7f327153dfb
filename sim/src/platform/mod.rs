//! The platform on its nodes: brokers, databases, services, outside parties and clients of one run.

mod kafka_cluster;
pub mod layout;
pub mod seeds;
pub mod services;

pub use kafka_cluster::profile as kafka_profile;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use futures::FutureExt;
use host::store_host::HostCounters;
use host::store_host::tables::INPUTS;
use kafka::TopicPartition;
use model::Calendar;
use outside::bank::{Bank, BankSettings};
use outside::plan::Plan;
use outside::venue::{Venue, VenueSettings};
use outside::{Draw, IdentityProvider, Party, Troubled, Troubles, Webhooks};
use postgres::{Server, ServerRole, SynchronousCommit};
use scenario::Scenario;

use self::layout::{CONTROLLER, Layout};
use crate::nodes::broker::Cluster;
use crate::nodes::client::Progress;
use crate::nodes::database::Database;
use crate::nodes::outside::Books;
use crate::nodes::{broker, client, controller, database, outside as party};
use crate::sabotage::Saboteur;
use crate::world::World;
use crate::world::clock::NodeClock;
use crate::world::network::NodeIndex;
use crate::world::node::Program;
use crate::world::rng::Rng;

/// Furthest that a service's clock is off at the start, nanoseconds.
const CLOCK_OFFSET_NS: i64 = 20_000_000;
/// Furthest that a database's clock is behind. Never ahead: then batches could start too early.
const DATABASE_BEHIND_NS: i64 = 10_000_000;
/// Largest drift of a clock, parts per billion.
const DRIFT_PPB: i64 = 200;

/// Everything of a run that outlives its processes.
pub struct Platform {
    pub layout: Rc<Layout>,
    pub databases: BTreeMap<&'static str, Rc<Database>>,
    pub cluster: Cluster,
    pub bank: Rc<RefCell<Bank>>,
    /// What troubles each outside party, by its name.
    pub troubles: BTreeMap<&'static str, Troubles>,
    pub clients: Rc<Progress>,
    pub counters: Rc<HostCounters>,
    /// Whether messages that cannot be decoded may be left at rest.
    leaves_dead_letters: bool,
}

impl Draw for Rng {
    fn next_u64(&mut self) -> u64 {
        Rng::next_u64(self)
    }
}

/// Builds all nodes, seeds the stores, tells the opening facts and starts everything.
pub fn start(world: &Rc<World>, scenario: &Scenario, plan: Plan, calendar: &'static Calendar) -> Platform {
    let layout = Rc::new(Layout::of(scenario, &plan));
    let databases = databases(&layout, scenario);
    let opening = seeds::seed(&databases, &plan, calendar);
    let cluster = kafka_cluster::cluster(world, &layout, scenario);
    let mut streams = |label: &str| Box::new(world.rng(label)) as Box<dyn Draw>;
    let bank = Bank::new(plan.world.bank_accounts(), BankSettings::default(), &mut streams);
    let platform = Platform {
        databases,
        cluster,
        bank: Rc::new(RefCell::new(bank)),
        troubles: layout::OUTSIDE.iter().map(|party| (*party, Troubles::new())).collect(),
        clients: Rc::new(Progress::of(&plan)),
        counters: Rc::default(),
        leaves_dead_letters: scenario.check.dead_letters,
        layout,
    };
    let plan = Rc::new(plan);
    for name in platform.layout.names() {
        let program = program(&platform, world, scenario, &plan, calendar, name);
        let node = world.add_node(name, clock_of(world, name), program);
        assert_eq!(node, platform.layout.index(name), "nodes are made in the order of the layout");
    }
    plan.world.opening_facts().iter().chain(&opening).for_each(|fact| world.tell_world(fact));
    platform
}

fn clock_of(world: &World, name: &str) -> NodeClock {
    let mut rng = world.rng(&format!("clock/{name}"));
    let drift_ppb = rng.between(-DRIFT_PPB, DRIFT_PPB);
    match name.split('/').next() {
        Some("postgres") => NodeClock {
            offset_ns: -rng.between(0, DATABASE_BEHIND_NS),
            drift_ppb: -drift_ppb.abs(),
            since: 0,
        },
        _ => NodeClock { offset_ns: rng.between(-CLOCK_OFFSET_NS, CLOCK_OFFSET_NS), drift_ppb, since: 0 },
    }
}

fn databases(layout: &Layout, scenario: &Scenario) -> BTreeMap<&'static str, Rc<Database>> {
    let settings = database_settings(scenario);
    let database = |service: &'static str| {
        let server = |(place, node): (usize, &NodeIndex)| {
            let role = if place == 0 { ServerRole::Primary } else { ServerRole::Standby };
            let server = Server::new(settings.clone(), role, services::tables_of(service));
            (Rc::new(RefCell::new(server)), *node)
        };
        let nodes = layout.database(service);
        let waits = scenario.topology.postgres.synchronous_standby;
        Database::new(service, nodes.iter().enumerate().map(server), waits)
    };
    layout.databases().iter().map(|service| (*service, database(service))).collect()
}

/// The scenario's settings, by PostgreSQL's names.
fn database_settings(scenario: &Scenario) -> postgres::Settings {
    let topology = &scenario.topology.postgres;
    let synchronous_commit = match topology.synchronous_commit.as_str() {
        "off" => SynchronousCommit::Off,
        "local" => SynchronousCommit::Local,
        "remote_write" => SynchronousCommit::RemoteWrite,
        "remote_apply" => SynchronousCommit::RemoteApply,
        _ => SynchronousCommit::On,
    };
    let settings = if topology.synchronous_standby {
        postgres::Settings::default()
    } else {
        postgres::Settings::alone()
    };
    postgres::Settings { synchronous_commit, ..settings }
}

/// What the node of this name runs.
fn program(
    platform: &Platform,
    world: &Rc<World>,
    scenario: &Scenario,
    plan: &Rc<Plan>,
    calendar: &'static Calendar,
    name: &str,
) -> Program {
    let directory = platform.layout.directory();
    match name.split('/').collect::<Vec<_>>()[..] {
        ["kafka", number] => {
            let number: usize = number.parse().expect("brokers are numbered");
            // Nodes count from 1, Kafka's own broker ids from 0.
            let (cluster, place) = (platform.cluster.clone(), number - 1);
            Rc::new(move |node| broker::run(node, cluster.clone(), place).boxed_local())
        }
        [CONTROLLER] => {
            let cluster = platform.cluster.clone();
            Rc::new(move |node| controller::run(node, cluster.clone()).boxed_local())
        }
        ["postgres", service, role] => database_program(platform, service, role),
        ["bank"] => party_program(platform, world, "bank", platform.bank.clone()),
        ["venue"] => {
            let dates = seeds::venue_dates(plan, calendar);
            let venue = Venue::new(calendar, &dates, VenueSettings::default());
            party_program(platform, world, "venue", venue)
        }
        ["identity"] => party_program(platform, world, "identity", identity(world, plan)),
        ["webhooks"] => party_program(platform, world, "webhooks", Webhooks::new()),
        ["client", id] => {
            let (plan, id, progress) = (plan.clone(), id.to_owned(), platform.clients.clone());
            let identity = Rc::new(identity(world, &plan));
            Rc::new(move |node| {
                let (directory, plan, progress) = (directory.clone(), plan.clone(), progress.clone());
                client::run(node, directory, plan, id.clone(), identity.clone(), progress).boxed_local()
            })
        }
        _ => {
            let saboteur = Saboteur::of(world, scenario);
            let settings =
                services::Settings::of(scenario, calendar, kafka_cluster::clients(scenario), saboteur);
            services::program(platform, &settings, name)
        }
    }
}

/// A party, and what troubles it.
fn party_program<P: Party + 'static>(
    platform: &Platform,
    world: &World,
    name: &'static str,
    party: P,
) -> Program {
    let troubles = platform.troubles[name].clone();
    let draw = Box::new(world.rng(&format!("trouble/{name}")));
    let books: Books = Rc::new(RefCell::new(Troubled::new(party, troubles.clone(), draw)));
    let directory = platform.layout.directory();
    Rc::new(move |node| party::run(node, directory.clone(), books.clone(), troubles.clone()).boxed_local())
}

fn database_program(platform: &Platform, service: &str, role: &str) -> Program {
    let database = platform.databases[service].clone();
    let seat = usize::from(role != "primary");
    Rc::new(move |node| database::run(node, database.clone(), seat).boxed_local())
}

fn identity(world: &World, plan: &Plan) -> IdentityProvider {
    let mut rng = world.rng("identity/key");
    let mut seed = [0; 32];
    seed.chunks_exact_mut(8).for_each(|chunk| chunk.copy_from_slice(&rng.next_u64().to_le_bytes()));
    IdentityProvider::new(seed, IdentityProvider::TOKEN_LIFETIME, plan.world.clients())
}

impl Platform {
    /// What is not done in the platform's own machinery, by name and reason; at most a few of each kind.
    pub fn pending(&self) -> Vec<invariants::Pending> {
        let mut pending = self.clients.pending();
        for (service, database) in &self.databases {
            let server = database.primary();
            let server = server.borrow();
            for (table, what) in QUEUES {
                let rows =
                    server.rows(table).filter(|row| *table != "outbox" || row[10].as_int() == 0).count();
                let is_expected = self.leaves_dead_letters && *table == "dead_letters";
                if rows > 0 && !is_expected {
                    let what = format!("{service}: {what}");
                    pending.push(invariants::Pending { what, why: format!("{rows} rows in `{table}`") });
                }
            }
            let unread = self.unread(service, &server);
            if unread > 0 {
                let what = format!("{service}: messages to take in");
                pending.push(invariants::Pending {
                    what,
                    why: format!("{unread} records behind its positions"),
                });
            }
        }
        pending
    }

    /// How many records of its topics a service has not taken in.
    fn unread(&self, service: &str, server: &Server) -> i64 {
        let positions: BTreeMap<(&str, i64), i64> = server
            .rows(INPUTS.name)
            .map(|row| ((row[0].as_text(), row[1].as_int()), row[2].as_int()))
            .collect();
        let topics = contracts::TOPICS.iter().filter(|topic| topic.consumers.contains(&service));
        let partitions = topics.flat_map(|topic| (0..topic.partitions).map(|number| (topic.name, number)));
        let behind = partitions.map(|(topic, number)| {
            let end = self.end_of(&TopicPartition::new(topic, number));
            let next = positions.get(&(topic, i64::from(number))).copied().unwrap_or(0);
            (end - next).max(0)
        });
        behind.sum()
    }

    /// Where the log of a partition ends, by its leader.
    fn end_of(&self, at: &TopicPartition) -> i64 {
        let range = self.cluster.leader_of(at).and_then(|seat| seat.broker.borrow().log_range(at));
        range.map_or(0, |(_, end)| end)
    }
}

/// Tables of work that must be empty at rest (of the outbox: its unsent rows).
const QUEUES: &[(&str, &str)] = &[
    ("outbox", "messages to publish"),
    ("effects", "calls to outside parties"),
    ("parked", "messages whose predecessors are missing"),
    ("dead_letters", "messages that cannot be decoded"),
];
