//! A small world: a broker, a database with its standby, two hosts of the counter, somebody outside, a client.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use contracts::events::PaymentEvent;
use contracts::events::notification_stored::Event;
use contracts::stored::Payload;
use contracts::{Headers, Message, topics};
use futures::FutureExt;
use host::ports::{Http, HttpError, Log, OutRecord, Ports};
use host::store_host::{HostCounters, tables_of};
use host::{HostSettings, StoreHost};
use http::{Request, Response, StatusCode};
use invariants::{Fact, Record};
use kafka::{Broker, BrokerConfig, ClusterSpec, TopicSpec};
use madsim::runtime::Runtime;
use postgres::{Server, ServerRole, Settings};
use serde_json::Value;
use sim::adapters::http::{Directory, SimHttp};
use sim::adapters::log::{KafkaClientSettings, SimLog};
use sim::adapters::process::{SimClock, SimEntropy, SimTasks};
use sim::adapters::store::SimStore;
use sim::nodes::broker::{self, BrokerSeat, Cluster};
use sim::nodes::database::{self, Database, Disk};
use sim::runner::pool::{self, Ended};
use sim::world::clock::NodeClock;
use sim::world::network::{Links, NodeIndex};
use sim::world::node::{Node, Program};
use sim::world::trace::Watcher;
use sim::world::{World, WorldSettings};

use crate::counter::{Counter, added};

const KAFKA: NodeIndex = 0;
pub const POSTGRES: NodeIndex = 1;
pub const HOSTS: [NodeIndex; 2] = [2, 3];
const OUTSIDE: NodeIndex = 4;
const CLIENT: NodeIndex = 5;
const STANDBY: NodeIndex = 6;

/// Noon of 2026-03-06 UTC.
const EPOCH_NS: i64 = 1_772_798_400_000_000_000;

pub struct Bench {
    pub world: Rc<World>,
    pub outside: Rc<Outside>,
    /// By host.
    pub counters: [Rc<HostCounters>; 2],
    disk: Disk,
    log: SimLog,
    http: SimHttp,
    seen: Rc<RefCell<Seen>>,
}

/// An input position.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    pub next: i64,
    pub claim: i64,
}

/// What the trace told.
#[derive(Default)]
struct Seen {
    panics: Vec<String>,
    /// Messages of the counter, each once, in the order in which they came.
    published: Vec<String>,
    /// Source and sequence of all of them.
    visible: Vec<(String, u64)>,
}

struct Watch(Rc<RefCell<Seen>>);

impl Watcher for Watch {
    fn see(&mut self, record: &Record<'_>) {
        let mut seen = self.0.borrow_mut();
        match record.fact {
            Fact::NodePanicked { message } => seen.panics.push(format!("{}: {message}", record.node)),
            Fact::Visible(visible) => {
                if let (Some(Message::NotificationEvent(event)), Some(headers)) =
                    (&visible.message, &visible.headers)
                {
                    let place = (headers.source.clone(), headers.sequence);
                    if !seen.visible.contains(&place) {
                        seen.published.push(event.notice_id.clone());
                    }
                    seen.visible.push(place);
                }
            }
            _ => {}
        }
    }
}

/// Runs a test in a world with so many hosts, on a thread of its own.
#[track_caller]
pub fn run(hosts: usize, test: impl AsyncFnOnce(Bench) + Send + 'static) {
    run_with(hosts, HostSettings::default(), test);
}

#[track_caller]
pub fn run_with(hosts: usize, settings: HostSettings, test: impl AsyncFnOnce(Bench) + Send + 'static) {
    let finished = pool::alone(move || {
        Runtime::with_seed_and_config(1, madsim::Config::default()).block_on(async {
            let bench = Bench::start(hosts, settings).await;
            let seen = bench.seen.clone();
            test(bench).await;
            assert_eq!(seen.borrow().panics, [""; 0]);
        });
    });
    if let Ended::Panicked(why) = finished.ended {
        panic!("{why}");
    }
}

