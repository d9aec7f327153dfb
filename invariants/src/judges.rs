//! The panel: every selected invariant and mark, each fed with the kinds of facts that it takes.
//!
//! Called by the runner for every record, so a record costs only those that listen to its kind; a mark that
//! was met costs nothing more.

use crate::fact::Book;
use crate::lookback::Lookback;
use crate::{Fact, FactKind, Invariant, Mark, Pending, Record, Verdict, Violation, marks, oracles};

pub struct Judges {
    invariants: Vec<Box<dyn Invariant>>,
    /// By invariant: whether its verdict counts. The others only say what is pending.
    is_watched: Vec<bool>,
    marks: Vec<Box<dyn Mark>>,
    /// By kind: who listens, as indices.
    listeners: [Vec<usize>; KINDS],
    watchers: [Vec<usize>; KINDS],
    occurred: [bool; KINDS],
    /// Only where commits can be lost: it costs as much as judging does.
    lookback: Option<Lookback>,
}

pub(crate) const KINDS: usize = FactKind::ALL.len();

/// A name that is not in the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownName(pub String);

impl std::fmt::Display for UnknownName {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "no invariant is called `{}`", self.0)
    }
}

impl std::error::Error for UnknownName {}

impl Judges {
    /// Every invariant and every mark.
    pub fn all() -> Self {
        Self::of(oracles::all(), marks::all())
    }

    /// The named invariants, and every mark. What the others wait for is waited for all the same: when a run is at
    /// rest does not depend on what is watched.
    ///
    /// # Errors
    /// The first name that is not in the registry.
    pub fn select<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self, UnknownName> {
        let mut judges = Self::all();
        judges.is_watched.fill(false);
        for name in names {
            let place = judges.invariants.iter().position(|invariant| invariant.name() == name);
            judges.is_watched[place.ok_or_else(|| UnknownName(name.to_owned()))?] = true;
        }
        Ok(judges)
    }

    /// A panel of one's own: also of invariants and marks from outside this crate.
    pub fn of(invariants: Vec<Box<dyn Invariant>>, marks: Vec<Box<dyn Mark>>) -> Self {
        let mut listeners = [const { Vec::new() }; KINDS];
        for (index, invariant) in invariants.iter().enumerate() {
            enlist(&mut listeners, index, invariant.needs().iter().chain(invariant.welcomes()));
        }
        let mut watchers = [const { Vec::new() }; KINDS];
        for (index, mark) in marks.iter().enumerate() {
            enlist(&mut watchers, index, mark.watches());
        }
        let is_watched = vec![true; invariants.len()];
        Self { invariants, is_watched, marks, listeners, watchers, occurred: [false; KINDS], lookback: None }
    }

    /// For a run in which a database may lose commits: what an invariant made of one is taken back when it is
    /// lost, so that only `acknowledged_is_durable` judges the loss and all others what is left. To be called
    /// before the first record.
    #[must_use]
    pub fn taking_back(mut self) -> Self {
        self.lookback = Some(Lookback::new(&self.invariants));
        self
    }

    /// Shows a record to all who listen to its kind. Every one sees it; the first violation is returned.
    pub fn observe(&mut self, record: &Record<'_>) -> Option<(&'static str, Violation)> {
        let kind = record.fact.kind() as usize;
        self.occurred[kind] = true;
        if let Fact::Opening(opening) = record.fact {
            // Whoever tells its opening balances is watched, even if nothing ever moves there.
            let told = if opening.book == Book::Bank { FactKind::Bank } else { FactKind::Committed };
            self.occurred[told as usize] = true;
        }
        self.mark(kind, record);
        if let Some(lookback) = &mut self.lookback {
            lookback.keep(record, &self.listeners, &mut self.invariants);
        }
        let mut first = None;
        for &index in &self.listeners[kind] {
            let invariant = &mut self.invariants[index];
            if let Verdict::Violated(violation) = invariant.observe(record)
                && self.is_watched[index]
            {
                first.get_or_insert((invariant.name(), violation));
            }
        }
        first
    }

    fn mark(&mut self, kind: usize, record: &Record<'_>) {
        let marks = &mut self.marks;
        self.watchers[kind].retain(|&index| {
            let mark = &mut marks[index];
            if !mark.seen() {
                mark.observe(record);
            }
            !mark.seen()
        });
    }

    /// The verdicts at the end: call once, after everything has settled.
    pub fn at_rest(&mut self) -> Vec<(&'static str, Violation)> {
        if let Some(lookback) = &mut self.lookback {
            lookback.take_back(&self.listeners, &mut self.invariants);
        }
        let watched = self.invariants.iter_mut().zip(&self.is_watched).filter(|(_, is_watched)| **is_watched);
        let judged = watched.map(|(invariant, _)| (invariant.name(), invariant.at_rest()));
        judged
            .filter_map(|(name, verdict)| match verdict {
                Verdict::Violated(violation) => Some((name, violation)),
                Verdict::Holds => None,
            })
            .collect()
    }

    /// What is still waited for, by invariant.
    pub fn pending(&self) -> Vec<(&'static str, Pending)> {
        let named = |invariant: &dyn Invariant| {
            let name = invariant.name();
            invariant.pending().into_iter().map(move |pending| (name, pending))
        };
        self.invariants.iter().map(AsRef::as_ref).flat_map(named).collect()
    }

    /// Whether nothing is pending: cheap, it names nothing.
    pub fn is_settled(&self) -> bool {
        let up_to_date = self.lookback.as_ref().is_none_or(Lookback::is_up_to_date);
        up_to_date && self.invariants.iter().all(|invariant| invariant.is_settled())
    }

