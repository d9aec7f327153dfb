use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use outside::plan::PlanError;

use super::options::{Chosen, Format, time_span};
use super::{Failure, out};
use crate::fault;
use crate::runner::batch::{Batch, BatchSettings};
use crate::runner::determinism;
use crate::runner::pool::{self, PoolSettings, Task};
use crate::runner::report::plan_fault;
use crate::runner::seeds::{Seeds, seed};
use crate::runner::simulate::End;
use crate::runner::subject::Subject;
use crate::runner::tracefile::TraceFile;
use crate::runner::verdict::Exit;
use crate::world::trace::Watcher;

/// Run scenarios, each under one seed or many
///
/// Without a path: the standard day, scenarios/market/full_day.toml. Folders stand for every scenario below them.
#[derive(Args)]
pub struct Run {
    /// Scenario files, or folders of them
    paths: Vec<PathBuf>,

    /// The seed, decimal or 0x-hexadecimal
    #[arg(long, value_name = "N", default_value = "1", value_parser = seed)]
    seed: u64,

    /// Every seed from A to B, both included
    #[arg(long, value_name = "A..B", conflicts_with = "seed")]
    seeds: Option<Seeds>,

    /// Runs beside each other [default: one for each processor]
    #[arg(long, value_name = "J", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,

    /// Print the plan that the seed draws, every operation and every fault, and run nothing
    #[arg(long)]
    plan: bool,

    #[command(flatten)]
    chosen: Chosen,

    /// How to print runs
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Run everything twice, in two processes, and compare every record
    #[arg(long, conflicts_with = "plan")]
    check_determinism: bool,

    /// Write what is told of each run into this folder, as JSON and as text
    #[arg(long, value_name = "DIR", conflicts_with_all = ["plan", "check_determinism"])]
    report: Option<PathBuf>,

    /// Stop after so many runs have failed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_failures: Option<u64>,

    /// Give up on a run that takes longer, by the wall clock
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = time_span)]
    wall_limit: Duration,

    /// Write every record as a line into this file
    #[arg(long, value_name = "FILE", hide = true, conflicts_with = "seeds")]
    trace_file: Option<PathBuf>,
}

impl Run {
    pub fn run(self) -> Result<Exit, Failure> {
        let subjects = self.chosen.subjects(&self.paths)?;
        if self.plan {
            return self.plans(&subjects);
        }
        if self.check_determinism {
            return self.twice(&subjects);
        }
        let settings = PoolSettings { jobs: self.jobs(), wall_limit: Some(self.wall_limit) };
        let mut batch = Batch::new(subjects.clone(), self.batch_settings())?;
        pool::each(&settings, self.tasks(subjects), &mut batch);
        Ok(batch.finish()?)
    }

    fn seeds(&self) -> Seeds {
        self.seeds.unwrap_or(Seeds::only(self.seed))
    }

    fn jobs(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.map_or_else(processors, usize::from)
    }

    fn batch_settings(&self) -> BatchSettings {
        BatchSettings {
            first_seed: self.seeds().first,
            seeds: self.seeds().count(),
            json: self.format == Format::Json,
            report: self.report.clone(),
            max_failures: self.max_failures,
        }
    }

    fn tasks(&self, subjects: Vec<Arc<Subject>>) -> impl Iterator<Item = Task<Result<End, PlanError>>> {
        let (seeds, trace) = (self.seeds(), self.trace_file.clone());
        let runs = subjects
            .into_iter()
            .flat_map(move |subject| seeds.iter().map(move |seed| (subject.clone(), seed)));
        runs.map(move |(subject, seed)| {
            let trace = trace.clone();
            Box::new(move || {
                let trace = trace.map(|path| TraceFile::create(&path).expect("the trace file can be made"));
                let watchers = trace.into_iter().map(|trace| Box::new(trace) as Box<dyn Watcher>);
                subject.run(seed, watchers.collect())
            }) as Task<Result<End, PlanError>>
        })
    }

    fn plans(&self, subjects: &[Arc<Subject>]) -> Result<Exit, Failure> {
        for subject in subjects {
            for seed in self.seeds().iter() {
                let plan = subject.plan(seed);
                let plan = plan.map_err(|error| Failure::Fault(Exit::Invalid, plan_fault(&error)))?;
                out::line(plan.to_toml().expect("every drawn plan is TOML").trim_end())?;
                let faults = fault::plan::draw(&subject.scenario, &plan, seed);
                if !faults.is_empty() {
                    out::line("")?;
                    out::line(fault::plan::to_toml(&faults).trim_end())?;
                }
            }
        }
        Ok(Exit::AsExpected)
    }

    fn twice(&self, subjects: &[Arc<Subject>]) -> Result<Exit, Failure> {
        let broken = |fault| Failure::Fault(Exit::Fault, fault);
        let compared =
            determinism::compare(&self.arguments(subjects, self.seeds()), self.jobs()).map_err(broken)?;
        let mut shown = false;
        let runs = subjects.iter().flat_map(|subject| self.seeds().iter().map(move |seed| (subject, seed)));
        for ((subject, seed), pair) in runs.zip(&compared.pairs) {
            match self.format {
                Format::Human => out::line(pair.line())?,
                Format::Json => out::line(pair.json().to_string())?,
            }
            if !pair.is_same() && !std::mem::replace(&mut shown, true) {
                let arguments = self.arguments(std::slice::from_ref(subject), Seeds::only(seed));
                eprint!("{}", determinism::first_difference(&arguments).map_err(broken)?);
                eprintln!("  reproduce  {} --check-determinism", subject.command("run", seed));
            }
        }
        Ok(compared.exit())
    }

    /// The runs, as arguments of another process.
    fn arguments(&self, subjects: &[Arc<Subject>], seeds: Seeds) -> Vec<String> {
        let mut arguments: Vec<String> =
            subjects.iter().map(|subject| subject.file.display().to_string()).collect();
        let seeds = if seeds.count() == 1 {
            ["--seed".to_owned(), seeds.first.to_string()]
        } else {
            ["--seeds".to_owned(), format!("{}..{}", seeds.first, seeds.last)]
        };
        arguments.extend(seeds);
        arguments.extend(self.chosen.common.set.iter().flat_map(|set| ["--set".to_owned(), set.clone()]));
        arguments.extend(self.chosen.without_sabotage.then(|| "--without-sabotage".to_owned()));
        arguments.extend(["--wall-limit".to_owned(), format!("{}ns", self.wall_limit.as_nanos())]);
        arguments
    }
}
