//! The ports of a simulated process: each on the world's network, clock and randomness.

pub mod http;
pub mod log;
pub mod process;
pub mod store;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

use futures::FutureExt;

use crate::world::network::{Again, Broken, Link, NodeIndex, Payload, Reply};
use crate::world::node::Node;

/// Why a call over the network has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    Refused,
    Reset,
    TimedOut,
}

impl From<Broken> for CallError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Refused => Self::Refused,
            Broken::Reset => Self::Reset,
        }
    }
}

/// Connections of one process, one per peer, opened when needed.
#[derive(Clone)]
pub struct Peers {
    node: Node,
    links: Rc<RefCell<BTreeMap<NodeIndex, Rc<Link>>>>,
}

impl Peers {
    pub fn new(node: Node) -> Self {
        Self { node, links: Rc::default() }
    }

    /// Sends a request to a node and waits for the answer, at most `timeout_ns`.
    pub async fn call(&self, to: NodeIndex, payload: Payload, timeout_ns: u64) -> Result<Payload, CallError> {
        self.exchange(to, timeout_ns, |link| link.call(payload)).await
    }

    /// The same for a request that a proxy on the way may repeat.
    pub async fn call_repeatable(
        &self,
        to: NodeIndex,
        payload: Payload,
        again: Again,
        timeout_ns: u64,
    ) -> Result<Payload, CallError> {
        self.exchange(to, timeout_ns, |link| link.call_repeatable(payload, again)).await
    }

    async fn exchange(
        &self,
        to: NodeIndex,
        timeout_ns: u64,
        send: impl FnOnce(&Link) -> Reply,
    ) -> Result<Payload, CallError> {
        let answer = async {
            let link = self.link(to).await?;
            let answer = send(&link).await;
            if answer.is_err() {
                self.links.borrow_mut().remove(&to);
            }
            Ok(answer?)
        };
        within(&self.node, timeout_ns, answer).await.unwrap_or(Err(CallError::TimedOut))
    }

    async fn link(&self, to: NodeIndex) -> Result<Rc<Link>, CallError> {
        let known = self.links.borrow().get(&to).cloned();
        if let Some(link) = known.filter(|link| link.is_open()) {
            return Ok(link);
        }
        let link = Rc::new(self.node.world.network.connect(self.node.index, to).await?);
        self.links.borrow_mut().insert(to, link.clone());
        Ok(link)
    }
}

/// The future's output, or `None` if it takes longer.
pub async fn within<T>(node: &Node, timeout_ns: u64, future: impl Future<Output = T>) -> Option<T> {
    let agenda = &node.world.agenda;
    let alarm = agenda.alarm(agenda.elapsed().saturating_add(timeout_ns));
    let mut future = std::pin::pin!(future.fuse());
    futures::select_biased! {
        output = future => Some(output),
        () = alarm.fuse() => None,
    }
}
