//! A service in its real host, on the simulated database: one request at a time, with what is stored after it.
//!
//! Fakes the ports around it. The clock stands still, and of the host's tasks only the server runs: no message comes
//! in, no timer fires, the relay sends nothing. Requests never meet, so nobody waits for a lock.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use host::ports::store::{Reply, Role, Statement, Table};
use host::ports::{
    Clock, Entropy, Http, HttpError, Incoming, Log, LogConsumer, LogProducer, Session, Store, StoreError,
    Tasks,
};
use host::store_host::tables_of;
use host::{HostSettings, Ports, Service, StoreHost};
use http::{Request, Response};
use model::Timestamp;
use postgres::{Output, Server, ServerRole, Settings};

use super::instant;
use super::tokens::NOW;

/// A service's process with its database.
pub struct Hosted {
    world: Rc<World>,
    tables: Vec<&'static Table>,
    process: LocalBoxFuture<'static, ()>,
}

impl Hosted {
    /// With an empty database.
    pub fn new<S: Service>(service: S) -> Self {
        let tables = tables_of(&service);
        let world = Rc::new(World {
            server: RefCell::new(Server::new(Settings::alone(), ServerRole::Primary, tables.clone())),
            arriving: RefCell::default(),
            connections: Cell::new(0),
        });
        let ports = Ports {
            clock: world.clone(),
            tasks: world.clone(),
            entropy: world.clone(),
            store: Rc::new(OfWorld(world.clone())),
            log: world.clone(),
            http: world.clone(),
        };
        let instance = format!("{}/1", S::NAME);
        let host = StoreHost::new(service, &instance, ports, HostSettings::default(), Rc::default());
        Self { world, tables, process: host.run().boxed_local() }
    }

    /// Asks, and has the answer.
    pub fn ask(&mut self, request: Request<Bytes>) -> Response<Bytes> {
        let answer = Rc::new(RefCell::new(None));
        let respond = {
            let answer = answer.clone();
            Box::new(move |response| *answer.borrow_mut() = Some(response))
        };
        self.world.arriving.borrow_mut().push_back(Incoming { request, respond });
        assert_eq!((&mut self.process).now_or_never(), None, "a host ends with its process");
        answer.take().expect("nothing keeps the host from answering")
    }

    /// The rows of all tables, the host's own among them.
    pub fn rows(&self) -> usize {
        let server = self.world.server.borrow();
        self.tables.iter().map(|table| server.rows(table.name).count()).sum()
    }

    /// The rows of one table.
    pub fn rows_of(&self, table: &str) -> usize {
        self.world.server.borrow().rows(table).count()
    }
}

struct World {
    server: RefCell<Server>,
    arriving: RefCell<VecDeque<Incoming>>,
    connections: Cell<u64>,
}

fn now_ns() -> u64 {
    u64::try_from(instant(NOW).as_nanosecond()).expect("after 1970")
}

#[async_trait(?Send)]
impl Http for World {
    async fn call(&self, party: &str, _: Request<Bytes>, _: Duration) -> Result<Response<Bytes>, HttpError> {
        panic!("nothing that runs here calls {party}");
    }

    async fn accept(&self) -> Incoming {
        std::future::poll_fn(|_| match self.arriving.borrow_mut().pop_front() {
            Some(incoming) => Poll::Ready(incoming),
            None => Poll::Pending,
        })
        .await
    }
}

#[async_trait(?Send)]
impl Clock for World {
    fn now(&self) -> Timestamp {
        instant(NOW)
    }

    async fn sleep_until(&self, _: Timestamp) {
        futures::future::pending().await
    }
}

impl Entropy for World {
    fn next_u64(&self) -> u64 {
        7
    }
}

impl Tasks for World {
    fn spawn(&self, _: &'static str, task: LocalBoxFuture<'static, ()>) {
        drop(task);
    }
}

impl Log for World {
    fn producer(&self) -> Box<dyn LogProducer> {
        panic!("nothing that runs here publishes");
    }

    fn consumer(&self, _: &str, _: &[&'static str]) -> Box<dyn LogConsumer> {
        panic!("nothing that runs here consumes");
    }

    fn partition_of(&self, _: &'static str, _: &[u8]) -> i32 {
        0
    }
}

struct OfWorld(Rc<World>);

#[async_trait(?Send)]
impl Store for OfWorld {
    async fn connect(&self, _: Role) -> Result<Box<dyn Session>, StoreError> {
        let connection = self.0.connections.get();
        self.0.connections.set(connection + 1);
        self.0.server.borrow_mut().connect(now_ns(), connection)?;
        Ok(Box::new(OnServer { world: self.0.clone(), connection, calls: 0 }))
    }
}

struct OnServer {
    world: Rc<World>,
    connection: u64,
    calls: u64,
}

#[async_trait(?Send)]
impl Session for OnServer {
    async fn run(&mut self, statements: Vec<Statement>) -> Result<Vec<Reply>, StoreError> {
        let mut server = self.world.server.borrow_mut();
        let mut outputs = Vec::new();
        self.calls += 1;
        server.run(now_ns(), self.connection, self.calls, statements, &mut outputs);
        loop {
            let reply = outputs.drain(..).find_map(|output| match output {
                Output::Reply { conn, call, result } => {
                    (conn == self.connection && call == self.calls).then_some(result)
                }
                _ => None,
            });
            if let Some(result) = reply {
                return result;
            }
            let due = server.next_deadline().expect("alone, a session waits for the disk at most");
            server.tick(due, &mut outputs);
        }
    }

    async fn notified(&mut self) -> Result<&'static str, StoreError> {
        futures::future::pending().await
    }
}

impl Drop for OnServer {
    fn drop(&mut self) {
        self.world.server.borrow_mut().disconnected(now_ns(), self.connection, &mut Vec::new());
    }
}
