//! Nodes: a process with a name, a clock and a life. A panic is a fact, and the supervisor restarts the node.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::rc::{Rc, Weak};

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use invariants::Fact;
use madsim::task::NodeId;

use super::World;
use super::network::{Inbound, NodeIndex};

/// How long the supervisor waits before it starts a process again, nanoseconds.
const RESTART_AFTER_NS: u64 = 2_000_000_000;

/// A node's clock against true time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeClock {
    pub offset_ns: i64,
    /// Parts per billion: positive runs fast.
    pub drift_ppb: i64,
}

impl NodeClock {
    /// What the clock shows, given true time and the time since the run's start.
    pub fn reading(&self, true_ns: i64, elapsed_ns: u64) -> i64 {
        true_ns + self.offset_ns + self.drift_since_start(elapsed_ns)
    }

    fn drift_since_start(&self, elapsed_ns: u64) -> i64 {
        let drift = i128::from(elapsed_ns) * i128::from(self.drift_ppb) / 1_000_000_000;
        i64::try_from(drift).expect("drift is a small part of the run's length")
    }
}

/// What a node runs, from its start to its death.
pub type Program = Rc<dyn Fn(Node) -> LocalBoxFuture<'static, ()>>;

pub(super) struct NodeSlot {
    pub name: Rc<str>,
    pub clock: NodeClock,
    executor_id: Option<NodeId>,
    program: Program,
    incarnation: u32,
    failed: Rc<Cell<bool>>,
}

impl NodeSlot {
    pub fn executor_id(&self) -> Option<NodeId> {
        self.executor_id
    }
}

/// A running process: what a program gets of the world.
#[derive(Clone)]
pub struct Node {
    pub world: Rc<World>,
    pub index: NodeIndex,
    pub name: Rc<str>,
    pub incarnation: u32,
    failed: Rc<Cell<bool>>,
}

thread_local! {
    /// The world of the run on this thread: the executor starts nodes by functions that must be `Send`, and
    /// find the world, which is not, here.
    static CURRENT: RefCell<Weak<World>> = const { RefCell::new(Weak::new()) };
}

impl World {
    /// Makes this the world of the thread's run.
    pub(super) fn enter(self: &Rc<Self>) {
        CURRENT.with_borrow_mut(|current| *current = Rc::downgrade(self));
    }

    /// Adds a node, whose process starts as soon as the caller waits for something.
    pub fn add_node(self: &Rc<Self>, name: &str, clock: NodeClock, program: Program) -> NodeIndex {
        let index = self.network.add_node();
        self.nodes.borrow_mut().push(NodeSlot {
            name: name.into(),
            clock,
            executor_id: None,
            program,
            incarnation: 0,
            failed: Rc::default(),
        });
        let built = self.handle.create_node().name(name).init(move || live(index)).build();
        self.nodes.borrow_mut()[index].executor_id = Some(built.id());
        index
    }

    /// A new incarnation of the node's process.
    fn incarnate(self: &Rc<Self>, index: NodeIndex) -> (Node, Program) {
        let mut nodes = self.nodes.borrow_mut();
        let slot = &mut nodes[index];
        slot.incarnation += 1;
        slot.failed = Rc::default();
        let node = Node {
            world: self.clone(),
            index,
            name: slot.name.clone(),
            incarnation: slot.incarnation,
            failed: slot.failed.clone(),
        };
        (node, slot.program.clone())
    }

    fn executor_id(&self, index: NodeIndex) -> NodeId {
        self.nodes.borrow()[index].executor_id.expect("a node is built when it is added")
    }

    /// Ends the process at once: tasks are dropped, connections reset.
    pub fn kill(&self, index: NodeIndex) {
        self.handle.kill(self.executor_id(index));
        self.network.down(index);
        self.tell(index, "", &Fact::NodeDied);
    }

    /// Starts the process of a dead node again.
    pub fn restart(&self, index: NodeIndex) {
        self.handle.restart(self.executor_id(index));
    }

    /// Restarts processes that panicked, a little later. One task of the world runs this.
    pub(super) async fn supervise(self: Rc<Self>) {
        let mut dead: VecDeque<(u64, NodeIndex)> = VecDeque::new();
        loop {
            let next = dead.front().map_or(u64::MAX, |(due, _)| *due);
            futures::select_biased! {
                () = self.panics.received().fuse() => {
                    let due = self.agenda.elapsed() + RESTART_AFTER_NS;
                    for index in std::mem::take(&mut *self.panicked.borrow_mut()) {
                        self.kill(index);
                        dead.push_back((due, index));
                    }
                }
                () = self.agenda.alarm(next).fuse() => {
                    dead.pop_front().into_iter().for_each(|(_, index)| self.restart(index));
                }
            }
        }
    }
}

/// The first task of a node: its whole life.
async fn live(index: NodeIndex) {
    let world = CURRENT.with_borrow(Weak::upgrade).expect("a node lives within its world's run");
    let (node, program) = world.incarnate(index);
    world.network.up(index);
    world.tell(index, "", &Fact::NodeStarted);
    drop(world);
    node.guard(program(node.clone())).await;
    // The executor ends a node whose first task returns.
    std::future::pending().await
}

impl Node {
    /// Runs a task on this node until it ends or the process dies. To be called by the node's own tasks.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let node = self.clone();
        madsim::task::spawn_local(async move { node.guard(task).await });
    }

    /// A panic in a task kills the process.
    async fn guard(&self, task: impl Future<Output = ()>) {
        if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
            self.panicked(panic_message(&*panic));
        }
    }

    fn panicked(&self, message: String) {
        if self.failed.replace(true) {
            return;
        }
        self.tell("", &Fact::NodePanicked { message });
        self.world.panicked.borrow_mut().push(self.index);
        self.world.panics.send();
    }

    /// What this node's clock shows, nanoseconds since the Unix epoch.
    pub fn clock_ns(&self) -> i64 {
        let elapsed = self.world.agenda.elapsed();
        self.world.clock(self.index).reading(self.world.now_ns(), elapsed)
    }

    /// Waits until this node's clock shows `at_ns`.
    pub async fn sleep_until_ns(&self, at_ns: i64) {
        loop {
            let ahead = at_ns - self.clock_ns();
            if ahead <= 0 {
                return;
            }
            let due = self.world.agenda.elapsed() + ahead.unsigned_abs();
            self.world.agenda.alarm(due).await;
        }
    }

    /// The next request, connection or disconnection.
    pub async fn receive(&self) -> Inbound {
        self.world.network.receive(self.index).await
    }

    pub fn tell(&self, cause: &str, fact: &Fact) {
        self.world.trace.tell(self.world.now_ns(), &self.name, cause, fact);
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without text".into())
}
