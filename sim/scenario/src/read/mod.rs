//! Phase two of loading: walking the tree with readers that know what belongs where.
//!
//! A reader is one function per table. Run over a tree it gives values and collects mistakes; run over nothing
//! it gives the JSON Schema. So the loader and the schema cannot disagree about a key.
//!
//! After a mistake reading goes on with a blank value, so that one run finds them all. Checks that need several
//! values wait until there are no blanks: see `check.rs`.

mod compound;
mod faults;
mod kafka;
mod loads;
mod names;
mod numbers;
mod sabotage;
mod scenario;
mod table;
mod targets;
mod texts;
mod times;

use std::cell::{Cell, RefCell};

use serde_json::Value as Json;

use crate::catalogue::Catalogue;
use crate::text::diagnostics::Draft;
use crate::text::path;
use crate::text::tree::{Node, Place};

pub use compound::{Between, List, Section};
pub use numbers::{Flag, Number, Odds, number};
pub use scenario::read_scenario;
pub use table::Table;
pub use targets::{OneTarget, TargetOrShape};
pub use texts::{Choice, Decimals, Label, Selected, Text};
pub use times::{Lasting, Moment, Signed};

/// How one value is read, and what the schema says of it.
pub trait Field {
    type Out: Default;

    /// The value, or `None` after saying what is wrong with it.
    fn read(&self, node: &Node, here: &Here<'_>) -> Option<Self::Out>;

    /// JSON Schema of what [`Field::read`] accepts.
    fn schema(&self, context: &Context<'_>) -> Json;
}

/// What one loading shares: the names that are known, and the mistakes so far.
pub struct Context<'a> {
    /// Without it names are not checked: they were, when the file was loaded.
    catalogue: Option<&'a Catalogue>,
    drafts: RefCell<Vec<Draft>>,
    blanks: Cell<bool>,
    /// How many there are, once `[market]` was read.
    accounts: Cell<Option<u32>>,
    instruments: Cell<Option<u32>>,
}

impl<'a> Context<'a> {
    pub fn new(catalogue: Option<&'a Catalogue>) -> Self {
        Context {
            catalogue,
            drafts: RefCell::default(),
            blanks: Cell::new(false),
            accounts: Cell::new(None),
            instruments: Cell::new(None),
        }
    }

    pub fn catalogue(&self) -> Option<&'a Catalogue> {
        self.catalogue
    }

    pub fn report(&self, draft: Draft) {
        self.drafts.borrow_mut().push(draft);
    }

    /// Whether some value could not be read, so that a blank stands for it.
    pub fn has_blanks(&self) -> bool {
        self.blanks.get()
    }

    pub fn mistakes(&self) -> usize {
        self.drafts.borrow().len()
    }

    pub fn into_drafts(self) -> Vec<Draft> {
        self.drafts.into_inner()
    }
}

/// Where in the file a value is being read.
#[derive(Clone)]
pub struct Here<'a> {
    pub context: &'a Context<'a>,
    pub path: String,
}

impl<'a> Here<'a> {
    pub fn key(&self, key: &str) -> Here<'a> {
        Here { context: self.context, path: path::join(&self.path, key) }
    }

    pub fn item(&self, index: usize) -> Here<'a> {
        Here { context: self.context, path: path::item(&self.path, index) }
    }

    /// Reports a mistake in the value; gives `None`, so that a field can end with it.
    pub fn refuse<T>(&self, place: Place, message: impl Into<String>, hint: Option<String>) -> Option<T> {
        let draft = Draft { place, path: self.path.clone(), message: message.into(), hint };
        self.context.report(draft);
        self.context.blanks.set(true);
        None
    }

    /// The mistake of a value of another type.
    pub fn wrong_type<T>(&self, node: &Node, expected: &str, hint: Option<String>) -> Option<T> {
        self.refuse(node.place, format!("expected {expected}, found {}", node.value.kind()), hint)
    }
}
