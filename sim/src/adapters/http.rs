//! HTTP over the simulated network: a request is a message, its response the answer.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use host::ports::{Http, HttpError, Incoming};
use http::{Request, Response};

use super::{CallError, Peers};
use crate::world::network::{Inbound, NodeIndex, Payload};
use crate::world::node::Node;

/// Who answers under which name: the instances of each party.
pub type Directory = Rc<BTreeMap<String, Vec<NodeIndex>>>;

/// The HTTP port of a process.
pub struct SimHttp {
    node: Node,
    peers: Peers,
    directory: Directory,
    /// Calls go to the instances in turn.
    turn: Cell<usize>,
}

impl SimHttp {
    pub fn new(node: Node, directory: Directory) -> Self {
        let turn = Cell::new(node.index);
        Self { peers: Peers::new(node.clone()), node, directory, turn }
    }

    /// The party's instances, beginning with the one whose turn it is.
    fn instances(&self, party: &str) -> Vec<NodeIndex> {
        let instances = self.directory.get(party).map(Vec::as_slice).unwrap_or_default();
        if instances.is_empty() {
            return Vec::new();
        }
        let first = self.turn.get() % instances.len();
        self.turn.set(self.turn.get().wrapping_add(1));
        instances[first..].iter().chain(&instances[..first]).copied().collect()
    }
}

/// A proxy's second try of a request.
fn again(request: &Payload) -> Payload {
    let request: &Request<Bytes> = request.downcast_ref().expect("requests are sent as requests");
    Box::new(request.clone())
}

#[async_trait(?Send)]
impl Http for SimHttp {
    async fn call(
        &self,
        party: &str,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, HttpError> {
        let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        for instance in self.instances(party) {
            let request = Box::new(request.clone());
            match self.peers.call_repeatable(instance, request, again, timeout_ns).await {
                Ok(answer) => {
                    return Ok(*answer.downcast().expect("requests are answered with responses"));
                }
                // Nobody there: the next one.
                Err(CallError::Refused) => {}
                Err(CallError::Reset) => return Err(HttpError::Reset),
                Err(CallError::TimedOut) => return Err(HttpError::TimedOut),
            }
        }
        Err(HttpError::Refused)
    }

    async fn accept(&self) -> Incoming {
        loop {
            if let Inbound::Call { connection, call, payload } = self.node.receive().await
                && let Ok(request) = payload.downcast::<Request<Bytes>>()
            {
                let network = self.node.world.network.clone();
                let respond =
                    move |response: Response<Bytes>| network.reply(connection, call, Box::new(response));
                return Incoming { request: *request, respond: Box::new(respond) };
            }
        }
    }
}
