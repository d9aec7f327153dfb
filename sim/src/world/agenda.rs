//! What is due when: one heap for the whole world, one armed sleep of the executor.
//!
//! The executor's timers cannot be cancelled and cost an allocation each, so only the pump has one. An alarm
//! is a slot in a slab; dropping it frees the slot, and its entry in the heap is skipped when it comes up.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use madsim::time::{Instant, Sleep, TimeHandle};

/// Nanoseconds of true time since the start of the run.
pub type Elapsed = u64;

/// An entry of the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// An alarm slot and its generation.
    Alarm { slot: u32, generation: u32 },
    /// A message of the network, by its number.
    Delivery(u64),
}

#[derive(Default)]
struct Slot {
    generation: u32,
    fired: bool,
    waker: Option<Waker>,
}

#[derive(Default)]
struct Inner {
    heap: BinaryHeap<Reverse<(Elapsed, u64, Due)>>,
    next: u64,
    slots: Vec<Slot>,
    free: Vec<u32>,
    pump: Option<Waker>,
    /// Deadlines for which the executor holds a timer. Only ever extended downwards, so it stays tiny.
    armed: BTreeSet<Elapsed>,
    wakeups: u64,
}

/// The agenda of one run.
pub struct Agenda {
    inner: RefCell<Inner>,
    time: TimeHandle,
    base: Instant,
}

impl Agenda {
    /// Must be called inside the run's executor.
    pub fn new() -> Rc<Self> {
        let time = TimeHandle::current();
        let base = time.now_instant() - time.elapsed();
        Rc::new(Self { inner: RefCell::default(), time, base })
    }

    pub fn elapsed(&self) -> Elapsed {
        u64::try_from(self.time.elapsed().as_nanos()).expect("a run lasts less than 584 years")
    }

    /// Deliveries made and alarms fired so far.
    pub fn wakeups(&self) -> u64 {
        self.inner.borrow().wakeups
    }

    pub fn schedule_delivery(&self, due: Elapsed, message: u64) {
        self.push(due, Due::Delivery(message));
    }

    fn push(&self, due: Elapsed, what: Due) {
        let mut inner = self.inner.borrow_mut();
        let number = inner.next;
        inner.next += 1;
        let earliest = inner.heap.peek().is_none_or(|Reverse((first, ..))| due < *first);
        inner.heap.push(Reverse((due, number, what)));
        if earliest && let Some(pump) = inner.pump.take() {
            drop(inner);
            pump.wake();
        }
    }

    /// Completes at `due`. Dropping it cancels it.
    pub fn alarm(self: &Rc<Self>, due: Elapsed) -> Alarm {
        Alarm { agenda: self.clone(), due, armed: None }
    }

    /// Fires what is due, for ever: `deliver` gets the messages. One task of the world runs this.
    pub async fn pump(self: Rc<Self>, deliver: impl Fn(u64)) {
        let mut sleep = Box::pin(self.time.sleep(Duration::ZERO));
        std::future::poll_fn(|context| {
            self.fire_due(&deliver);
            self.arm(sleep.as_mut(), context);
            Poll::<()>::Pending
        })
        .await
    }

    fn fire_due(&self, deliver: &impl Fn(u64)) {
        let now = self.elapsed();
        self.inner.borrow_mut().armed.retain(|deadline| *deadline > now);
        while let Some(due) = self.pop_due(now) {
            match due {
                Due::Delivery(message) => deliver(message),
                Due::Alarm { slot, .. } => self.ring(slot),
            }
        }
    }

    /// The next live entry that is due; counts it as a wake-up.
    fn pop_due(&self, now: Elapsed) -> Option<Due> {
        let mut inner = self.inner.borrow_mut();
        inner.drop_cancelled();
        let Reverse((due, _, what)) = *inner.heap.peek()?;
        if due > now {
            return None;
        }
        inner.heap.pop();
        inner.wakeups += 1;
        Some(what)
    }

    fn ring(&self, slot: u32) {
        let waker = {
            let mut inner = self.inner.borrow_mut();
            let slot = &mut inner.slots[slot as usize];
            slot.fired = true;
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Makes the executor wake the pump no later than the next entry.
    fn arm(&self, mut sleep: Pin<&mut Sleep>, context: &mut Context<'_>) {
        let mut inner = self.inner.borrow_mut();
        inner.pump = Some(context.waker().clone());
        let Some(Reverse((due, ..))) = inner.heap.peek().copied() else { return };
        if inner.armed.first().is_none_or(|first| due < *first) {
            inner.armed.insert(due);
            sleep.as_mut().reset(self.base + Duration::from_nanos(due));
            if sleep.poll(context).is_ready() {
                context.waker().wake_by_ref();
            }
        }
    }
}

impl Inner {
    fn drop_cancelled(&mut self) {
        while let Some(Reverse((_, _, Due::Alarm { slot, generation }))) = self.heap.peek() {
            if self.slots[*slot as usize].generation == *generation {
                return;
            }
            self.heap.pop();
        }
    }
}

/// A cancellable wait for a point in time.
pub struct Alarm {
    agenda: Rc<Agenda>,
    due: Elapsed,
    armed: Option<u32>,
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.agenda.elapsed() >= self.due {
            return Poll::Ready(());
        }
        match self.armed {
            None => {
                let (slot, generation) = {
                    let mut inner = self.agenda.inner.borrow_mut();
                    let slot = inner.free.pop().unwrap_or_else(|| {
                        inner.slots.push(Slot::default());
                        u32::try_from(inner.slots.len() - 1).expect("fewer than 2^32 alarms at a time")
                    });
                    let entry = &mut inner.slots[slot as usize];
                    entry.fired = false;
                    entry.waker = Some(context.waker().clone());
                    (slot, entry.generation)
                };
                self.armed = Some(slot);
                self.agenda.push(self.due, Due::Alarm { slot, generation });
                Poll::Pending
            }
            Some(slot) => {
                let mut inner = self.agenda.inner.borrow_mut();
                let entry = &mut inner.slots[slot as usize];
                if entry.fired {
                    return Poll::Ready(());
                }
                if !entry.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                    entry.waker = Some(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(slot) = self.armed {
            let mut inner = self.agenda.inner.borrow_mut();
            let entry = &mut inner.slots[slot as usize];
            entry.generation = entry.generation.wrapping_add(1);
            entry.waker = None;
            inner.free.push(slot);
        }
    }
}
