//! Effects: calls to the outside world, until there is a definite answer.
//!
//! Silence is an outcome of its own: an effect that can be queried is queried, never sent under a new key;
//! "not found" by the other party's clock past `valid_until` is the only definite negative besides a refusal.
//! Receivers that fail alone have lanes of their own (`lanes`).

use std::rc::Rc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use http::Response;
use model::Timestamp;

use super::batch::{Item, ItemKey};
use super::connection::Connection;
use super::lanes::{InFlight, Turn};
use super::panics::caught;
use super::tables::EFFECTS;
use super::{StoreHost, later, shifted};
use crate::ports::HttpError;
use crate::ports::store::{Role, Row, Scan, Statement, Value};
use crate::service::{Effect, EffectAnswer, EffectStep, Service};

/// First and longest pause before an effect is tried again.
const BACK_OFF_MS: (u64, u64) = (1_000, 60_000);

/// An effect as stored.
struct Stored {
    effect: Effect,
    step: EffectStep,
    tries: i64,
}

/// A call that came back, or did not.
struct Called {
    stored: Stored,
    /// `Err`: making the call panicked.
    result: Result<Result<Response<Bytes>, HttpError>, String>,
}

/// What else became of due effects when calls were started.
#[derive(Default)]
struct Started {
    /// Their rows' next tries.
    held: Vec<Statement>,
    /// Some wait for calls in their lanes to come back.
    waits: bool,
}

/// What to do about an effect after a call.
enum Next<C> {
    Decide(C),
    Later(EffectStep),
}

impl<S: Service> StoreHost<S> {
    /// Calls and records answers until the lease is lost or the process is to end.
    pub(crate) async fn run_effects(self: &Rc<Self>) {
        let mut connection = Connection::new(self.ports.clone(), Role::Primary);
        let mut calls: FuturesUnordered<LocalBoxFuture<'_, Called>> = FuturesUnordered::new();
        let mut in_flight = InFlight::default();
        let mut page = self.settings.effects_in_flight;
        loop {
            let ends = self.shutdown.is_asked();
            let now = self.database_now();
            // Those whose call is out are among the due: so many rows show enough others.
            let statements = [due_effects(Some(now), page), next_effect(now)];
            let Some(mut replies) = self.on_duty(&mut connection, &statements).await else { return };
            let (due, next) = (replies.rows(), replies.rows());
            if !ends {
                let started = self.start_calls(&due, &mut in_flight, &mut calls);
                if !started.held.is_empty() && self.on_duty(&mut connection, &started.held).await.is_none() {
                    return;
                }
                let looked_at = std::mem::replace(&mut page, self.next_page(started.waits));
                if !started.held.is_empty() || page > looked_at {
                    continue;
                }
            }
            if calls.is_empty() {
                if ends {
                    return;
                }
                if due.is_empty() {
                    self.wait_for_effect(next.first()).await;
                }
                continue;
            }
            let has_room = !ends && calls.len() < self.settings.effects_in_flight;
            let called = futures::select_biased! {
                called = self.gather(&mut calls).fuse() => called,
                () = self.more_to_call(has_room, next.first()).fuse() => continue,
            };
            self.take_in(&mut connection, called, &mut in_flight).await;
        }
    }

    /// New effects, and postponed ones whose time has come, are looked at while calls are out, where there is room
    /// for more.
    async fn more_to_call(&self, has_room: bool, next: Option<&Row>) {
        if has_room {
            self.wait_for_effect(next).await;
        } else {
            std::future::pending().await
        }
    }

    /// Behind those that wait for their lanes others are looked for.
    fn next_page(&self, some_wait: bool) -> usize {
        if some_wait { self.settings.page_size } else { self.settings.effects_in_flight }
    }

