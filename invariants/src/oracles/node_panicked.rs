//! No node panics: an assert that fails is a programmer's error, whatever the world does to it.
//!
//! Why it can break: a decision that meets a state it holds for impossible. The supervisor restarts the node
//! and the run may look healthy, so the panic itself is the violation.

use crate::{Fact, FactKind, Invariant, Record, Verdict, Violation};

#[derive(Default)]
pub struct NodePanicked;

impl Invariant for NodePanicked {
    fn name(&self) -> &'static str {
        "node_panicked"
    }

    fn about(&self) -> &'static str {
        "No node panics: asserts are for programmers' errors. It breaks when a decision meets a state that \
         it holds for impossible, even where the supervisor restarts the node and everything heals."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Node]
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        let Fact::NodePanicked { message } = record.fact else { return Verdict::Holds };
        let why = format!("{} panicked: {message}", record.node);
        Verdict::Violated(Violation::new(why).about([record.node]).seen_at([record.sequence]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{breaks, history, holds};

    #[test]
    fn holds_when_nodes_die() {
        holds(NodePanicked, history![Fact::NodeStarted, Fact::NodeDied, Fact::NodeStarted]);
    }

    #[test]
    fn breaks_on_a_panic() {
        let panic = Fact::NodePanicked { message: "attempt to subtract".to_owned() };
        breaks(NodePanicked, history![Fact::NodeStarted, panic], "node panicked: attempt to subtract");
    }
}