impl Bench {
    async fn start(hosts: usize, settings: HostSettings) -> Self {
        let links = Links { base_ns: 100_000, jitter_ns: 200_000 };
        let world = World::new(&WorldSettings { seed: 1, epoch_ns: EPOCH_NS, links });
        let seen = Rc::new(RefCell::new(Seen::default()));
        world.trace.watch(Box::new(Watch(seen.clone())));
        // Whoever is outside is also where the messages come from.
        let outsiders = ["outside", "payment"].map(|name| (name, vec![OUTSIDE]));
        let parties = [("notification", HOSTS[..hosts].to_vec())].into_iter().chain(outsiders);
        let directory: Directory = Rc::new(parties.map(|(name, nodes)| (name.to_owned(), nodes)).collect());
        let tables = tables_of(&Counter);
        let server = |role| Rc::new(RefCell::new(Server::new(Settings::default(), role, tables.clone())));
        let (disk, standby) = (server(ServerRole::Primary), server(ServerRole::Standby));
        let seats = [(disk.clone(), POSTGRES), (standby, STANDBY)];
        // Its events are those of a service whose stored events are known.
        let database = Database::new("notification", seats, true);
        let outside = Rc::new(Outside::default());
        let counters = [Rc::<HostCounters>::default(), Rc::default()];
        let client: Rc<RefCell<Option<Node>>> = Rc::default();

        let mut programs: Vec<(&str, Program)> =
            vec![("kafka/0", broker()), ("postgres/counter", primary(&database))];
        for (place, name) in ["notification/1", "notification/2"].into_iter().enumerate() {
            let alive = place < hosts;
            let host = host_program(&directory, &settings, counters[place].clone());
            programs
                .push((name, if alive { host } else { Rc::new(|_| std::future::pending().boxed_local()) }));
        }
        programs.push(("outside", outside_program(&directory, &outside)));
        programs.push(("client", {
            let client = client.clone();
            Rc::new(move |node| {
                *client.borrow_mut() = Some(node);
                std::future::pending().boxed_local()
            })
        }));
        programs.push(("postgres/counter/standby", {
            Rc::new(move |node| database::run(node, database.clone(), 1).boxed_local())
        }));
        for (index, (name, program)) in programs.into_iter().enumerate() {
            assert_eq!(world.add_node(name, NodeClock::default(), program), index);
        }
        assert_eq!(world.node_names()[CLIENT].as_ref(), "client");
        assert_eq!(world.node_names()[STANDBY].as_ref(), "postgres/counter/standby");
        // Groups form, the lease is taken.
        world.until(EPOCH_NS + 10_000_000_000).await;
        let client = client.borrow().clone().expect("every node has started by now");
        let log = sim_log(&client);
        let http = SimHttp::new(client, directory);
        Self { world, outside, counters, disk, log, http, seen }
    }

    pub async fn wait_us(&self, us: u64) {
        self.world.until(self.world.now_ns() + i64::try_from(us * 1_000).expect("short")).await;
    }

