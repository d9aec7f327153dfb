//! What is told of a run: a JSON object, a line, and for a failure everything that its reader needs.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, Zoned};
use outside::plan::PlanError;
use serde::Serialize;

use super::count::Counts;
use super::evidence::Evidence;
use super::pool::{Ended, Finished};
use super::simulate::{Broken, End};
use super::subject::Subject;
use super::verdict::{self, Exit, Verdict, Weight};

/// How many pending things and subjects a failure names.
const NAMED_MAX: usize = 10;

/// A run, told.
#[derive(Clone, Debug)]
pub struct RunReport {
    pub subject: Arc<Subject>,
    pub seed: u64,
    pub verdict: Verdict,
    pub weight: Weight,
    pub wall: Duration,
    pub end: Arc<End>,
    /// Why there is no end, and what to do about it.
    pub error: Option<Fault>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub message: String,
    pub hint: Option<String>,
}

/// The JSON object of a run. Its names are part of the command line's contract.
#[derive(Serialize)]
struct Json<'r> {
    scenario: &'r str,
    seed: u64,
    verdict: Verdict,
    violations: Vec<JsonViolation<'r>>,
    pending: Vec<JsonPending<'r>>,
    trace_hash: String,
    records: u64,
    messages: u64,
    wakeups: u64,
    sim_seconds: f64,
    wall_seconds: f64,
    counts: &'r Counts,
    missing_marks: &'r [String],
    unknown: &'r [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'r str>,
}

#[derive(Serialize)]
struct JsonViolation<'r> {
    invariant: &'r str,
    /// On the venue's clock, with its offset.
    at: String,
    record: u64,
    why: &'r str,
    subjects: &'r [String],
    evidence: &'r [u64],
}

#[derive(Serialize)]
struct JsonPending<'r> {
    what: &'r str,
    why: &'r str,
}

impl RunReport {
    /// The report of a task of the pool.
    pub fn of(subject: Arc<Subject>, seed: u64, finished: Finished<Result<End, PlanError>>) -> Self {
        let expect = &subject.scenario.expect;
        let wall = finished.wall;
        let (verdict, weight, end, error) = match finished.ended {
            Ended::Returned(Ok(end)) => {
                let verdict = verdict::judge(expect, &end);
                (verdict, verdict::weigh(expect, verdict, &end), end, None)
            }
            Ended::Returned(Err(error)) => failed(Exit::Invalid, plan_fault(&error)),
            Ended::Panicked(message) => {
                let hint = "a panic outside of any node is a fault of Bellwether, or of code plugged into it";
                failed(
                    Exit::Fault,
                    Fault { message: format!("panicked: {message}"), hint: Some(hint.to_owned()) },
                )
            }
            Ended::OverLimit(limit) => {
                let hint =
                    "give it more time with --wall-limit, or look with RUST_LOG=debug for what it does";
                let message = format!("did not end within {limit:?} of wall time");
                failed(Exit::Fault, Fault { message, hint: Some(hint.to_owned()) })
            }
        };
        let mut report = Self { subject, seed, verdict, weight, wall, end: Arc::default(), error };
        report.end = Arc::new(report.with_pending_trades(end));
        report
    }

    /// Two processes disagree about this run.
    #[must_use]
    pub fn nondeterministic(self) -> Self {
        let weight = Weight::Exit(Exit::Nondeterministic);
        Self { verdict: Verdict::Nondeterministic, weight, ..self }
    }

    /// Pending trades, as the violation that they are.
    fn with_pending_trades(&self, mut end: End) -> End {
        let known: Vec<&str> = end.violations.iter().map(|broken| broken.invariant).collect();
        let also = verdict::broken(&end).into_iter().filter(|name| !known.contains(name));
        let trades = || end.pending.iter().filter(|pending| pending.what.starts_with("trade "));
        let violations: Vec<Broken> = also
            .map(|invariant| {
                let first =
                    trades().next().map_or(String::new(), |first| format!("{}: {}", first.what, first.why));
                let why = format!("{} trades never ended, first {first}", trades().count());
                let subjects =
                    trades().take(NAMED_MAX).map(|pending| pending.what["trade ".len()..].to_owned());
                let violation = invariants::Violation::new(why).about(subjects);
                Broken { invariant, at_ns: self.ended_ns(end.simulated_ns), record: end.records, violation }
            })
            .collect();
        end.violations.extend(violations);
        end
    }

    fn ended_ns(&self, simulated_ns: u64) -> i64 {
        let run = self.subject.scenario.run(&scenario::Calendar::xnys());
        let start = run.map_or(0, |run| run.start.as_nanosecond());
        i64::try_from(start + i128::from(simulated_ns)).unwrap_or(i64::MAX)
    }

