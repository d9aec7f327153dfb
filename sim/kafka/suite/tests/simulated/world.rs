//! A deterministic event loop: tasks, and the state that wakes them.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use async_trait::async_trait;
use futures::future::LocalBoxFuture;
use kafka::client::{Link, LinkError};
use kafka::{ConnectionId, Request, Response};

use crate::state::State;

/// No behaviour takes longer, in virtual time.
const LIMIT_MS: i64 = 3_600_000;

type Spawned = Rc<RefCell<Vec<LocalBoxFuture<'static, ()>>>>;

/// What tasks hold of the world.
#[derive(Clone)]
pub struct Handle {
    pub state: Rc<RefCell<State>>,
    spawned: Spawned,
}

struct Task {
    future: LocalBoxFuture<'static, ()>,
    woken: Arc<Flag>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Handle {
    pub fn new(state: State) -> Handle {
        Handle { state: Rc::new(RefCell::new(state)), spawned: Spawned::default() }
    }

    /// Begins with the next round.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.spawned.borrow_mut().push(Box::pin(future));
    }

    /// A connection of its own.
    pub fn link(&self, may_lose: bool) -> Rc<SimLink> {
        let conn = ConnectionId(self.state.borrow_mut().id());
        Rc::new(SimLink { state: Rc::clone(&self.state), conn, may_lose })
    }

    pub fn run(&self, future: impl Future<Output = ()> + 'static) {
        let done = Rc::new(RefCell::new(false));
        let is_done = Rc::clone(&done);
        self.spawn(async move {
            future.await;
            *is_done.borrow_mut() = true;
        });
        let until = self.state.borrow().now + LIMIT_MS;
        let mut tasks: Vec<Option<Task>> = Vec::new();
        loop {
            self.poll(&mut tasks);
            if *done.borrow() {
                return;
            }
            assert!(self.state.borrow_mut().step(until), "it has not ended within an hour");
        }
    }

    fn poll(&self, tasks: &mut Vec<Option<Task>>) {
        loop {
            for future in self.spawned.take() {
                tasks.push(Some(Task { future, woken: Arc::new(Flag(AtomicBool::new(true))) }));
            }
            let mut progress = false;
            for slot in tasks.iter_mut() {
                let Some(task) = slot else { continue };
                if !task.woken.0.swap(false, Ordering::Relaxed) {
                    continue;
                }
                progress = true;
                let waker = Waker::from(Arc::clone(&task.woken));
                if task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    *slot = None;
                }
            }
            if !progress {
                return;
            }
        }
    }
}

/// A call or a sleep under way; dropped, it is forgotten.
struct Pending {
    state: Rc<RefCell<State>>,
    id: u64,
}

impl Future for Pending {
    type Output = Result<Response, LinkError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.state.borrow_mut().outcome(self.id, context.waker()) {
            Some(result) => Poll::Ready(result),
            None => Poll::Pending,
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.state.borrow_mut().forget(self.id);
    }
}

pub struct SimLink {
    state: Rc<RefCell<State>>,
    conn: ConnectionId,
    may_lose: bool,
}

#[async_trait(?Send)]
impl Link for SimLink {
    async fn call(&self, broker: i32, request: Request, timeout_ms: i64) -> Result<Response, LinkError> {
        let id = self.state.borrow_mut().begin_call(broker, self.conn, self.may_lose, request, timeout_ms);
        Pending { state: Rc::clone(&self.state), id }.await
    }

    fn now_ms(&self) -> i64 {
        self.state.borrow().now
    }

    async fn sleep_ms(&self, ms: i64) {
        let id = self.state.borrow_mut().begin_sleep(ms);
        let _ = Pending { state: Rc::clone(&self.state), id }.await;
    }
}
