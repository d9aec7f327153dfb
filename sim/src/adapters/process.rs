//! Clock, tasks and entropy of a simulated process.

use std::cell::RefCell;

use async_trait::async_trait;
use futures::future::LocalBoxFuture;
use host::ports::{Clock, Entropy, Tasks};
use model::Timestamp;

use crate::world::node::Node;
use crate::world::rng::Rng;

/// The node's own clock, with its offset and drift.
pub struct SimClock(pub Node);

#[async_trait(?Send)]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        timestamp(self.0.clock_ns())
    }

    async fn sleep_until(&self, at: Timestamp) {
        self.0.sleep_until_ns(nanoseconds(at)).await;
    }
}

pub struct SimTasks(pub Node);

impl Tasks for SimTasks {
    fn spawn(&self, _name: &'static str, task: LocalBoxFuture<'static, ()>) {
        self.0.spawn(task);
    }
}

/// A stream of random numbers of this incarnation of the process.
pub struct SimEntropy(RefCell<Rng>);

impl SimEntropy {
    pub fn new(node: &Node) -> Self {
        let label = format!("process/{}/{}", node.name, node.incarnation);
        Self(RefCell::new(node.world.rng(&label)))
    }
}

impl Entropy for SimEntropy {
    fn next_u64(&self) -> u64 {
        self.0.borrow_mut().next_u64()
    }
}

pub fn timestamp(ns: i64) -> Timestamp {
    Timestamp::from_nanosecond(ns.into()).expect("64 bits of nanoseconds fit a timestamp")
}

/// Nanoseconds since the Unix epoch; the far future where 64 bits do not hold it.
pub fn nanoseconds(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)
}
