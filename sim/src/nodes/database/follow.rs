//! The standby's side: receives the leader's log, applies and acknowledges it; is rewound where it cannot follow.

use std::rc::Rc;

use host::ports::store::StoreError;
use postgres::WalRecord;

use super::serve::Serving;
use super::{Request, steady_ns};
use crate::adapters::within;
use crate::world::network::Payload;

/// Between two tries to reach the leader.
const AGAIN_NS: u64 = 1_000_000_000;
/// How long the leader has to let the standby in.
const ANSWER_NS: u64 = 10_000_000_000;

/// Follows until this server is the leader.
pub async fn follow(serving: Rc<Serving>) {
    let node = &serving.node;
    while !serving.leads() {
        if let Some(true) = stream(&serving).await {
            serving.rewind();
        }
        serving.seat().connections.borrow_mut().upstream = None;
        node.world.agenda.alarm(node.world.agenda.elapsed() + AGAIN_NS).await;
    }
}

/// Streams as long as it goes. `Some(true)`: the leader's history is another one.
async fn stream(serving: &Rc<Serving>) -> Option<bool> {
    let node = &serving.node;
    if serving.database.leader().disk.borrow().is_in_recovery() || !serving.is_up() {
        return None;
    }
    let leader = serving.database.leader().node;
    let link = Rc::new(node.world.network.connect(node.index, leader).await.ok()?);
    let status = serving.seat().disk.borrow().wal_status();
    let answer = link.call(Box::new(Request::StartReplication(status)));
    let answer = within(node, ANSWER_NS, answer).await?.ok()?;
    let answer =
        *answer.downcast::<Result<(), StoreError>>().expect("a standby is answered whether it may follow");
    match answer {
        Ok(()) => {}
        Err(StoreError::Database { sqlstate: "58P01", .. }) => return Some(true),
        Err(_) => return None,
    }
    serving.seat().connections.borrow_mut().upstream = Some(link.clone());
    while let Ok(record) = link.pushed().await {
        if serving.leads() {
            return None;
        }
        apply(serving, record);
    }
    None
}

fn apply(serving: &Rc<Serving>, record: Payload) {
    let record = *record.downcast::<WalRecord>().expect("a primary pushes its log to a standby");
    let mut out = Vec::new();
    serving.seat().disk.borrow_mut().wal(steady_ns(&serving.node.world), record, &mut out);
    serving.put_out(&mut out);
    // A flush that takes its time has a deadline.
    if serving.seat().disk.borrow().next_deadline().is_some() {
        serving.seat().stirred.send();
    }
}
