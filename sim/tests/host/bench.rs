//! A small world: a broker, a database with its standby, two hosts of the counter, somebody outside, a client.

#[path = "bench/looks.rs"]
mod looks;

use std::cell::{Cell, Ref, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use contracts::events::PaymentEvent;
use contracts::events::notification_stored::Event;
use contracts::stored::Payload;
use contracts::{Headers, Message, topics};
use futures::FutureExt;
use host::HostSettings;
use host::http_api::{OPERATOR, ROLE};
use host::ports::store::{Isolation, Reply, Role, Statement, Store};
use host::ports::{Http, HttpError, Log, OutRecord};
use host::store_host::tables::DEAD_LETTERS;
use host::store_host::{HostCounters, tables_of};
use http::Request;
use invariants::{Fact, Record};
use kafka::{Broker, Output, ResponseError, TopicPartition};
use madsim::runtime::Runtime;
use postgres::{Server, ServerRole, Settings};
use serde_json::Value;
use sim::adapters::http::{Directory, SimHttp};
use sim::adapters::log::SimLog;
use sim::adapters::store::SimStore;
use sim::nodes::broker::Cluster;
use sim::nodes::database::{self, Database, Seat};
use sim::runner::pool::{self, Ended};
use sim::world::clock::NodeClock;
use sim::world::life::End;
use sim::world::network::rules::LinkEffect;
use sim::world::network::{Links, NodeIndex};
use sim::world::node::{Node, Program};
use sim::world::trace::Watcher;
use sim::world::{World, WorldSettings};

use crate::counter::{Counter, added};
use crate::outside::Outside;
use crate::programs::{HostProgram, broker, cluster, outside_program, primary, sim_log};
use crate::sabotage::{Lie, Sabotage};

pub const KAFKA: NodeIndex = 0;
pub const POSTGRES: NodeIndex = 1;
pub const HOSTS: [NodeIndex; 2] = [2, 3];
const OUTSIDE: NodeIndex = 4;
const CLIENT: NodeIndex = 5;
pub const STANDBY: NodeIndex = 6;

/// Noon of 2026-03-06 UTC.
const EPOCH_NS: i64 = 1_772_798_400_000_000_000;

pub struct Bench {
    pub world: Rc<World>,
    pub outside: Rc<Outside>,
    /// By host.
    pub counters: [Rc<HostCounters>; 2],
    /// Whether what panics does so no longer.
    pub cured: Rc<Cell<bool>>,
    pub sabotage: Rc<Sabotage>,
    /// Promotions of a standby.
    pub failovers: Cell<u64>,
    pub database: Rc<Database>,
    cluster: Cluster,
    log: SimLog,
    store: SimStore,
    http: SimHttp,
    seen: Rc<RefCell<Seen>>,
}

/// An event as stored.
struct Stored {
    version: i64,
    event: Event,
    cause: String,
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
    known: BTreeSet<(String, u64)>,
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
                    if seen.known.insert(place.clone()) {
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
    if let Err(why) = in_a_world(hosts, settings, None, test) {
        panic!("{why}");
    }
}

/// The same with hosts that are broken on purpose, perhaps; what the test panicked with is its result.
pub fn try_run(
    hosts: usize,
    lie: Option<Lie>,
    test: impl AsyncFnOnce(Bench) + Send + 'static,
) -> Result<(), String> {
    in_a_world(hosts, HostSettings::default(), lie, test)
}

fn in_a_world(
    hosts: usize,
    settings: HostSettings,
    lie: Option<Lie>,
    test: impl AsyncFnOnce(Bench) + Send + 'static,
) -> Result<(), String> {
    let finished = pool::alone(move || {
        Runtime::with_seed_and_config(1, madsim::Config::default()).block_on(async {
            let bench = Bench::start(hosts, settings, lie).await;
            let (seen, world) = (bench.seen.clone(), bench.world.clone());
            test(bench).await;
            assert_eq!(seen.borrow().panics, [""; 0]);
            world.shut_down().await;
        });
    });
    match finished.ended {
        Ended::Panicked(why) => Err(why),
        _ => Ok(()),
    }
}

impl Bench {
    async fn start(hosts: usize, settings: HostSettings, lie: Option<Lie>) -> Self {
        let links = Links { base_ns: 100_000, jitter_ns: 200_000 };
        let world = World::new(&WorldSettings { seed: 1, epoch_ns: EPOCH_NS, links });
        let seen = Rc::new(RefCell::new(Seen::default()));
        world.trace.watch(Box::new(Watch(seen.clone())));
        // Whoever is outside is also where the messages come from.
        let outsiders = ["outside", "payment"].map(|name| (name, vec![OUTSIDE]));
        let parties = [("notification", HOSTS[..hosts].to_vec())].into_iter().chain(outsiders);
        let directory: Directory = Rc::new(parties.map(|(name, nodes)| (name.to_owned(), nodes)).collect());
        let tables = tables_of(&Counter::default());
        let server = |role| Rc::new(RefCell::new(Server::new(Settings::default(), role, tables.clone())));
        let seats = [(server(ServerRole::Primary), POSTGRES), (server(ServerRole::Standby), STANDBY)];
        // Its events are those of a service whose stored events are known.
        let database = Database::new("notification", seats, true);
        let outside = Rc::new(Outside::default());
        let counters = [Rc::<HostCounters>::default(), Rc::default()];
        let client: Rc<RefCell<Option<Node>>> = Rc::default();
        let (cured, sabotage, cluster) = (Rc::default(), Rc::<Sabotage>::default(), cluster());
        sabotage.lie.set(lie);

        let mut programs: Vec<(&str, Program)> =
            vec![("kafka/1", broker(&cluster)), ("postgres/counter", primary(&database))];
        for (place, name) in ["notification/1", "notification/2"].into_iter().enumerate() {
            let alive = place < hosts;
            let host = HostProgram {
                directory: directory.clone(),
                settings: settings.clone(),
                counters: counters[place].clone(),
                cured: Rc::clone(&cured),
                sabotage: Rc::clone(&sabotage),
            };
            let host = host.program();
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
            let database = database.clone();
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
        let store = SimStore::new(client.clone(), [POSTGRES, STANDBY].into());
        let http = SimHttp::new(client, directory);
        Self {
            world,
            outside,
            counters,
            cured,
            sabotage,
            failovers: Cell::new(0),
            database,
            cluster,
            log,
            store,
            http,
            seen,
        }
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
        let disk = self.disk();
        let positions: Vec<_> = disk.rows("input_positions").filter(|row| row[2].as_int() > 0).collect();
        let published = self.published().len();
        format!("taken {:?}, parked {parked}, {published} published, positions {positions:?}", self.taken())
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

    /// The primary dies, its standby is promoted after a while, and the other comes back. Nobody is promoted where
    /// the standby is down too, or lacks something.
    pub async fn fail_over(&self, fault: u32, detect_ms: u64, back_ms: u64) {
        let old = self.database.leader().node;
        self.world.kill(old, fault, End::Process);
        self.wait_us(detect_ms * 1_000).await;
        let stands_by = |seat: &Seat| {
            let server = seat.disk.borrow();
            self.world.is_running(seat.node) && server.is_running() && server.is_in_recovery()
        };
        let runs = self.database.follower().is_some_and(stands_by);
        if self.database.leader().node == old && self.database.fail_over(runs, false).is_ok() {
            self.failovers.set(self.failovers.get() + 1);
        }
        self.wait_us(back_ms * 1_000).await;
        self.world.start(old, fault);
    }

    /// Nothing passes between a host and these, for a while.
    pub async fn cut_link(
        &self,
        fault: u32,
        (host, far): (NodeIndex, &[NodeIndex]),
        silently: bool,
        for_ms: u64,
    ) {
        let pairs = far.iter().flat_map(|far| [(host, *far), (*far, host)]).collect();
        let effect = if silently { LinkEffect::Silence } else { LinkEffect::Reject };
        self.world.network.begin(fault, pairs, effect);
        self.wait_us(for_ms * 1_000).await;
        self.world.network.end(fault);
    }

    /// Every member of the hosts' group must join again.
    pub fn rebalance(&self) {
        self.stir_group(|broker, now_ms| broker.rebalance(now_ms, "notification"));
    }

    /// The group goes on without a host, as if its session had ended.
    pub fn throw_out(&self, host: NodeIndex) {
        let name = &self.world.node_names()[host];
        self.stir_group(|broker, now_ms| broker.remove_member(now_ms, "notification", name));
    }

    fn stir_group(&self, stir: impl FnOnce(&mut Broker, i64) -> Result<Vec<Output>, ResponseError>) {
        if self.world.is_running(KAFKA) {
            let outputs =
                stir(&mut self.cluster[0].broker.borrow_mut(), self.world.clock_ns(KAFKA) / 1_000_000);
            // There is no group, or the host is not in it.
            self.cluster[0].stir(outputs.unwrap_or_default());
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

    /// Asks again while there is no answer, or one that says to come again.
    pub async fn get_until_told(&self, what: &str) -> (u16, Value) {
        loop {
            match self.try_call(read(what)).await {
                Ok(answer) if answer.0 != 503 => return answer,
                _ => self.wait_us(1_000_000).await,
            }
        }
    }

    pub async fn get(&self, what: &str) -> (u16, Value) {
        self.call(read(what)).await
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
        let messages: Vec<_> =
            messages.iter().map(|(stream, sequence)| (*stream, *sequence, *sequence)).collect();
        self.send_amounts(&messages).await;
    }

    /// The same, each with so many bytes that mean nothing.
    pub async fn send_padded(&self, messages: &[(&str, u64)], padding: usize) {
        let records = messages.iter().map(|(stream, sequence)| {
            let (debtor, amount, reason) = ((*stream).to_owned(), sequence.to_string(), " ".repeat(padding));
            let event = PaymentEvent { debtor, amount, reason, ..PaymentEvent::default() };
            record(stream, *sequence, Message::from(event).encode())
        });
        self.append(records.collect()).await;
    }

    /// The same, each with the amount that it adds.
    pub async fn send_amounts(&self, messages: &[(&str, u64, u64)]) {
        let records = messages.iter().map(|(stream, sequence, amount)| {
            let amount = amount.to_string();
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

    /// An operator puts a message that can be read in the place of one that could not.
    pub async fn repair_letter(&self, id: i64, stream: &str, sequence: u64) {
        let (debtor, amount) = (stream.to_owned(), sequence.to_string());
        let payload = Message::from(PaymentEvent { debtor, amount, ..PaymentEvent::default() }).encode();
        let payload_column = DEAD_LETTERS.column("payload");
        let repair = Statement::UpdateIf {
            table: &DEAD_LETTERS,
            key: vec![id.into()],
            expected: Vec::new(),
            set: vec![(payload_column, payload.into())],
        };
        let statements = vec![Statement::Begin(Isolation::ReadCommitted), repair, Statement::Commit];
        let mut session = self.store.connect(Role::Primary).await.expect("the primary is up");
        let replies = session.run(statements).await;
        assert_eq!(replies.expect("it is up still")[1], Reply::Changed(1));
    }

    /// The log of every input starts at this offset from now on; at its end for -1.
    pub async fn drop_records(&self, before_offset: i64) {
        let topic = topics::find(topics::PAYMENT_EVENTS).expect("it is in the catalogue");
        for partition in 0..topic.partitions {
            let at = TopicPartition::new(topic.name, partition);
            let dropped = self.cluster[0].broker.borrow_mut().delete_records(&at, before_offset);
            assert!(dropped.is_ok_and(|outputs| outputs.is_empty()), "nobody waits for records");
        }
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
}

/// The client is an operator: dead letters are shown to nobody else.
fn command(what: &str, key: &str, body: &Value) -> Request<Bytes> {
    let request =
        Request::post(format!("/api/v1/{what}")).header("Idempotency-Key", key).header(ROLE, OPERATOR);
    request.body(Bytes::from(body.to_string())).expect("a plain request")
}

fn read(what: &str) -> Request<Bytes> {
    let request = Request::get(format!("/api/v1/{what}")).header(ROLE, OPERATOR);
    request.body(Bytes::new()).expect("a plain request")
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
