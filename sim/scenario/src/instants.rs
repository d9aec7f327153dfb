//! The resolved instants of a scenario, for `check` and `run --plan` to print.

use std::fmt;

use jiff::{Timestamp, Zoned};

use crate::calendar::Calendar;
use crate::fault::Occurs;
use crate::scenario::{Scenario, Until};
use crate::when::{TimeError, When};

/// A moment of the file, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instant {
    pub at: Timestamp,
    /// On the venue's clock.
    pub local: Zoned,
    /// Field path, with what it is about.
    pub what: String,
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.local.strftime("%a %Y-%m-%d %H:%M:%S%.f%:z"), self.what)
    }
}

/// Every moment that the scenario names, in order of time.
pub fn resolved_instants(scenario: &Scenario, calendar: &Calendar) -> Result<Vec<Instant>, TimeError> {
    let run = scenario.run(calendar)?;
    let mut instants = Vec::new();
    let mut add = |at: Timestamp, what: String| {
        instants.push(Instant { at, local: at.to_zoned(calendar.zone().clone()), what });
    };
    add(run.start, "market.start".to_owned());
    if scenario.market.until != Until::Settled {
        add(run.end, "market.until".to_owned());
    }
    for (index, load) in scenario.loads.iter().enumerate() {
        for (from, to) in load.windows(&run, calendar).map_err(|(_, error)| error)? {
            add(from, format!("load[{index}].from ({})", load.name));
            add(to, format!("load[{index}].to ({})", load.name));
        }
    }
    for (index, fault) in scenario.faults.iter().enumerate() {
        let moments: Vec<(&str, When)> = match fault.occurs {
            Occurs::At { at } => vec![("at", at)],
            Occurs::Every { from, to, .. } | Occurs::Window { from, to } => vec![("from", from), ("to", to)],
        };
        for (key, when) in moments {
            for at in when.resolve(calendar, run.start, run.end)? {
                add(at, format!("fault[{index}].{key} ({})", fault.action));
            }
        }
    }
    instants.sort_by(|a, b| (a.at, &a.what).cmp(&(b.at, &b.what)));
    Ok(instants)
}
