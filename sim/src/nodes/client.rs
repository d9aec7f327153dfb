//! A client's node: it carries out its operations of the plan, each at its time, beside each other.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use host::ports::{Http, HttpError};
use invariants::Pending;
use model::Timestamp;
use outside::IdentityProvider;
use outside::client::{CallError, ClientCall, Patience, Step, Wallet};
use outside::plan::{Operation, Plan};

use super::deadline::Deadline;
use crate::adapters::http::{Directory, SimHttp};
use crate::adapters::process::{nanoseconds, timestamp};
use crate::world::node::Node;

/// How far the clients are with the plan. Outlives their processes.
pub struct Progress {
    /// Operations of each client, by position in the plan.
    operations: BTreeMap<String, Vec<usize>>,
    /// How many each has begun.
    begun: RefCell<BTreeMap<String, usize>>,
    open: Cell<usize>,
}

impl Progress {
    pub fn of(plan: &Plan) -> Self {
        let mut operations: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (position, operation) in plan.operations.iter().enumerate() {
            operations.entry(operation.client.clone()).or_default().push(position);
        }
        Self { operations, begun: RefCell::default(), open: Cell::new(plan.operations.len()) }
    }

    /// Operations that have no outcome yet.
    pub fn open(&self) -> usize {
        self.open.get()
    }

    pub fn pending(&self) -> Vec<Pending> {
        let open = self.open.get();
        let pending =
            Pending { what: "clients".into(), why: format!("{open} operations without an outcome") };
        if open > 0 { vec![pending] } else { Vec::new() }
    }

    fn next_of(&self, client: &str) -> Option<usize> {
        let begun = self.begun.borrow().get(client).copied().unwrap_or(0);
        self.operations.get(client)?.get(begun).copied()
    }

    fn begin(&self, client: &str) {
        *self.begun.borrow_mut().entry(client.to_owned()).or_default() += 1;
    }
}

/// What every call of a client shares.
struct Desk {
    node: Node,
    http: SimHttp,
    wallet: RefCell<Wallet>,
    progress: Rc<Progress>,
}

/// Runs a client.
pub async fn run(
    node: Node,
    directory: Directory,
    plan: Rc<Plan>,
    client: String,
    identity: Rc<IdentityProvider>,
    progress: Rc<Progress>,
) {
    let desk = Desk {
        http: SimHttp::new(node.clone(), directory),
        wallet: RefCell::new(wallet(&plan, &client, &identity)),
        progress: progress.clone(),
        node: node.clone(),
    };
    let mut deadline = Deadline::new(node.world.agenda.clone());
    let mut calls: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
    loop {
        let next = progress.next_of(&client).map(|position| &plan.operations[position]);
        let ahead = next.map(|operation| nanoseconds(operation.at) - node.world.now_ns());
        if let (Some(operation), Some(..=0)) = (next, ahead) {
            progress.begin(&client);
            calls.push(perform(&desk, operation).boxed_local());
            continue;
        }
        deadline.set_in(ahead.map(i64::unsigned_abs));
        futures::select_biased! {
            () = calls.select_next_some() => {}
            () = deadline.passed().fuse() => {}
        }
    }
}

/// The client's wallet, with a token that has expired for the calls that want one.
fn wallet(plan: &Plan, client: &str, identity: &IdentityProvider) -> Wallet {
    let registered = plan.world.clients().into_iter().find(|known| known.id == client);
    let secret = registered.map(|known| known.secret).unwrap_or_default();
    let long_ago = timestamp(nanoseconds(plan.world.start) - 7 * 24 * 3_600_000_000_000);
    Wallet::new(client, &secret, identity.issue(client, long_ago))
}

/// An operation under way: also one that dies with its process has then ended, without the client's knowing how.
struct Underway<'a>(&'a Progress);

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
    }
}

async fn perform(desk: &Desk, operation: &Operation) {
    let _underway = Underway(&desk.progress);
    let mut call = ClientCall::new(operation.clone(), Patience::default());
    loop {
        let step = call.next(now(&desk.node), &mut desk.wallet.borrow_mut());
        match step {
            Step::Done(_) => break,
            Step::Wait(until) => desk.node.world.until(nanoseconds(until)).await,
            Step::Send(send) => {
                send.facts.iter().for_each(|fact| desk.node.tell("", fact));
                let outcome = desk.http.call(send.to, send.request, send.timeout).await;
                let outcome = outcome.map_err(|error| match error {
                    HttpError::Refused => CallError::Refused,
                    HttpError::Reset => CallError::Reset,
                    HttpError::TimedOut => CallError::TimedOut,
                });
                let facts = call.answered(now(&desk.node), &mut desk.wallet.borrow_mut(), outcome);
                facts.iter().for_each(|fact| desk.node.tell("", fact));
            }
        }
    }
}

/// True time: a plan says when things are sent, and clients have no business with clocks.
fn now(node: &Node) -> Timestamp {
    timestamp(node.world.now_ns())
}
