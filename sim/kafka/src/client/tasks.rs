//! The calls and sleeps a client has under way: one per slot, owned by the client, so that a dropped poll loses
//! nothing. Polled by hand, since there are a handful and slots must be droppable by name.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;

use futures::future::LocalBoxFuture;

/// Tasks by slot. If several have ended, the first in the order of slots is told first.
pub(super) struct Tasks<S, D> {
    running: BTreeMap<S, LocalBoxFuture<'static, D>>,
}

impl<S: Copy + Ord, D> Tasks<S, D> {
    pub fn new() -> Tasks<S, D> {
        Tasks { running: BTreeMap::new() }
    }

    pub fn is_running(&self, slot: S) -> bool {
        self.running.contains_key(&slot)
    }

    /// Takes the place of what is running in the slot.
    pub fn start(&mut self, slot: S, task: impl Future<Output = D> + 'static) {
        self.running.insert(slot, Box::pin(task));
    }

    pub fn cancel(&mut self, slot: S) {
        self.running.remove(&slot);
    }

    pub fn cancel_all(&mut self) {
        self.running.clear();
    }

    /// Drops the tasks whose slots do not pass.
    pub fn retain(&mut self, keep: impl Fn(&S) -> bool) {
        self.running.retain(|slot, _| keep(slot));
    }

    /// The next task that ends; never, if none is running.
    pub async fn next(&mut self) -> D {
        poll_fn(|context| {
            let ended = self.running.iter_mut().find_map(|(slot, task)| match task.as_mut().poll(context) {
                Poll::Ready(done) => Some((*slot, done)),
                Poll::Pending => None,
            });
            match ended {
                Some((slot, done)) => {
                    self.running.remove(&slot);
                    Poll::Ready(done)
                }
                None => Poll::Pending,
            }
        })
        .await
    }
}
