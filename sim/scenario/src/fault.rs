//! `[[fault]]`: what breaks, where, when and for how long.
//!
//! Which actions exist, and their own keys, comes from the catalogue. The engine that performs them is
//! `sim`'s.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::params::{FromTable, Params};
use crate::values::{Drawn, Ppm, TimeSpan};
use crate::when::When;

/// One fault. Its action's own keys are in `params`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FaultSpec {
    /// An action of the catalogue.
    pub action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetSpec>,
    #[serde(flatten)]
    pub occurs: Occurs,
    /// Without it: until the window ends, or for a single moment.
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Drawn<TimeSpan>>,
    /// Odds of each occurrence to happen.
    #[serde(skip_serializing_if = "is_certain")]
    pub odds_ppm: Ppm,
    #[serde(flatten)]
    pub params: Params,
}

fn is_certain(odds: &Ppm) -> bool {
    odds.0 == Ppm::MILLION
}

impl FaultSpec {
    /// The keys of its action, as that action's type.
    pub fn params<P: FromTable>(&self) -> P {
        self.params.read()
    }
}

/// When a fault begins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Occurs {
    At {
        at: When,
    },
    /// Again and again in the window, each time later by up to `jitter`.
    Every {
        every: TimeSpan,
        from: When,
        to: When,
        jitter: TimeSpan,
    },
    /// With `for`: once, at a moment drawn from the window. Without: from its first moment to its last.
    Window {
        from: When,
        to: When,
    },
}

/// Whom a fault hits: a target, or a drawn part of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum TargetSpec {
    One(Target),
    Shaped { shape: Shape, of: Target },
}

/// Jepsen's shapes of a partition, and of choosing victims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    #[default]
    One,
    Minority,
    Halves,
    Ring,
    OneWay,
}

/// The kinds of targets, by what a fault action can hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    Service,
    Broker,
    Database,
    Outside,
}

/// A part of the simulated world, as scenario files name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `position`, or `position/2`: all instances, or one, from 1.
    Service { name: String, instance: Option<u32> },
    /// `kafka`, or `kafka/1`.
    Broker { number: Option<u32> },
    /// `postgres/settlement`, or `postgres/settlement/primary`.
    Database { name: String, role: Option<Role> },
    /// `bank`, `venue`, …
    Outside { name: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Primary,
    Standby,
}

impl Target {
    pub fn kind(&self) -> TargetKind {
        match self {
            Target::Service { .. } => TargetKind::Service,
            Target::Broker { .. } => TargetKind::Broker,
            Target::Database { .. } => TargetKind::Database,
            Target::Outside { .. } => TargetKind::Outside,
        }
    }
}

impl TargetSpec {
    /// The target itself, or what a part of it is drawn from.
    pub fn target(&self) -> &Target {
        match self {
            TargetSpec::One(target) | TargetSpec::Shaped { of: target, .. } => target,
        }
    }
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TargetKind::Service => "services",
            TargetKind::Broker => "brokers",
            TargetKind::Database => "databases",
            TargetKind::Outside => "outside parties",
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Service { name, instance: Some(instance) } => write!(f, "{name}/{instance}"),
            Target::Service { name, instance: None } | Target::Outside { name } => f.write_str(name),
            Target::Broker { number: Some(number) } => write!(f, "kafka/{number}"),
            Target::Broker { number: None } => f.write_str("kafka"),
            Target::Database { name, role: None } => write!(f, "postgres/{name}"),
            Target::Database { name, role: Some(Role::Primary) } => write!(f, "postgres/{name}/primary"),
            Target::Database { name, role: Some(Role::Standby) } => write!(f, "postgres/{name}/standby"),
        }
    }
}

impl Default for Occurs {
    fn default() -> Self {
        Occurs::At { at: When::default() }
    }
}

impl Default for Target {
    fn default() -> Self {
        Target::Outside { name: String::new() }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
