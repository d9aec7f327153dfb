use std::path::PathBuf;

use clap::Args;
use scenario::{Diagnostics, Style, resolved_instants};

use super::options::{Common, Format, files};
use super::{Failure, out};
use crate::runner::subject::{Subject, catalogue};
use crate::runner::verdict::Exit;

/// Check scenario files without running them
///
/// Each mistake is shown with its file, line, column, field path, and the nearest name that would be valid.
#[derive(Args)]
pub struct Check {
    /// Scenario files, or folders of them
    #[arg(required = true)]
    paths: Vec<PathBuf>,

    /// Also print what the scenario's local times mean as instants
    #[arg(long)]
    instants: bool,

    #[command(flatten)]
    common: Common,

    /// How to print mistakes
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

impl Check {
    pub fn run(self) -> Result<Exit, Failure> {
        let catalogue = catalogue();
        let mut exit = Exit::AsExpected;
        for file in files(&self.paths)? {
            match Subject::load(&file, &catalogue, &self.common.set) {
                Ok(subject) => self.sound(&subject)?,
                Err(mistakes) => {
                    self.wrong(&mistakes)?;
                    exit = Exit::Invalid;
                }
            }
        }
        Ok(exit)
    }

    fn sound(&self, subject: &Subject) -> Result<(), Failure> {
        if self.format == Format::Human {
            out::line(format!("{}: ok", subject.file.display()))?;
        }
        if self.instants {
            let instants = resolved_instants(&subject.scenario, &scenario::Calendar::xnys());
            for instant in instants.expect("the loader has resolved them already") {
                out::line(format!("  {instant}"))?;
            }
        }
        Ok(())
    }

    fn wrong(&self, mistakes: &Diagnostics) -> Result<(), Failure> {
        match self.format {
            Format::Human => {
                eprint!("{}", mistakes.render(Style::of_stderr()));
                eprintln!("{mistakes}");
            }
            Format::Json => out::line(mistakes.to_json().to_string())?,
        }
        Ok(())
    }
}
