//! The contract of an oracle: records in, a verdict out.

use crate::fact::{FactKind, Record};

/// Why an invariant is broken, in numbers, and the records that show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub why: String,
    /// Ids that the reader follows: trades, accounts, payments, streams.
    pub subjects: Vec<String>,
    /// Sequences of the records that led to it, oldest first; the last one is where it broke.
    pub evidence: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Holds,
    Violated(Violation),
}

/// Something that an invariant still waits for, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pending {
    /// e.g. `trade T-1`.
    pub what: String,
    pub why: String,
}

/// One property of the platform. Recomputes it from facts, with rules of its own.
pub trait Invariant {
    /// The name in scenarios, e.g. `no_oversell`.
    fn name(&self) -> &'static str;

    /// One paragraph for `explain`: what holds, and why it can break.
    fn about(&self) -> &'static str;

    /// Without facts of these kinds the verdict is unknown.
    fn needs(&self) -> &'static [FactKind];

    /// Kinds that it observes too where they occur, but can do without.
    fn welcomes(&self) -> &'static [FactKind] {
        &[]
    }

    /// A copy with all that it knows. The panel keeps one that is a while behind, to take a lost commit back:
    /// see [`Judges::taking_back`](crate::Judges::taking_back). `None`, where nothing is known of commits or
    /// `CommitLost` is observed instead: then the panel takes nothing back for it.
    fn fork(&self) -> Option<Box<dyn Invariant>> {
        None
    }

    /// Called for every record whose kind is among `needs` or `welcomes`.
    fn observe(&mut self, record: &Record<'_>) -> Verdict;

    /// Called once, after everything has settled.
    fn at_rest(&mut self) -> Verdict {
        Verdict::Holds
    }

    /// What is not finished yet; the run settles when nothing is pending anywhere.
    fn pending(&self) -> Vec<Pending> {
        Vec::new()
    }

    /// The same as `pending().is_empty()`, without naming anything.
    fn is_settled(&self) -> bool {
        self.pending().is_empty()
    }
}

impl From<Result<(), Violation>> for Verdict {
    fn from(judged: Result<(), Violation>) -> Self {
        judged.map_or_else(Self::Violated, |()| Self::Holds)
    }
}

impl Violation {
    pub fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), subjects: Vec::new(), evidence: Vec::new() }
    }

    pub fn about(mut self, subjects: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.subjects.extend(subjects.into_iter().map(Into::into));
        self
    }

    pub fn seen_at(mut self, records: impl IntoIterator<Item = u64>) -> Self {
        self.evidence.extend(records);
        self
    }
}
