//! What strangers can make an edge's host do: never more than its bounds.

mod drain;

use std::collections::VecDeque;
use std::task::{Poll, Waker};

use async_trait::async_trait;
use axum::body::Body;
use axum::routing::get;
use model::Timestamp;

use super::*;
use crate::edge::go_on;
use crate::ports::{Clock, Entropy, Http, Log, LogConsumer, LogProducer, Session, Store, StoreError, Tasks};

/// The answer to one request, where there is one.
type Answer = Rc<RefCell<Option<Response<Bytes>>>>;

/// A world in which requests arrive when they are put in, and upstreams answer when they are told to.
#[derive(Default)]
struct World {
    arriving: RefCell<VecDeque<Incoming>>,
    answers: RefCell<Vec<Answer>>,
    calls: RefCell<Vec<String>>,
    upstream: RefCell<VecDeque<oneshot::Sender<()>>>,
    now: Cell<Timestamp>,
    sleepers: RefCell<Vec<Waker>>,
}

impl World {
    /// Puts a request in; the answer is found under its number.
    fn ask(&self, method: Method, path: &str) {
        let answer = Answer::default();
        self.answers.borrow_mut().push(answer.clone());
        let request = Request::builder().method(method).uri(path).body(Bytes::new()).expect("a request");
        let respond = Box::new(move |response| *answer.borrow_mut() = Some(response));
        self.arriving.borrow_mut().push_back(Incoming { request, respond });
    }

    /// Status and body of an answer, where there is one.
    fn answer(&self, number: usize) -> Option<(u16, String)> {
        let answers = self.answers.borrow();
        let answer = answers[number].borrow();
        let text = |response: &Response<Bytes>| String::from_utf8_lossy(response.body()).into_owned();
        answer.as_ref().map(|response| (response.status().as_u16(), text(response)))
    }

    /// Lets the oldest call to an upstream end.
    fn upstream_answers(&self) {
        let call = self.upstream.borrow_mut().pop_front().expect("a call is out");
        call.send(()).expect("the host waits for it");
    }

    /// Moves the clock on.
    fn pass(&self, time: Duration) {
        self.now.set(later(self.now.get(), u64::try_from(time.as_millis()).expect("short")));
        self.sleepers.borrow_mut().drain(..).for_each(Waker::wake);
    }
}

#[async_trait(?Send)]
impl Http for World {
    async fn call(
        &self,
        party: &str,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, HttpError> {
        self.calls.borrow_mut().push(format!("{party} {}", request.uri()));
        let (answer, answered) = oneshot::channel();
        self.upstream.borrow_mut().push_back(answer);
        let until = later(self.now.get(), u64::try_from(timeout.as_millis()).expect("short"));
        futures::select_biased! {
            answered = answered.fuse() => match answered {
                Ok(()) => Ok(Response::new(Bytes::from_static(b"from behind"))),
                Err(oneshot::Canceled) => Err(HttpError::Reset),
            },
            () = self.sleep_until(until).fuse() => Err(HttpError::TimedOut),
        }
    }

    async fn accept(&self) -> Incoming {
        std::future::poll_fn(|_| match self.arriving.borrow_mut().pop_front() {
            Some(incoming) => Poll::Ready(incoming),
            None => Poll::Pending,
        })
        .await
    }
}

#[async_trait(?Send)]
impl Clock for World {
    fn now(&self) -> Timestamp {
        self.now.get()
    }

