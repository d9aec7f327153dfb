//! The determinism check: the same runs in two processes with different surroundings, their hashes compared.
//!
//! Where two differ, both run again and write every record down, and the first record that differs is shown.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::report::Fault;
use super::verdict::Exit;

/// Records before and after the first that differs.
const CONTEXT: usize = 3;
/// Characters of a record that are shown.
const WIDTH: usize = 600;

/// Surroundings of a child: none of them may matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Surroundings {
    Plain,
    /// Another time zone, other variables, every log line.
    Noisy,
}

/// A run that both processes did.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The report of the first.
    pub report: Value,
    /// The hash of the second.
    pub other_hash: String,
}

/// The runs in order, and the exit code of the first process.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    pub pairs: Vec<Pair>,
    exit: Exit,
}

impl Pair {
    pub fn is_same(&self) -> bool {
        self.hash() == self.other_hash
    }

    fn hash(&self) -> &str {
        self.text("trace_hash")
    }

    fn text(&self, field: &str) -> &str {
        self.report[field].as_str().unwrap_or_default()
    }

    /// The report, with what the comparison makes of it.
    pub fn json(&self) -> Value {
        let mut report = self.report.clone();
        if !self.is_same() {
            report["verdict"] = "nondeterministic".into();
        }
        report
    }

    /// One line.
    pub fn line(&self) -> String {
        let run = format!("{} seed {}", self.text("scenario"), self.report["seed"]);
        if self.is_same() {
            let records = &self.report["records"];
            return format!("same  {run}  {records} records  {}  {}", self.hash(), self.text("verdict"));
        }
        format!("DIFFERENT  {run}  {}  {}", self.hash(), self.other_hash)
    }
}

impl Compared {
    /// The worst of what the runs came to and of the comparison.
    pub fn exit(&self) -> Exit {
        let same = self.pairs.iter().all(Pair::is_same);
        if same { self.exit } else { self.exit.worse(Exit::Nondeterministic) }
    }
}

/// Runs `bellwether run` with these arguments twice. `jobs` of the two differ.
///
/// # Errors
/// A process cannot be started, or does not report its runs.
pub fn compare(arguments: &[String], jobs: usize) -> Result<Compared, Fault> {
    let child = |surroundings, jobs: usize| {
        let jobs = ["--format", "json", "--jobs", &jobs.to_string()].map(str::to_owned);
        start(surroundings, &[arguments, &jobs].concat())
    };
    let first = child(Surroundings::Plain, jobs)?;
    let second = child(Surroundings::Noisy, jobs % 2 + 1)?;
    let first = finished(first)?;
    let second = finished(second)?;
    let (reports, others) = (reports(&first)?, reports(&second)?);
    if reports.len() != others.len() {
        let message = format!("one process reports {} runs, the other {}", reports.len(), others.len());
        return Err(Fault { message, hint: None });
    }
    let pair = |(report, other): (Value, Value)| {
        let other_hash = other["trace_hash"].as_str().unwrap_or_default().to_owned();
        Pair { report, other_hash }
    };
    let code = first.status.code().and_then(|code| u8::try_from(code).ok());
    let exit = code.and_then(|code| Exit::try_from(code).ok()).unwrap_or(Exit::Fault);
    Ok(Compared { pairs: reports.into_iter().zip(others).map(pair).collect(), exit })
}

/// Runs one run twice more, and shows where their records part.
///
/// # Errors
/// As for [`compare`].
pub fn first_difference(arguments: &[String]) -> Result<String, Fault> {
    let folder = std::env::temp_dir().join(format!("bellwether-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| fault(format!("{}: {error}", folder.display())))?;
    let mut traces = Vec::new();
    for (surroundings, name) in [(Surroundings::Plain, "first.trace"), (Surroundings::Noisy, "second.trace")]
    {
        let file: PathBuf = folder.join(name);
        let trace = ["--format", "json", "--trace-file", &file.display().to_string()].map(str::to_owned);
        finished(start(surroundings, &[arguments, &trace].concat())?)?;
        let text = std::fs::read_to_string(&file);
        traces.push(text.map_err(|error| fault(format!("{}: {error}", file.display())))?);
    }
    let files = format!("every record of both is in {}", folder.display());
    Ok(match parting(&traces[0], &traces[1]) {
        Some(parting) => format!("{parting}{files}\n"),
        None => format!(
            "Done again, they wrote the same records: what differs is rare, or not in their text.\n{files}\n"
        ),
    })
}

/// The first line that differs, with those around it in both; `None` where all are the same.
fn parting(first: &str, second: &str) -> Option<String> {
    let (first, second): (Vec<&str>, Vec<&str>) = (first.lines().collect(), second.lines().collect());
    let same = first.iter().zip(&second).take_while(|(one, other)| one == other).count();
    if same == first.len() && same == second.len() {
        return None;
    }
    let mut out = format!("record {} differs\n", same + 1);
    for line in &first[same.saturating_sub(CONTEXT)..same] {
        let _ = writeln!(out, "  both    {}", cut(line));
    }
    for (name, lines) in [("first ", &first), ("second", &second)] {
        let shown = lines.iter().skip(same).take(1 + CONTEXT);
        out.extend(shown.map(|line| format!("  {name}  {}\n", cut(line))));
        if lines.len() <= same {
            let _ = writeln!(out, "  {name}  has ended");
        }
    }
    Some(out)
}

fn cut(line: &str) -> &str {
    line.char_indices().nth(WIDTH).map_or(line, |(end, _)| &line[..end])
}

fn start(surroundings: Surroundings, arguments: &[String]) -> Result<std::process::Child, Fault> {
    let program =
        std::env::current_exe().map_err(|error| fault(format!("where is this program? {error}")))?;
    let mut command = Command::new(program);
    command.arg("run").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    match surroundings {
        Surroundings::Plain => command.env("TZ", "UTC").env_remove("RUST_LOG"),
        Surroundings::Noisy => {
            command.env("TZ", "Asia/Kathmandu").env("RUST_LOG", "trace").env("LC_ALL", "C").env("NOISE", "1")
        }
    };
    command.spawn().map_err(|error| fault(format!("cannot start a second process: {error}")))
}

fn finished(child: std::process::Child) -> Result<Output, Fault> {
    child.wait_with_output().map_err(|error| fault(format!("a process got lost: {error}")))
}

/// The reports of a process, in order.
fn reports(output: &Output) -> Result<Vec<Value>, Fault> {
    let text = String::from_utf8_lossy(&output.stdout);
    let read =
        |line| serde_json::from_str(line).map_err(|error| fault(format!("no report: {error}: {line}")));
    text.lines().map(read).collect()
}

fn fault(message: String) -> Fault {
    Fault { message, hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_record_that_differs_is_shown_between_its_neighbours() {
        assert_eq!(parting("1 a\n2 b\n", "1 a\n2 b\n"), None);
        let shown = parting("1 a\n2 b\n3 c\n", "1 a\n2 x\n3 c\n").expect("they differ");
        let expected =
            "record 2 differs\n  both    1 a\n  first   2 b\n  first   3 c\n  second  2 x\n  second  3 c\n";
        assert_eq!(shown, expected);
        let shown = parting("1 a\n", "1 a\n2 b\n").expect("one is longer");
        assert_eq!(shown, "record 2 differs\n  both    1 a\n  first   has ended\n  second  2 b\n");
    }
}
