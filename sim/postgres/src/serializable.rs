//! SERIALIZABLE: snapshot isolation that refuses dangerous structures (manual 13.2.3, README-SSI).
//!
//! Transaction R depends on W if R read what a concurrent W wrote a newer version of: R comes before W. Where
//! T0 → pivot → T1 and T1 commits first, the order may be none, so one of them gets 40001; by preference the
//! pivot, at its next statement or at COMMIT. T0 and T1 may be the same.
//!
//! What is read is remembered by key and by exact ranges, where PostgreSQL remembers pages and tuples and promotes
//! them to relations: it refuses more. It also knows read-only transactions, and refuses fewer of those.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::SqlError;
use crate::key::KeyBytes;
use crate::snapshot::Snapshot;
use crate::table::Path;

pub type NodeId = u64;

/// What a statement read.
pub enum Predicate {
    Row {
        table: usize,
        key: KeyBytes,
    },
    /// Encoded positions on a path: from `low` on, below `high`.
    Range {
        table: usize,
        path: Path,
        low: Vec<u8>,
        high: Vec<u8>,
    },
}

/// A row written: its place on each path, before and after.
pub struct Mark {
    pub table: usize,
    pub key: KeyBytes,
    pub positions: Vec<(Path, Vec<u8>)>,
}

impl Predicate {
    fn covers(&self, mark: &Mark) -> bool {
        match self {
            Self::Row { table, key } => *table == mark.table && *key == mark.key,
            Self::Range { table, path, low, high } => {
                *table == mark.table
                    && mark
                        .positions
                        .iter()
                        .any(|(on, position)| on == path && low <= position && position < high)
            }
        }
    }
}

struct Node {
    snapshot: Snapshot,
    /// When it could no longer be refused, in the order of commits.
    prepared: Option<u64>,
    visible: Option<Snapshot>,
    reads: Vec<Predicate>,
    writes: Vec<Mark>,
    /// Who read what this one wrote.
    before: BTreeSet<NodeId>,
    /// The first commit of those that wrote what this one had read.
    first_after: Option<u64>,
    doomed: bool,
}

/// Serializable transactions, and those committed ones with which an open one overlaps.
#[derive(Default)]
pub struct Serializable {
    nodes: BTreeMap<NodeId, Node>,
    last: NodeId,
    /// How many have been prepared.
    prepared: u64,
}

impl Serializable {
    pub fn begin(&mut self, snapshot: Snapshot) -> NodeId {
        self.last += 1;
        let node = Node {
            snapshot,
            prepared: None,
            visible: None,
            reads: Vec::new(),
            writes: Vec::new(),
            before: BTreeSet::new(),
            first_after: None,
            doomed: false,
        };
        self.nodes.insert(self.last, node);
        self.last
    }

    pub fn check(&self, me: NodeId) -> Result<(), SqlError> {
        if self.nodes[&me].doomed { Err(SqlError::dangerous_structure()) } else { Ok(()) }
    }

    /// Others whose writes or reads matter to this one: open, or committed after its snapshot.
    fn concurrent(&self, me: NodeId) -> impl Iterator<Item = (NodeId, &Node)> {
        let snapshot = self.nodes[&me].snapshot;
        let others = self
            .nodes
            .iter()
            .filter(move |(id, node)| **id != me && node.visible.is_none_or(|visible| visible > snapshot));
        others.map(|(id, node)| (*id, node))
    }

    pub fn read(&mut self, me: NodeId, predicate: Predicate) -> Result<(), SqlError> {
        let writers = self.concurrent(me);
        let writers = writers.filter(|(_, node)| node.writes.iter().any(|mark| predicate.covers(mark)));
        let writers: Vec<NodeId> = writers.map(|(id, _)| id).collect();
        self.node(me).reads.push(predicate);
        writers.into_iter().try_for_each(|writer| self.depend(me, me, writer))
    }

    pub fn write(&mut self, me: NodeId, mark: Mark) -> Result<(), SqlError> {
        let readers = self.concurrent(me);
        let readers = readers.filter(|(_, node)| node.reads.iter().any(|predicate| predicate.covers(&mark)));
        let readers: Vec<NodeId> = readers.map(|(id, _)| id).collect();
        self.node(me).writes.push(mark);
        readers.into_iter().try_for_each(|reader| self.depend(me, reader, me))
    }

    fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("an open transaction has a node")
    }

    /// `reader` read what `writer` wrote; `me` is one of them, and has just found out.
    fn depend(&mut self, me: NodeId, reader: NodeId, writer: NodeId) -> Result<(), SqlError> {
        self.node(writer).before.insert(reader);
        let written = self.nodes[&writer].prepared;
        if let Some(written) = written {
            let first = &mut self.node(reader).first_after;
            *first = Some(first.map_or(written, |first| first.min(written)));
        }
        if self.is_pivot(reader) && self.nodes[&reader].prepared.is_none() {
            self.refuse(me, reader)?;
        }
        if self.is_pivot_for(writer, reader) {
            let pivot_is_open = self.nodes[&writer].prepared.is_none();
            self.refuse(me, if pivot_is_open { writer } else { me })?;
        }
        Ok(())
    }

    /// The error of whoever finds out, if it is the victim; else the victim's later.
    fn refuse(&mut self, me: NodeId, victim: NodeId) -> Result<(), SqlError> {
        self.node(victim).doomed = true;
        if victim == me { Err(SqlError::dangerous_structure()) } else { Ok(()) }
    }

    fn is_pivot(&self, pivot: NodeId) -> bool {
        self.nodes[&pivot].before.iter().any(|before| self.is_pivot_for(pivot, *before))
    }

    /// Whether `before` → `pivot` → somebody, who has committed before both.
    fn is_pivot_for(&self, pivot: NodeId, before: NodeId) -> bool {
        let Some(first_after) = self.nodes[&pivot].first_after else { return false };
        let committed_later = |id: NodeId| {
            let node = self.nodes.get(&id);
            node.is_some_and(|node| node.prepared.is_none_or(|prepared| first_after <= prepared))
        };
        committed_later(pivot) && committed_later(before)
    }

    /// COMMIT: from here on it cannot be refused. It may be the first to commit of a dangerous structure: then
    /// the pivot is doomed.
    pub fn prepare(&mut self, me: NodeId) -> Result<(), SqlError> {
        self.check(me)?;
        self.prepared += 1;
        let prepared = self.prepared;
        self.node(me).prepared = Some(prepared);
        for reader in self.nodes[&me].before.clone() {
            let Some(node) = self.nodes.get_mut(&reader) else { continue };
            node.first_after = Some(node.first_after.map_or(prepared, |first| first.min(prepared)));
            if node.prepared.is_none() && self.is_pivot(reader) {
                self.node(reader).doomed = true;
            }
        }
        Ok(())
    }

    /// The commit is visible to snapshots from this one on.
    pub fn committed(&mut self, me: NodeId, visible: Snapshot) {
        self.node(me).visible = Some(visible);
        self.forget();
    }

    pub fn aborted(&mut self, me: NodeId) {
        self.nodes.remove(&me);
        for node in self.nodes.values_mut() {
            node.before.remove(&me);
        }
        self.forget();
    }

    /// Committed transactions matter as long as one is open that overlaps with them.
    fn forget(&mut self) {
        let open = self.nodes.values().filter(|node| node.visible.is_none());
        let oldest = open.map(|node| node.snapshot).min();
        self.nodes.retain(|_, node| match (node.visible, oldest) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(visible), Some(oldest)) => visible > oldest,
        });
    }
}
