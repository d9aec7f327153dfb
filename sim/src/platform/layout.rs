//! Which nodes there are, in which order, and who answers under which name.

use std::collections::BTreeMap;
use std::rc::Rc;

use outside::plan::Plan;
use scenario::Scenario;

use crate::adapters::http::Directory;
use crate::adapters::store::DatabaseNodes;
use crate::world::network::NodeIndex;

/// Services with a database of their own.
pub const DATABASES: &[&str] =
    &["reference-data", "trade", "position", "clearing", "settlement", "ledger", "payment", "notification"];
/// Kafka's controller.
pub const CONTROLLER: &str = "kafka-controller";
pub const OUTSIDE: &[&str] = &["bank", "venue", "identity", "webhooks"];

pub struct Layout {
    names: Vec<String>,
    indexes: BTreeMap<String, NodeIndex>,
    directory: Directory,
    brokers: Rc<Vec<NodeIndex>>,
}

impl Layout {
    pub fn of(scenario: &Scenario, plan: &Plan) -> Self {
        let topology = &scenario.topology;
        let mut names: Vec<String> =
            (1..=topology.kafka.brokers).map(|number| format!("kafka/{number}")).collect();
        names.push(CONTROLLER.to_owned());
        for service in DATABASES {
            names.extend(["primary", "standby"].map(|server| format!("postgres/{service}/{server}")));
        }
        for (service, instances) in &topology.instances {
            names.extend((1..=*instances).map(|instance| format!("{service}/{instance}")));
        }
        names.extend(OUTSIDE.iter().map(|party| (*party).to_owned()));
        names.extend(plan.world.clients().iter().map(|client| format!("client/{}", client.id)));
        let indexes: BTreeMap<String, NodeIndex> =
            names.iter().enumerate().map(|(index, name)| (name.clone(), index)).collect();
        let mut directory: BTreeMap<String, Vec<NodeIndex>> = BTreeMap::new();
        for (index, name) in names.iter().enumerate() {
            let party = name.split('/').next().expect("a split has a first part").to_owned();
            directory.entry(party).or_default().push(index);
        }
        let brokers = Rc::new(directory.get("kafka").cloned().unwrap_or_default());
        Self { names, indexes, directory: Rc::new(directory), brokers }
    }

    /// In the order of their nodes.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Programmer error if there is no such node.
    pub fn index(&self, name: &str) -> NodeIndex {
        *self.indexes.get(name).unwrap_or_else(|| panic!("there is no node {name}"))
    }

    pub fn directory(&self) -> Directory {
        self.directory.clone()
    }

    pub fn brokers(&self) -> Rc<Vec<NodeIndex>> {
        self.brokers.clone()
    }

    pub fn databases(&self) -> &'static [&'static str] {
        DATABASES
    }

    /// The server that begins as primary, then its standby.
    pub fn database(&self, service: &str) -> DatabaseNodes {
        let names = [format!("postgres/{service}/primary"), format!("postgres/{service}/standby")];
        names.iter().filter_map(|name| self.indexes.get(name).copied()).collect()
    }
}
