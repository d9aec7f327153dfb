//! The simulated world: time, network, clocks, nodes, randomness and the trace of one run.
//!
//! Everything lives on one thread, inside one madsim runtime. Nothing here knows what the nodes do.

pub mod agenda;
pub mod clock;
pub mod life;
pub mod network;
pub mod node;
pub mod rng;
pub mod trace;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use host::signal::Signal;
use invariants::Fact;
use madsim::runtime::Handle;
use madsim::task::AbortHandle;

use self::agenda::{Agenda, Elapsed};
use self::network::{Links, Network, NodeIndex};
use self::node::NodeSlot;
use self::rng::Rng;
use self::trace::Trace;

/// What a world is made with.
#[derive(Clone, Debug)]
pub struct WorldSettings {
    pub seed: u64,
    /// True time at the start of the run, nanoseconds since the Unix epoch.
    pub epoch_ns: i64,
    pub links: Links,
}

/// The world of one run.
pub struct World {
    pub agenda: Rc<Agenda>,
    pub network: Rc<Network>,
    pub trace: Trace,
    seed: u64,
    epoch_ns: i64,
    handle: Handle,
    nodes: RefCell<Vec<NodeSlot>>,
    /// Nodes whose process ended by itself, for the supervisor.
    ended: RefCell<Vec<NodeIndex>>,
    /// When which node is to be started.
    starts: RefCell<BTreeSet<(Elapsed, NodeIndex)>>,
    /// Wakes the supervisor.
    attention: Signal,
    /// The pump and the supervisor.
    own_tasks: RefCell<Vec<AbortHandle>>,
}

impl World {
    /// Must be called inside the run's executor; starts the pump and the supervisor there.
    pub fn new(settings: &WorldSettings) -> Rc<Self> {
        let agenda = Agenda::new();
        let rng = Rng::labelled(settings.seed, "network");
        let network = Network::new(agenda.clone(), &settings.links, rng);
        let world = Rc::new(Self {
            agenda: agenda.clone(),
            network: network.clone(),
            trace: Trace::default(),
            seed: settings.seed,
            epoch_ns: settings.epoch_ns,
            handle: Handle::current(),
            nodes: RefCell::default(),
            ended: RefCell::default(),
            starts: RefCell::default(),
            attention: Signal::default(),
            own_tasks: RefCell::default(),
        });
        world.enter();
        let pump = madsim::task::spawn_local(agenda.pump(move |message| network.deliver(message)));
        let supervisor = madsim::task::spawn_local(world.clone().supervise());
        world.own_tasks.borrow_mut().extend([pump.abort_handle(), supervisor.abort_handle()]);
        world
    }

    /// Ends every task. Tasks hold the world and the world holds their wakers: without this a run is never freed.
    pub async fn shut_down(&self) {
        self.trace.close();
        let executor_ids: Vec<_> = self.nodes.borrow().iter().filter_map(NodeSlot::executor_id).collect();
        executor_ids.into_iter().for_each(|id| self.handle.kill(id));
        self.own_tasks.borrow_mut().drain(..).for_each(|task| task.abort());
        // The executor drops what was ended when it is its turn.
        madsim::task::yield_now().await;
    }

    /// True time, nanoseconds since the Unix epoch.
    pub fn now_ns(&self) -> i64 {
        self.epoch_ns + i64::try_from(self.agenda.elapsed()).expect("a run ends before the year 2262")
    }

    /// The stream of random numbers of a purpose.
    pub fn rng(&self, label: &str) -> Rng {
        Rng::labelled(self.seed, label)
    }

    /// Waits until true time is `at_ns`.
    pub async fn until(&self, at_ns: i64) {
        let due = u64::try_from(at_ns - self.epoch_ns).unwrap_or(0);
        self.agenda.alarm(due).await;
    }

    /// Records a fact that happened on a node.
    pub fn tell(&self, node: NodeIndex, cause: &str, fact: &Fact) {
        let name = self.nodes.borrow()[node].name.clone();
        self.trace.tell(self.now_ns(), &name, cause, fact);
    }

    /// Records a fact about the world itself.
    pub fn tell_world(&self, fact: &Fact) {
        self.trace.tell(self.now_ns(), "world", "", fact);
    }

    /// Names of all nodes, in the order they were made.
    pub fn node_names(&self) -> Vec<Rc<str>> {
        self.nodes.borrow().iter().map(|slot| slot.name.clone()).collect()
    }
}
