//! Every record as a line of the log: its number, node, kind and cause at level debug, all of it at trace.

use invariants::Record;
use tracing::Level;

use crate::world::trace::Watcher;

/// What `RUST_LOG` calls it: `RUST_LOG=records=debug`.
const TARGET: &str = "records";

pub struct Logged;

impl Logged {
    /// The watcher, if anybody wants to read it.
    pub fn if_wanted() -> Option<Box<dyn Watcher>> {
        tracing::enabled!(target: TARGET, Level::DEBUG).then(|| Box::new(Self) as Box<dyn Watcher>)
    }
}

impl Watcher for Logged {
    fn see(&mut self, record: &Record<'_>) {
        let Record { sequence, node, cause, fact, .. } = record;
        if tracing::enabled!(target: TARGET, Level::TRACE) {
            tracing::trace!(target: TARGET, "{sequence} {node} [{cause}] {fact:?}");
        } else {
            tracing::debug!(target: TARGET, "{sequence} {node} [{cause}] {:?}", fact.kind());
        }
    }
}
