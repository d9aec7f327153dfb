//! What a fault is drawn from: its occurrence, the nodes there are, and its own stream of random numbers.

use model::Timestamp;
use scenario::{FaultSpec, FromTable, Occurrence, Role, Target, TargetSpec, TimeSpan};

use super::{Deed, Stage, Step, deed};
use crate::platform::layout::Layout;
use crate::world::network::NodeIndex;
use crate::world::rng::Rng;

/// One occurrence, about to be drawn.
pub struct Scene<'a> {
    pub spec: &'a FaultSpec,
    pub occurrence: Occurrence,
    pub layout: &'a Layout,
    pub rng: &'a mut Rng,
}

/// What was drawn: whom it hits, and what happens when.
pub struct Drawn {
    pub target: String,
    pub steps: Vec<Step>,
    /// Nothing of it ends.
    pub is_for_ever: bool,
}

impl Drawn {
    pub fn new(target: String) -> Self {
        Self { target, steps: Vec::new(), is_for_ever: false }
    }

    #[must_use]
    pub fn step(mut self, at: Timestamp, says: String, does: impl Fn(&Stage, u32) + 'static) -> Self {
        self.steps.push(Step { at, deed: deed(says, does) });
        self
    }

    #[must_use]
    pub fn deed(mut self, at: Timestamp, deed: std::rc::Rc<dyn Deed>) -> Self {
        self.steps.push(Step { at, deed });
        self
    }
}

impl Scene<'_> {
    /// The keys of the action.
    pub fn params<P: FromTable>(&self) -> P {
        self.spec.params()
    }

    pub fn from(&self) -> Timestamp {
        self.occurrence.from
    }

    /// When it ends: as the scenario says, or so long after its beginning.
    pub fn until_or(&self, otherwise: TimeSpan) -> Timestamp {
        if self.occurrence.until > self.occurrence.from {
            self.occurrence.until
        } else {
            later(self.from(), otherwise)
        }
    }

    pub fn draw<T: scenario::Draw>(&mut self, drawn: &scenario::Drawn<T>) -> T {
        drawn.resolve(&mut |bound| self.rng.below(bound))
    }

    /// The nodes that the fault hits: all of the target, or the part that its shape draws.
    pub fn victims(&mut self) -> Vec<NodeIndex> {
        match self.spec.target.clone() {
            None => Vec::new(),
            Some(TargetSpec::One(target)) => self.nodes(&target),
            Some(TargetSpec::Shaped { shape, of }) => {
                let nodes = self.nodes(&of);
                let count = shape.drawn_of(nodes.len());
                self.some_of(nodes, count)
            }
        }
    }

    /// So many of the nodes, drawn, in the order of the layout.
    pub fn some_of(&mut self, mut nodes: Vec<NodeIndex>, count: usize) -> Vec<NodeIndex> {
        while nodes.len() > count {
            let spared = self.rng.below(nodes.len() as u64) as usize;
            nodes.remove(spared);
        }
        nodes
    }

    /// Every node of a target.
    pub fn nodes(&self, target: &Target) -> Vec<NodeIndex> {
        let is_of = |name: &str| match target {
            Target::Service { name: service, instance: Some(number) } => {
                name == format!("{service}/{number}")
            }
            Target::Service { name: service, instance: None } => is_below(name, service),
            Target::Broker { number: Some(number) } => name == format!("kafka/{number}"),
            Target::Broker { number: None } => is_below(name, "kafka"),
            Target::Database { name: database, role } => {
                let server = match role {
                    Some(Role::Primary) => "/primary",
                    Some(Role::Standby) => "/standby",
                    None => "",
                };
                is_below(&format!("{name}/"), &format!("postgres/{database}{server}"))
            }
            Target::Outside { name: party } if party == "participants" => is_below(name, "client"),
            Target::Outside { name: party } => name == party,
        };
        let named = self.layout.names().iter().enumerate().filter(|(_, name)| is_of(name));
        named.map(|(index, _)| index).collect()
    }

    pub fn name(&self, node: NodeIndex) -> String {
        self.layout.names()[node].clone()
    }

    pub fn names(&self, nodes: &[NodeIndex]) -> String {
        nodes.iter().map(|node| self.name(*node)).collect::<Vec<_>>().join(", ")
    }
}

fn is_below(name: &str, folder: &str) -> bool {
    name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

pub fn later(at: Timestamp, by: TimeSpan) -> Timestamp {
    at.checked_add(by.0).unwrap_or(Timestamp::MAX)
}