    /// Waits until it is so, and a moment longer: then it is still so.
    #[track_caller]
    pub fn eventually(&self, seconds: u64, what: &str, is_so: impl Fn() -> bool) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            for _ in 0..seconds * 10 {
                if is_so() {
                    self.wait_us(1_000_000).await;
                    assert!(is_so(), "{place}: {what}: no longer so. {}", self.state());
                    return;
                }
                self.wait_us(100_000).await;
            }
            panic!("{place}: {what}: not within {seconds} s. {}", self.state());
        }
    }

    fn state(&self) -> String {
        let parked = self.rows("parked");
        format!("taken {:?}, parked {parked}, published {:?}", self.taken(), self.published())
    }

    async fn call(&self, request: Request<Bytes>) -> (u16, Value) {
        self.try_call(request).await.expect("an instance is there")
    }

    async fn try_call(&self, request: Request<Bytes>) -> Result<(u16, Value), HttpError> {
        let response = self.http.call("notification", request, Duration::from_secs(60)).await?;
        let body = serde_json::from_slice(response.body()).expect("answers are JSON");
        Ok((response.status().as_u16(), body))
    }

    /// Sends a command: status and body of the answer.
    pub async fn post(&self, what: &str, key: &str, body: &Value) -> (u16, Value) {
        self.call(command(what, key, body)).await
    }

    /// The same, again and again while there is no answer, or one that says to come again.
    pub async fn post_until_decided(&self, what: &str, key: &str, body: &Value) -> (u16, Value) {
        loop {
            match self.try_call(command(what, key, body)).await {
                Ok(answer) if answer.0 != 503 => return answer,
                _ => self.wait_us(1_000_000).await,
            }
        }
    }

    /// Asks a host to end and waits until it has. How long it took, seconds.
    pub async fn stop(&self, host: NodeIndex) -> u64 {
        let begun = self.world.now_ns();
        self.world.ask_to_stop(host, 0);
        while self.world.is_running(host) {
            self.wait_us(10_000).await;
        }
        (self.world.now_ns() - begun).unsigned_abs() / 1_000_000_000
    }

    /// What a consumer with a gap asks for.
    pub async fn republish(&self, wanted: &Value) -> (u16, Value) {
        let request = Request::post("/host/v1/republications").body(Bytes::from(wanted.to_string()));
        self.call(request.expect("a plain request")).await
    }

    pub async fn get(&self, what: &str) -> (u16, Value) {
        let request = Request::get(format!("/api/v1/{what}")).body(Bytes::new());
        self.call(request.expect("a plain request")).await
    }

    /// What a client reads.
    pub async fn value(&self, name: &str) -> u64 {
        loop {
            match self.get(&format!("counters/{name}")).await {
                // A database that has just started still recovers.
                (503, _) => self.wait_us(100_000).await,
                (_, body) => return body["value"].as_u64().expect("a number"),
            }
        }
    }

    /// Puts messages into the log, as another service's relay would: each of a source stream with a sequence number,
    /// which is also what it adds to the counter of the stream's name.
    pub async fn send(&self, messages: &[(&str, u64)]) {
        let records = messages.iter().map(|(stream, sequence)| {
            let amount = sequence.to_string();
            let event = PaymentEvent { debtor: (*stream).to_owned(), amount, ..PaymentEvent::default() };
            record(stream, *sequence, Message::from(event).encode())
        });
        self.append(records.collect()).await;
    }

    /// The same, with a payload that is no message.
    pub async fn send_unreadable(&self, stream: &str, sequence: u64) {
        self.append(vec![record(stream, sequence, Bytes::from_static(b"\xff\xff"))]).await;
    }

    async fn append(&self, records: Vec<OutRecord>) {
        let sent = self.log.producer().send(records).await;
        assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    }

    /// How many rows a table has.
    pub fn rows(&self, table: &str) -> usize {
        self.disk.borrow().rows(table).count()
    }

    /// The last sequence taken in of each source stream.
    pub fn taken(&self) -> Vec<(&'static str, u64)> {
        const STREAMS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "x", "y"];
        let disk = self.disk.borrow();
        let last = |stream: &str| {
            let source = format!("payment/{stream}");
            let row = disk.rows("last_sequences").find(|row| row[0].as_text() == source)?;
            Some(row[2].as_int().unsigned_abs())
        };
        STREAMS.into_iter().filter_map(|stream| Some((stream, last(stream)?))).collect()
    }

    fn events(&self, name: &str) -> Vec<(i64, Event)> {
        let stream = format!("counter/{name}");
        let disk = self.disk.borrow();
        let of = disk.rows("events").filter(|row| row[0].as_text() == stream);
        let mut events: Vec<(i64, Event)> = of
            .map(|row| {
                let event = Event::decode(row[2].as_bytes().clone()).expect("the counter wrote it");
                (row[1].as_int(), event)
            })
            .collect();
        events.sort_by_key(|(version, _)| *version);
        events
    }

    /// Versions of the events of a counter.
    pub fn versions(&self, name: &str) -> Vec<i64> {
        self.events(name).into_iter().map(|(version, _)| version).collect()
    }

    /// What was added to a counter, in order.
    pub fn added(&self, name: &str) -> Vec<u64> {
        self.events(name).iter().filter_map(|(_, event)| added(event)).collect()
    }

    /// The values that the counter published.
    pub fn published(&self) -> Vec<String> {
        self.seen.borrow().published.clone()
    }

    /// Sequence numbers of a counter's messages, as often as the log has them.
    pub fn visible(&self, name: &str) -> Vec<u64> {
        let source = format!("notification/counter/{name}");
        let seen = self.seen.borrow();
        seen.visible.iter().filter(|(from, _)| *from == source).map(|(_, sequence)| *sequence).collect()
    }

    pub fn decisions(&self) -> u64 {
        self.counters.iter().map(|host| host.decisions.get()).sum()
    }

    /// Which host has the duties, by the stored lease.
    pub fn holder(&self) -> Option<NodeIndex> {
        let disk = self.disk.borrow();
        let name = disk.rows("leases").next()?[1].as_text().to_owned();
        HOSTS.into_iter().find(|host| *self.world.node_names()[*host] == *name)
    }

    /// The input position of the only partition that has been read from.
    pub fn position(&self) -> Position {
        let disk = self.disk.borrow();
        let mut read = disk.rows("input_positions").filter(|row| row[2].as_int() > 0);
        let row = read.next().expect("something was read");
        assert!(read.next().is_none(), "of one partition");
        Position { next: row[2].as_int(), claim: row[3].as_int() }
    }
}