    async fn sleep_until(&self, at: Timestamp) {
        std::future::poll_fn(|context| match self.now.get() >= at {
            true => Poll::Ready(()),
            false => {
                self.sleepers.borrow_mut().push(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

impl Entropy for World {
    fn next_u64(&self) -> u64 {
        7
    }
}

impl Tasks for World {
    fn spawn(&self, name: &'static str, _: LocalBoxFuture<'static, ()>) {
        panic!("an edge starts no tasks: {name}");
    }
}

#[async_trait(?Send)]
impl Store for World {
    async fn connect(&self, _: crate::ports::store::Role) -> Result<Box<dyn Session>, StoreError> {
        panic!("an edge stores nothing");
    }
}

impl Log for World {
    fn producer(&self) -> Box<dyn LogProducer> {
        panic!("an edge publishes nothing");
    }

    fn consumer(&self, _: &str, _: &[&'static str]) -> Box<dyn LogConsumer> {
        panic!("an edge consumes nothing");
    }

    fn partition_of(&self, _: &'static str, _: &[u8]) -> i32 {
        panic!("an edge publishes nothing");
    }
}

/// Forwards `/slow`, and answers `/keyed` once a document was fetched.
#[derive(Default)]
struct Door {
    keys: Rc<Cell<bool>>,
}

fn upstream(path: &'static str) -> Upstream {
    Upstream { party: "behind", request: Request::get(path).body(Bytes::new()).expect("a request") }
}

thread_local! {
    /// Handlers are `Send`, and this edge is not: whether its keys are there is told through the thread.
    static KEYS: Cell<bool> = const { Cell::new(false) };
}

impl Edge for Door {
    fn name(&self) -> &'static str {
        "door"
    }

    fn router(&self) -> axum::Router {
        axum::Router::new().route("/slow", get(|| async { go_on(Next::Forward(upstream("/slow"))) })).route(
            "/keyed",
            get(|| async {
                match KEYS.get() {
                    true => axum::response::Response::new(Body::from("let in")),
                    false => go_on(Next::Fetch(upstream("/keys"))),
                }
            }),
        )
    }

    fn reply(&self, _: &Upstream, outcome: Result<Response<Bytes>, HttpError>) -> Response<Bytes> {
        outcome.unwrap_or_else(|error| unavailable("upstream", &error.to_string(), RETRY_AFTER_S))
    }

    fn fetched(&self, _: &Upstream, _: Result<Response<Bytes>, HttpError>, _: Timestamp) {
        KEYS.set(self.keys.get());
    }
}

/// A host on a world, and its process, which runs as far as it can when it is polled.
fn start(door: Door) -> (Rc<World>, LocalBoxFuture<'static, ()>) {
    let (world, host) = made(door);
    (world, host.run().boxed_local())
}

fn made(door: Door) -> (Rc<World>, Rc<EdgeHost<Door>>) {
    let world = Rc::new(World::default());
    let ports = Ports {
        clock: world.clone(),
        tasks: world.clone(),
        entropy: world.clone(),
        store: world.clone(),
        log: world.clone(),
        http: world.clone(),
    };
    (world, EdgeHost::new(door, "door-1", ports))
}

fn run(process: &mut LocalBoxFuture<'static, ()>) {
    // Twice: what one request does may let another go on.
    for _ in 0..2 {
        assert_eq!(process.now_or_never(), None, "a host ends with its process");
    }
}

#[test]
fn a_flood_is_refused_beyond_a_number_and_served_again_when_it_has_ebbed() {
    let (world, mut process) = start(Door::default());
    for _ in 0..SERVING_MAX + 5 {
        world.ask(Method::GET, "/slow");
    }
    run(&mut process);
    assert_eq!(world.calls.borrow().len(), SERVING_MAX, "only so many go on");
    assert_eq!(world.answer(SERVING_MAX - 1), None);
    for refused in SERVING_MAX..SERVING_MAX + 5 {
        let (status, body) = world.answer(refused).expect("it is told at once");
        assert_eq!((status, body.contains("problems/overloaded")), (503, true));
        let answers = world.answers.borrow();
        assert_eq!(answers[refused].borrow().as_ref().expect("an answer").headers()["retry-after"], "1");
    }
    world.upstream_answers();
    run(&mut process);
    assert_eq!(world.answer(0), Some((200, "from behind".to_owned())));
    world.ask(Method::GET, "/slow");
    run(&mut process);
    assert_eq!((world.calls.borrow().len(), world.answer(SERVING_MAX + 5)), (SERVING_MAX + 1, None));
}

#[test]
fn a_document_is_fetched_once_however_many_wait_for_it() {
    KEYS.set(false);
    let (world, mut process) = start(Door { keys: Rc::new(Cell::new(true)) });
    for _ in 0..100 {
        world.ask(Method::GET, "/keyed");
    }
    run(&mut process);
    assert_eq!(*world.calls.borrow(), ["behind /keys"]);
    world.upstream_answers();
    run(&mut process);
    assert!((0..100).all(|number| world.answer(number) == Some((200, "let in".to_owned()))));
    assert_eq!(world.calls.borrow().len(), 1);
}

#[test]
fn a_document_that_does_not_help_is_not_fetched_again_for_the_same_request() {
    KEYS.set(false);
    let (world, mut process) = start(Door::default());
    world.ask(Method::GET, "/keyed");
    world.ask(Method::GET, "/keyed");
    run(&mut process);
    world.upstream_answers();
    run(&mut process);
    assert_eq!(world.calls.borrow().len(), 1);
    for number in 0..2 {
        let (status, body) = world.answer(number).expect("an answer");
        assert_eq!((status, body.contains("problems/not-ready")), (503, true));
    }
}

#[test]
fn head_has_the_answer_of_get_without_its_body() {
    let (world, mut process) = start(Door::default());
    world.ask(Method::HEAD, "/slow");
    run(&mut process);
    world.upstream_answers();
    run(&mut process);
    assert_eq!(world.answer(0), Some((200, String::new())));
}
