//! Link faults begin and end: what stands in their way is reset, what waited goes on.

use std::task::Waker;

use super::rules::{GIVE_UP_NS, LinkEffect, Pairs, Verdict, next_retransmission};
use super::{ConnectionId, Inbound, Inner, Network, NodeIndex, Stalled, State};

impl Network {
    /// A link fault takes hold of these directed pairs.
    pub fn begin(&self, id: u32, pairs: Pairs, effect: LinkEffect) {
        let mut inner = self.inner.borrow_mut();
        let crossing = if effect == LinkEffect::Reject { inner.crossing(&pairs) } else { Vec::new() };
        inner.rules.add(id, pairs, effect);
        let wakers: Vec<Waker> =
            crossing.into_iter().flat_map(|connection| inner.break_both_sides(connection)).collect();
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The link fault ends. Senders that wait try again when their clocks say so; after a clog at once.
    pub fn end(&self, id: u32) {
        let mut inner = self.inner.borrow_mut();
        let at_once = inner.rules.remove(id).contains(&LinkEffect::Clog);
        let now = self.agenda.elapsed();
        let mut wakers = Vec::new();
        let stalled = std::mem::take(&mut inner.stalled);
        for connection in inner.connections.values_mut() {
            (connection.stalled_to_server, connection.stalled_to_client) = (0, 0);
        }
        for Stalled { since, message } in stalled {
            let (id, to_server) = (message.connection(), message.is_to_server());
            let Some(connection) = inner.connections.get(&id) else { continue };
            let (from, to) = connection.ends(to_server);
            let Inner { rules, rng, .. } = &mut *inner;
            match rules.verdict(now, from, to, rng) {
                Verdict::Hold => inner.stall(since, message),
                Verdict::Reject => wakers.extend(inner.break_both_sides(id)),
                Verdict::Deliver { .. } if now - since > GIVE_UP_NS => {
                    wakers.extend(inner.break_both_sides(id));
                }
                Verdict::Deliver { after_ns, .. } => {
                    let again = if at_once { 0 } else { next_retransmission(now - since, rng) };
                    self.dispatch(&mut inner, message, to_server, now + after_ns + again);
                }
            }
        }
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether the nodes could talk, both ways.
    pub fn is_reachable(&self, one: NodeIndex, other: NodeIndex) -> bool {
        let inner = self.inner.borrow();
        inner.rules.blocks(one, other).is_none() && inner.rules.blocks(other, one).is_none()
    }

    /// A connection that meets a firewall is broken at both ends.
    pub(super) fn reject(&self, inner: &mut Inner, connection: ConnectionId) {
        let wakers = inner.break_both_sides(connection);
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Inner {
    fn crossing(&self, pairs: &Pairs) -> Vec<ConnectionId> {
        let crosses = |a, b| pairs.contains(&(a, b)) || pairs.contains(&(b, a));
        let crossing = self.connections.iter();
        let crossing = crossing.filter(|(_, connection)| crosses(connection.client, connection.server));
        crossing.map(|(id, _)| *id).collect()
    }

    /// Both ends see a reset, now.
    fn break_both_sides(&mut self, id: ConnectionId) -> Vec<Waker> {
        let Some(connection) = self.connections.get_mut(&id) else { return Vec::new() };
        let (server, is_known) =
            (connection.server, connection.state == State::Open && !connection.server_gone);
        connection.server_gone = true;
        let mut wakers = self.break_client_side(id);
        if is_known {
            wakers.extend(self.mailboxes[server].put(Inbound::Closed { connection: id }));
        }
        wakers
    }
}
