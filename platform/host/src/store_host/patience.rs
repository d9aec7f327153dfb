//! How long a caller waits: longer, and it is told to come again, whatever becomes of its request.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use model::Timestamp;

use super::later;
use crate::http_api;

/// Shorter than the patience of any caller.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// When a caller should come again.
pub const RETRY_AFTER_S: u32 = 1;

type Responder = Box<dyn FnOnce(Response<Bytes>)>;

/// The way back to a caller: used once, by the answer or by the clock, whichever is first.
#[derive(Clone)]
pub struct Caller(Rc<RefCell<Option<Responder>>>);

impl Caller {
    pub fn answer(&self, response: Response<Bytes>) {
        if let Some(respond) = self.0.borrow_mut().take() {
            respond(response);
        }
    }

    /// Not told anything yet.
    pub fn is_waiting(&self) -> bool {
        self.0.borrow().is_some()
    }
}

/// Callers in the order in which they came.
#[derive(Default)]
pub struct Callers(VecDeque<(Timestamp, Caller)>);

impl Callers {
    pub fn add(&mut self, now: Timestamp, respond: Responder) -> Caller {
        let caller = Caller(Rc::new(RefCell::new(Some(respond))));
        self.0.push_back((later(now, PATIENCE.as_millis() as u64), caller.clone()));
        caller
    }

    /// When the next of those who still wait has waited long enough.
    pub fn next_due(&mut self) -> Option<Timestamp> {
        while self.0.front().is_some_and(|(_, caller)| !caller.is_waiting()) {
            self.0.pop_front();
        }
        self.0.front().map(|(until, _)| *until)
    }

    /// Tells those who have waited long enough.
    pub fn dismiss(&mut self, now: Timestamp) {
        while self.next_due().is_some_and(|until| until <= now) {
            if let Some((_, caller)) = self.0.pop_front() {
                caller.answer(store_unavailable());
            }
        }
    }
}

pub fn store_unavailable() -> Response<Bytes> {
    let detail = "no answer from the database in time; repeat it with the same Idempotency-Key";
    http_api::unavailable("store-unavailable", detail, RETRY_AFTER_S)
}
