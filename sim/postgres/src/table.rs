//! Committed rows of one table, and its indexes.
//!
//! Only the latest committed version of a row is here: all that READ COMMITTED needs. What a snapshot that outlives
//! a statement (manual 13.2.2) sees besides, `snapshot` keeps.

use std::collections::BTreeMap;
use std::ops::Bound;

use host::ports::store::{Index, Table, Value};

use crate::key::{ABOVE, KeyBytes, encode, encode_value};
use crate::output::StoredRow;

/// How many values of a sequence one log record covers (`SEQ_LOG_VALS` in PostgreSQL's `sequence.c`).
const SEQUENCE_LOG_VALUES: i64 = 32;

#[derive(Clone)]
pub struct TableData {
    pub table: &'static Table,
    pub sequence: Sequence,
    pub has_unique: bool,
    rows: BTreeMap<KeyBytes, StoredRow>,
    indexes: Vec<IndexData>,
}

#[derive(Clone)]
struct IndexData {
    index: &'static Index,
    /// By index columns and primary key; where the primary key begins in it.
    entries: BTreeMap<KeyBytes, u16>,
}

/// Which order a read follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    Primary,
    /// Position among the table's indexes.
    Index(usize),
}

type ByteRange<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

/// Encoded positions: from `low` on, below `high`.
#[derive(Default)]
pub struct Bounds {
    pub low: Vec<u8>,
    pub high: Vec<u8>,
}

impl Bounds {
    pub fn set(&mut self, prefix: &[Value], after: Option<&[Value]>, up_to: Option<&Value>) {
        self.low.clear();
        self.high.clear();
        encode(prefix, &mut self.low);
        self.high.extend_from_slice(&self.low);
        if let Some(after) = after {
            encode(after, &mut self.low);
            self.low.push(ABOVE);
        }
        if let Some(up_to) = up_to {
            encode_value(up_to, &mut self.high);
        }
        self.high.push(ABOVE);
    }

    pub fn contain(&self, key: &[u8]) -> bool {
        self.low.as_slice() <= key && key < self.high.as_slice()
    }

    fn range(&self) -> Option<ByteRange<'_>> {
        (self.low < self.high)
            .then_some((Bound::Included(self.low.as_slice()), Bound::Excluded(self.high.as_slice())))
    }
}

/// `nextval` (9.17): outside transactions, and logged ahead so that a crash leaves a gap.
#[derive(Clone, Default)]
pub struct Sequence {
    pub last: i64,
    logged: i64,
    flushed: i64,
}

impl Sequence {
    /// Hands out that many values, and says the first.
    pub fn next_block(&mut self, count: i64) -> i64 {
        let first = self.last + 1;
        self.last += count;
        if self.last > self.logged {
            self.logged = self.last + SEQUENCE_LOG_VALUES;
        }
        first
    }

    /// What the next log record says of it.
    pub fn flush(&mut self) -> Option<i64> {
        let moved = self.flushed != self.logged;
        self.flushed = self.logged;
        moved.then_some(self.logged)
    }

    pub fn crash(&mut self) {
        self.replay(self.flushed);
    }

    pub fn replay(&mut self, logged: i64) {
        *self = Self { last: logged, logged, flushed: logged };
    }
}

pub fn qualifies(index: &Index, row: &[Value]) -> bool {
    index.only_where.is_none_or(|(column, value)| row[column] == Value::Int(value))
}

/// Values that a unique index compares: none where the row is not in it, or has a NULL, which equals nothing.
pub fn unique_key(index: &Index, row: &[Value], into: &mut Vec<u8>) -> bool {
    into.clear();
    if !index.unique || !qualifies(index, row) {
        return false;
    }
    let columns = index.columns.iter().map(|column| &row[*column]);
    if columns.clone().any(|value| *value == Value::Null) {
        return false;
    }
    encode(columns, into);
    true
}

/// Position of a row on a path; where the primary key begins in it. `None` if it is not on it.
pub fn position(table: &Table, path: Path, row: &[Value], into: &mut Vec<u8>) -> Option<u16> {
    into.clear();
    let primary_key = match path {
        Path::Primary => 0,
        Path::Index(index) => {
            let index = &table.indexes[index];
            if !qualifies(index, row) {
                return None;
            }
            encode(index.columns.iter().map(|column| &row[*column]), into);
            into.len()
        }
    };
    encode(&row[..table.key], into);
    Some(u16::try_from(primary_key).expect("rows with longer keys are refused on their way in"))
}

