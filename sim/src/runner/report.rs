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
    /// `pass`, or `violation:<invariant>` for a canary.
    expect: &'r scenario::Expect,
    /// Whether the run ended as its scenario expects; of a canary, whether it was met.
    as_expected: bool,
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
    marks: &'r [&'static str],
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
            marks: &end.marks,
            unknown: &end.unknown,
            expect: &self.subject.scenario.expect,
            as_expected: self.weight.alone() == Exit::AsExpected,
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
            out.extend(evidence.lines.iter().map(|line| format!("    {}\n", line.replace('\n', "\n    "))));
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

#[cfg(test)]
mod tests {
    use invariants::{Pending, Violation};
    use scenario::Expect;

    use super::super::subject::catalogue;
    use super::*;

    const SMALL: &str = r#"
name = "small"
about = "A small day."

[market]
venue = "XNYS"
start = "2026-03-06T08:00"
instruments = 5
accounts = 20
opening = { cash = "1000.00", shares = 10 }
"#;

    fn report(finished: Ended<Result<End, PlanError>>) -> RunReport {
        let scenario = scenario::load_str("small.toml", SMALL, &catalogue(), &[]);
        let scenario = scenario.unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let subject = Subject {
            file: "scenarios/small.toml".into(),
            overrides: Vec::new(),
            scenario,
            without_sabotage: false,
        };
        let wall = Duration::from_millis(1_250);
        RunReport::of(Arc::new(subject), 7, Finished { ended: finished, wall })
    }

    fn broken() -> End {
        let violation = Violation::new("A001 holds 3 I01 and has promised 5");
        let violation = violation.about(["A001", "I01"]).seen_at([12, 40]);
        let at_ns = 1_772_810_100_123_000_000;
        let mut counts = Counts::default();
        (counts.orders, counts.trades, counts.settled, counts.rejected) = (9, 8, 6, 1);
        End {
            violations: vec![Broken { invariant: "no_oversell", at_ns, record: 40, violation }],
            counts,
            trace_hash: 0xabc,
            records: 41,
            messages: 300,
            wakeups: 500,
            simulated_ns: 95_400_000_000_000,
            ..End::default()
        }
    }

    #[test]
    fn json() {
        let shown: serde_json::Value =
            serde_json::from_str(&report(Ended::Returned(Ok(broken()))).to_json()).expect("it is JSON");
        insta::assert_snapshot!(serde_json::to_string_pretty(&shown).expect("it was JSON"), @r#"
        {
          "as_expected": false,
          "counts": {
            "carried": 0,
            "conflicts": 0,
            "failed": 0,
            "faults": 0,
            "orders": 9,
            "rejected": 1,
            "restarts": 0,
            "settled": 6,
            "trades": 8
          },
          "expect": "pass",
          "marks": [],
          "messages": 300,
          "missing_marks": [],
          "pending": [],
          "records": 41,
          "scenario": "small",
          "seed": 7,
          "sim_seconds": 95400.0,
          "trace_hash": "00000000000000000000000000000abc",
          "unknown": [],
          "verdict": "violation",
          "violations": [
            {
              "at": "2026-03-06T10:15:00.123-05:00",
              "evidence": [
                12,
                40
              ],
              "invariant": "no_oversell",
              "record": 40,
              "subjects": [
                "A001",
                "I01"
              ],
              "why": "A001 holds 3 I01 and has promised 5"
            }
          ],
          "wakeups": 500,
          "wall_seconds": 1.25
        }
        "#);
    }

    #[test]
    fn a_line() {
        insta::assert_snapshot!(report(Ended::Returned(Ok(broken()))).line(), @r"
        VIOLATION        small seed 7: no_oversell at record 40  8 trades: 6 settled, 0 failed; 1 rejected  41 records  00000000000000000000000000000abc  26h 30m in 1.25 s
        ");
        insta::assert_snapshot!(report(Ended::Returned(Ok(End::default()))).line(), @r"
        pass             small seed 7  0 trades: 0 settled, 0 failed; 0 rejected  0 records  00000000000000000000000000000000  0s in 1.25 s
        ");
    }

    #[test]
    fn a_failure_in_full() {
        let evidence = Evidence {
            lines: vec!["      12  promised 3".to_owned(), "      40  promised 2".to_owned()],
            faults: vec!["failover on postgres/position".to_owned()],
        };
        insta::assert_snapshot!(report(Ended::Returned(Ok(broken()))).failure(&evidence), @r"
        VIOLATION small seed 7
          invariant  no_oversell at Fri 2026-03-06 10:15:00.123, record 40
          why        A001 holds 3 I01 and has promised 5
          about      A001, I01
          evidence
                  12  promised 3
                  40  promised 2
          faults     failover on postgres/position
          reproduce  cargo sim run scenarios/small.toml --seed 7
        ");
    }

    #[test]
    fn pending_trades_are_a_violation_and_anything_else_is_unsettled() {
        let pending = |what: &str| Pending { what: what.to_owned(), why: "waits for clearing".to_owned() };
        let trades = End { pending: vec![pending("trade T-1"), pending("trade T-2")], ..broken() };
        let trades = End { violations: Vec::new(), ..trades };
        let told = report(Ended::Returned(Ok(trades)));
        assert_eq!((told.verdict, told.weight.alone()), (Verdict::Violation, Exit::Violated));
        let violation = &told.end.violations[0];
        let why = "2 trades never ended, first trade T-1: waits for clearing";
        assert_eq!((violation.invariant, violation.violation.why.as_str()), ("every_trade_terminates", why));
        assert_eq!(local(violation.at_ns).to_string(), "2026-03-07T10:30:00-05:00[America/New_York]");

        let machinery = End { pending: vec![pending("payment: messages to publish")], ..End::default() };
        let told = report(Ended::Returned(Ok(machinery)));
        assert_eq!((told.verdict, told.weight.alone()), (Verdict::Unsettled, Exit::Unsettled));
        insta::assert_snapshot!(told.failure(&Evidence::default()), @r"
        UNSETTLED small seed 7
          pending
            payment: messages to publish: waits for clearing
          reproduce  cargo sim run scenarios/small.toml --seed 7
        ");
    }

    #[test]
    fn what_did_not_end_is_an_error() {
        let panicked = report(Ended::Panicked("no such node at world.rs:7".to_owned()));
        assert_eq!((panicked.verdict, panicked.weight.alone()), (Verdict::Error, Exit::Fault));
        insta::assert_snapshot!(panicked.failure(&Evidence::default()), @r"
        ERROR small seed 7
          panicked: no such node at world.rs:7
          hint: a panic outside of any node is a fault of Bellwether, or of code plugged into it
          reproduce  cargo sim run scenarios/small.toml --seed 7
        ");
        let late = report(Ended::OverLimit(Duration::from_secs(300)));
        assert_eq!(late.line(), "ERROR            small seed 7: did not end within 300s of wall time");
        let file = PlanError::File { file: "a.csv".to_owned(), why: "not found".to_owned() };
        assert_eq!(report(Ended::Returned(Err(file))).weight.alone(), Exit::Invalid);
    }

    #[test]
    fn a_canary_that_was_met_is_no_failure() {
        let mut told = report(Ended::Returned(Ok(End::default())));
        let mut subject = Subject::clone(&told.subject);
        subject.scenario.expect = Expect::Violation("no_oversell".to_owned());
        let finished = Finished { ended: Ended::Returned(Ok(broken())), wall: told.wall };
        told = RunReport::of(Arc::new(subject), 7, finished);
        assert_eq!((told.verdict, told.is_failure(), told.word()), (Verdict::Violation, false, "met"));
    }
}
