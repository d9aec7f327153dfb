//! The way of a message: judged when it is sent, judged again when it arrives, and handed to whoever is there.

use std::task::Waker;

use super::rules::Verdict;
use super::{ConnectionId, Inbound, Inner, Message, Network, NodeIndex, Presence, Stalled, State};
use crate::world::agenda::Elapsed;

impl Network {
    /// The process of the node listens from now on. Peers of the one before it learn that it is gone.
    pub fn up(&self, node: NodeIndex) {
        let mut inner = self.inner.borrow_mut();
        let was_dark = inner.mailboxes[node].presence == Presence::Dark;
        inner.mailboxes[node].presence = Presence::Up;
        inner.mailboxes[node].inbound.clear();
        if was_dark {
            self.tell_peers(&mut inner, node);
        }
    }

    /// The process is gone: its peers are told, as a kernel would tell them.
    pub fn down(&self, node: NodeIndex) {
        let mut inner = self.inner.borrow_mut();
        inner.leave(node, Presence::Down);
        self.tell_peers(&mut inner, node);
    }

    /// The machine has no power: its peers hear nothing more.
    pub fn dark(&self, node: NodeIndex) {
        self.inner.borrow_mut().leave(node, Presence::Dark);
    }

    /// Closes what processes of this node left behind.
    fn tell_peers(&self, inner: &mut Inner, node: NodeIndex) {
        let touched: Vec<(ConnectionId, bool)> = inner
            .connections
            .iter()
            .filter(|(_, connection)| {
                (connection.client == node && connection.client_gone)
                    || (connection.server == node && connection.server_gone)
            })
            .map(|(id, connection)| (*id, connection.client == node))
            .collect();
        for (connection, was_client) in touched {
            self.send(inner, Message::Close { connection, to_server: was_client }, was_client);
        }
    }

    pub(super) fn send(&self, inner: &mut Inner, message: Message, to_server: bool) {
        let now = self.agenda.elapsed();
        let Inner { rules, rng, connections, mailboxes, .. } = inner;
        let Some(connection) = connections.get(&message.connection()) else { return };
        let (from, to) = connection.ends(to_server);
        if mailboxes[from].presence == Presence::Dark {
            return;
        }
        let mut verdict = rules.verdict(now, from, to, rng);
        // What stalls keeps what is behind it on its connection waiting.
        if inner.is_stalled(message.connection(), to_server) {
            verdict = Verdict::Hold;
        }
        match verdict {
            Verdict::Deliver { after_ns, twice } => {
                if let Some(again) = twice.then(|| inner.repeat(&message)).flatten() {
                    self.dispatch(inner, again, to_server, now + after_ns);
                }
                self.dispatch(inner, message, to_server, now + after_ns);
            }
            Verdict::Hold => inner.stall(now, message),
            Verdict::Reject => self.reject(inner, message.connection()),
        }
    }

    /// Gives a message to the agenda, behind those sent before it.
    pub(super) fn dispatch(&self, inner: &mut Inner, message: Message, to_server: bool, due: Elapsed) {
        let Some(connection) = inner.connections.get_mut(&message.connection()) else { return };
        let last = if to_server { &mut connection.last_to_server } else { &mut connection.last_to_client };
        let due = due.max(*last + 1);
        *last = due;
        let number = inner.next_message;
        inner.next_message += 1;
        inner.in_flight.insert(number, message);
        self.agenda.schedule_delivery(due, number);
    }