    /// Invariants that cannot be judged, for a kind of fact that they need never occurred.
    pub fn unknown(&self) -> Vec<&'static str> {
        let occurred = |kind: &FactKind| self.occurred[*kind as usize];
        let unknown = self.invariants().filter(|invariant| !invariant.needs().iter().all(occurred));
        unknown.map(Invariant::name).collect()
    }

    /// The selected invariants.
    pub fn invariants(&self) -> impl Iterator<Item = &dyn Invariant> {
        let watched = self.invariants.iter().zip(&self.is_watched).filter(|(_, is_watched)| **is_watched);
        watched.map(|(invariant, _)| invariant.as_ref())
    }

    /// The marks that were met.
    pub fn seen(&self) -> impl Iterator<Item = &'static str> {
        self.marks.iter().filter(|mark| mark.seen()).map(|mark| mark.name())
    }

    /// Which of the wanted marks were not met; a name that is no mark is never met.
    pub fn missing<'n>(&self, wanted: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
        wanted.into_iter().filter(|name| !self.seen().any(|seen| seen == *name)).collect()
    }
}

fn enlist<'k>(table: &mut [Vec<usize>; KINDS], index: usize, kinds: impl IntoIterator<Item = &'k FactKind>) {
    for kind in kinds {
        let list = &mut table[*kind as usize];
        if list.last() != Some(&index) {
            list.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::day::GoodDay;
    use crate::testing::{Commit, Told, received};

    #[track_caller]
    fn shown(judges: &mut Judges, day: &[Told]) {
        for (sequence, Told { at_ns, fact }) in (1..).zip(day) {
            let record = Record { sequence, at_ns: *at_ns, node: "node", cause: "", fact };
            assert_eq!(judges.observe(&record), None, "record {sequence}: {fact:?}");
        }
    }

    #[test]
    fn what_is_waited_for_does_not_depend_on_what_is_watched() {
        let mut judges = Judges::select(["no_oversell"]).expect("it is registered");
        let day = [Commit::by("trade").event("trade/T-1", received("T-1"))].map(Told::from);
        shown(&mut judges, &day);
        assert!(!judges.is_settled() && !judges.pending().is_empty());
        assert_eq!(judges.at_rest(), [], "nobody watches whether trades end");
    }

    #[test]
    fn a_good_day_breaks_nothing() {
        let mut judges = Judges::all();
        shown(&mut judges, &GoodDay::of(3));
        assert_eq!(judges.pending(), []);
        assert!(judges.is_settled());
        assert_eq!(judges.at_rest(), []);
        assert_eq!(judges.unknown(), [""; 0], "every invariant had something to judge");
        let wanted =
            ["trade:settled", "calendar:dst_weekend_crossed", "settlement:batch_closed", "trade:failed"];
        assert_eq!(judges.missing(wanted), ["trade:failed"]);
    }

    /// Each commit of the day is lost before anybody hears of it, and made again; each message is shown twice.
    fn day_of_losses() -> Vec<Told> {
        let mut told = Vec::new();
        for Told { at_ns, fact } in GoodDay::of(3) {
            match &fact {
                Fact::Committed(committed) => {
                    let (database, transaction) = (committed.database.clone(), committed.transaction);
                    let mut again = committed.clone();
                    again.transaction += 1 << 40;
                    told.extend(
                        [fact.clone(), Fact::CommitLost { database, transaction }]
                            .map(|fact| Told { at_ns, fact }),
                    );
                    told.push(Told { at_ns, fact: Fact::Committed(again) });
                }
                Fact::Visible(_) => told.extend([fact.clone(), fact].map(|fact| Told { at_ns, fact })),
                _ => told.push(Told { at_ns, fact }),
            }
        }
        told
    }

    #[test]
    fn a_day_of_losses_that_nobody_heard_of_breaks_nothing() {
        let mut judges = Judges::all().taking_back();
        shown(&mut judges, &day_of_losses());
        assert_eq!(judges.pending(), []);
        assert!(judges.is_settled());
        assert_eq!(judges.at_rest(), []);
    }

    /// Whatever was told of a commit, its loss is `acknowledged_is_durable`'s and nobody else's.
    #[test]
    fn a_loss_of_what_was_told_breaks_one_invariant() {
        let day = GoodDay::of(1);
        let mut heard = 0;
        for (at, told) in day.iter().enumerate() {
            let Fact::Committed(committed) = &told.fact else { continue };
            if committed.outbox.is_empty() {
                continue;
            }
            let mut judges = Judges::all().taking_back();
            shown(&mut judges, &day[..at + 2]);
            let (database, transaction) = (committed.database.clone(), committed.transaction);
            let fact = Fact::CommitLost { database, transaction };
            let lost =
                Record { sequence: at as u64 + 3, at_ns: told.at_ns, node: "node", cause: "", fact: &fact };
            let broken = judges.observe(&lost).map(|(name, _)| name);
            assert_eq!(broken, Some("acknowledged_is_durable"), "{committed:?}");
            heard += 1;
        }
        assert!(heard > 3, "the day has messages");
    }

    #[test]
    fn a_day_cut_short_says_what_it_waits_for() {
        let mut judges = Judges::all();
        let mut day = GoodDay::of(2);
        day.truncate(day.len() - 8);
        shown(&mut judges, &day);
        assert!(!judges.is_settled());
        let waiting: Vec<&str> = judges.pending().iter().map(|(name, _)| *name).collect();
        assert_eq!(waiting, ["batch_once_per_date", "every_trade_terminates", "notified_once_after_commit"]);
    }
}
