//! A scenario as the rest of the simulator sees it: every name checked, every default filled in.
//!
//! Serialising gives the file back, defaults included; loading that text gives the same scenario.

use std::collections::BTreeMap;
use std::fmt;

use jiff::civil::{Date, DateTime, Weekday};
use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

use crate::fault::FaultSpec;
use crate::load::Load;
use crate::sabotage::Sabotage;
use crate::values::{Selection, TimeSpan};

/// One scenario file.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scenario {
    pub name: String,
    pub about: String,
    pub tags: Vec<String>,
    pub expect: Expect,
    pub market: Market,
    pub topology: Topology,
    pub platform: Platform,
    pub settle: Settle,
    pub check: Check,
    pub snapshot: Snapshot,
    #[serde(rename = "load", skip_serializing_if = "Vec::is_empty")]
    pub loads: Vec<Load>,
    #[serde(rename = "fault", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultSpec>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sabotage: Vec<Sabotage>,
}

impl Scenario {
    /// The file that says the same, with every default written out.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// The same without what a canary plants, wrong habits and weak settings; it is then expected to pass.
    #[must_use]
    pub fn without_sabotage(self) -> Self {
        let kafka = self.topology.kafka.strong();
        let topology = Topology { postgres: Postgres::strong(), kafka, ..self.topology };
        Scenario { sabotage: Vec::new(), expect: Expect::Pass, topology, ..self }
    }
}

/// What makes a run a success.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    #[default]
    Pass,
    /// A canary: the named invariant must be violated.
    Violation(String),
}

impl Serialize for Expect {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Expect::Pass => serializer.serialize_str("pass"),
            Expect::Violation(invariant) => serializer.collect_str(&format_args!("violation:{invariant}")),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Market {
    pub venue: String,
    /// Local to the venue; a session day.
    pub start: DateTime,
    pub until: Until,
    /// Days on which load runs; empty means the default, see `Scenario::trading_dates`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trading: Vec<Day>,
    pub instruments: u32,
    pub accounts: u32,
    /// Clients of the platform; the accounts are dealt out among them.
    pub participants: u32,
    pub opening: Opening,
}

/// When load and faults end. Settling comes after it in each case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Until {
    /// Every trade of the trading days has settled or failed.
    #[default]
    Settled,
    At(DateTime),
    After(TimeSpan),
}

impl Serialize for Until {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Until::Settled => serializer.serialize_str("settled"),
            Until::At(local) => serializer.collect_str(local),
            Until::After(span) => span.serialize(serializer),
        }
    }
}

/// A day of the run: a weekday (each one in the run) or a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Day {
    Weekday(Weekday),
    Date(Date),
}

impl Default for Day {
    fn default() -> Self {
        Day::Date(Date::default())
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Day::Weekday(weekday) => serializer.serialize_str(crate::when::weekday_name(*weekday)),
            Day::Date(date) => serializer.collect_str(date),
        }
    }
}

/// What every account holds when the run starts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Opening {
    pub cash: Decimal,
    /// Of each instrument.
    pub shares: u64,
    /// In order; a later one wins.
    #[serde(rename = "override", skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<OpeningOverride>,
}

/// Other opening balances for some accounts.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OpeningOverride {
    pub accounts: Selection,
    /// Which instruments `shares` is about.
    pub instruments: Selection,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cash: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shares: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Topology {
    /// Instances by service; every service of the catalogue is here.
    #[serde(flatten)]
    pub instances: BTreeMap<String, u32>,
    pub kafka: Kafka,
    pub postgres: Postgres,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Kafka {
    pub brokers: u32,
    /// Only those the file names, by Kafka's own names, with dots.
    #[serde(flatten)]
    pub settings: BTreeMap<String, Setting>,
}

/// Settings that can lose what was acknowledged.
const WEAKENS: &[&str] =
    &["acks", "enable.idempotence", "min.insync.replicas", "unclean.leader.election.enable"];

impl Kafka {
    /// Nothing that was acknowledged is lost with one broker.
    fn strong(self) -> Self {
        let settings = self.settings.into_iter();
        let settings = settings.filter(|(name, _)| !WEAKENS.contains(&name.as_str())).collect();
        Self { settings, ..self }
    }
}

/// A value of a setting that is called by its real name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Setting {
    Flag(bool),
    Integer(i64),
    Text(String),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Flag(flag) => write!(f, "{flag}"),
            Setting::Integer(number) => write!(f, "{number}"),
            Setting::Text(text) => f.write_str(text),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Postgres {
    pub synchronous_standby: bool,
    pub synchronous_commit: String,
}

impl Postgres {
    /// Nothing that was acknowledged is lost with one server.
    pub fn strong() -> Self {
        Postgres { synchronous_standby: true, synchronous_commit: "on".to_owned() }
    }
}

/// Settings of the platform's services.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Platform {
    /// Settlement attempts that may be carried to the next settlement date; after that the trade fails.
    pub max_carries: u32,
    /// How long a trade waits for reference data that has not arrived.
    pub reference_wait: TimeSpan,
    /// Requests per second and client that one gateway instance admits.
    pub rate_limit_per_second: u32,
    /// Obligations per page of a settlement batch.
    pub page_size: u32,
    /// Whether shares bought but not yet settled may be sold.
    pub unsettled_purchases_count: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Settle {
    /// From the later of healing and the last 18:00 at which an open obligation is due.
    pub within: TimeSpan,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Check {
    pub invariants: Invariants,
    /// Marks that the run must meet; one that it misses makes it vacuous.
    pub must_see: Vec<String>,
    /// Whether messages that cannot be decoded may be left at rest.
    pub dead_letters: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Invariants {
    #[default]
    All,
    Named(Vec<String>),
}

impl Serialize for Invariants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Invariants::All => serializer.serialize_str("all"),
            Invariants::Named(names) => names.serialize(serializer),
        }
    }
}

/// Seeds whose settlement outcome is committed under `snapshots/`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Snapshot {
    pub seeds: Vec<u64>,
}