/// What somebody outside does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    SeeAndStaySilent,
    /// The request never takes effect, and is not answered.
    Lose,
}

/// Somebody outside: answers, but for the first few requests that a script is for.
#[derive(Default)]
pub struct Outside {
    script: RefCell<VecDeque<Step>>,
    seen: RefCell<Vec<String>>,
    known: RefCell<BTreeSet<String>>,
}

impl Outside {
    pub fn script(&self, steps: impl IntoIterator<Item = Step>) {
        self.script.borrow_mut().extend(steps);
    }

    /// Every request that came, lost ones included.
    pub fn seen(&self) -> Vec<String> {
        self.seen.borrow().clone()
    }

    fn answer(&self, request: &Request<Bytes>) -> Option<Response<Bytes>> {
        let path = request.uri().path().to_owned();
        let body = String::from_utf8_lossy(request.body());
        self.seen.borrow_mut().push(format!("{} {path} {body}", request.method()).trim_end().to_owned());
        let step = self.script.borrow_mut().pop_front();
        if step != Some(Step::Lose) && request.method() == "PUT" {
            self.known.borrow_mut().insert(path.clone());
        }
        let status = if self.known.borrow().contains(&path) { StatusCode::OK } else { StatusCode::NOT_FOUND };
        let response = Response::builder().status(status).body(Bytes::new()).expect("a plain response");
        step.is_none().then_some(response)
    }
}

fn command(what: &str, key: &str, body: &Value) -> Request<Bytes> {
    let request = Request::post(format!("/api/v1/{what}")).header("Idempotency-Key", key);
    request.body(Bytes::from(body.to_string())).expect("a plain request")
}

/// A record of another service's source stream; one key per stream, so that they keep their order.
fn record(stream: &str, sequence: u64, value: Bytes) -> OutRecord {
    let headers = Headers {
        source: format!("payment/{stream}"),
        sequence,
        event_id: format!("payment/{stream}@{sequence}"),
        schema_version: contracts::SCHEMA_VERSION,
        ..Headers::default()
    };
    OutRecord {
        topic: topics::PAYMENT_EVENTS,
        key: stream.to_owned().into(),
        value,
        headers: headers.to_pairs(),
        timestamp_ms: EPOCH_NS / 1_000_000,
    }
}

fn broker() -> Program {
    let topics = contracts::TOPICS.iter().map(|topic| TopicSpec::new(topic.name, topic.partitions)).collect();
    let broker = Broker::new(BrokerConfig::new(0, ClusterSpec { brokers: vec![0], topics }));
    let cluster: Cluster = Rc::new(vec![BrokerSeat::new(broker, KAFKA)]);
    Rc::new(move |node| broker::run(node, cluster.clone(), KAFKA).boxed_local())
}

fn primary(database: &Rc<Database>) -> Program {
    let database = database.clone();
    Rc::new(move |node| database::run(node, database.clone(), 0).boxed_local())
}

fn outside_program(directory: &Directory, outside: &Rc<Outside>) -> Program {
    let (directory, outside) = (directory.clone(), outside.clone());
    Rc::new(move |node| {
        let (http, outside) = (SimHttp::new(node, directory.clone()), outside.clone());
        async move {
            loop {
                let incoming = http.accept().await;
                if let Some(response) = outside.answer(&incoming.request) {
                    (incoming.respond)(response);
                }
            }
        }
        .boxed_local()
    })
}

fn sim_log(node: &Node) -> SimLog {
    let settings = KafkaClientSettings {
        fetch_max_wait_ms: 500,
        heartbeat_interval_ms: 3_000,
        session_timeout_ms: 10_000,
    };
    SimLog::new(node.clone(), Rc::new(vec![KAFKA]), settings)
}

fn host_program(directory: &Directory, settings: &HostSettings, counters: Rc<HostCounters>) -> Program {
    let (directory, settings) = (directory.clone(), settings.clone());
    Rc::new(move |node| {
        let ports = Ports {
            clock: Rc::new(SimClock(node.clone())),
            tasks: Rc::new(SimTasks(node.clone())),
            entropy: Rc::new(SimEntropy::new(&node)),
            store: Rc::new(SimStore::new(node.clone(), [POSTGRES, STANDBY].into())),
            log: Rc::new(sim_log(&node)),
            http: Rc::new(SimHttp::new(node.clone(), directory.clone())),
        };
        let host = StoreHost::new(Counter, &node.name, ports, settings.clone(), counters.clone());
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
