//! Decisions: each item of a batch by its fate, and what the transaction writes of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use contracts::stored::Payload;
use model::Timestamp;

use super::batch::{Batch, Item, ItemKey};
use super::cache::Cached;
use super::execute::{Named, Outcome, StoredAnswer};
use super::fate::Fate;
use super::panics::{Panicked, caught};
use super::writes::{Head, Writes};
use super::{StoreHost, count};
use crate::decision::{Decision, Reject};
use crate::service::{Access, LookupResult, Service, StreamId, View};

/// What a service says to a command.
type Decided<E> = Result<Decision<E>, Reject<E>>;

impl<S: Service> StoreHost<S> {
    pub(super) fn decide_all(
        &self,
        batch: &Batch<S::Command>,
        fates: Vec<Fate>,
        states: &mut BTreeMap<StreamId, S::State>,
        lookups: &[LookupResult],
        database_time: Timestamp,
        writes: &mut Writes,
    ) -> Result<Vec<Outcome>, Panicked> {
        let absent = S::State::default();
        let now = self.ports.clock.now();
        let mut outcomes = Vec::with_capacity(batch.items.len());
        for (place, (item, fate)) in batch.items.iter().zip(fates).enumerate() {
            outcomes.push(match fate {
                Fate::Take => {
                    writes.take(item);
                    let decided = caught(|| {
                        let view = View::new(states, lookups, &absent, database_time);
                        let command = item.command.as_ref();
                        let decided = command.map(|command| self.service.decide(now, command, &view));
                        self.enact(item, decided, states, writes)
                    });
                    let decided = item.panic.clone().map_or(decided, Err);
                    Outcome::Decided(decided.map_err(|why| Panicked { place, why })?)
                }
                Fate::KeepAside(attempts) => {
                    count(&self.counters.dead_letters, 1);
                    writes.keep_aside(item, &attempts)
                }
                Fate::Duplicate(answer) => {
                    count(&self.counters.duplicates, 1);
                    if let (ItemKey::Http { scope, key, .. }, Some(stored)) = (&item.key, &answer) {
                        // Written again, so that this commit waits as the first one did before it is told.
                        writes.answer(scope, key, stored);
                    }
                    writes.drop_parked(item);
                    Outcome::Duplicate(answer)
                }
                Fate::KeyReused => Outcome::KeyReused,
                Fate::Park => {
                    count(&self.counters.parked, 1);
                    writes.park(item);
                    Outcome::Parked
                }
                Fate::Dead => {
                    count(&self.counters.dead_letters, 1);
                    writes.bury(item);
                    Outcome::DeadLetter
                }
            });
        }
        Ok(outcomes)
    }

    /// Applies a decision to the states and turns it into writes; gives the answer for who waits.
    fn enact(
        &self,
        item: &Item<S::Command>,
        decided: Option<Decided<S::Event>>,
        states: &mut BTreeMap<StreamId, S::State>,
        writes: &mut Writes,
    ) -> Option<StoredAnswer> {
        let (decision, refusal) = match decided? {
            Ok(decision) => (decision, None),
            Err(reject) => (reject.decision, Some(reject.problem)),
        };
        count(&self.counters.decisions, 1);
        for (stream, event) in &decision.events {
            let state = states.get_mut(stream).unwrap_or_else(|| panic!("{stream} was not named"));
            self.service.apply(state, event);
            writes.event(stream, event.encode(), &item.cause);
        }
        let answer = match (&refusal, &decision.answer) {
            (Some(problem), _) => {
                count(&self.counters.rejects, 1);
                Some(StoredAnswer { status: problem.status, body: problem.response().into_body() })
            }
            (None, Some(answer)) => Some(StoredAnswer {
                status: answer.status,
                body: serde_json::to_vec(&answer.body).expect("JSON values serialise").into(),
            }),
            (None, None) => None,
        };
        writes.decision(decision, &item.cause);
        if let ItemKey::Http { scope, key, .. } = &item.key {
            let stored = answer.clone().unwrap_or(StoredAnswer { status: 204, body: Bytes::new() });
            writes.answer(scope, key, &stored);
            return Some(stored);
        }
        answer
    }

    /// Keeps the states that this transaction made current.
    pub(super) fn keep(
        &self,
        states: BTreeMap<StreamId, S::State>,
        streams: BTreeMap<StreamId, Named>,
        mut heads: BTreeMap<StreamId, Head>,
    ) {
        let mut cache = self.cache.borrow_mut();
        for (stream, state) in states {
            let head = heads.remove(&stream).expect("every state has its head");
            if streams[&stream].access == Access::Write || cache.version_of(&stream) != Some(head.version) {
                cache.put(stream, Cached { version: head.version, state });
            }
        }
    }
}
