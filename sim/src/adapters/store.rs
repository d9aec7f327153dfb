//! The Store port over the simulated network: one connection per session to a database server's node.

use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;
use host::ports::store::{Reply, Role, Session, Statement, Store, StoreError};

use super::within;
use crate::nodes::database::{Greeting, Request, Welcome};
use crate::world::network::{Link, NodeIndex};
use crate::world::node::Node;

/// Silence after which a connection counts as dead.
const GIVE_UP_NS: u64 = 30_000_000_000;

/// How long a server has to let a client in (libpq's `connect_timeout`).
const CONNECT_NS: u64 = 5_000_000_000;

/// The nodes of one database, in the order of a connection string with several hosts.
pub type DatabaseNodes = Rc<[NodeIndex]>;

/// The store of one process, as libpq sees it with `target_session_attrs`: it tries the hosts in turn, begins
/// with the one that worked last, and takes no server of a timeline older than it has seen.
pub struct SimStore {
    node: Node,
    database: DatabaseNodes,
    first: Rc<Cell<usize>>,
    timeline: Cell<u32>,
}

impl SimStore {
    pub fn new(node: Node, database: DatabaseNodes) -> Self {
        Self { node, database, first: Rc::default(), timeline: Cell::new(0) }
    }

    async fn try_host(&self, host: usize) -> Result<(Link, Greeting), StoreError> {
        let connecting = async {
            let network = &self.node.world.network;
            let link = network.connect(self.node.index, self.database[host]).await;
            let link = link.map_err(|_| StoreError::Refused)?;
            let welcome = link.call(Box::new(Request::Hello)).await.map_err(|_| StoreError::Refused)?;
            let welcome = *welcome.downcast::<Welcome>().expect("servers answer who they are");
            Ok((link, welcome?))
        };
        within(&self.node, CONNECT_NS, connecting).await.unwrap_or(Err(StoreError::Refused))
    }

    fn serves(&self, role: Role, greeting: Greeting) -> bool {
        let newest = self.timeline.get().max(greeting.timeline);
        self.timeline.set(newest);
        match role {
            Role::Primary => !greeting.in_recovery && greeting.timeline == newest,
            Role::Replica => greeting.in_recovery,
        }
    }
}

#[async_trait(?Send)]
impl Store for SimStore {
    async fn connect(&self, role: Role) -> Result<Box<dyn Session>, StoreError> {
        let mut refusal = StoreError::Refused;
        let hosts = self.database.len();
        let first = self.first.get();
        for host in (0..hosts).map(|next| (first + next) % hosts) {
            match self.try_host(host).await {
                Ok((link, greeting))
                    if self.serves(role, greeting) || (role == Role::Replica && hosts == 1) =>
                {
                    if role == Role::Primary {
                        self.first.set(host);
                    }
                    let (node, first) = (self.node.clone(), self.first.clone());
                    return Ok(Box::new(SimSession { node, link, host, hosts, first }));
                }
                Ok(_) => {}
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }
}

struct SimSession {
    node: Node,
    link: Link,
    host: usize,
    hosts: usize,
    /// Which host new sessions of this process try first.
    first: Rc<Cell<usize>>,
}

impl SimSession {
    /// The connection failed: others are not to begin here.
    fn give_up_on_host(&self) {
        if self.first.get() == self.host {
            self.first.set((self.host + 1) % self.hosts);
        }
    }
}

#[async_trait(?Send)]
impl Session for SimSession {
    async fn run(&mut self, statements: Vec<Statement>) -> Result<Vec<Reply>, StoreError> {
        let commits = statements.iter().any(|statement| matches!(statement, Statement::Commit));
        let call = self.link.call(Box::new(Request::Run(statements)));
        match within(&self.node, GIVE_UP_NS, call).await {
            Some(Ok(answer)) => *answer
                .downcast::<Result<Vec<Reply>, StoreError>>()
                .expect("pipelines are answered with their replies"),
            _ => {
                self.give_up_on_host();
                Err(if commits { StoreError::UnknownCommit } else { StoreError::Lost })
            }
        }
    }

    async fn notified(&mut self) -> Result<&'static str, StoreError> {
        let pushed = self.link.pushed().await.map_err(|_| StoreError::Lost)?;
        Ok(*pushed.downcast().expect("only notifications are pushed to sessions"))
    }
}
