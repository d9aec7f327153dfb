//! Connections of one server's process: clients, the standby, and the way to the primary.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use host::ports::store::StoreError;
use postgres::Lsn;

use crate::world::network::{CallId, ConnectionId, Link};

/// A call whose answer is cut off.
#[derive(Clone, Copy, Debug)]
pub struct Muted {
    /// It commits a decision.
    pub decides: bool,
}

/// Lives as long as the process.
#[derive(Default)]
pub struct Connections {
    /// Sessions that the server knows.
    pub open: BTreeSet<ConnectionId>,
    /// Clients that have no session, and why: told when they ask.
    pub refused: BTreeMap<ConnectionId, StoreError>,
    /// On a primary: where its log goes.
    pub standby: Option<ConnectionId>,
    /// On a primary: what the standby has flushed.
    pub acknowledged: Lsn,
    /// On a primary: since when the standby owes an acknowledgement, on the server's clock.
    pub owed_since: Option<u64>,
    /// On a standby: the link to its primary.
    pub upstream: Option<Rc<Link>>,
    /// Calls whose answer is cut off: a commit that its client shall not hear of.
    pub muted: BTreeMap<(ConnectionId, CallId), Muted>,
}
