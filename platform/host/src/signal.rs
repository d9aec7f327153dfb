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
