//! Every record of a run as a line of a file, so that two runs can be compared.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use invariants::Record;

use crate::world::trace::Watcher;

pub struct TraceFile(BufWriter<File>);

impl TraceFile {
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path) -> std::io::Result<Self> {
        Ok(Self(BufWriter::new(File::create(path)?)))
    }
}

impl Watcher for TraceFile {
    fn see(&mut self, record: &Record<'_>) {
        let Record { sequence, at_ns, node, cause, fact } = record;
        let written = writeln!(self.0, "{sequence} {at_ns} {node} [{cause}] {fact:?}");
        written.expect("the disk has room for the trace");
    }
}
