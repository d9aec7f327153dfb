//! What many runs of a scenario come to, as a row of a table.

use std::time::Duration;

use super::report::RunReport;
use super::verdict::{Verdict, Weight};

/// The runs of one scenario.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    scenario: String,
    runs: u64,
    passed: u64,
    /// Of a canary: those that met it.
    met: u64,
    not_found: u64,
    failed: u64,
    trades: u64,
    settled: u64,
    simulated: Duration,
    walls: Vec<Duration>,
}

const HEADINGS: [&str; 9] =
    ["scenario", "runs", "pass", "failed", "canary", "trades", "settled", "simulated", "wall median, max"];

impl Summary {
    pub fn of(scenario: &str) -> Self {
        Self { scenario: scenario.to_owned(), ..Self::default() }
    }

    pub fn runs(&self) -> u64 {
        self.runs
    }

    pub fn add(&mut self, report: &RunReport) {
        self.runs += 1;
        match (report.verdict, report.weight) {
            (Verdict::Pass, _) => self.passed += 1,
            (_, Weight::Met) => self.met += 1,
            (Verdict::NotFound, _) => self.not_found += 1,
            _ => self.failed += 1,
        }
        self.trades += report.end.counts.trades;
        self.settled += report.end.counts.settled;
        self.simulated += Duration::from_nanos(report.end.simulated_ns);
        self.walls.push(report.wall);
    }

    fn row(&self) -> [String; 9] {
        let mut walls = self.walls.clone();
        walls.sort_unstable();
        let seconds = |wall: Option<&Duration>| wall.map_or(0.0, Duration::as_secs_f64);
        let (median, most) = (seconds(walls.get(walls.len().saturating_sub(1) / 2)), seconds(walls.last()));
        let canary = if self.met + self.not_found > 0 { format!("{} met", self.met) } else { String::new() };
        let hours = self.simulated.as_secs() / 3600;
        [
            self.scenario.clone(),
            self.runs.to_string(),
            self.passed.to_string(),
            self.failed.to_string(),
            canary,
            self.trades.to_string(),
            self.settled.to_string(),
            format!("{hours} h"),
            format!("{median:.2} s, {most:.2} s"),
        ]
    }

    /// A row for each scenario that ran.
    pub fn table(summaries: &[Self]) -> String {
        let ran = summaries.iter().filter(|summary| summary.runs > 0).map(Self::row);
        aligned(&HEADINGS, ran)
    }
}

/// Rows under their headings: the first column to the left, numbers to the right.
pub(super) fn aligned<const N: usize>(
    headings: &[&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let rows: Vec<[String; N]> = [headings.map(str::to_owned)].into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_row_for_each_scenario_that_ran() {
        let ran = Summary {
            runs: 3,
            passed: 3,
            trades: 1_500,
            settled: 1_450,
            simulated: Duration::from_secs(99 * 3600),
            walls: [3, 1, 2].map(Duration::from_secs).to_vec(),
            ..Summary::of("short_day")
        };
        let table = Summary::table(&[ran, Summary::of("full_day")]);
        let expected = "\
scenario   runs  pass  failed  canary  trades  settled  simulated  wall median, max
short_day     3     3       0            1500     1450       99 h    2.00 s, 3.00 s
";
        assert_eq!(table, expected);
    }
}
