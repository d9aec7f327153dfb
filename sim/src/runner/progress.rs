//! Progress of many runs, on standard error: a bar on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::pool::Standing;
use super::wall::Stopwatch;

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

pub struct Progress {
    total: u64,
    failures: u64,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines { since: Stopwatch, last: Duration },
}

impl Progress {
    pub fn of(total: u64) -> Self {
        let shown = if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template(
                "{bar:40} {pos}/{len} runs  {elapsed} of about {duration}  {msg}",
            );
            Shown::Bar(ProgressBar::new(total).with_style(style.expect("the template is a constant")))
        } else {
            Shown::Lines { since: Stopwatch::start(), last: Duration::ZERO }
        };
        Self { total, failures: 0, shown }
    }

    pub fn failure(&mut self) {
        self.failures += 1;
    }

    pub fn standing(&mut self, standing: Standing) {
        let Standing { running, finished } = standing;
        let failures = self.failures;
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_position(u64::try_from(finished).expect("a count fits"));
                bar.set_message(if failures > 0 { format!("{failures} failed") } else { String::new() });
                bar.tick();
            }
            Shown::Lines { since, last } => {
                let now = since.elapsed();
                if now >= *last + LINE_EVERY {
                    *last = now;
                    let (seconds, total) = (now.as_secs(), self.total);
                    eprintln!(
                        "{finished} of {total} runs after {seconds} s, {running} running, {failures} failed"
                    );
                }
            }
        }
    }

    /// Runs something that prints, without the bar in its way.
    pub fn aside<R>(&self, print: impl FnOnce() -> R) -> R {
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(print),
            Shown::Lines { .. } => print(),
        }
    }

    pub fn finish(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}
