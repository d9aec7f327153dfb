//! The ends of a connection: what a client holds, what it waits for, and what a server receives.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::{
    Again, Broken, Call, CallId, ConnectionId, Inbound, Message, Network, NodeIndex, Payload, State,
};

/// The client's end of a connection. Dropping it closes the connection.
pub struct Link {
    pub(super) network: Rc<Network>,
    pub(super) id: ConnectionId,
}

impl Link {
    pub fn is_open(&self) -> bool {
        self.network.inner.borrow().is_open(self.id)
    }

    /// Closes the connection; who waits on it sees a reset.
    pub fn close(&self) {
        let mut inner = self.network.inner.borrow_mut();
        if inner.is_open(self.id) {
            self.network.send(&mut inner, Message::Close { connection: self.id, to_server: true }, true);
        }
        let wakers = inner.break_client_side(self.id);
        drop(inner);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Sends a request; the future is its answer. Dropping the future forgets the answer.
    pub fn call(&self, payload: Payload) -> Reply {
        self.send(payload, None)
    }

    /// A request that something on the way may repeat, as a proxy does.
    pub fn call_repeatable(&self, payload: Payload, again: Again) -> Reply {
        self.send(payload, Some(again))
    }

    fn send(&self, payload: Payload, again: Option<Again>) -> Reply {
        let mut inner = self.network.inner.borrow_mut();
        let call = inner.next_call;
        inner.next_call += 1;
        if inner.is_open(self.id) {
            if let Some(connection) = inner.connections.get_mut(&self.id) {
                connection.calls.insert(call, Call::default());
            }
            self.network.send(&mut inner, Message::Call { connection: self.id, call, payload, again }, true);
        }
        Reply { network: self.network.clone(), connection: self.id, call }
    }

    /// Waits for the next push. Cancel-safe.
    pub async fn pushed(&self) -> Result<Payload, Broken> {
        std::future::poll_fn(|context| {
            let mut inner = self.network.inner.borrow_mut();
            let Some(connection) = inner.connections.get_mut(&self.id) else {
                return Poll::Ready(Err(Broken::Reset));
            };
            if let Some(payload) = connection.pushes.pop_front() {
                return Poll::Ready(Ok(payload));
            }
            if connection.state == State::Broken {
                return Poll::Ready(Err(Broken::Reset));
            }
            connection.push_waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let mut inner = self.network.inner.borrow_mut();
        if inner.is_open(self.id) {
            self.network.send(&mut inner, Message::Close { connection: self.id, to_server: true }, true);
        } else {
            inner.connections.remove(&self.id);
        }
    }
}

/// The answer to a call.
pub struct Reply {
    network: Rc<Network>,
    connection: ConnectionId,
    call: CallId,
}

impl Future for Reply {
    type Output = Result<Payload, Broken>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut inner = self.network.inner.borrow_mut();
        let Some(connection) = inner.connections.get_mut(&self.connection) else {
            return Poll::Ready(Err(Broken::Reset));
        };
        let state = connection.state;
        let Some(call) = connection.calls.get_mut(&self.call) else {
            return Poll::Ready(Err(Broken::Reset));
        };
        if let Some(answer) = call.answer.take() {
            return Poll::Ready(Ok(answer));
        }
        if state == State::Broken {
            return Poll::Ready(Err(Broken::Reset));
        }
        call.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let mut inner = self.network.inner.borrow_mut();
        if let Some(connection) = inner.connections.get_mut(&self.connection) {
            connection.calls.remove(&self.call);
        }
    }
}

/// Waits for what reaches a node.
pub struct Receive {
    pub(super) network: Rc<Network>,
    pub(super) node: NodeIndex,
}

impl Future for Receive {
    type Output = Inbound;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Inbound> {
        let mut inner = self.network.inner.borrow_mut();
        let mailbox = &mut inner.mailboxes[self.node];
        match mailbox.inbound.pop_front() {
            Some(inbound) => Poll::Ready(inbound),
            None => {
                mailbox.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
