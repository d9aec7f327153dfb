//! Nodes: a process with a name, a clock and a life. A panic is a fact, and the supervisor restarts the node.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::rc::{Rc, Weak};

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use invariants::Fact;
use madsim::task::NodeId;

use host::signal::Signal;

use super::World;
use super::clock::NodeClock;
use super::network::{Inbound, NodeIndex};

/// What a node runs, from its start to its death.
pub type Program = Rc<dyn Fn(Node) -> LocalBoxFuture<'static, ()>>;

pub(super) struct NodeSlot {
    pub name: Rc<str>,
    pub clock: NodeClock,
    pub life: Life,
    executor_id: Option<NodeId>,
    program: Program,
    incarnation: u32,
    failed: Rc<Cell<bool>>,
    stop: Rc<Signal>,
}

/// Whether the process runs, and who keeps it from running. Faults overlap: the last one lets go.
#[derive(Default)]
pub(super) struct Life {
    pub runs: bool,
    pub kept_down_by: BTreeSet<u32>,
    pub paused_by: BTreeSet<u32>,
}

impl NodeSlot {
    pub fn executor_id(&self) -> Option<NodeId> {
        self.executor_id
    }

    pub fn stop_signal(&self) -> &Signal {
        &self.stop
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
    stop: Rc<Signal>,
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
            life: Life { runs: true, ..Life::default() },
            executor_id: None,
            program,
            incarnation: 0,
            failed: Rc::default(),
            stop: Rc::default(),
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
        slot.stop = Rc::default();
        let node = Node {
            world: self.clone(),
            index,
            name: slot.name.clone(),
            incarnation: slot.incarnation,
            failed: slot.failed.clone(),
            stop: slot.stop.clone(),
        };
        (node, slot.program.clone())
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
    node.left();
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
        self.world.bury(self.index);
    }

    /// The program has returned: it was asked to stop, and has.
    fn left(&self) {
        if !self.failed.replace(true) {
            self.world.bury(self.index);
        }
    }

    /// Waits until the process is asked to stop.
    pub async fn asked_to_stop(&self) {
        self.stop.received().await;
    }

    /// What this node's clock shows, nanoseconds since the Unix epoch.
    pub fn clock_ns(&self) -> i64 {
        self.world.clock_ns(self.index)
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
