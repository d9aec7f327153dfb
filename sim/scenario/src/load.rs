//! `[[load]]`: what clients ask of the platform, when, and how often.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::params::{FromTable, Params};
use crate::scenario::Day;
use crate::values::Drawn;
use crate::when::When;

/// One load. Its profile's own keys are in `params`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Load {
    /// Unique in the scenario.
    pub name: String,
    /// A profile of the catalogue.
    pub profile: String,
    pub from: When,
    /// Not included.
    pub to: When,
    /// Trading days on which it runs; empty means all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// Label of its stream of random numbers: loads with one label draw the same numbers.
    pub seed: String,
    #[serde(flatten)]
    pub pace: Pace,
    #[serde(flatten)]
    pub params: Params,
}

impl Load {
    /// The keys of its profile, as that profile's type.
    pub fn params<P: FromTable>(&self) -> P {
        self.params.read()
    }
}

/// How many operations a load starts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Pace {
    /// The profile knows its own times, as a replayed file does.
    #[default]
    Own,
    /// Exactly so many in each window, at drawn times.
    Count(Drawn<u64>),
    Rate(Rate),
}

impl Serialize for Pace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Pace::Own => {}
            Pace::Count(count) => map.serialize_entry("count", count)?,
            Pace::Rate(rate) => map.serialize_entry("rate", rate)?,
        }
        map.end()
    }
}

/// Operations per second, changing evenly over each window where `ramp_to` is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rate {
    pub per_second: Drawn<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramp_to: Option<Drawn<u64>>,
}
