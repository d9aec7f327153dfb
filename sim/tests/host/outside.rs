//! Somebody outside: answers calls, or does not, and stands for the source of messages.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use host::store_host::heads::{HeadsPage, StreamHead};
use http::{Request, Response, StatusCode};

use crate::sabotage::IDEMPOTENCY_KEY;

/// What somebody outside does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    SeeAndStaySilent,
    /// The request never takes effect, and is not answered.
    Lose,
}

/// Somebody outside: answers, but for the first few requests that a script is for.
#[derive(Default)]
pub struct Outside {
    script: RefCell<VecDeque<Step>>,
    seen: RefCell<Vec<String>>,
    known: RefCell<BTreeSet<String>>,
    /// When which path was called.
    calls: RefCell<Vec<(i64, String)>>,
    /// When a call was not answered, or with "not found".
    inconclusive: RefCell<Vec<i64>>,
    /// Idempotency keys of commands that it has executed: each when it came first.
    executed: RefCell<Vec<String>>,
    heads: RefCell<Vec<StreamHead>>,
}

impl Outside {
    pub fn script(&self, steps: impl IntoIterator<Item = Step>) {
        self.script.borrow_mut().extend(steps);
    }

    /// Every request that came, lost ones included.
    pub fn seen(&self) -> Vec<String> {
        self.seen.borrow().clone()
    }

    /// When, in nanoseconds of the world's time, a path was called.
    pub fn calls_of(&self, path: &str) -> Vec<i64> {
        self.calls.borrow().iter().filter(|(_, called)| called == path).map(|(at, _)| *at).collect()
    }

    /// When it left a call without an answer, or knew of nothing: another call is to be expected.
    pub fn inconclusive(&self) -> Vec<i64> {
        self.inconclusive.borrow().clone()
    }

    /// Calls of a path beyond its first.
    pub fn repeated_calls(&self) -> u64 {
        let calls = self.calls.borrow();
        let paths: BTreeSet<&String> = calls.iter().map(|(_, path)| path).collect();
        (calls.len() - paths.len()) as u64
    }

    /// What it did, by the idempotency keys of the commands: the same one again does nothing.
    pub fn executed(&self) -> Vec<String> {
        self.executed.borrow().clone()
    }

    /// What it says of its streams, as a source of messages.
    pub fn tell_heads(&self, heads: impl IntoIterator<Item = StreamHead>) {
        *self.heads.borrow_mut() = heads.into_iter().collect();
    }

    pub fn answer(&self, now_ns: i64, request: &Request<Bytes>) -> Option<Response<Bytes>> {
        let path = request.uri().path().to_owned();
        let body = String::from_utf8_lossy(request.body());
        self.seen.borrow_mut().push(format!("{} {path} {body}", request.method()).trim_end().to_owned());
        if path == "/host/v1/heads" {
            let page = HeadsPage { heads: self.heads.borrow().clone(), settled: 1, next: None };
            return Some(host::http_api::json(200, &page));
        }
        self.calls.borrow_mut().push((now_ns, path.clone()));
        let step = self.script.borrow_mut().pop_front();
        if step != Some(Step::Lose) && request.method() == "PUT" {
            self.known.borrow_mut().insert(path.clone());
            self.execute(request);
        }
        let status = if self.known.borrow().contains(&path) { StatusCode::OK } else { StatusCode::NOT_FOUND };
        if step.is_some() || status == StatusCode::NOT_FOUND {
            self.inconclusive.borrow_mut().push(now_ns);
        }
        let response = Response::builder().status(status).body(Bytes::new()).expect("a plain response");
        step.is_none().then_some(response)
    }

    fn execute(&self, request: &Request<Bytes>) {
        let key = request.headers()[IDEMPOTENCY_KEY].to_str().expect("keys are text").to_owned();
        let mut executed = self.executed.borrow_mut();
        if !executed.contains(&key) {
            executed.push(key);
        }
    }
}
