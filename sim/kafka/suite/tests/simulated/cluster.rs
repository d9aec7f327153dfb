//! The simulated cluster as the suite sees it.

use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;
use kafka::client::{Link, LinkError};
use kafka::{BrokerConfig, ClusterSpec, Request, Response};
use kafka_suite::{BROKERS, ClientError, Cluster, Consumer, Producer, SETTINGS, Settings};

use crate::consumer::SimConsumer;
use crate::producer::SimProducer;
use crate::settings;
use crate::state::State;
use crate::world::{Handle, SimLink};

/// So long a broker may take to hand over what it leads; then it ends as it is.
const STOP_PATIENCE_MS: i64 = 10_000;

pub struct SimCluster {
    world: Handle,
    /// Of the suite's own questions, which are never lost.
    link: Rc<SimLink>,
    java_producers: bool,
}

/// What is not as with all others.
#[derive(Default)]
pub struct Peculiar {
    pub brokers: Settings<'static>,
    /// Instead of librdkafka's.
    pub java_producers: bool,
    /// Copies of clients' `EndTxn` come late, as after a time-out; they are counted.
    pub late_end_txn: Option<Rc<Cell<u32>>>,
}

impl SimCluster {
    pub fn new(seed: u64, peculiar: Peculiar) -> (Handle, SimCluster) {
        let mut config = BrokerConfig::new(BROKERS[0], ClusterSpec::new(BROKERS.to_vec(), Vec::new()));
        for (name, value) in SETTINGS.iter().chain(peculiar.brokers) {
            settings::set(&mut config, name, value);
        }
        let state = State::new(seed, &config, peculiar.late_end_txn);
        let world = Handle::new(state);
        let link = world.link(false);
        (world.clone(), SimCluster { world, link, java_producers: peculiar.java_producers })
    }
}

#[async_trait(?Send)]
impl Cluster for SimCluster {
    async fn ask(&self, broker: i32, request: Request, timeout_ms: i64) -> Result<Response, LinkError> {
        self.link.call(broker, request, timeout_ms).await
    }

    fn producer(&self, settings: Settings<'_>) -> Result<Rc<dyn Producer>, ClientError> {
        Ok(Rc::new(SimProducer::new(&self.world, self.java_producers, settings)?))
    }

    fn consumer(&self, settings: Settings<'_>) -> Result<Rc<dyn Consumer>, ClientError> {
        Ok(Rc::new(SimConsumer::new(&self.world, settings)?))
    }

    async fn stop(&self, broker: i32) {
        let until = self.now() + STOP_PATIENCE_MS;
        self.world.state.borrow_mut().prepare_to_stop(broker);
        while !self.world.state.borrow_mut().may_stop(broker) && self.now() < until {
            self.sleep(10).await;
        }
        self.world.state.borrow_mut().kill(broker);
    }

    async fn kill(&self, broker: i32) {
        self.world.state.borrow_mut().kill(broker);
    }

    async fn start(&self, broker: i32) {
        self.world.state.borrow_mut().start(broker);
    }

    async fn pause(&self, broker: i32) {
        self.world.state.borrow_mut().pause(broker);
    }

    async fn resume(&self, broker: i32) {
        self.world.state.borrow_mut().resume(broker);
    }

    async fn power_off(&self, brokers: &[i32]) {
        self.world.state.borrow_mut().power_off(brokers);
    }

    async fn sleep(&self, ms: i64) {
        self.link.sleep_ms(ms).await;
    }

    fn now(&self) -> i64 {
        self.link.now_ms()
    }

    fn draw(&self) -> u64 {
        self.world.state.borrow_mut().draws.next()
    }
}