    fn start_calls<'a>(
        self: &'a Rc<Self>,
        due: &[Row],
        in_flight: &mut InFlight,
        calls: &mut FuturesUnordered<LocalBoxFuture<'a, Called>>,
    ) -> Started {
        let mut started = Started::default();
        for row in due {
            if calls.len() >= self.settings.effects_in_flight || !self.lease_stands() {
                break;
            }
            let stored = Stored::from_row(row);
            let lane = self.service.effect_lane(&stored.effect);
            match in_flight.turn(&stored.effect.id, lane, self.settings.effects_in_flight_per_lane) {
                Turn::Starts => calls.push(self.call(self.still_valid(stored)).boxed_local()),
                Turn::IsOut => {}
                Turn::Waits => started.waits = true,
                Turn::Held => started.held.push(self.hold(&stored)),
            }
        }
        started
    }

    /// What may no longer be sent is asked about: only the other party's clock makes the end definite.
    fn still_valid(&self, stored: Stored) -> Stored {
        let over = stored.effect.valid_until.is_some_and(|until| self.database_now() > until);
        if over && self.service.effect_can_be_queried(&stored.effect) {
            return Stored { step: EffectStep::Query, ..stored };
        }
        stored
    }

    async fn call(&self, stored: Stored) -> Called {
        let result = match caught(|| self.service.effect_call(&stored.effect, stored.step)) {
            Ok(call) => Ok(self.ports.http.call(call.party, call.request, call.timeout).await),
            Err(why) => Err(why),
        };
        Called { stored, result }
    }

    /// The calls that are back: at least one, and whatever else is by then.
    async fn gather(&self, calls: &mut FuturesUnordered<LocalBoxFuture<'_, Called>>) -> Vec<Called> {
        let mut called: Vec<Called> = calls.next().await.into_iter().collect();
        while called.len() < self.settings.batch_size
            && let Some(Some(more)) = calls.next().now_or_never()
        {
            called.push(more);
        }
        called
    }

    async fn take_in(&self, connection: &mut Connection, called: Vec<Called>, in_flight: &mut InFlight) {
        let (mut items, mut delayed) = (Vec::new(), Vec::new());
        for Called { stored, result } in called {
            let lane = self.service.effect_lane(&stored.effect);
            let answered = matches!(&result, Ok(Ok(_)));
            in_flight.back(&stored.effect.id, lane.as_deref(), answered);
            let command = match result.and_then(|result| caught(|| self.judge(&stored, result))) {
                Ok(Next::Later(step)) => {
                    delayed.push(self.postpone(&stored, step));
                    continue;
                }
                Ok(Next::Decide(command)) => Ok(Some(command)),
                Err(why) => Err(why),
            };
            let cause = format!("effect/{}/{}", S::NAME, stored.effect.id);
            items.push(Item::new(command, cause, stored.key()));
        }
        if !delayed.is_empty() {
            self.on_duty(connection, &delayed).await;
        }
        for batch in self.batches_of(items) {
            self.execute(connection, batch).await;
        }
    }

    fn judge(&self, stored: &Stored, result: Result<Response<Bytes>, HttpError>) -> Next<S::Command> {
        let effect = &stored.effect;
        let after_silence =
            if self.service.effect_can_be_queried(effect) { EffectStep::Query } else { EffectStep::Send };
        let response = match result {
            Ok(response) => response,
            // Refused means unseen: the same again.
            Err(HttpError::Refused) => return Next::Later(stored.step),
            Err(_) => return Next::Later(after_silence),
        };
        match self.service.effect_answer(effect, stored.step, &response) {
            EffectAnswer::Definite(command) => Next::Decide(command),
            EffectAnswer::Pending => Next::Later(after_silence),
            EffectAnswer::Again => Next::Later(stored.step),
            EffectAnswer::NotFound { at } => {
                let expired = effect.valid_until.is_some_and(|until| at > until);
                match expired.then(|| self.service.effect_expired(effect)).flatten() {
                    Some(command) => Next::Decide(command),
                    None => Next::Later(EffectStep::Send),
                }
            }
        }
    }

    /// The row's next try, later after each one.
    fn postpone(&self, stored: &Stored, step: EffectStep) -> Statement {
        let (first, longest) = BACK_OFF_MS;
        let pause = (first << stored.tries.clamp(0, 10)).min(longest);
        let step = Value::Int(if step == EffectStep::Query { 1 } else { 0 });
        self.next_try(stored, pause, vec![(3, step), (4, Value::Int(stored.tries + 1))])
    }

    /// Its lane is silent. That is no try. All that are held come again together, in one transaction.
    fn hold(&self, stored: &Stored) -> Statement {
        let longest = BACK_OFF_MS.1;
        let into = self.database_now().as_millisecond().rem_euclid(longest as i64);
        self.next_try(stored, longest - into as u64, Vec::new())
    }

    fn next_try(&self, stored: &Stored, pause_ms: u64, mut set: Vec<(usize, Value)>) -> Statement {
        let next = later(self.database_now(), pause_ms);
        set.push((5, Value::Int(next.as_millisecond())));
        Statement::UpdateIf {
            table: &EFFECTS,
            key: vec![stored.effect.id.as_str().into()],
            expected: vec![(4, Value::Int(stored.tries))],
            set,
        }
    }

    async fn wait_for_effect(&self, next: Option<&Row>) {
        let due = next.map(|row| shifted(Timestamp::UNIX_EPOCH, row[5].as_int()));
        self.woken_or_due(&self.duties.effects, due).await;
    }
}

impl Stored {
    fn key(&self) -> ItemKey {
        let Effect { id, valid_until, payload } = self.effect.clone();
        let valid_until_ms = valid_until.map(|at| at.as_millisecond());
        ItemKey::Effect { id, tries: self.tries, payload, valid_until_ms }
    }

    fn from_row(row: &Row) -> Self {
        let valid_until = match &row[2] {
            Value::Int(at) => Some(shifted(Timestamp::UNIX_EPOCH, *at)),
            _ => None,
        };
        let id = row[0].as_text().to_owned();
        let effect = Effect { id, valid_until, payload: row[1].as_bytes().clone() };
        let step = if row[3].as_int() == 1 { EffectStep::Query } else { EffectStep::Send };
        Self { effect, step, tries: row[4].as_int() }
    }
}

/// The first effect that is not due yet.
fn next_effect(now: Timestamp) -> Statement {
    Statement::Scan(Scan {
        table: &EFFECTS,
        index: Some("next"),
        prefix: Vec::new(),
        after: Some(vec![Value::Int(now.as_millisecond())]),
        up_to: None,
        limit: 1,
    })
}

pub(super) fn due_effects(up_to: Option<Timestamp>, limit: usize) -> Statement {
    Statement::Scan(Scan {
        table: &EFFECTS,
        index: Some("next"),
        prefix: Vec::new(),
        after: None,
        up_to: up_to.map(|at| Value::Int(at.as_millisecond())),
        limit,
    })
}
