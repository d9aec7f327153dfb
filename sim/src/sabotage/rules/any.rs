//! Wrong rules that any service can have.

use std::cell::RefCell;
use std::collections::BTreeMap;

use contracts::Message;
use host::{Service, StreamId};
use model::Timestamp;
use scenario::habits::Cached;
use scenario::{Sabotage, TimeSpan};

use crate::sabotage::Odds;
use crate::sabotage::service::{Decided, Rule, Sight, earlier};

pub fn rule<S: Service>(habit: &Sabotage, odds: &Odds) -> Option<Box<dyn Rule<S>>> {
    match habit.habit.as_str() {
        "message-swallowed" => Some(Box::new(Swallowed(odds.of(habit)))),
        "state-forgotten" => Some(Box::new(StateForgotten(odds.of(habit)))),
        "state-cached" => Some(Box::new(StateCached::living(habit.params::<Cached>().ttl))),
        "panic" => Some(Box::new(Panics(odds.of(habit)))),
        _ => None,
    }
}

/// Takes a message in, and does nothing about it.
struct Swallowed(Odds);

impl<S: Service> Rule<S> for Swallowed {
    fn hears(&self, message: Message) -> Option<Message> {
        let struck = self.0.strike(message.encode());
        (!struck).then_some(message)
    }
}

/// Decides as if nothing had happened before.
struct StateForgotten(Odds);

impl<S: Service> Rule<S> for StateForgotten {
    fn sees(&self, command: &S::Command, sight: &mut Sight<S>) {
        if self.0.strike(format!("{command:?}")) {
            sight.states.clear();
        }
    }
}

/// Remembers streams in a cache only: what happened longer ago than an entry lives has not happened.
struct StateCached {
    ttl: TimeSpan,
    since: RefCell<BTreeMap<StreamId, Timestamp>>,
}

impl StateCached {
    fn living(ttl: TimeSpan) -> Self {
        Self { ttl, since: RefCell::default() }
    }
}

impl<S: Service> Rule<S> for StateCached {
    fn sees(&self, _: &S::Command, sight: &mut Sight<S>) {
        let (now, mut since) = (sight.database_time, self.since.borrow_mut());
        sight.states.retain(|stream, _| {
            let first = *since.entry(stream.clone()).or_insert(now);
            first > earlier(now, self.ttl.0)
        });
    }
}

/// Meets a case that nobody had thought of.
struct Panics(Odds);

impl<S: Service> Rule<S> for Panics {
    fn decides(&self, command: &S::Command, _: &Sight<S>, decided: Decided<S>) -> Decided<S> {
        let thing = format!("{command:?}");
        assert!(!self.0.strike(&thing), "nobody had thought of {thing}");
        decided
    }
}
