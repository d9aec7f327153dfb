//! What is run: a scenario with the file and the overrides that it was read from.

use std::path::{Path, PathBuf};

use invariants::{marks, oracles};
use outside::plan::{Plan, PlanError};
use scenario::{Catalogue, Diagnostics, Scenario};

use super::logged::Logged;
use super::plan;
use super::simulate::{End, simulate};
use crate::world::trace::Watcher;
use crate::{fault, guarantees};

/// A scenario, and how to name it on a command line.
#[derive(Clone, Debug)]
pub struct Subject {
    pub file: PathBuf,
    /// `path=value`, as given with `--set`.
    pub overrides: Vec<String>,
    pub scenario: Scenario,
    /// Without what its file plants.
    pub without_sabotage: bool,
}

/// The standard names, and those of every invariant, mark and fault action there is.
pub fn catalogue() -> Catalogue {
    let (invariants, marks) = (oracles::all(), marks::all());
    let invariants = invariants.iter().map(|invariant| invariant.name());
    let mut catalogue = Catalogue::standard(invariants, marks.iter().map(|mark| mark.name()));
    catalogue.fault_actions = fault::kinds().into_iter().map(|kind| kind.action).collect();
    catalogue.doubts = Some(guarantees::doubts);
    catalogue
}

impl Subject {
    /// # Errors
    /// Every mistake of the file.
    pub fn load(file: &Path, catalogue: &Catalogue, overrides: &[String]) -> Result<Self, Diagnostics> {
        let scenario = scenario::load(file, catalogue, overrides)?;
        let (file, overrides) = (file.to_owned(), overrides.to_vec());
        Ok(Self { file, overrides, scenario, without_sabotage: false })
    }

    /// The same without what its file plants: wrong habits, weak settings, faults outside the guarantees. It is then
    /// expected to pass.
    #[must_use]
    pub fn without_sabotage(self) -> Self {
        let scenario = guarantees::without_doubtful(self.scenario.without_sabotage());
        Self { scenario, without_sabotage: true, ..self }
    }

    pub fn plan(&self, seed: u64) -> Result<Plan, PlanError> {
        plan::draw(&self.scenario, &self.file, seed)
    }

    /// One run, watched. Needs a thread of its own.
    ///
    /// # Errors
    /// There is no plan for it.
    pub fn run(&self, seed: u64, mut watchers: Vec<Box<dyn Watcher>>) -> Result<End, PlanError> {
        let plan = self.plan(seed)?;
        watchers.extend(Logged::if_wanted());
        Ok(simulate(&self.scenario, plan, seed, watchers))
    }

    /// The command line that does this again.
    pub fn command(&self, verb: &str, seed: u64) -> String {
        let mut command =
            format!("cargo sim {verb} {} --seed {seed}", quoted(&self.file.display().to_string()));
        for set in &self.overrides {
            command += &format!(" --set {}", quoted(set));
        }
        if self.without_sabotage {
            command += " --without-sabotage";
        }
        command
    }
}

/// A word of a shell's command line.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_pasted_into_a_shell() {
        let subject = Subject {
            file: "scenarios/my day.toml".into(),
            overrides: vec!["market.accounts=50".to_owned(), "about=\"it's\"".to_owned()],
            scenario: Scenario::default(),
            without_sabotage: false,
        };
        let expected = r#"cargo sim run 'scenarios/my day.toml' --seed 7 --set market.accounts=50 --set 'about="it'\''s"'"#;
        assert_eq!(subject.command("run", 7), expected);
        let without = subject.without_sabotage();
        assert_eq!(without.command("run", 7), format!("{expected} --without-sabotage"));
    }
}
