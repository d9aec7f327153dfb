//! The calls and sleeps a consumer has under way: one per slot, owned by the consumer, so that a dropped poll loses
//! nothing. Polled by hand, since there are a handful and slots must be droppable by name.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;

use futures::future::LocalBoxFuture;

/// What a task is for. If several have ended, the first in this order is told first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slot {
    /// The way into the group: look-up, join, sync, committed offsets.
    Membership,
    /// The next heartbeat, with the wait before it.
    Heartbeat,
    Commit,
    /// `ListOffsets` for partitions without a position.
    Reset,
    /// Leaders, after a fetch went wrong.
    Metadata,
    /// The long poll at a broker.
    Fetch(i32),
}

pub(super) struct Tasks<D> {
    running: BTreeMap<Slot, LocalBoxFuture<'static, D>>,
}

impl<D> Tasks<D> {
    pub fn new() -> Tasks<D> {
        Tasks { running: BTreeMap::new() }
    }

    pub fn is_running(&self, slot: Slot) -> bool {
        self.running.contains_key(&slot)
    }

    /// Takes the place of what is running in the slot.
    pub fn start(&mut self, slot: Slot, task: impl Future<Output = D> + 'static) {
        self.running.insert(slot, Box::pin(task));
    }

    pub fn cancel(&mut self, slot: Slot) {
        self.running.remove(&slot);
    }

    pub fn cancel_all(&mut self) {
        self.running.clear();
    }

    pub fn cancel_fetches(&mut self) {
        self.running.retain(|slot, _| !matches!(slot, Slot::Fetch(_)));
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
