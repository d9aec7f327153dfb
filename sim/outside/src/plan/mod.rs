//! The plan of a run: every operation of every client, drawn from the seed before the run.
//!
//! A plan is explicit, so that it can be printed, cut down and run by itself. Which operation a client sends
//! never depends on what the platform answered to another.
//!
//! Each purpose of each load draws from a stream of its own (`load/<label>/<purpose>`): a load that also sends
//! duplicates, or one more load, leaves everything else as it was.

mod cash;
mod operation;
mod pace;
mod reads;
mod replay;
#[cfg(test)]
mod tests;
mod trades;
mod workload;
mod world;

use model::Timestamp;
use scenario::{Calendar, Scenario};
use serde::{Deserialize, Serialize};

use crate::draw::Streams;

pub use operation::{Ask, FixTrade, Intent, Operation, TradeForm};
pub use workload::{Brief, Files, PlanError, Workload, Workloads};
pub use world::{Account, FIX_PREFIX, OPERATOR, REPLAY_PREFIX, TICK, World};

/// Everything that clients do in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The scenario's name.
    pub scenario: String,
    pub world: World,
    /// In order of time; those of one instant in the order in which they start.
    pub operations: Vec<Operation>,
}

impl Plan {
    /// Draws the plan of a scenario. `files` gives the text of a file that a load names.
    ///
    /// # Errors
    /// See [`PlanError`]; a scenario that was loaded with the same calendar fails only for its files.
    pub fn draw(
        scenario: &Scenario,
        calendar: &Calendar,
        workloads: &Workloads,
        files: &Files<'_>,
        streams: &mut Streams<'_>,
    ) -> Result<Self, PlanError> {
        let run = scenario.run(calendar).map_err(|error| PlanError::Times(error.to_string()))?;
        let world = World::of(scenario, run.start);
        let mut operations = world.setup(scenario.platform.rate_limit_per_second);
        for load in &scenario.loads {
            let windows = load.windows(&run, calendar);
            let windows =
                windows.map_err(|(key, error)| PlanError::Times(format!("{}.{key}: {error}", load.name)))?;
            let brief = Brief { load, windows, world: &world, calendar, files };
            operations.extend(workloads.of(&load.profile)?(&brief, streams)?);
        }
        operations.sort_by_key(|operation| operation.at);
        Ok(Self { scenario: scenario.name.clone(), world, operations })
    }

    /// The instant of the last operation.
    pub fn last(&self) -> Option<Timestamp> {
        self.operations.last().map(|operation| operation.at)
    }

    /// As text, to be read again with [`Plan::from_toml`].
    ///
    /// # Errors
    /// None that a drawn plan could have.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// # Errors
    /// What is no plan, with its place.
    pub fn from_toml(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}
