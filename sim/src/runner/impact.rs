//! What the faults of many runs met: a row for each family that began.

use std::collections::BTreeMap;

use invariants::Family;

use super::report::RunReport;
use super::summary::aligned;

/// Over all runs of an invocation.
#[derive(Clone, Debug, Default)]
pub struct Impact(BTreeMap<&'static str, Row>);

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    starts: u64,
    runs: u64,
    decision: u64,
    batch: u64,
    payment: u64,
    any: u64,
}

const HEADINGS: [&str; 7] =
    ["faults", "starts", "in runs", "met a decision", "a batch", "a payment", "any of them"];

impl Impact {
    pub fn add(&mut self, report: &RunReport) {
        let end = &report.end;
        for family in Family::ALL.map(Family::name) {
            let starts = end.counts.faults_by_family.get(family).copied().unwrap_or(0);
            if starts == 0 {
                continue;
            }
            let met = |what: &str| {
                let mark = format!("fault:{family}_during_{what}");
                u64::from(end.marks.iter().any(|seen| *seen == mark))
            };
            let (decision, batch, payment) = (met("decision"), met("batch"), met("payment"));
            let row = self.0.entry(family).or_default();
            row.starts += starts;
            row.runs += 1;
            row.decision += decision;
            row.batch += batch;
            row.payment += payment;
            row.any += decision | batch | payment;
        }
    }

    /// Nothing where no fault began.
    pub fn table(&self) -> Option<String> {
        let row = |(family, row): (&&str, &Row)| {
            let numbers = [row.starts, row.runs, row.decision, row.batch, row.payment, row.any];
            let [starts, runs, decision, batch, payment, any] = numbers.map(|number| number.to_string());
            [(*family).to_owned(), starts, runs, decision, batch, payment, any]
        };
        (!self.0.is_empty()).then(|| aligned(&HEADINGS, self.0.iter().map(row)))
    }
}
