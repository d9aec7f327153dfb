//! The troubles of one party, as a handle that the fault engine and the party's decorator share.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::{Hits, Trouble};
use crate::draw::Draw;

/// What troubles a party now. A copy is the same handle.
#[derive(Clone, Debug, Default)]
pub struct Troubles(Rc<RefCell<State>>);

#[derive(Debug, Default)]
struct State {
    /// By the id of the fault, and in this order where it matters.
    active: BTreeMap<u32, Active>,
    /// How often each has changed what happened, also of those that are over.
    met: BTreeMap<u32, u64>,
    /// What the party has not noticed yet.
    changes: Vec<Change>,
    /// Something changed since the party's host was woken last.
    stirred: bool,
    host: Option<Waker>,
}

#[derive(Debug)]
struct Active {
    trouble: Trouble,
    /// How many requests or messages it was about, where these are counted.
    counted: u64,
}

/// A trouble began or ended.
#[derive(Debug)]
pub(super) struct Change {
    pub id: u32,
    pub trouble: Trouble,
    pub began: bool,
}

impl Troubles {
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a trouble. Programmer error while one of this id is active.
    pub fn begin(&self, id: u32, trouble: Trouble) {
        {
            let state = &mut *self.0.borrow_mut();
            let before = state.active.insert(id, Active { trouble: trouble.clone(), counted: 0 });
            assert!(before.is_none(), "trouble {id} has begun already");
            state.met.entry(id).or_default();
        }
        self.change(Change { id, trouble, began: true });
    }

    /// Ends a trouble, if it is active. What it has set in motion (a late answer, a held order) goes its way.
    pub fn end(&self, id: u32) {
        let ended = self.0.borrow_mut().active.remove(&id);
        if let Some(Active { trouble, .. }) = ended {
            self.change(Change { id, trouble, began: false });
        }
    }

    /// The troubles that are active, by id.
    pub fn active(&self) -> Vec<(u32, Trouble)> {
        let state = self.0.borrow();
        state.active.iter().map(|(id, active)| (*id, active.trouble.clone())).collect()
    }

    pub fn is_calm(&self) -> bool {
        self.0.borrow().active.is_empty()
    }

    /// How often it has changed what happened: requests, messages or bookings. Known after its end, too.
    pub fn met(&self, id: u32) -> u64 {
        self.0.borrow().met.get(&id).copied().unwrap_or(0)
    }

    /// Completes when a trouble has begun or ended since it did the last time. The party's host waits for it,
    /// and then looks at [`Party::next_due`](crate::Party::next_due) again: some troubles make a party do things
    /// sooner. One waits at a time.
    pub fn changed(&self) -> impl Future<Output = ()> + '_ {
        poll_fn(|context| {
            let state = &mut *self.0.borrow_mut();
            if std::mem::take(&mut state.stirred) {
                return Poll::Ready(());
            }
            state.host = Some(context.waker().clone());
            Poll::Pending
        })
    }

    /// The troubles that hit this time, by id. `about`: how often each does, if it is about it at all.
    pub(super) fn hits(
        &self,
        draw: &mut dyn Draw,
        about: impl Fn(&Trouble) -> Option<Hits>,
    ) -> Vec<(u32, Trouble)> {
        let state = &mut *self.0.borrow_mut();
        let mut hits = Vec::new();
        for (id, active) in &mut state.active {
            let Some(often) = about(&active.trouble) else { continue };
            if active.hits(often, draw) {
                hits.push((*id, active.trouble.clone()));
            }
        }
        hits
    }

    /// A trouble has changed what happened.
    pub(super) fn meet(&self, id: u32) {
        *self.0.borrow_mut().met.entry(id).or_default() += 1;
    }

    fn change(&self, change: Change) {
        let host = {
            let state = &mut *self.0.borrow_mut();
            state.changes.push(change);
            state.stirred = true;
            state.host.take()
        };
        if let Some(host) = host {
            host.wake();
        }
    }

    pub(super) fn has_changed(&self) -> bool {
        !self.0.borrow().changes.is_empty()
    }

    pub(super) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut self.0.borrow_mut().changes)
    }
}

impl Active {
    fn hits(&mut self, often: Hits, draw: &mut dyn Draw) -> bool {
        match often {
            Hits::Ppm(odds) => draw.odds_ppm(odds),
            Hits::Every(times) => {
                self.counted += 1;
                self.counted.is_multiple_of(u64::from(times))
            }
        }
    }
}
