//! Life and death of processes: killed, without power, paused, asked to stop, started again.
//!
//! Who kills a process keeps it down under a number, and lets it go under the same: faults overlap, and a process
//! starts when the last one has let go. A process that ends by itself is started again by the supervisor.

use std::collections::BTreeSet;
use std::rc::Rc;

use futures::FutureExt;
use invariants::Fact;
use madsim::task::NodeId;

use super::World;
use super::agenda::Elapsed;
use super::network::NodeIndex;

/// How long the supervisor waits before it starts a process again that ended by itself, nanoseconds.
const RESTART_AFTER_NS: u64 = 2_000_000_000;
/// Between the end of a process and its next start: the executor first drops what was left of it.
const TURN_NS: u64 = 1_000;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The machine goes on: its kernel resets the connections.
    Process,
    /// The machine too: nobody says anything.
    Machine,
}

impl World {
    fn executor_id(&self, index: NodeIndex) -> NodeId {
        self.nodes.borrow()[index].executor_id().expect("a node is built when it is added")
    }

    pub fn is_running(&self, index: NodeIndex) -> bool {
        self.nodes.borrow()[index].life.runs
    }

    /// Ends the process at once and keeps it down.
    pub fn kill(&self, index: NodeIndex, by: u32, end: End) {
        self.nodes.borrow_mut()[index].life.kept_down_by.insert(by);
        self.end_process(index, end);
    }

    /// Lets the process start, as soon as nothing else keeps it down.
    pub fn start(&self, index: NodeIndex, by: u32) {
        self.nodes.borrow_mut()[index].life.kept_down_by.remove(&by);
        self.starts.borrow_mut().insert((self.agenda.elapsed() + TURN_NS, index));
        self.attention.send();
    }

    /// Asks the process to finish what it does and end; keeps it down from then on.
    pub fn ask_to_stop(&self, index: NodeIndex, by: u32) {
        let mut nodes = self.nodes.borrow_mut();
        let slot = &mut nodes[index];
        slot.life.kept_down_by.insert(by);
        slot.stop_signal().send();
    }

    /// Stops the process from running, without its noticing.
    pub fn pause(&self, index: NodeIndex, by: u32) {
        self.nodes.borrow_mut()[index].life.paused_by.insert(by);
        self.handle.pause(self.executor_id(index));
    }

    pub fn resume(&self, index: NodeIndex, by: u32) {
        let mut nodes = self.nodes.borrow_mut();
        let paused_by = &mut nodes[index].life.paused_by;
        if paused_by.remove(&by) && paused_by.is_empty() {
            drop(nodes);
            self.handle.resume(self.executor_id(index));
        }
    }

    fn end_process(&self, index: NodeIndex, end: End) {
        if !std::mem::replace(&mut self.nodes.borrow_mut()[index].life.runs, false) {
            return;
        }
        self.handle.kill(self.executor_id(index));
        match end {
            End::Process => self.network.down(index),
            End::Machine => self.network.dark(index),
        }
        self.tell(index, "", &Fact::NodeDied);
    }

    /// The process ended by itself, by a panic or because it was asked to.
    pub(super) fn bury(&self, index: NodeIndex) {
        self.ended.borrow_mut().push(index);
        self.attention.send();
    }

    /// Ends and starts processes. One task of the world runs this.
    pub(super) async fn supervise(self: Rc<Self>) {
        loop {
            let next = self.starts.borrow().first().map_or(Elapsed::MAX, |(due, _)| *due);
            futures::select_biased! {
                () = self.attention.received().fuse() => {
                    let due = self.agenda.elapsed() + RESTART_AFTER_NS;
                    for index in std::mem::take(&mut *self.ended.borrow_mut()) {
                        self.end_process(index, End::Process);
                        self.starts.borrow_mut().insert((due, index));
                    }
                }
                () = self.agenda.alarm(next).fuse() => self.start_due(),
            }
        }
    }

    fn start_due(&self) {
        let now = self.agenda.elapsed();
        let later = self.starts.borrow_mut().split_off(&(now + 1, 0));
        let due: BTreeSet<(Elapsed, NodeIndex)> = self.starts.replace(later);
        for (_, index) in due {
            let mut nodes = self.nodes.borrow_mut();
            let life = &mut nodes[index].life;
            if life.runs || !life.kept_down_by.is_empty() {
                continue;
            }
            life.runs = true;
            let is_paused = !life.paused_by.is_empty();
            drop(nodes);
            self.handle.restart(self.executor_id(index));
            if is_paused {
                self.handle.pause(self.executor_id(index));
            }
        }
    }
}
