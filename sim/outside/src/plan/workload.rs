//! Workloads: what draws the operations of a load, by the name of its profile.
//!
//! A workload of another crate joins by [`Workloads::add`], as its profile joins the loader's catalogue.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use model::{Date, Timestamp};
use scenario::{Calendar, Load, Window};

use super::operation::{Ask, Intent, Operation};
use super::world::World;
use super::{cash, replay, trades};
use crate::draw::{Draw, Streams};

/// Gives the text of a file by its path in a scenario, or says why not.
pub type Files<'a> = dyn Fn(&str) -> Result<String, String> + 'a;

/// Draws the operations of one load, in any order of time.
pub type Workload = fn(&Brief<'_>, &mut Streams<'_>) -> Result<Vec<Operation>, PlanError>;

/// What a workload knows.
pub struct Brief<'a> {
    pub load: &'a Load,
    /// When it runs.
    pub windows: Vec<Window>,
    pub world: &'a World,
    pub calendar: &'a Calendar,
    pub files: &'a Files<'a>,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("{0}")]
    Times(String),
    #[error("no workload has the profile `{0}`")]
    UnknownProfile(String),
    #[error("load `{load}`: {account} has nobody to trade with")]
    NobodyToTradeWith { load: String, account: String },
    #[error("{file}: {why}")]
    File { file: String, why: String },
    #[error("{file}:{line}: {why}")]
    Row { file: String, line: usize, why: String },
}

/// The workloads by profile.
#[derive(Clone, Debug)]
pub struct Workloads(BTreeMap<String, Workload>);

impl Workloads {
    /// Those of the profiles that the scenario crate brings.
    pub fn standard() -> Self {
        let standard: [(&str, Workload); 5] = [
            ("trades", trades::json),
            ("fix", trades::fix),
            ("replay", replay::draw),
            ("deposits", cash::deposits),
            ("withdrawals", cash::withdrawals),
        ];
        Self(standard.into_iter().map(|(profile, workload)| (profile.to_owned(), workload)).collect())
    }

    /// Adds a workload, or puts it in another's place.
    pub fn add(&mut self, profile: &str, workload: Workload) {
        self.0.insert(profile.to_owned(), workload);
    }

    pub(super) fn of(&self, profile: &str) -> Result<Workload, PlanError> {
        self.0.get(profile).copied().ok_or_else(|| PlanError::UnknownProfile(profile.to_owned()))
    }
}

/// From an operation to its duplicate, in milliseconds: an impatient client, or one that was restarted.
const DUPLICATE_AFTER_MS: (u64, u64) = (50, 30_000);

impl Brief<'_> {
    /// The stream of one purpose of this load.
    pub fn stream(&self, purpose: &str, streams: &mut Streams<'_>) -> Box<dyn Draw> {
        streams(&format!("load/{}/{purpose}", self.load.seed))
    }

    /// The key of the load's n-th operation, from 1.
    pub fn key(&self, number: usize) -> String {
        format!("{}-{number:06}", self.load.name)
    }

    /// The date that the venue's clock shows.
    pub fn date(&self, at: Timestamp) -> Date {
        self.calendar.local(at).date()
    }

    /// Adds to sound operations, by these odds, the same again under the same key.
    pub fn with_duplicates(
        &self,
        operations: Vec<Operation>,
        retry_ppm: u32,
        streams: &mut Streams<'_>,
    ) -> Vec<Operation> {
        let mut draw = self.stream("duplicates", streams);
        let mut all = Vec::with_capacity(operations.len());
        for operation in operations {
            let again = duplicate(&operation, retry_ppm, &mut draw);
            all.push(operation);
            all.extend(again);
        }
        all
    }
}

fn duplicate(operation: &Operation, retry_ppm: u32, draw: &mut dyn Draw) -> Option<Operation> {
    let hits = draw.odds_ppm(retry_ppm);
    let after_ms = draw.between(DUPLICATE_AFTER_MS.0, DUPLICATE_AFTER_MS.1);
    let read = matches!(operation.ask, Ask::Get { .. });
    // A broken request twice is only two broken requests.
    if !hits || read || !matches!(operation.intent, Intent::Ordinary | Intent::Oversell | Intent::Overdraw) {
        return None;
    }
    let after = SignedDuration::from_millis(i64::try_from(after_ms).expect("seconds"));
    Some(Operation { at: operation.at + after, intent: Intent::Duplicate, ..operation.clone() })
}
