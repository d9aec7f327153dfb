//! A service with wrong rules: the real one, told, shown or quoted wrongly.
//!
//! A rule may change a message or a timer before the service reads it, what a decision sees, and what it decided. The
//! service in the middle is the real one, so a canary breaks one thing only.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use contracts::Message;
use host::ports::store::Table;
use host::{
    Decision, Effect, EffectAnswer, EffectCall, EffectStep, HttpAction, Lookup, LookupResult, Reject,
    Service, StreamId, StreamRef, View,
};
use http::{Request, Response};
use model::Timestamp;

/// What a service says to a command.
pub type Decided<S> = Result<Decision<<S as Service>::Event>, Reject<<S as Service>::Event>>;

/// A wrong rule. Each part does nothing unless it is overridden.
pub trait Rule<S: Service> {
    /// What the service hears of a message; `None` where it is dropped.
    fn hears(&self, message: Message) -> Option<Message> {
        Some(message)
    }

    /// What the service hears of a timer.
    fn fires<'a>(&self, id: &'a str) -> &'a str {
        id
    }

    /// Changes what a decision sees.
    fn sees(&self, _command: &S::Command, _sight: &mut Sight<S>) {}

    /// Changes what was decided upon the sight.
    fn decides(&self, _command: &S::Command, _sight: &Sight<S>, decided: Decided<S>) -> Decided<S> {
        decided
    }
}

/// What a decision sees.
pub struct Sight<S: Service> {
    pub states: BTreeMap<StreamId, S::State>,
    pub lookups: Vec<LookupResult>,
    pub database_time: Timestamp,
    absent: S::State,
}

impl<S: Service> Sight<S> {
    fn of(service: &S, command: &S::Command, view: &View<'_, S::State>) -> Self {
        let streams = service.streams(command).into_iter();
        let states = streams.map(|stream| (stream.id.clone(), view.state(&stream.id).clone()));
        let lookups = 0..service.lookups(command).len();
        Self {
            states: states.collect(),
            lookups: lookups.map(|place| view.lookup(place).clone()).collect(),
            database_time: view.database_time,
            absent: S::State::default(),
        }
    }

    fn view(&self) -> View<'_, S::State> {
        View::new(&self.states, &self.lookups, &self.absent, self.database_time)
    }

    /// The state of a stream that the command named.
    pub fn state(&self, stream: &StreamId) -> &S::State {
        self.states.get(stream).unwrap_or(&self.absent)
    }
}

/// A service with wrong rules.
pub struct Sabotaged<S: Service> {
    service: S,
    rules: Vec<Box<dyn Rule<S>>>,
}

impl<S: Service> Sabotaged<S> {
    pub fn new(service: S, rules: Vec<Box<dyn Rule<S>>>) -> Self {
        Self { service, rules }
    }
}

impl<S: Service> Service for Sabotaged<S> {
    const NAME: &'static str = S::NAME;
    type Command = S::Command;
    type Event = S::Event;
    type State = S::State;

    fn tables(&self) -> Vec<&'static Table> {
        self.service.tables()
    }

    fn streams(&self, command: &S::Command) -> Vec<StreamRef> {
        self.service.streams(command)
    }

    fn lookups(&self, command: &S::Command) -> Vec<Lookup> {
        self.service.lookups(command)
    }

    fn decide(&self, now: Timestamp, command: &S::Command, view: &View<'_, S::State>) -> Decided<S> {
        let mut sight = Sight::of(&self.service, command, view);
        self.rules.iter().for_each(|rule| rule.sees(command, &mut sight));
        let decided = self.service.decide(now, command, &sight.view());
        self.rules.iter().fold(decided, |decided, rule| rule.decides(command, &sight, decided))
    }

    fn apply(&self, state: &mut S::State, event: &S::Event) {
        self.service.apply(state, event);
    }

    fn on_message(&self, message: &Message) -> Option<S::Command> {
        let heard = self.rules.iter().try_fold(message.clone(), |message, rule| rule.hears(message))?;
        self.service.on_message(&heard)
    }

    fn on_timer(&self, id: &str) -> Option<S::Command> {
        self.service.on_timer(self.rules.iter().fold(id, |id, rule| rule.fires(id)))
    }

    fn on_request(&self, request: &Request<Bytes>) -> HttpAction<S::Command> {
        self.service.on_request(request)
    }

    fn render(&self, request: &Request<Bytes>, rows: &[LookupResult]) -> Response<Bytes> {
        self.service.render(request, rows)
    }

    fn effect_call(&self, effect: &Effect, step: EffectStep) -> EffectCall {
        self.service.effect_call(effect, step)
    }

    fn effect_answer(
        &self,
        effect: &Effect,
        step: EffectStep,
        response: &Response<Bytes>,
    ) -> EffectAnswer<S::Command> {
        self.service.effect_answer(effect, step, response)
    }

    fn effect_expired(&self, effect: &Effect) -> Option<S::Command> {
        self.service.effect_expired(effect)
    }

    fn effect_lane(&self, effect: &Effect) -> Option<String> {
        self.service.effect_lane(effect)
    }

    fn effect_can_be_queried(&self, effect: &Effect) -> bool {
        self.service.effect_can_be_queried(effect)
    }

    fn standing_timers(&self, now: Timestamp) -> Vec<(String, Timestamp)> {
        self.service.standing_timers(now)
    }
}

/// A moment, so much earlier.
pub fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_sub(by).expect("times of a run are far from the ends of time")
}
