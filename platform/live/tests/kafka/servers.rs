//! Brokers on TCP, whoever they are, and the suite's view of them: raw requests, librdkafka's clients, deeds.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use kafka::client::LinkError;
use kafka::wire::client::{CallError, Connection};
use kafka::{Request, Response};
use kafka_suite::{ClientError, Cluster, Consumer, Producer, Settings};

use crate::consumer::RealConsumer;
use crate::producer::RealProducer;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Stop,
    Kill,
    Start,
    Pause,
    Resume,
    PowerOff,
}

/// Three brokers on loopback. Deeds block until they are done.
pub trait Servers: Send + Sync {
    fn addresses(&self) -> &BTreeMap<i32, SocketAddr>;
    fn act(&self, broker: i32, deed: Deed);
}

/// One behaviour's cluster. What was done to brokers is undone when it goes.
pub struct RealCluster {
    servers: Arc<dyn Servers>,
    /// Not in use.
    idle: RefCell<BTreeMap<i32, Vec<Connection>>>,
    down: RefCell<BTreeSet<i32>>,
    paused: RefCell<BTreeSet<i32>>,
}

impl RealCluster {
    pub fn new(servers: Arc<dyn Servers>) -> RealCluster {
        let (idle, down, paused) = Default::default();
        RealCluster { servers, idle, down, paused }
    }

    fn with_bootstrap(&self, settings: Settings<'_>) -> Vec<(String, String)> {
        let servers: Vec<String> = self.servers.addresses().values().map(SocketAddr::to_string).collect();
        let own = [("bootstrap.servers".to_owned(), servers.join(","))];
        let others = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        own.into_iter().chain(others).collect()
    }

    async fn act(&self, broker: i32, deed: Deed) {
        let servers = Arc::clone(&self.servers);
        let done = tokio::task::spawn_blocking(move || servers.act(broker, deed));
        done.await.expect("the deed is done");
    }
}

impl Drop for RealCluster {
    fn drop(&mut self) {
        for broker in self.paused.take() {
            self.servers.act(broker, Deed::Resume);
        }
        for broker in self.down.take() {
            self.servers.act(broker, Deed::Start);
        }
    }
}

#[async_trait(?Send)]
impl Cluster for RealCluster {
    async fn ask(&self, broker: i32, request: Request, timeout_ms: i64) -> Result<Response, LinkError> {
        let address = *self.servers.addresses().get(&broker).expect("a broker of the cluster");
        let idle = self.idle.borrow_mut().entry(broker).or_default().pop();
        let limit = Duration::from_millis(u64::try_from(timeout_ms).expect("not negative"));
        let asked = async {
            // A connection that was idle may have died since.
            if let Some(mut connection) = idle
                && let Ok(response) = connection.call(request.clone()).await
            {
                return Ok((connection, response));
            }
            let mut connection = Connection::connect(address).await.map_err(|_| LinkError::Refused)?;
            match connection.call(request).await {
                Ok(response) => Ok((connection, response)),
                Err(CallError::Io(_)) => Err(LinkError::Reset),
                Err(error) => panic!("broker {broker}: {error}"),
            }
        };
        let (connection, response) =
            tokio::time::timeout(limit, asked).await.unwrap_or(Err(LinkError::TimedOut))?;
        self.idle.borrow_mut().entry(broker).or_default().push(connection);
        Ok(response)
    }

    fn producer(&self, settings: Settings<'_>) -> Result<Rc<dyn Producer>, ClientError> {
        Ok(Rc::new(RealProducer::new(&self.with_bootstrap(settings))?))
    }

    fn consumer(&self, settings: Settings<'_>) -> Result<Rc<dyn Consumer>, ClientError> {
        Ok(Rc::new(RealConsumer::new(&self.with_bootstrap(settings))?))
    }

    async fn stop(&self, broker: i32) {
        self.down.borrow_mut().insert(broker);
        self.act(broker, Deed::Stop).await;
    }

    async fn kill(&self, broker: i32) {
        self.down.borrow_mut().insert(broker);
        self.act(broker, Deed::Kill).await;
    }

    async fn start(&self, broker: i32) {
        self.act(broker, Deed::Start).await;
        self.down.borrow_mut().remove(&broker);
    }

    async fn pause(&self, broker: i32) {
        self.paused.borrow_mut().insert(broker);
        self.act(broker, Deed::Pause).await;
    }

    async fn resume(&self, broker: i32) {
        self.act(broker, Deed::Resume).await;
        self.paused.borrow_mut().remove(&broker);
    }

    async fn power_off(&self, brokers: &[i32]) {
        for broker in brokers {
            self.down.borrow_mut().insert(*broker);
            self.act(*broker, Deed::PowerOff).await;
        }
    }

    async fn sleep(&self, ms: i64) {
        tokio::time::sleep(Duration::from_millis(u64::try_from(ms).expect("not negative"))).await;
    }

    fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        i64::try_from(since.as_millis()).expect("it is before the year 292 million")
    }

    fn draw(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        since.subsec_nanos().into()
    }
}
