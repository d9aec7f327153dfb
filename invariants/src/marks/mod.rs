//! Marks: named predicates over facts. A scenario's `must_see` names what its run must have met.
//!
//! A file per subject; [`all`] is the registry. A mark says that something happened, never that it was right.

mod calendar;
mod concern;
mod edge;
mod fault;
mod fix;
mod ledger;
mod notification;
mod payment;
mod replay;
mod settlement;
mod store;
mod topics;
mod trade;
mod venue;
mod world;

use crate::{FactKind, Record};

/// Watches for its subject; [`seen`](Mark::seen) once it was met.
pub trait Mark {
    /// The name in scenarios, e.g. `settlement:batch_closed`.
    fn name(&self) -> &'static str;

    /// One line for `list marks`.
    fn about(&self) -> &'static str;

    /// Kinds of facts that can show it.
    fn watches(&self) -> &'static [FactKind] {
        FactKind::ALL
    }

    fn observe(&mut self, record: &Record<'_>);

    fn seen(&self) -> bool;
}

/// Every mark, fresh, in alphabetical order.
pub fn all() -> Vec<Box<dyn Mark>> {
    let mut marks = Vec::new();
    for subject in [
        calendar::marks,
        edge::marks,
        fault::marks,
        fix::marks,
        topics::marks,
        ledger::marks,
        notification::marks,
        payment::marks,
        replay::marks,
        settlement::marks,
        store::marks,
        trade::marks,
        venue::marks,
        world::marks,
    ] {
        marks.extend(subject());
    }
    marks.sort_by_key(|mark| mark.name());
    marks
}

/// A mark that folds records into a state until one shows it.
struct Watch<S> {
    name: &'static str,
    about: &'static str,
    watches: &'static [FactKind],
    state: S,
    shows: fn(&mut S, &Record<'_>) -> bool,
    seen: bool,
}

impl<S> Mark for Watch<S> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn watches(&self) -> &'static [FactKind] {
        self.watches
    }

    fn observe(&mut self, record: &Record<'_>) {
        self.seen |= (self.shows)(&mut self.state, record);
    }

    fn seen(&self) -> bool {
        self.seen
    }
}

/// A mark that needs to remember what came before.
fn follow<S: Default + 'static>(
    name: &'static str,
    about: &'static str,
    watches: &'static [FactKind],
    shows: fn(&mut S, &Record<'_>) -> bool,
) -> Box<dyn Mark> {
    Box::new(Watch { name, about, watches, state: S::default(), shows, seen: false })
}

/// A mark that one record shows.
macro_rules! when {
    ($name:literal, $about:literal, $watches:expr, $shows:expr $(,)?) => {
        $crate::marks::follow::<()>($name, $about, $watches, |(), record| {
            let shows: fn(&$crate::Record<'_>) -> bool = $shows;
            shows(record)
        })
    };
}
use when;

#[cfg(test)]
fn find(name: &str) -> Box<dyn Mark> {
    let mark = all().into_iter().find(|mark| mark.name() == name);
    mark.unwrap_or_else(|| panic!("no mark is called {name}"))
}

/// Asserts whether the named mark is met by a history.
#[cfg(test)]
#[track_caller]
fn check(name: &str, history: impl IntoIterator<Item = crate::testing::Told>, met: bool) {
    assert_eq!(crate::testing::meets(find(name).as_mut(), history), met, "{name}");
}

/// Like [`check`], for marks to which it matters on which node a fact happened.
#[cfg(test)]
#[track_caller]
fn check_on(name: &str, history: &[(&str, crate::testing::Told)], met: bool) {
    let mut mark = find(name);
    for (sequence, (node, told)) in (1..).zip(history) {
        if mark.watches().contains(&told.fact.kind()) {
            mark.observe(&Record { sequence, at_ns: told.at_ns, node, cause: "", fact: &told.fact });
        }
    }
    assert_eq!(mark.seen(), met, "{name}");
}
