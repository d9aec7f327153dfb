//! Drawing the plan of a run: a scenario and a seed become every operation of every client.
//!
//! The one place that reads the files that loads name, such as recorded order flow.

use std::path::{Path, PathBuf};

use outside::plan::{Plan, PlanError, Workloads};
use scenario::Scenario;

use crate::world::rng::Rng;

/// Draws the plan of a scenario that was read from `file`.
///
/// # Errors
/// See [`PlanError`]: a file that a load names is not there, or a row of it cannot be read.
pub fn draw(scenario: &Scenario, file: &Path, seed: u64) -> Result<Plan, PlanError> {
    let calendar = scenario::Calendar::xnys();
    let files = |name: &str| read(file, name);
    let mut streams = |label: &str| Box::new(Rng::labelled(seed, label)) as Box<dyn outside::Draw>;
    Plan::draw(scenario, &calendar, &Workloads::standard(), &files, &mut streams)
}

/// The text of a file that a scenario names, or where it was looked for in vain.
fn read(scenario: &Path, name: &str) -> Result<String, String> {
    let tried: Vec<PathBuf> = places(scenario, name);
    match tried.iter().find(|path| path.is_file()) {
        Some(path) => std::fs::read_to_string(path).map_err(|error| error.to_string()),
        None => {
            let tried: Vec<String> = tried.iter().map(|path| path.display().to_string()).collect();
            Err(format!("not found, neither as {}", tried.join(" nor as ")))
        }
    }
}

/// Where a relative name may mean: the working directory, the scenario's folder, each folder above that.
fn places(scenario: &Path, name: &str) -> Vec<PathBuf> {
    let scenario = std::path::absolute(scenario).unwrap_or_else(|_| scenario.to_owned());
    let mut places = vec![PathBuf::from(name)];
    if Path::new(name).is_relative() {
        let above = scenario.ancestors().skip(1);
        places.extend(above.filter(|folder| is_root(folder)).map(|folder| folder.join(name)));
        places.extend(scenario.parent().map(|folder| folder.join(name)));
    }
    places
}

/// A workspace or a crate: names in its scenarios are relative to it.
fn is_root(folder: &Path) -> bool {
    folder.join("Cargo.toml").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_looked_for_from_the_working_directory_and_from_the_scenarios_workspace() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let scenario = root.join("scenarios/market/replay.toml");
        let text = read(&scenario, "src/runner/plan.rs").expect("tests run in the crate's folder");
        assert!(text.starts_with("//! Drawing the plan"));
        let places = places(&scenario, "../data/a.csv");
        assert!(places.contains(&root.join("../data/a.csv")), "{places:?}");
        let why = read(&scenario, "no/such.csv").expect_err("there is none");
        assert!(why.starts_with("not found, neither as no/such.csv nor as "), "{why}");
    }
}
