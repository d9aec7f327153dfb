//! A deadline that moves: armed anew only when it changes.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::world::agenda::{Agenda, Alarm, Elapsed};

pub struct Deadline {
    agenda: Rc<Agenda>,
    armed: Option<(Elapsed, Alarm)>,
}

impl Deadline {
    pub fn new(agenda: Rc<Agenda>) -> Self {
        Self { agenda, armed: None }
    }

    /// Moves the deadline to so many nanoseconds from now; `None` is never.
    pub fn set_in(&mut self, ahead_ns: Option<u64>) {
        let due = ahead_ns.map(|ahead| self.agenda.elapsed().saturating_add(ahead));
        match (due, &self.armed) {
            (None, _) => self.armed = None,
            // A microsecond of difference is the executor's own step, not a move.
            (Some(due), Some((armed, _))) if due.abs_diff(*armed) < 1_000 => {}
            (Some(due), _) => self.armed = Some((due, self.agenda.alarm(due))),
        }
    }

    /// Waits for it. Cancel-safe.
    pub fn passed(&mut self) -> Passed<'_> {
        Passed(self)
    }
}

pub struct Passed<'a>(&'a mut Deadline);

impl Future for Passed<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some((_, alarm)) = &mut self.0.armed else { return Poll::Pending };
        let passed = Pin::new(alarm).poll(context);
        if passed.is_ready() {
            self.0.armed = None;
        }
        passed
    }
}
