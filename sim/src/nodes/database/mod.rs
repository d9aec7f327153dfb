//! A database: two servers, of which one is the primary, and who decides which.
//!
//! Fakes: PostgreSQL with one synchronous standby under a cluster manager such as Patroni. The manager's memory
//! ([`Database`]: who is the leader, whether the standby is synchronous) is shared by the nodes, as etcd would
//! share it, and is never wrong. A standby that does not acknowledge for ten seconds leaves
//! synchronous_standby_names, and is back when it has caught up; only a leader may decide that, so an old primary
//! without its standby acknowledges nothing. A server that comes back and is not the leader is rewound.
//! Omits: elections and the manager's own failures; a failover is a fault's to begin, and refused while the standby
//! is not synchronous.

mod connections;
mod facts;
mod follow;
mod serve;
pub mod troubles;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use host::ports::store::{Statement, StoreError};
use host::signal::Signal;
use postgres::{Output, Server, Told, WalAck};

use self::connections::Connections;
use self::troubles::SeatTroubles;
use crate::world::World;
use crate::world::network::NodeIndex;

pub use self::serve::run;

/// What a database server is asked over the network.
pub enum Request {
    /// What are you? Answered with a [`Greeting`], or why there is no session.
    Hello,
    Run(Vec<Statement>),
    /// A standby wants the log after what it has. Answered with whether it can have it.
    StartReplication(WalAck),
    WalAck(WalAck),
}

/// What a client learns of a server when it connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greeting {
    pub in_recovery: bool,
    pub timeline: u32,
}

/// The answer to [`Request::Hello`].
pub type Welcome = Result<Greeting, StoreError>;

/// A server's disk and memory.
pub type Disk = Rc<RefCell<Server>>;

/// One of a database's servers.
pub struct Seat {
    pub disk: Disk,
    pub node: NodeIndex,
    pub troubles: RefCell<SeatTroubles>,
    connections: RefCell<Connections>,
    /// What came of something done to the server from outside, for its process to carry on.
    undelivered: RefCell<Vec<Output>>,
    /// Something was done to the server from outside: its node looks at it.
    stirred: Signal,
}

/// A database, and what its cluster manager knows.
pub struct Database {
    pub name: Rc<str>,
    pub seats: Vec<Seat>,
    leader: Cell<usize>,
    /// Whether the standby is in synchronous_standby_names.
    synchronous: Cell<bool>,
    told: RefCell<Told>,
    /// Transactions that were told as lost before their server was rewound.
    doomed: RefCell<BTreeSet<u64>>,
}

impl Database {
    /// The first server begins as primary; the second one, if there is one, as its standby.
    pub fn new(
        name: &str,
        servers: impl IntoIterator<Item = (Disk, NodeIndex)>,
        synchronous: bool,
    ) -> Rc<Self> {
        let seat = |(disk, node)| Seat {
            disk,
            node,
            troubles: RefCell::default(),
            connections: RefCell::default(),
            undelivered: RefCell::default(),
            stirred: Signal::default(),
        };
        Rc::new(Self {
            name: name.into(),
            seats: servers.into_iter().map(seat).collect(),
            leader: Cell::new(0),
            synchronous: Cell::new(synchronous),
            told: RefCell::default(),
            doomed: RefCell::default(),
        })
    }

    /// The server that is the primary, or would be if it ran.
    pub fn leader(&self) -> &Seat {
        &self.seats[self.leader.get()]
    }

    /// The other one.
    pub fn follower(&self) -> Option<&Seat> {
        self.seats.get(1 - self.leader.get())
    }

    /// The leader's data, for whoever looks at it from outside the run.
    pub fn primary(&self) -> Disk {
        self.leader().disk.clone()
    }

    fn leads(&self, seat: usize) -> bool {
        self.leader.get() == seat
    }

    /// The seat on a node.
    pub fn seat_on(&self, node: NodeIndex) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.node == node)
    }

    /// The cluster manager makes the standby the leader. Refused, with the reason, where the standby may lack
    /// commits, unless `force`.
    pub fn fail_over(&self, standby_runs: bool, force: bool) -> Result<(), &'static str> {
        let Some(seat) = self.seats.get(1 - self.leader.get()) else { return Err("there is no standby") };
        if !standby_runs {
            return Err("the standby does not run");
        }
        if !self.synchronous.get() && !force {
            return Err("the standby is not synchronous");
        }
        self.leader.set(1 - self.leader.get());
        self.synchronous.set(false);
        seat.stirred.send();
        Ok(())
    }
}

impl Seat {
    /// Does something to the server, and lets its node see to what follows.
    pub fn stir(&self, does: impl FnOnce(&mut Server)) {
        does(&mut self.disk.borrow_mut());
        self.stirred.send();
    }

    pub fn leave_to_process(&self, outputs: Vec<Output>) {
        self.undelivered.borrow_mut().extend(outputs);
        self.stirred.send();
    }

    /// An administrator ends every session (57P01).
    pub fn end_sessions(&self, now_ns: u64) {
        let mut out = Vec::new();
        let open: Vec<_> = self.connections.borrow().open.iter().copied().collect();
        open.into_iter().for_each(|conn| self.disk.borrow_mut().terminate(now_ns, conn, &mut out));
        self.leave_to_process(out);
    }
}

/// Time that only goes forward, whatever becomes of a server's clock: flushes, time-outs and recoveries count in it.
pub fn steady_ns(world: &World) -> u64 {
    u64::try_from(world.now_ns()).expect("runs take place after 1970")
}
