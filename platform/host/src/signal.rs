//! A wake-up between tasks of one process: sent any number of times, seen once.

use std::cell::{Cell, RefCell};
use std::task::{Poll, Waker};

/// Remembers that it was sent until somebody waits for it. For one waiting task.
#[derive(Default)]
pub struct Signal {
    sent: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Signal {
    pub fn send(&self) {
        self.sent.set(true);
        if let Some(waker) = self.waiting.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Returns once it was sent since the last return. Cancel-safe.
    pub async fn received(&self) {
        std::future::poll_fn(|context| {
            if self.sent.take() {
                return Poll::Ready(());
            }
            *self.waiting.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// Something that happens once: whoever waits for it, before or after, goes on. For any number of waiting tasks.
#[derive(Default)]
pub struct Latch {
    set: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Latch {
    pub fn set(&self) {
        self.set.set(true);
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }

    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Cancel-safe.
    pub async fn wait(&self) {
        std::future::poll_fn(|context| {
            if self.set.get() {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            // A task that waits again and again is remembered once.
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}
