//! A run told as text: one entry per record, of everything or of what concerns one trade or account.
//!
//! Used by `replay`, and for the evidence of a failure. Reads facts only; nothing in the platform is
//! instrumented for it.

pub mod concern;
mod events;
mod facts;

use std::fmt::Write as _;

use invariants::Record;

use self::concern::Concern;
use crate::runner::report::local;

/// Where a further line of the same record begins: after number, time and node.
const INDENT: usize = 8 + 2 + 27 + 2 + 31 + 2;

/// Tells records, those that concern the reader.
pub struct Storyteller {
    concern: Concern,
}

impl Storyteller {
    pub fn new(concern: Concern) -> Self {
        Self { concern }
    }

    /// The record's lines: number, venue time, node, what happened, cause. `None` where it is of no concern.
    pub fn tell(&mut self, record: &Record<'_>) -> Option<String> {
        let items = self.concern.items(record);
        (!items.is_empty()).then(|| entry(record, &items))
    }
}

/// Any record, in full.
pub fn tell(record: &Record<'_>) -> String {
    entry(record, &facts::items(record.fact))
}

/// One thing of a record, in words. `cause` where it is not the record's own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    text: String,
    cause: Option<String>,
}

impl Item {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), cause: None }
    }
}

fn entry(record: &Record<'_>, items: &[Item]) -> String {
    let time = local(record.at_ns).strftime("%a %Y-%m-%d %H:%M:%S%.3f").to_string();
    let mut out = format!("{:>8}  {time}  {:<31}  ", record.sequence, record.node);
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            let _ = write!(out, "\n{:INDENT$}", "");
        }
        out += &item.text;
        let cause = item.cause.as_deref().filter(|cause| *cause != record.cause);
        let cause = if place == 0 { cause.or(Some(record.cause)) } else { cause };
        if let Some(cause) = cause.filter(|cause| !cause.is_empty()) {
            let _ = write!(out, "  ← {cause}");
        }
    }
    out
}
