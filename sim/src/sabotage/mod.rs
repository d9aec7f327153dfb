//! Sabotage: wrong habits that canaries plant in the platform, so that an invariant has something to find.
//!
//! A habit is planted around a service ([`rules`]: its business rules) or around the ports of its process
//! ([`ports`]: how it speaks with store, log and other parties). Services and hosts stay as they are: what is
//! wrong with a canary's platform is in this folder. Which habits a file may name, and their keys, is in
//! `scenario::habits`.
//!
//! Left out: whatever can be had by a fault or a setting alone.

mod odds;
pub mod ports;
pub mod rules;
pub mod service;

use std::rc::Rc;

use host::Ports;
use scenario::{Sabotage, Scenario};

pub use self::odds::Odds;
use self::rules::Sabotable;
use self::service::Rule;
use crate::world::World;

/// The habits that a scenario plants.
pub struct Saboteur {
    planted: Vec<(Sabotage, Odds)>,
}

impl Saboteur {
    /// Which things are struck is drawn from a stream of its own for each planted habit.
    pub fn of(world: &World, scenario: &Scenario) -> Rc<Self> {
        let odds = |place: usize| Odds::new(world.rng(&format!("sabotage/{place}")).next_u64());
        let planted = scenario.sabotage.iter().enumerate().map(|(place, habit)| (habit.clone(), odds(place)));
        Rc::new(Self { planted: planted.collect() })
    }

    fn of_service<'a>(&'a self, service: &'a str) -> impl Iterator<Item = (&'a Sabotage, &'a Odds)> {
        self.planted.iter().filter(move |(habit, _)| habit.of == service).map(|(habit, odds)| (habit, odds))
    }

    /// The wrong rules of a service.
    pub fn rules<S: Sabotable>(&self) -> Vec<Box<dyn Rule<S>>> {
        self.of_service(S::NAME).filter_map(|(habit, odds)| rules::planted(habit, odds)).collect()
    }

    /// The ports of a service's instance, with the habits of the service around them.
    pub fn ports(&self, instance: &str, ports: Ports) -> Ports {
        let service = instance.split('/').next().unwrap_or(instance);
        let planted = |ports, (habit, odds)| ports::planted(habit, odds, ports);
        self.of_service(service).fold(ports, planted)
    }
}
