//! Options that several verbs have.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use scenario::TimeSpan;

use super::Failure;
use crate::runner::subject::{Subject, catalogue};

/// The day that is run where none is named.
const STANDARD_DAY: &str = "scenarios/market/full_day.toml";

#[derive(Args)]
pub struct Common {
    /// Change a value of the scenario, for example market.accounts=50; may be repeated
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub set: Vec<String>,
}

/// Options of verbs that run scenarios.
#[derive(Args)]
pub struct Chosen {
    #[command(flatten)]
    pub common: Common,

    /// Leave out what a canary plants, wrong habits and weak settings, and expect it to pass
    #[arg(long)]
    pub without_sabotage: bool,
}

impl Chosen {
    /// The scenarios among files and folders, as these options want them.
    pub fn subjects(&self, paths: &[PathBuf]) -> Result<Vec<Arc<Subject>>, Failure> {
        let subjects = subjects(paths, &self.common.set)?;
        let without = |subject: Arc<Subject>| Arc::new(Arc::unwrap_or_clone(subject).without_sabotage());
        Ok(if self.without_sabotage { subjects.into_iter().map(without).collect() } else { subjects })
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Human,
    /// One object per line, and nothing else on standard output
    Json,
}

/// Reads a length of time: `90s`, `5m`, `1h30m`.
pub fn time_span(text: &str) -> Result<Duration, String> {
    let span = TimeSpan::parse(text).filter(|span| !span.0.is_zero());
    span.map(|span| span.0).ok_or_else(|| "a length of time reads like 90s, 5m or 1h30m".to_owned())
}

/// The scenarios among files and folders; without any, the standard day.
pub fn subjects(paths: &[PathBuf], set: &[String]) -> Result<Vec<Arc<Subject>>, Failure> {
    let paths = if paths.is_empty() { vec![standard_day()] } else { paths.to_vec() };
    let catalogue = catalogue();
    let loaded = files(&paths)?.into_iter().map(|file| Subject::load(&file, &catalogue, set));
    let (mut subjects, mut mistakes) = (Vec::new(), Vec::new());
    loaded.for_each(|loaded| match loaded {
        Ok(subject) => subjects.push(Arc::new(subject)),
        Err(diagnostics) => mistakes.push(diagnostics),
    });
    if mistakes.is_empty() { Ok(subjects) } else { Err(Failure::Invalid(mistakes)) }
}

/// The files among files and folders, at least one.
pub fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let files = scenario::find(paths)?;
    if files.is_empty() {
        let names: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(Failure::Usage {
            message: format!("no scenario in {}", names.join(", ")),
            hint: "name .toml files, or folders that have some; folders called `invalid` must be named themselves"
                .to_owned(),
        });
    }
    Ok(files)
}

/// Here, or in the nearest folder above that has it.
fn standard_day() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let found = here.ancestors().map(|folder| folder.join(STANDARD_DAY)).find(|file| file.is_file());
    match found {
        Some(file) => file.strip_prefix(&here).map_or_else(|_| file.clone(), Path::to_path_buf),
        None => PathBuf::from(STANDARD_DAY),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_have_units() {
        assert_eq!(time_span("1m30s"), Ok(Duration::from_secs(90)));
        assert!(time_span("5").is_err() && time_span("0s").is_err() && time_span("").is_err());
    }
}
