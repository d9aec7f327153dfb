use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::options::{subjects, time_span};
use super::{Failure, out};
use crate::runner::canaries::{Census, Found};
use crate::runner::pool::{self, PoolSettings};
use crate::runner::seeds::Seeds;
use crate::runner::verdict::Exit;

/// Run every canary, with and without what it plants
///
/// Tells how often and how soon each is found. A canary is a scenario that expects a violation. It is sound if at
/// least one seed breaks the invariant that it names, no seed breaks another one first, and every seed passes
/// without the sabotage.
#[derive(Args)]
pub struct Canaries {
    /// Scenario files, or folders of them
    #[arg(default_value = "scenarios/canaries")]
    paths: Vec<PathBuf>,

    /// Every seed from A to B, both included
    #[arg(long, value_name = "A..B", default_value = "1..20")]
    seeds: Seeds,

    /// Runs beside each other [default: one for each processor]
    #[arg(long, value_name = "J", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,

    /// How to print what was found
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Also put the table into this file, between the lines that mark its place
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,

    /// Give up on a run that takes longer, by the wall clock
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = time_span)]
    wall_limit: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table in Markdown, and what is wrong
    #[default]
    Human,
    /// One object per canary, and nothing else on standard output
    Json,
}

/// The lines between which the table stands in a file.
const MARKS: [&str; 2] = ["<!-- canaries: begin -->\n", "<!-- canaries: end -->\n"];

impl Canaries {
    pub fn run(self) -> Result<Exit, Failure> {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.jobs.map_or_else(processors, usize::from);
        let settings = PoolSettings { jobs, wall_limit: Some(self.wall_limit) };
        let mut census = Census::of(subjects(&self.paths, &[])?, self.seeds);
        if census.found.is_empty() {
            let message = "no scenario here expects a violation".to_owned();
            let hint = "a canary says `expect = \"violation:<invariant>\"`".to_owned();
            return Err(Failure::Usage { message, hint });
        }
        // Before the runs, which take minutes.
        let place = self.write.as_deref().map(Place::find).transpose()?;
        pool::each(&settings, census.tasks(), &mut census);
        census.finish();
        match self.format {
            Format::Human => out::line(census.table())?,
            Format::Json => census
                .found
                .iter()
                .try_for_each(|found| out::line(serde_json::to_string(found).expect("text and numbers")))?,
        }
        census.found.iter().for_each(complain);
        if let Some(place) = place {
            place.write(&census.table())?;
        }
        Ok(census.exit())
    }
}

fn complain(found: &Found) {
    let Found { canary, invariant, wrong, without, also, .. } = found;
    if found.met.is_empty() {
        eprintln!("{canary}: no seed violated {invariant}");
    }
    if !also.is_empty() {
        eprintln!(
            "{canary}: in the same moment {} broke too",
            Vec::from_iter(also.iter().copied()).join(", ")
        );
    }
    wrong.iter().for_each(|line| eprintln!("{canary}: {line}"));
    without.iter().for_each(|line| eprintln!("{canary} without sabotage: {line}"));
}

/// Where the table stands in a file: what is kept before and after it.
struct Place<'f> {
    file: &'f Path,
    before: String,
    after: String,
}

impl<'f> Place<'f> {
    fn find(file: &'f Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(file).map_err(|error| Failure::Usage {
            message: format!("{} cannot be read: {error}", file.display()),
            hint: "--write puts the table into a file that is there".to_owned(),
        })?;
        let [begin, end] = MARKS.map(|mark| text.find(mark));
        let (Some(begin), Some(end)) = (begin, end) else {
            let message = format!("{} does not say where the table goes", file.display());
            let hint = format!("write these lines where it should be:\n{}{}", MARKS[0], MARKS[1]);
            return Err(Failure::Usage { message, hint });
        };
        let before = text[..begin + MARKS[0].len()].to_owned();
        Ok(Self { file, before, after: text[end..].to_owned() })
    }

    fn write(self, table: &str) -> Result<(), Failure> {
        Ok(fs::write(self.file, format!("{}\n{table}\n{}", self.before, self.after))?)
    }
}
