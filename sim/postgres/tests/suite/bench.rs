//! The simulated PostgreSQL as a bench: futures in one thread, and a clock that moves when everything rests.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::channel::mpsc;
use futures::executor::LocalPool;
use futures::future::LocalBoxFuture;
use futures::task::LocalSpawnExt;
use host::ports::store::{Reply, Session, Statement, StoreError};
use postgres::Server;
use store_suite::{Bench, Deed, Node, SessionNumber, Setup};

use crate::servers::Servers;

/// Longer than anything that a behaviour waits for.
const GIVE_UP_NS: u64 = 60_000_000_000;

pub struct SimulatedBench {
    servers: Rc<RefCell<Servers>>,
    tasks: LocalPool,
}

impl SimulatedBench {
    pub fn new(setup: Setup) -> Self {
        Self { servers: Rc::new(RefCell::new(Servers::new(setup))), tasks: LocalPool::new() }
    }

    /// To the next deadline, if that is not later than `until_ns`.
    fn step(&mut self, until_ns: u64) -> bool {
        self.tasks.run_until_stalled();
        let mut servers = self.servers.borrow_mut();
        let Some(deadline) = servers.next_deadline().filter(|deadline| *deadline <= until_ns) else {
            return false;
        };
        servers.now_ns = servers.now_ns.max(deadline);
        servers.tick();
        true
    }

    /// Where nothing is open any more, primary and standby agree.
    pub fn check_at_rest(mut self) -> Result<(), String> {
        self.act(Deed::ReleaseLog);
        self.act(Deed::ReleaseReplay);
        self.tasks.run_until_stalled();
        let servers = self.servers.borrow();
        let (first, second) = (servers.server(Node::First), servers.server(Node::Second));
        let comparable = servers.is_linked() && first.is_quiet();
        if comparable && first.digest() != second.digest() {
            return Err("primary and standby differ at rest".into());
        }
        Ok(())
    }
}

impl Bench for SimulatedBench {
    fn open(
        &mut self,
        node: Node,
        number: SessionNumber,
    ) -> LocalBoxFuture<'static, Result<Box<dyn Session>, StoreError>> {
        let servers = self.servers.clone();
        Box::pin(async move {
            let (conn, notifications) = servers.borrow_mut().connect(node, number)?;
            Ok(Box::new(SimulatedSession { servers, conn, notifications }) as Box<dyn Session>)
        })
    }

    fn spawn(&mut self, task: LocalBoxFuture<'static, ()>) {
        self.tasks.spawner().spawn_local(task).expect("the pool lives as long as the bench");
    }

    fn run_until(&mut self, is_done: &dyn Fn() -> bool) -> bool {
        let until_ns = self.servers.borrow().now_ns + GIVE_UP_NS;
        self.tasks.run_until_stalled();
        while !is_done() {
            if !self.step(until_ns) {
                return is_done();
            }
            self.tasks.run_until_stalled();
        }
        true
    }

    fn settle(&mut self, _under_way: &dyn Fn() -> Vec<SessionNumber>) {
        self.tasks.run_until_stalled();
    }

    fn pass(&mut self, time: Duration) {
        let until_ns = self.servers.borrow().now_ns + time.as_nanos() as u64;
        while self.step(until_ns) {}
        self.servers.borrow_mut().now_ns = until_ns;
        self.tasks.run_until_stalled();
    }

    fn act(&mut self, deed: Deed) {
        let mut servers = self.servers.borrow_mut();
        match deed {
            Deed::HoldLog => servers.hold_log(true),
            Deed::ReleaseLog => servers.hold_log(false),
            Deed::HoldFlush => servers.hold_flush(true),
            Deed::ReleaseFlush => servers.hold_flush(false),
            Deed::HoldReplay => servers.hold_replay(true),
            Deed::ReleaseReplay => servers.hold_replay(false),
            Deed::Terminate(number) => servers.act_on_session(number, Server::terminate),
            Deed::Cancel(number) => servers.act_on_session(number, Server::cancel),
            Deed::Mute(number) => servers.mute(number),
            Deed::CrashBackend(number) => {
                servers.act_on_session(number, |server, now_ns, _, out| server.crash_backend(now_ns, out));
            }
            Deed::Crash(node) => servers.goes_down(node, |server, _, out| server.crash(out)),
            Deed::Stop(node) => servers.goes_down(node, Server::shutdown),
            Deed::Start(node) => servers.start(node),
            Deed::HoldRecovery => servers.hold_recovery = true,
            Deed::ReleaseRecovery => servers.hold_recovery = false,
            Deed::Promote => servers.promote(),
            Deed::Rewind => servers.rewind(),
            Deed::FillDisk => servers.act(Node::First, |server, _, _| server.set_disk_full(true)),
            Deed::EmptyDisk => servers.act(Node::First, |server, _, _| server.set_disk_full(false)),
            Deed::FailFsync => servers.act(Node::First, |server, _, _| server.fail_fsync()),
            Deed::Vacuum => servers.act(Node::First, Server::vacuum),
        }
        drop(servers);
        self.tasks.run_until_stalled();
    }

    fn catch_up(&mut self) {
        self.pass(Duration::from_secs(1));
    }

    fn last_closing(&self) -> Option<&'static str> {
        self.servers.borrow().last_closing
    }
}

struct SimulatedSession {
    servers: Rc<RefCell<Servers>>,
    conn: u64,
    notifications: mpsc::UnboundedReceiver<&'static str>,
}

#[async_trait(?Send)]
impl Session for SimulatedSession {
    async fn run(&mut self, statements: Vec<Statement>) -> Result<Vec<Reply>, StoreError> {
        if !self.servers.borrow().is_connected(self.conn) {
            return Err(StoreError::Lost);
        }
        let commits = statements.iter().any(|statement| matches!(statement, Statement::Commit));
        let answer = self.servers.borrow_mut().run(self.conn, statements);
        match answer.await {
            Ok(answer) => answer,
            Err(_) if commits => Err(StoreError::UnknownCommit),
            Err(_) => Err(StoreError::Lost),
        }
    }

    async fn notified(&mut self) -> Result<&'static str, StoreError> {
        self.notifications.next().await.ok_or(StoreError::Lost)
    }
}

impl Drop for SimulatedSession {
    fn drop(&mut self) {
        self.servers.borrow_mut().disconnect(self.conn);
    }
}
