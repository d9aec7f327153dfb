//! Faults: what breaks the world, when, for how long. Drawn into an explicit plan before the run begins.
//!
//! A scenario's `[[fault]]` names an action; its [`Kind`] turns each occurrence into steps, which the [`engine`]
//! performs at their times. One family of actions per file. Actions compose: each keeps hold of what it breaks
//! under the number of its fault, and lets go under the same.

pub mod brokers;
pub mod clocks;
pub mod databases;
mod disks;
pub mod engine;
pub mod kafka;
pub mod links;
pub mod plan;
pub mod processes;
pub mod rails;
pub mod replication;
pub mod scene;
mod sides;

use std::fmt;
use std::rc::Rc;

use model::Timestamp;
use scenario::FaultAction;

use self::scene::{Drawn, Scene};
use crate::platform::Platform;
use crate::world::World;

/// What steps act on.
pub struct Stage {
    pub world: Rc<World>,
    pub platform: Rc<Platform>,
}

/// One thing done to the world. Says of itself, in one line of a plan, what it does.
pub trait Deed: fmt::Display {
    /// `fault` is the number of the fault that this is a step of.
    fn perform(&self, stage: &Stage, fault: u32);
}

/// A deed and its moment.
#[derive(Clone)]
pub struct Step {
    pub at: Timestamp,
    pub deed: Rc<dyn Deed>,
}

/// One occurrence of a fault, with everything drawn.
#[derive(Clone)]
pub struct PlannedFault {
    /// From 1, in the order of beginning.
    pub id: u32,
    pub action: String,
    pub target: String,
    pub from: Timestamp,
    /// `None`: nothing of it ends.
    pub until: Option<Timestamp>,
    pub steps: Vec<Step>,
}

/// A kind of fault: its entry in the catalogue of scenario files, and how an occurrence of it is drawn.
pub struct Kind {
    pub action: FaultAction,
    pub draw: fn(&mut Scene<'_>) -> Drawn,
}

/// Every kind that Bellwether brings.
pub fn kinds() -> Vec<Kind> {
    let families = [
        links::kinds(),
        processes::kinds(),
        clocks::kinds(),
        databases::kinds(),
        disks::kinds(),
        kafka::kinds(),
        replication::kinds(),
        brokers::kinds(),
        rails::kinds(),
    ];
    families.into_iter().flatten().collect()
}

/// Makes a deed of what is done and what is said of it.
pub fn deed(says: String, does: impl Fn(&Stage, u32) + 'static) -> Rc<dyn Deed> {
    struct Said<F>(String, F);
    impl<F> fmt::Display for Said<F> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0)
        }
    }
    impl<F: Fn(&Stage, u32)> Deed for Said<F> {
        fn perform(&self, stage: &Stage, fault: u32) {
            (self.1)(stage, fault);
        }
    }
    Rc::new(Said(says, does))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use invariants::{Family, family};

    use super::*;

    #[test]
    fn every_action_has_a_name_of_its_own_and_a_family() {
        let kinds = kinds();
        let names: BTreeSet<&str> = kinds.iter().map(|kind| kind.action.name.as_str()).collect();
        assert_eq!(names.len(), kinds.len());
        let strangers = names.iter().filter(|name| family(name, "") == Family::Other);
        assert_eq!(strangers.collect::<Vec<_>>(), Vec::<&&str>::new());
        let families: BTreeSet<&str> = names.iter().map(|name| family(name, "").name()).collect();
        assert_eq!(families.len(), Family::ALL.len());
    }
}
