//! The node of a party outside the platform. Its books outlive its process.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use host::ports::Http;
use http::{Request, StatusCode};
use outside::Troubles;
use outside::party::{Party, Post, Reply};

use super::deadline::Deadline;
use crate::adapters::http::{Directory, SimHttp};
use crate::adapters::process::{nanoseconds, timestamp};
use crate::world::network::{CallId, ConnectionId, Inbound};
use crate::world::node::Node;

/// How long the platform has to answer a party's message.
const POST_TIMEOUT: Duration = Duration::from_secs(10);

pub type Books = Rc<RefCell<dyn Party>>;

/// What came of a message to the platform.
struct Posted {
    key: String,
    status: Option<StatusCode>,
}

/// Runs a party.
pub async fn run(node: Node, directory: Directory, books: Books, troubles: Troubles) {
    let http = SimHttp::new(node.clone(), directory);
    let mut deadline = Deadline::new(node.world.agenda.clone());
    let mut posts: FuturesUnordered<LocalBoxFuture<'_, Posted>> = FuturesUnordered::new();
    let mut late: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
    loop {
        let now = node.world.now_ns();
        let next = books.borrow().next_due().map(|due| u64::try_from(nanoseconds(due) - now).unwrap_or(0));
        deadline.set_in(next);
        futures::select_biased! {
            inbound = node.receive().fuse() => {
                if let Inbound::Call { connection, call, payload } = inbound
                    && let Ok(request) = payload.downcast::<Request<Bytes>>()
                    && let Some(answer) = handle(&node, &books, &request, connection, call)
                {
                    late.push(answer);
                }
            }
            posted = posts.select_next_some() => {
                if let Some(status) = posted.status {
                    books.borrow_mut().answered(timestamp(node.world.now_ns()), &posted.key, status);
                }
            }
            () = late.select_next_some() => {}
            () = troubles.changed().fuse() => {}
            () = node.asked_to_stop().fuse() => return,
            () = deadline.passed().fuse() => {
                let due = books.borrow_mut().due(timestamp(node.world.now_ns()));
                due.facts.iter().for_each(|fact| node.tell("", fact));
                posts.extend(due.posts.into_iter().map(|post| send(&http, post).boxed_local()));
            }
        }
    }
}

async fn send(http: &SimHttp, post: Post) -> Posted {
    let answer = http.call(post.to, post.request, POST_TIMEOUT).await;
    Posted { key: post.key, status: answer.ok().map(|response| response.status()) }
}

/// Lets the party decide; an answer that it gives late is returned as a future.
fn handle(
    node: &Node,
    books: &Books,
    request: &Request<Bytes>,
    connection: ConnectionId,
    call: CallId,
) -> Option<LocalBoxFuture<'static, ()>> {
    let handled = books.borrow_mut().handle(timestamp(node.world.now_ns()), request);
    handled.facts.iter().for_each(|fact| node.tell("", fact));
    let network = node.world.network.clone();
    match handled.reply {
        Reply::Now(response) => {
            network.reply(connection, call, Box::new(response));
            None
        }
        Reply::After(delay, response) => {
            let agenda = node.world.agenda.clone();
            let due = agenda.elapsed() + u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
            Some(
                async move {
                    agenda.alarm(due).await;
                    network.reply(connection, call, Box::new(response));
                }
                .boxed_local(),
            )
        }
        Reply::Never => None,
    }
}
