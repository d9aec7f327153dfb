use std::path::PathBuf;

use clap::{Args, ValueEnum};
use invariants::{marks, oracles};
use scenario::{Expect, Topology};

use super::options::{Format, subjects};
use super::{Failure, out};
use crate::guarantees::page;
use crate::runner::subject::catalogue;
use crate::runner::verdict::Exit;

/// List the names that scenarios may use
#[derive(Args)]
pub struct List {
    /// What to list
    #[arg(value_enum)]
    what: What,

    /// With `scenarios`: the folders or files to look in
    #[arg(default_value = "scenarios")]
    paths: Vec<PathBuf>,

    /// How to print it: JSON is for `guarantees`
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// What must always hold
    Invariants,
    /// What can be made to break
    Faults,
    /// Wrong habits that canaries plant, and whose they can be
    Habits,
    /// What clients can do, as `profile` of a load
    Workloads,
    /// The services of the platform, and how many instances each has by default
    Services,
    /// Scenario files, and what each is about
    Scenarios,
    /// What a scenario can ask to have been met, in `must_see`
    Marks,
    /// What faults can hit, with the default topology
    Targets,
    /// Which invariants hold under which settings and faults, and why some need not
    Guarantees,
}

impl List {
    pub fn run(self) -> Result<Exit, Failure> {
        if self.format == Format::Json && !matches!(self.what, What::Guarantees) {
            return Err(Failure::Usage {
                message: "only guarantees are listed as JSON".to_owned(),
                hint: "`schema` has the names of scenarios for programs".to_owned(),
            });
        }
        match self.what {
            What::Invariants => {
                let row = |invariant: &dyn invariants::Invariant| {
                    named(invariant.name(), first_sentence(invariant.about()))
                };
                out::table(
                    &oracles::all().iter().map(|invariant| row(invariant.as_ref())).collect::<Vec<_>>(),
                )?;
            }
            What::Marks => {
                out::table(
                    &marks::all().iter().map(|mark| named(mark.name(), mark.about())).collect::<Vec<_>>(),
                )?;
            }
            What::Faults => {
                let row = |action: &scenario::FaultAction| {
                    let kinds = action.hits.iter().map(ToString::to_string);
                    let only = action.only.iter().map(|name| (*name).to_owned());
                    let hits: Vec<String> =
                        if action.only.is_empty() { kinds.collect() } else { only.collect() };
                    [action.name.clone(), hits.join(", "), action.about.clone()]
                };
                out::table(&catalogue().fault_actions.iter().map(row).collect::<Vec<_>>())?;
            }
            What::Habits => {
                let row = |habit: &scenario::Habit| {
                    // One that is not of a single service is of any that has a store.
                    let of = habit.of.first().filter(|_| habit.of.len() == 1).map_or("", String::as_str);
                    [habit.name.clone(), of.to_owned(), habit.about.clone()]
                };
                out::table(&catalogue().habits.iter().map(row).collect::<Vec<_>>())?;
            }
            What::Workloads => {
                let profiles = catalogue().profiles;
                out::table(
                    &profiles.iter().map(|profile| named(&profile.name, &profile.about)).collect::<Vec<_>>(),
                )?;
            }
            What::Services => {
                let row = |service: &scenario::Service| named(&service.name, &service.instances.to_string());
                out::table(&catalogue().services.iter().map(row).collect::<Vec<_>>())?;
            }
            What::Targets => catalogue().targets(&standard_topology()).iter().try_for_each(out::line)?,
            What::Scenarios => self.scenarios()?,
            What::Guarantees => self.guarantees()?,
        }
        Ok(Exit::AsExpected)
    }

    fn guarantees(&self) -> Result<(), Failure> {
        if self.format == Format::Json {
            page::json().iter().try_for_each(|cell| out::line(cell.to_string()))?;
            return Ok(());
        }
        out::table(&page::table())?;
        out::line("")?;
        Ok(page::legend().iter().try_for_each(out::line)?)
    }

    fn scenarios(&self) -> Result<(), Failure> {
        let rows = subjects(&self.paths, &[])?.into_iter().map(|subject| {
            let expect = match &subject.scenario.expect {
                Expect::Pass => String::new(),
                Expect::Violation(invariant) => format!(" (violates {invariant})"),
            };
            named(&subject.file.display().to_string(), &format!("{}{expect}", subject.scenario.about))
        });
        Ok(out::table(&rows.collect::<Vec<_>>())?)
    }
}

fn named(name: &str, about: &str) -> [String; 2] {
    [name.to_owned(), about.to_owned()]
}

fn first_sentence(text: &str) -> &str {
    text.find(". ").map_or(text, |end| &text[..=end])
}

/// What a scenario has that says nothing about it.
fn standard_topology() -> Topology {
    let instances = catalogue().services.into_iter().map(|service| (service.name, service.instances));
    let kafka = scenario::Kafka { brokers: 3, ..scenario::Kafka::default() };
    Topology { instances: instances.collect(), kafka, ..Topology::default() }
}
