//! Many runs: tells each as it ends, and at the end what they come to.

use std::fs;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use outside::plan::PlanError;
use scenario::Expect;

use super::evidence::Evidence;
use super::impact::Impact;
use super::pool::{Audience, Finished, Standing};
use super::progress::Progress;
use super::report::RunReport;
use super::simulate::End;
use super::subject::Subject;
use super::summary::Summary;
use super::verdict::{Exit, Tally};

/// With more runs than this, only those that fail get a line.
const LINES_MAX: u64 = 20;
/// Failures that are shown in full.
const IN_FULL_MAX: usize = 3;

#[derive(Clone, Debug)]
pub struct BatchSettings {
    pub first_seed: u64,
    /// Seeds for each subject.
    pub seeds: u64,
    /// One object per run on standard output, instead of text.
    pub json: bool,
    /// A folder for what is told of each run.
    pub report: Option<PathBuf>,
    pub max_failures: Option<u64>,
}

pub struct Batch {
    subjects: Vec<Arc<Subject>>,
    settings: BatchSettings,
    progress: Progress,
    tally: Tally,
    summaries: Vec<Summary>,
    impact: Impact,
    failures: u64,
    in_full: Vec<RunReport>,
    /// The first thing that could not be written.
    broken: io::Result<()>,
}

impl Batch {
    /// # Errors
    /// The folder for reports cannot be made.
    pub fn new(subjects: Vec<Arc<Subject>>, settings: BatchSettings) -> io::Result<Self> {
        settings.report.iter().try_for_each(fs::create_dir_all)?;
        let runs = u64::try_from(subjects.len()).expect("a count fits").saturating_mul(settings.seeds);
        let summaries = subjects.iter().map(|subject| Summary::of(&subject.scenario.name)).collect();
        Ok(Self {
            subjects,
            settings,
            progress: Progress::of(runs),
            tally: Tally::default(),
            summaries,
            impact: Impact::default(),
            failures: 0,
            in_full: Vec::new(),
            broken: Ok(()),
        })
    }

    fn runs(&self) -> u64 {
        self.settings.seeds.saturating_mul(u64::try_from(self.subjects.len()).expect("a count fits"))
    }

    fn tell(&mut self, report: RunReport) -> io::Result<()> {
        let failed = report.is_failure();
        if failed {
            self.failures += 1;
            self.progress.failure();
        }
        if let Some(folder) = &self.settings.report {
            write_report(folder, &report, None)?;
        }
        let line = match self.settings.json {
            true => Some(report.to_json()),
            false => (failed || self.runs() <= LINES_MAX).then(|| report.line()),
        };
        if let Some(line) = line {
            self.progress.aside(|| writeln!(io::stdout(), "{line}"))?;
        }
        if failed && self.in_full.len() < IN_FULL_MAX {
            self.in_full.push(report);
        }
        Ok(())
    }

    /// Prints the summary and the failures in full. Gives the exit code of all runs.
    ///
    /// # Errors
    /// Something could not be written.
    pub fn finish(self) -> io::Result<Exit> {
        self.progress.finish();
        self.broken?;
        let exit = self.tally.exit();
        // With JSON, people read standard error.
        let mut out: Box<dyn Write> =
            if self.settings.json { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
        if !self.settings.json && self.summaries.iter().map(Summary::runs).sum::<u64>() > 1 {
            write!(out, "\n{}", Summary::table(&self.summaries))?;
            if let Some(impact) = self.impact.table() {
                write!(out, "\n{impact}")?;
            }
        }
        for (number, subject) in self.subjects.iter().enumerate() {
            if let Expect::Violation(invariant) = &subject.scenario.expect
                && self.tally.not_found(number)
            {
                writeln!(out, "\n{}: no seed violated {invariant}", subject.file.display())?;
                writeln!(out, "  reproduce  {}", subject.command("run", self.settings.first_seed))?;
            }
        }
        for report in &self.in_full {
            let broken = report.end.violations.first();
            let evidence = broken.map(|broken| Evidence::of(&report.subject, report.seed, broken));
            let evidence = evidence.unwrap_or_default();
            if let Some(folder) = &self.settings.report {
                write_report(folder, report, Some(&evidence))?;
            }
            write!(out, "\n{}", report.failure(&evidence))?;
        }
        Ok(exit)
    }
}

impl Audience<Result<End, PlanError>> for Batch {
    fn finished(&mut self, number: usize, finished: Finished<Result<End, PlanError>>) -> ControlFlow<()> {
        let number = u64::try_from(number).expect("a count fits");
        let place = usize::try_from(number / self.settings.seeds).expect("there are as many scenarios");
        let seed = self.settings.first_seed + number % self.settings.seeds;
        let report = RunReport::of(self.subjects[place].clone(), seed, finished);
        self.tally.add(place, report.weight);
        self.summaries[place].add(&report);
        self.impact.add(&report);
        self.broken = self.tell(report);
        if self.broken.is_err() {
            return ControlFlow::Break(());
        }
        if self.settings.max_failures.is_some_and(|most| self.failures >= most) {
            eprintln!("stopped after {} failed runs", self.failures);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    fn standing(&mut self, standing: Standing) {
        self.progress.standing(standing);
    }
}

/// Writes `<scenario>-<seed>.json` and `.txt`.
fn write_report(folder: &Path, report: &RunReport, evidence: Option<&Evidence>) -> io::Result<()> {
    let name = format!("{}-{}", report.subject.scenario.name, report.seed);
    let mut text = report.line() + "\n";
    if report.is_failure() {
        let none = Evidence::default();
        text += &format!("\n{}", report.failure(evidence.unwrap_or(&none)));
    }
    fs::write(folder.join(format!("{name}.json")), report.to_json() + "\n")?;
    fs::write(folder.join(format!("{name}.txt")), text)
}