impl TableData {
    pub fn new(table: &'static Table) -> Self {
        let indexes = table.indexes.iter().map(|index| IndexData { index, entries: BTreeMap::new() });
        Self {
            table,
            sequence: Sequence::default(),
            has_unique: table.indexes.iter().any(|index| index.unique),
            rows: BTreeMap::new(),
            indexes: indexes.collect(),
        }
    }

    pub fn get(&self, key: &[u8]) -> Option<&StoredRow> {
        self.rows.get(key)
    }

    pub fn rows(&self) -> impl Iterator<Item = &StoredRow> {
        self.rows.values()
    }

    /// Installs the committed version of a row: `None` deletes it. Gives the version before.
    pub fn apply(
        &mut self,
        key: KeyBytes,
        new: Option<StoredRow>,
        scratch: &mut Vec<u8>,
    ) -> Option<StoredRow> {
        let current = new.clone();
        let old = match new {
            Some(row) => self.rows.insert(key, row),
            None => self.rows.remove(&key),
        };
        for number in 0..self.indexes.len() {
            let index = self.indexes[number].index;
            if let (Some(old), Some(new)) = (&old, &current)
                && !index_changes(index, old, new)
            {
                continue;
            }
            let entries = &mut self.indexes[number].entries;
            if let Some(old) = &old
                && position(self.table, Path::Index(number), old, scratch).is_some()
            {
                entries.remove(scratch.as_slice());
            }
            if let Some(new) = &current
                && let Some(primary_key) = position(self.table, Path::Index(number), new, scratch)
            {
                entries.insert(KeyBytes::new(scratch), primary_key);
            }
        }
        old
    }

    /// Rows on a path in order: position, primary key.
    pub fn walk<'a>(&'a self, path: Path, bounds: &'a Bounds) -> Walk<'a> {
        let Some(range) = bounds.range() else { return Walk::Empty };
        match path {
            Path::Primary => Walk::Primary(self.rows.range::<[u8], _>(range)),
            Path::Index(index) => {
                Walk::Index(&self.rows, self.indexes[index].entries.range::<[u8], _>(range))
            }
        }
    }

    pub fn count(&self, path: Path, bounds: &Bounds) -> usize {
        match (bounds.range(), path) {
            (None, _) => 0,
            (Some(range), Path::Primary) => self.rows.range::<[u8], _>(range).count(),
            (Some(range), Path::Index(index)) => self.indexes[index].entries.range::<[u8], _>(range).count(),
        }
    }

    /// Primary keys of the rows that have this key in a unique index: at most one, unless one of them is being
    /// replaced.
    pub fn holders<'a>(&'a self, index: usize, unique_key: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let from = (Bound::Included(unique_key), Bound::Unbounded);
        let entries = self.indexes[index].entries.range::<[u8], _>(from);
        entries.map_while(move |(position, primary_key)| {
            let (columns, primary_key) = position.as_slice().split_at(usize::from(*primary_key));
            (columns == unique_key).then_some(primary_key)
        })
    }
}

/// Whether an update moves the row in the index. The primary key never changes.
pub fn index_changes(index: &Index, old: &[Value], new: &[Value]) -> bool {
    let filter = index.only_where.map(|(column, _)| column);
    let mut columns = index.columns.iter().copied().chain(filter);
    columns.any(|column| old[column] != new[column])
}

pub enum Walk<'a> {
    Empty,
    Primary(std::collections::btree_map::Range<'a, KeyBytes, StoredRow>),
    Index(&'a BTreeMap<KeyBytes, StoredRow>, std::collections::btree_map::Range<'a, KeyBytes, u16>),
}

impl<'a> Iterator for Walk<'a> {
    /// Position on the path, primary key, row.
    type Item = (&'a [u8], &'a [u8], &'a StoredRow);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Empty => None,
            Self::Primary(range) => {
                let (key, row) = range.next()?;
                Some((key.as_slice(), key.as_slice(), row))
            }
            Self::Index(rows, range) => {
                let (position, primary_key) = range.next()?;
                let position = position.as_slice();
                let primary_key = &position[usize::from(*primary_key)..];
                let row = rows.get(primary_key).expect("an index entry has a row");
                Some((position, primary_key, row))
            }
        }
    }
}