    /// Called by the pump when a message is due.
    pub fn deliver(&self, number: u64) {
        let mut inner = self.inner.borrow_mut();
        let Some(message) = inner.in_flight.remove(&number) else { return };
        let (id, to_server) = (message.connection(), message.is_to_server());
        let Some(connection) = inner.connections.get(&id) else { return };
        let (from, to) = connection.ends(to_server);
        let blocked = inner.rules.blocks(from, to);
        let blocked = blocked.or_else(|| inner.is_stalled(id, to_server).then_some(Verdict::Hold));
        let wakers = match blocked {
            Some(Verdict::Reject) => {
                self.reject(&mut inner, id);
                Vec::new()
            }
            Some(_) => {
                inner.stall(self.agenda.elapsed(), message);
                Vec::new()
            }
            None => self.arrive(&mut inner, message),
        };
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn arrive(&self, inner: &mut Inner, message: Message) -> Vec<Waker> {
        let waker = match message {
            Message::Open { connection } => self.deliver_open(inner, connection),
            Message::Opened { connection } => inner.settle_opening(connection, State::Open),
            Message::Refused { connection } => inner.settle_opening(connection, State::Refused),
            Message::Call { connection, call, payload, .. } => {
                self.deliver_to_server(inner, connection, Inbound::Call { connection, call, payload })
            }
            Message::Reply { connection, call, payload } => inner.deliver_reply(connection, call, payload),
            Message::Push { connection, payload } => inner.deliver_push(connection, payload),
            Message::Close { connection, to_server: true } => {
                let waker = self.deliver_to_server(inner, connection, Inbound::Closed { connection });
                inner.connections.remove(&connection);
                waker
            }
            Message::Close { connection, to_server: false } => return inner.break_client_side(connection),
        };
        waker.into_iter().collect()
    }

    fn deliver_open(&self, inner: &mut Inner, connection: ConnectionId) -> Option<Waker> {
        let (from, server) = inner.connections.get(&connection)?.ends(true);
        match inner.mailboxes[server].presence {
            Presence::Dark => {
                // The opener hears of it when the machine is back, if it still waits.
                inner.connections.get_mut(&connection)?.server_gone = true;
                None
            }
            Presence::Down => {
                self.send(inner, Message::Refused { connection }, false);
                None
            }
            Presence::Up => {
                self.send(inner, Message::Opened { connection }, false);
                inner.mailboxes[server].put(Inbound::Opened { connection, from })
            }
        }
    }

    fn deliver_to_server(&self, inner: &mut Inner, id: ConnectionId, what: Inbound) -> Option<Waker> {
        let connection = inner.connections.get(&id)?;
        let (server, is_gone) = (connection.server, connection.server_gone);
        match inner.mailboxes[server].presence {
            Presence::Dark => None,
            Presence::Up if !is_gone => inner.mailboxes[server].put(what),
            _ => {
                self.send(inner, Message::Close { connection: id, to_server: false }, false);
                None
            }
        }
    }
}

impl Inner {
    /// The node's process is gone, with what it had not yet taken in.
    fn leave(&mut self, node: NodeIndex, presence: Presence) {
        self.mailboxes[node].presence = presence;
        self.mailboxes[node].inbound.clear();
        for connection in self.connections.values_mut() {
            connection.client_gone |= connection.client == node;
            connection.server_gone |= connection.server == node;
        }
    }

    fn is_stalled(&mut self, connection: ConnectionId, to_server: bool) -> bool {
        self.connections.get_mut(&connection).is_some_and(|connection| *connection.stalled(to_server) > 0)
    }

    /// The message waits until a fault ends.
    pub(super) fn stall(&mut self, since: Elapsed, message: Message) {
        let to_server = message.is_to_server();
        if let Some(connection) = self.connections.get_mut(&message.connection()) {
            *connection.stalled(to_server) += 1;
            self.stalled.push(Stalled { since, message });
        }
    }

    /// A second delivery of a request that may be repeated. Nobody waits for its answer.
    fn repeat(&mut self, message: &Message) -> Option<Message> {
        let Message::Call { connection, payload, again: Some(again), .. } = message else { return None };
        let call = self.next_call;
        self.next_call += 1;
        let (connection, payload) = (*connection, again(payload));
        Some(Message::Call { connection, call, payload, again: None })
    }
}
