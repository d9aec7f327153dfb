//! Somebody outside: answers calls, or does not, and stands for the source of messages.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use host::store_host::heads::{HeadsPage, StreamHead};
use http::{Request, Response, StatusCode};

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

    /// What it says of its streams, as a source of messages.
    pub fn tell_heads(&self, heads: impl IntoIterator<Item = StreamHead>) {
        *self.heads.borrow_mut() = heads.into_iter().collect();
    }

    pub fn answer(&self, request: &Request<Bytes>) -> Option<Response<Bytes>> {
        let path = request.uri().path().to_owned();
        let body = String::from_utf8_lossy(request.body());
        self.seen.borrow_mut().push(format!("{} {path} {body}", request.method()).trim_end().to_owned());
        if path == "/host/v1/heads" {
            let page = HeadsPage { heads: self.heads.borrow().clone(), settled: 1, next: None };
            return Some(host::http_api::json(200, &page));
        }
        let step = self.script.borrow_mut().pop_front();
        if step != Some(Step::Lose) && request.method() == "PUT" {
            self.known.borrow_mut().insert(path.clone());
        }
        let status = if self.known.borrow().contains(&path) { StatusCode::OK } else { StatusCode::NOT_FOUND };
        let response = Response::builder().status(status).body(Bytes::new()).expect("a plain response");
        step.is_none().then_some(response)
    }
}