    /// Whether it is a failure by itself: a canary may yet be met under another seed.
    pub fn is_failure(&self) -> bool {
        !matches!(self.weight, Weight::Exit(Exit::AsExpected) | Weight::Met | Weight::NotMet)
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.json()).expect("a report is text and numbers")
    }

    fn json(&self) -> Json<'_> {
        let end = &*self.end;
        Json {
            scenario: &self.subject.scenario.name,
            seed: self.seed,
            verdict: self.verdict,
            violations: end.violations.iter().map(json_violation).collect(),
            pending: end
                .pending
                .iter()
                .map(|pending| JsonPending { what: &pending.what, why: &pending.why })
                .collect(),
            trace_hash: format!("{:032x}", end.trace_hash),
            records: end.records,
            messages: end.messages,
            wakeups: end.wakeups,
            sim_seconds: Duration::from_nanos(end.simulated_ns).as_secs_f64(),
            wall_seconds: self.wall.as_secs_f64(),
            counts: &end.counts,
            missing_marks: &end.missing_marks,
            unknown: &end.unknown,
            error: self.error.as_ref().map(|fault| fault.message.as_str()),
        }
    }

    /// One line.
    pub fn line(&self) -> String {
        let (name, seed) = (&self.subject.scenario.name, self.seed);
        let mut line = format!("{:<16} {name} seed {seed}", self.word());
        if let Some(fault) = &self.error {
            let _ = write!(line, ": {}", fault.message);
            return line;
        }
        let end = &*self.end;
        if let Some(broken) = end.violations.first() {
            let _ = write!(line, ": {} at record {}", broken.invariant, broken.record);
        }
        let Counts { trades, settled, failed, rejected, .. } = end.counts;
        let _ = write!(
            line,
            "  {trades} trades: {settled} settled, {failed} failed; {rejected} rejected  {} records  {:032x}  {} in {:.2} s",
            end.records,
            end.trace_hash,
            simulated(end.simulated_ns),
            self.wall.as_secs_f64(),
        );
        line
    }

    fn word(&self) -> &'static str {
        match (self.verdict, self.weight) {
            (Verdict::Violation, Weight::Met) => "met",
            (Verdict::Pass, _) => "pass",
            (Verdict::Violation, _) => "VIOLATION",
            (Verdict::NotFound, _) => "not found",
            (Verdict::Unsettled, _) => "UNSETTLED",
            (Verdict::Vacuous, _) => "VACUOUS",
            (Verdict::Nondeterministic, _) => "NONDETERMINISTIC",
            (Verdict::Error, _) => "ERROR",
        }
    }

    /// A failure in full. Its last lines: what broke, why, the evidence, the active faults, the command.
    pub fn failure(&self, evidence: &Evidence) -> String {
        let mut out = format!("{} {} seed {}\n", self.word(), self.subject.scenario.name, self.seed);
        if let Some(Fault { message, hint }) = &self.error {
            let _ = writeln!(out, "  {message}");
            out.extend(hint.iter().map(|hint| format!("  hint: {hint}\n")));
        }
        let end = &*self.end;
        let pending = end.pending.iter().map(|pending| format!("{}: {}", pending.what, pending.why));
        list(&mut out, "pending", pending.collect());
        list(&mut out, "never seen", end.missing_marks.clone());
        let unknown = end.unknown.iter().map(|name| format!("{name}: no fact of a kind that it needs"));
        list(&mut out, "unknown", unknown.collect());
        for broken in &end.violations {
            let at = local(broken.at_ns).strftime("%a %Y-%m-%d %H:%M:%S%.3f");
            let _ = writeln!(out, "  invariant  {} at {at}, record {}", broken.invariant, broken.record);
            let _ = writeln!(out, "  why        {}", broken.violation.why);
            if !broken.violation.subjects.is_empty() {
                let _ = writeln!(out, "  about      {}", broken.violation.subjects.join(", "));
            }
        }
        if !end.violations.is_empty() {
            let _ = writeln!(out, "  evidence");
            out.extend(evidence.lines.iter().map(|line| format!("    {line}\n")));
            let none = ["none active".to_owned()];
            let faults = if evidence.faults.is_empty() { &none[..] } else { &evidence.faults };
            let _ = writeln!(out, "  faults     {}", faults.join(", "));
        }
        let _ = writeln!(out, "  reproduce  {}", self.subject.command("run", self.seed));
        out
    }
}

fn failed(exit: Exit, fault: Fault) -> (Verdict, Weight, End, Option<Fault>) {
    (Verdict::Error, Weight::Exit(exit), End::default(), Some(fault))
}

/// What to say where there is no plan.
pub fn plan_fault(error: &PlanError) -> Fault {
    let hint = match error {
        PlanError::File { .. } => {
            Some("recorded data is not in the repository: put the file there, or name another".to_owned())
        }
        _ => None,
    };
    Fault { message: error.to_string(), hint }
}

fn json_violation(broken: &Broken) -> JsonViolation<'_> {
    JsonViolation {
        invariant: broken.invariant,
        at: local(broken.at_ns).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
        record: broken.record,
        why: &broken.violation.why,
        subjects: &broken.violation.subjects,
        evidence: &broken.violation.evidence,
    }
}

/// A heading with its lines, the first of them in full.
fn list(out: &mut String, heading: &str, lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "  {heading}");
    out.extend(lines.iter().take(NAMED_MAX).map(|line| format!("    {line}\n")));
    if lines.len() > NAMED_MAX {
        let _ = writeln!(out, "    and {} more", lines.len() - NAMED_MAX);
    }
}

/// On the venue's clock.
pub fn local(at_ns: i64) -> Zoned {
    let at = Timestamp::from_nanosecond(i128::from(at_ns))
        .expect("nanoseconds in 64 bits are within jiff's range");
    at.to_zoned(scenario::Calendar::xnys().zone().clone())
}

/// Simulated time in words: `3d 10h`, `33h 2m`, `14s`.
fn simulated(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600, seconds / 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0..=1, ..) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}
