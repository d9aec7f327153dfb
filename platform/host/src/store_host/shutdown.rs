//! The orderly end of a process: no new work, what was begun is finished, leases and partitions are given back.
//!
//! Whatever takes longer than the time-out is left as a crash would leave it, and nothing is lost by that either:
//! the guards of every input see to it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;

use super::{StoreHost, later};
use crate::service::Service;
use crate::signal::{Latch, Signal};

/// How long a process has to come to its end.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// How far a process is on its way to its end.
#[derive(Default)]
pub struct Shutdown {
    asked: Latch,
    /// Tasks beside the server that have not ended.
    running: Cell<u32>,
    ended: Signal,
}

impl Shutdown {
    pub fn is_asked(&self) -> bool {
        self.asked.is_set()
    }

    pub async fn asked(&self) {
        self.asked.wait().await;
    }

    /// Whether the server is the last that is left to end.
    pub fn only_server_is_left(&self) -> bool {
        self.asked.is_set() && self.running.get() == 0
    }

    /// Returns when another task has ended.
    pub async fn task_ended(&self) {
        self.ended.received().await;
    }
}

impl<S: Service> StoreHost<S> {
    /// Asks the process to end: [`StoreHost::run`] returns once what was begun is done, at the latest after
    /// [`DRAIN_TIMEOUT`]. What its tasks still hold then is to be dropped with the process.
    pub fn shut_down(&self) {
        self.shutdown.asked.set();
        self.shutdown.ended.send();
    }

    /// Starts a task that the end of the process waits for.
    pub(super) fn spawn(self: &Rc<Self>, name: &'static str, task: LocalBoxFuture<'static, ()>) {
        self.shutdown.running.set(self.shutdown.running.get() + 1);
        let host = self.clone();
        let counted = async move {
            task.await;
            host.shutdown.running.set(host.shutdown.running.get() - 1);
            host.shutdown.ended.send();
        };
        self.ports.tasks.spawn(name, counted.boxed_local());
    }

    /// Returns when the time to end is over.
    pub(super) async fn out_of_time(&self) {
        self.shutdown.asked().await;
        let latest = later(self.ports.clock.now(), DRAIN_TIMEOUT.as_millis() as u64);
        self.ports.clock.sleep_until(latest).await;
        tracing::warn!(instance = %self.instance, "not everything came to its end in time");
    }
}
