//! The Store port over the simulated network: one connection per session to a database server's node.

use async_trait::async_trait;
use host::ports::store::{Reply, Role, Session, Statement, Store, StoreError};

use super::within;
use crate::nodes::database::Request;
use crate::world::network::{Link, NodeIndex};
use crate::world::node::Node;

/// Silence after which a connection counts as dead.
const GIVE_UP_NS: u64 = 30_000_000_000;

/// The nodes of one database.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseNodes {
    pub primary: NodeIndex,
    pub standby: Option<NodeIndex>,
}

pub struct SimStore {
    pub node: Node,
    pub database: DatabaseNodes,
}

#[async_trait(?Send)]
impl Store for SimStore {
    async fn connect(&self, role: Role) -> Result<Box<dyn Session>, StoreError> {
        let server = match role {
            Role::Primary => self.database.primary,
            Role::Replica => self.database.standby.unwrap_or(self.database.primary),
        };
        let link = self.node.world.network.connect(self.node.index, server).await;
        let link = link.map_err(|_| StoreError::Refused)?;
        Ok(Box::new(SimSession { node: self.node.clone(), link }))
    }
}

struct SimSession {
    node: Node,
    link: Link,
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
            _ if commits => Err(StoreError::UnknownCommit),
            _ => Err(StoreError::Lost),
        }
    }

    async fn notified(&mut self) -> Result<&'static str, StoreError> {
        let pushed = self.link.pushed().await.map_err(|_| StoreError::Lost)?;
        Ok(*pushed.downcast().expect("only notifications are pushed to sessions"))
    }
}
