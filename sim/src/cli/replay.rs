use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use clap::Args;
use invariants::Record;
use scenario::{Calendar, When};

use super::options::Chosen;
use super::{Failure, out};
use crate::runner::evidence::Evidence;
use crate::runner::pool;
use crate::runner::report::RunReport;
use crate::runner::seeds::seed;
use crate::runner::subject::Subject;
use crate::runner::verdict::Exit;
use crate::story::Storyteller;
use crate::story::concern::Concern;
use crate::world::trace::Watcher;

/// Run one scenario under one seed, and tell every record of it
///
/// A record has its number, the venue's time, the node where it happened, what happened, and what led to it.
#[derive(Args)]
pub struct Replay {
    /// The scenario file
    file: PathBuf,

    /// The seed, decimal or 0x-hexadecimal
    #[arg(long, value_name = "N", value_parser = seed)]
    seed: u64,

    /// Stop at this time of the venue's clock: "10:30", "Mon 18:00:02", "T+1 18:00", "2026-03-09T18:05"
    #[arg(long, value_name = "T")]
    until: Option<String>,

    /// Only what concerns this trade, from its request to its last notice
    #[arg(long, value_name = "ID", conflicts_with = "account")]
    trade: Option<String>,

    /// Only what concerns this account
    #[arg(long, value_name = "ID")]
    account: Option<String>,

    /// Also write the story into this folder
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,

    #[command(flatten)]
    chosen: Chosen,
}

/// Entries on their way from the run to whoever reads them.
const BUFFERED: usize = 1024;

impl Replay {
    pub fn run(self) -> Result<Exit, Failure> {
        let subjects = self.chosen.subjects(std::slice::from_ref(&self.file))?;
        let [subject] = subjects.as_slice() else {
            let hint = "name one scenario file".to_owned();
            return Err(Failure::Usage { message: format!("{} is a folder", self.file.display()), hint });
        };
        let until_ns = self.until_ns(subject)?;
        let mut file = self.story_file(subject)?;
        let (sender, entries) = sync_channel(BUFFERED);
        let (run, seed, concern) = (subject.clone(), self.seed, self.concern());
        let ended = pool::detached(move || {
            let line = Line::new(sender);
            let told = Told { teller: Storyteller::new(concern), until_ns, line: line.clone() };
            let _hangs_up = HangsUp(line);
            run.run(seed, vec![Box::new(told)])
        });
        let told = print(&entries, file.as_mut())?;
        if told.stopped {
            return Ok(Exit::AsExpected);
        }
        let finished = ended.recv().expect("a run's thread answers, also where it panics");
        self.close(&RunReport::of(subject.clone(), self.seed, finished), told.entries)
    }

    fn concern(&self) -> Concern {
        match (&self.trade, &self.account) {
            (Some(trade), _) => Concern::trade(trade),
            (None, Some(account)) => Concern::account(account),
            (None, None) => Concern::everything(),
        }
    }

    /// The end of the story; a bare time of day means the first such moment.
    fn until_ns(&self, subject: &Subject) -> Result<Option<i64>, Failure> {
        let Some(text) = &self.until else { return Ok(None) };
        let usage = |message: String| {
            let hint = "a time reads like \"10:30\", \"Mon 18:00:02\", \"T+1 18:00\" or \"2026-03-09T18:05\"";
            Failure::Usage { message, hint: hint.to_owned() }
        };
        let when = When::parse(text).ok_or_else(|| usage(format!("`{text}` is no time")))?;
        let calendar = Calendar::xnys();
        let run = subject.scenario.run(&calendar).map_err(|error| usage(error.to_string()))?;
        let instants = when.resolve(&calendar, run.start, run.end);
        let instants = instants.map_err(|error| usage(error.to_string()))?;
        let first = instants.first().ok_or_else(|| usage(format!("`{text}` does not occur in the run")))?;
        Ok(Some(i64::try_from(first.as_nanosecond()).expect("runs end before the year 2262")))
    }

    fn story_file(&self, subject: &Subject) -> io::Result<Option<File>> {
        let Some(folder) = &self.report else { return Ok(None) };
        std::fs::create_dir_all(folder)?;
        let about = self.trade.as_ref().or(self.account.as_ref());
        let about = about.map_or(String::new(), |id| format!("-{}", id.replace('/', "_")));
        let name = format!("{}-{}{about}.story.txt", subject.scenario.name, self.seed);
        Ok(Some(File::create(folder.join(name))?))
    }

    fn close(&self, report: &RunReport, entries: u64) -> Result<Exit, Failure> {
        if report.error.is_none() && entries == 0 {
            let what = self.trade.as_ref().or(self.account.as_ref()).map_or("", String::as_str);
            let message = format!("nothing in this run concerns `{what}`");
            let hint = "without --trade and --account the story has the ids of all".to_owned();
            return Err(Failure::Usage { message, hint });
        }
        if report.is_failure() {
            let broken = report.end.violations.first();
            let evidence = broken.map(|broken| Evidence::of(&report.subject, report.seed, broken));
            out::line(format!("\n{}", report.failure(&evidence.unwrap_or_default()).trim_end()))?;
        } else {
            eprintln!("{}", report.line());
        }
        Ok(report.weight.alone())
    }
}

struct Story {
    entries: u64,
    /// Before the run had ended.
    stopped: bool,
}

/// What the run's thread sends.
enum Entry {
    Text(String),
    /// Whatever comes now is after the time that was asked for.
    Stop,
}

fn print(entries: &Receiver<Entry>, mut file: Option<&mut File>) -> Result<Story, Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut story = Story { entries: 0, stopped: false };
    for entry in entries {
        let Entry::Text(text) = entry else {
            story.stopped = true;
            break;
        };
        writeln!(out, "{text}")?;
        file.as_mut().map_or(Ok(()), |file| writeln!(file, "{text}"))?;
        story.entries += 1;
    }
    out.flush()?;
    Ok(story)
}

/// The line to the reader. A run's world may outlive it, so the line is cut where the run ends, not where its
/// watchers do.
#[derive(Clone)]
struct Line(Rc<RefCell<Option<SyncSender<Entry>>>>);

impl Line {
    fn new(sender: SyncSender<Entry>) -> Self {
        Self(Rc::new(RefCell::new(Some(sender))))
    }

    fn is_open(&self) -> bool {
        self.0.borrow().is_some()
    }

    fn send(&self, entry: Entry) {
        let gone = self.0.borrow().as_ref().is_none_or(|sender| sender.send(entry).is_err());
        if gone {
            self.cut();
        }
    }

    fn cut(&self) {
        self.0.take();
    }
}

/// Cuts the line however the run ends.
struct HangsUp(Line);

impl Drop for HangsUp {
    fn drop(&mut self) {
        self.0.cut();
    }
}

/// Tells records as they happen, to a reader who may leave.
struct Told {
    teller: Storyteller,
    until_ns: Option<i64>,
    line: Line,
}

impl Watcher for Told {
    fn see(&mut self, record: &Record<'_>) {
        if !self.line.is_open() {
            return;
        }
        if self.until_ns.is_some_and(|until_ns| record.at_ns > until_ns) {
            self.line.send(Entry::Stop);
            self.line.cut();
        } else if let Some(text) = self.teller.tell(record) {
            self.line.send(Entry::Text(text));
        }
    }
}
