//! Who owns a partition: a host that moves an input position has the last claim on it.
//!
//! Seen where a host's pipelines pass: a claim counts from when its commit was heard, and a position's move from when
//! it was asked for. So a move that is called wrong came after the other's claim, however late anything arrives.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use host::ports::store::{Key, Reply, Statement, StoreError};

const NEXT: usize = 2;
const CLAIM: usize = 3;

#[derive(Default)]
pub struct Claims {
    /// The last claim that is known to be committed.
    last: RefCell<BTreeMap<Key, i64>>,
    /// Moves that were asked for when another's claim was known.
    pub void: Cell<u64>,
    /// Those that were carried out.
    pub wrong: Cell<u64>,
}

/// What a process has claimed.
pub type Owned = Rc<RefCell<BTreeMap<Key, i64>>>;

/// What a pipeline does to input positions.
pub struct Asked {
    /// Claims that it commits, unless they wait for a later commit.
    claims: Vec<(Key, i64)>,
    /// Places of the statements that move a position whose claim is void.
    void: Vec<usize>,
}

impl Claims {
    pub fn asked(&self, owned: &Owned, statements: &[Statement]) -> Asked {
        let (last, owned) = (self.last.borrow(), owned.borrow());
        let mut asked = Asked { claims: Vec::new(), void: Vec::new() };
        for (place, statement) in statements.iter().enumerate() {
            let Statement::UpdateIf { table, key, set, .. } = statement else { continue };
            if table.name != "input_positions" {
                continue;
            }
            for (column, value) in set {
                match *column {
                    NEXT if owned.get(key) < last.get(key) => asked.void.push(place),
                    CLAIM => asked.claims.push((key.clone(), value.as_int())),
                    _ => {}
                }
            }
        }
        asked
    }

    /// A host claims in the pipeline that commits.
    pub fn answered(&self, owned: &Owned, asked: Asked, result: &Result<Vec<Reply>, StoreError>) {
        self.void.set(self.void.get() + asked.void.len() as u64);
        let Ok(replies) = result else { return };
        let moved = asked.void.iter().filter(|place| replies.get(**place) == Some(&Reply::Changed(1)));
        self.wrong.set(self.wrong.get() + moved.count() as u64);
        owned.borrow_mut().extend(asked.claims.iter().cloned());
        for (key, claim) in asked.claims {
            let mut last = self.last.borrow_mut();
            let last = last.entry(key).or_default();
            *last = (*last).max(claim);
        }
    }
}
