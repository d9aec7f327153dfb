//! Whether a fault finds whom it needs: nodes enough for its shape, and links between its sides.
//!
//! Counts nodes by the topology; how a run names them is not known here.

use std::collections::BTreeSet;

use crate::fault::{Role, Shape, Target, TargetSpec};
use crate::scenario::Scenario;

/// What does not fit, and the key that says it.
pub(crate) struct Unfit {
    pub key: &'static str,
    pub message: String,
    pub hint: String,
}

/// Nodes by their party and number.
pub type Nodes = BTreeSet<(String, u32)>;

impl Shape {
    /// How many nodes it needs to choose from: of fewer there is no such part.
    fn needs(self) -> usize {
        match self {
            Shape::One | Shape::OneWay => 1,
            Shape::Halves => 2,
            Shape::Minority | Shape::Ring => 3,
        }
    }

    /// How many of so many nodes are on the side that it draws.
    pub fn drawn_of(self, count: usize) -> usize {
        match self {
            Shape::One | Shape::OneWay => 1,
            Shape::Minority => count.saturating_sub(1) / 2,
            Shape::Halves | Shape::Ring => count.div_ceil(2),
        }
    }
}

/// Judges a fault's target, and whom `with` names.
pub(crate) fn judge(
    scenario: &Scenario,
    spec: &TargetSpec,
    with: Option<&Target>,
    divides: bool,
) -> Result<(), Unfit> {
    let nodes = scenario.nodes_of(spec.target());
    let shape = match spec {
        TargetSpec::One(_) => None,
        TargetSpec::Shaped { shape, of } => {
            fits(*shape, of, nodes.len(), divides)?;
            Some(*shape)
        }
    };
    let Some(with) = with else { return Ok(()) };
    let others = scenario.nodes_of(with);
    let strangers = others.difference(&nodes).count();
    let is_empty = match shape {
        None => strangers == 0,
        Some(Shape::Halves) if divides => false,
        // Of three nodes each is the neighbour of each.
        Some(Shape::Ring) if divides => strangers == 0 && nodes.len() <= 3,
        Some(shape) => strangers == 0 && others.len() <= shape.drawn_of(nodes.len()),
    };
    if is_empty {
        let message = format!("between {} and {with} there may be no link", spec.target());
        let hint = "name others than the target itself, or leave `with` out: everybody else".to_owned();
        return Err(Unfit { key: "with", message, hint });
    }
    Ok(())
}

fn fits(shape: Shape, of: &Target, count: usize, divides: bool) -> Result<(), Unfit> {
    let refuse = |message, hint: &str| Err(Unfit { key: "target.shape", message, hint: hint.to_owned() });
    if !divides && matches!(shape, Shape::Ring | Shape::OneWay) {
        let message = "`ring` and `one-way` are shapes of a partition".to_owned();
        return refuse(message, "shape = \"one\", \"minority\" or \"halves\"");
    }
    if count < shape.needs() {
        let message = format!(
            "there is no such part of {of}: of its nodes there are {count}, and it needs {}",
            shape.needs()
        );
        return refuse(message, "shape = \"one\", or more instances in the topology");
    }
    Ok(())
}

impl Scenario {
    /// The nodes of a target, by their party and number from 1; of a database the primary is first.
    pub fn nodes_of(&self, target: &Target) -> Nodes {
        let all = |party: &str, count: u32| (1..=count).map(|number| (party.to_owned(), number)).collect();
        match target {
            Target::Service { name, instance: Some(number) } => Nodes::from([(name.clone(), *number)]),
            Target::Service { name, instance: None } => {
                all(name, self.topology.instances.get(name).copied().unwrap_or(0))
            }
            Target::Broker { number: Some(number) } => Nodes::from([("kafka".to_owned(), *number)]),
            Target::Broker { number: None } => all("kafka", self.topology.kafka.brokers),
            Target::Database { name, role } => {
                let party = format!("postgres/{name}");
                match role {
                    Some(Role::Primary) => Nodes::from([(party, 1)]),
                    Some(Role::Standby) => Nodes::from([(party, 2)]),
                    None => all(&party, 2),
                }
            }
            // The operator, and each participant over JSON, over FIX and with a recording.
            Target::Outside { name } if name == "participants" => all(name, 1 + 3 * self.market.participants),
            Target::Outside { name } => all(name, 1),
        }
    }
}
