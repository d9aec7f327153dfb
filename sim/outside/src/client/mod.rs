//! One operation of a client, from its first request to what the client knows in the end.
//!
//! A state machine without IO: the simulator asks [`ClientCall::next`] what to do, does it, and hands the outcome
//! to [`ClientCall::answered`]. Attempts are bounded and carry the same idempotency key; no answer is a third
//! outcome, never a refusal. Facts are told where the client knows them: a request when it leaves, the answer
//! once, at the end.

mod answers;
mod requests;
#[cfg(test)]
mod tests;
mod wallet;

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use invariants::Fact;
use invariants::fact::{ClientAnswer, ClientRequest, Outcome};
use model::{Timestamp, hash_id};

use crate::party::later;
use crate::plan::{Ask, Intent, Operation};
use answers::Meaning;
pub use wallet::Wallet;

/// How patient clients are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    pub attempts_max: u32,
    /// How often a client lets itself be told that it asks too fast, before it gives up.
    pub limited_max: u32,
    /// Before the second attempt; doubled for each one after it.
    pub back_off: Duration,
    pub back_off_max: Duration,
    /// For one answer.
    pub timeout: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts_max: 8,
            limited_max: 4,
            back_off: Duration::from_millis(250),
            back_off_max: Duration::from_secs(16),
            timeout: Duration::from_secs(10),
        }
    }
}

/// Why there was no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// Nobody listens: the request was never seen.
    Refused,
    /// The request may have been seen.
    Reset,
    /// The request may have been seen.
    TimedOut,
}

/// What to do next for a call.
#[derive(Debug)]
pub enum Step {
    Send(Box<Outgoing>),
    /// Ask again at this time of the client's clock.
    Wait(Timestamp),
    Done(Outcome),
}

/// A request to be sent now; its outcome goes to [`ClientCall::answered`].
#[derive(Debug)]
pub struct Outgoing {
    /// `api-gateway`, `market-integration-gateway`, `bank`, `identity`.
    pub to: &'static str,
    pub request: Request<Bytes>,
    pub timeout: Duration,
    /// To be recorded before it leaves.
    pub facts: Vec<Fact>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// From this time on.
    Ready(Timestamp),
    FetchingToken,
    Asking {
        token: Option<String>,
    },
    Done(Outcome),
}

/// One operation on its way.
#[derive(Clone, Debug)]
pub struct ClientCall {
    operation: Operation,
    patience: Patience,
    state: State,
    /// Requests of the operation itself that have left.
    attempts: u32,
    /// Attempts that were refused by a limit.
    limited: u32,
    /// Fetches of a token that brought none.
    fetches_failed: u32,
    /// Some attempt may have been taken without the client hearing of it.
    ambiguous: bool,
    /// A refused token was replaced already.
    refreshed: bool,
}

impl ClientCall {
    pub fn new(operation: Operation, patience: Patience) -> Self {
        let state = State::Ready(operation.at);
        Self {
            operation,
            patience,
            state,
            attempts: 0,
            limited: 0,
            fetches_failed: 0,
            ambiguous: false,
            refreshed: false,
        }
    }

    pub fn operation(&self) -> &Operation {
        &self.operation
    }

    /// What to do at `now` of the client's clock. Not to be asked while a request is on its way.
    pub fn next(&mut self, now: Timestamp, wallet: &mut Wallet) -> Step {
        match &self.state {
            State::Done(outcome) => return Step::Done(outcome.clone()),
            State::Ready(from) if now < *from => return Step::Wait(*from),
            State::Ready(_) => {}
            State::FetchingToken | State::Asking { .. } => {
                panic!("a call is asked for its next step while a request is on its way")
            }
        }
        let token = match self.token(now, wallet) {
            Ok(token) => token,
            Err(step) => return step,
        };
        self.attempts += 1;
        let again = self.attempts > 1 && self.ambiguous;
        let request = requests::write(&self.operation, token.as_deref(), now, again);
        let fact = Fact::Request(ClientRequest {
            client: self.operation.client.clone(),
            idempotency_key: self.operation.key.clone(),
            attempt: self.attempts,
            body: self.operation.ask.body(),
        });
        self.state = State::Asking { token };
        let to = requests::party(&self.operation.ask);
        Step::Send(Box::new(Outgoing { to, request, timeout: self.patience.timeout, facts: vec![fact] }))
    }

    /// Takes in the outcome of the request that was sent; gives the facts to record.
    pub fn answered(
        &mut self,
        now: Timestamp,
        wallet: &mut Wallet,
        outcome: Result<Response<Bytes>, CallError>,
    ) -> Vec<Fact> {
        match std::mem::replace(&mut self.state, State::Ready(now)) {
            State::FetchingToken => self.fetched(now, wallet, outcome),
            State::Asking { token } => self.heard(now, wallet, token, outcome),
            State::Ready(_) | State::Done(_) => panic!("an answer to a call that asked for nothing"),
        }
    }

    /// The token to send, `None` where none is needed; or what to do first in order to have one.
    fn token(&mut self, now: Timestamp, wallet: &mut Wallet) -> Result<Option<String>, Step> {
        match self.operation.intent {
            _ if !requests::needs_token(&self.operation.ask) => return Ok(None),
            Intent::BadToken => return Ok(Some("e30.e30.AAAA".to_owned())),
            Intent::ExpiredToken => return Ok(Some(wallet.expired().to_owned())),
            _ => {}
        }
        if let Some(token) = wallet.token(now) {
            return Ok(Some(token.to_owned()));
        }
        if let Some(until) = wallet.fetching(now) {
            // Looked at again soon: the other call's answer may come at any time.
            return Err(Step::Wait(later(now, self.patience.back_off).min(until)));
        }
        let request = wallet.fetch(now);
        self.state = State::FetchingToken;
        let (to, timeout) = (requests::IDENTITY, self.patience.timeout);
        Err(Step::Send(Box::new(Outgoing { to, request, timeout, facts: Vec::new() })))
    }

    fn fetched(
        &mut self,
        now: Timestamp,
        wallet: &mut Wallet,
        outcome: Result<Response<Bytes>, CallError>,
    ) -> Vec<Fact> {
        let response = outcome.ok();
        let body = response.as_ref().filter(|response| response.status().is_success());
        if wallet.fetched(now, body.map(|response| response.body().as_ref())) {
            return Vec::new();
        }
        self.fetches_failed += 1;
        let refused = response.filter(|response| response.status().is_client_error());
        if refused.is_none() && self.fetches_failed < self.patience.attempts_max {
            self.state = State::Ready(later(now, self.back_off(self.fetches_failed)));
            return Vec::new();
        }
        let status = refused.map_or(StatusCode::UNAUTHORIZED, |response| response.status()).as_u16();
        self.give_up(status, "no-token".to_owned())
    }

    fn heard(
        &mut self,
        now: Timestamp,
        wallet: &mut Wallet,
        token: Option<String>,
        outcome: Result<Response<Bytes>, CallError>,
    ) -> Vec<Fact> {
        let meaning = match &outcome {
            Ok(response) => answers::meaning(response),
            Err(error) => {
                self.ambiguous |= *error != CallError::Refused;
                return self.again(now, Duration::ZERO, None);
            }
        };
        match meaning {
            Meaning::Accepted { id } => {
                // Accounts are named by who opens them: the platform gives them no id of its own.
                let id = match &self.operation.ask {
                    Ask::Account { account, .. } => account.clone(),
                    _ => id,
                };
                self.done(Outcome::Accepted { id })
            }
            Meaning::Rejected { status, code } => self.done(Outcome::Rejected { status, code }),
            Meaning::Unauthorised => self.unauthorised(now, wallet, token.as_deref()),
            Meaning::Again { at_least, status, code } => {
                // Refused by a limit, it went no further; any other may have been taken.
                let limited = status == StatusCode::TOO_MANY_REQUESTS.as_u16();
                self.ambiguous |= !limited;
                self.limited += u32::from(limited);
                if self.limited >= self.patience.limited_max {
                    return self.give_up(status, code);
                }
                self.again(now, at_least, limited.then_some((status, code)))
            }
        }
    }

    /// Another token is worth one more attempt, except where the token was meant to be refused.
    fn unauthorised(&mut self, now: Timestamp, wallet: &mut Wallet, token: Option<&str>) -> Vec<Fact> {
        let meant = matches!(self.operation.intent, Intent::BadToken | Intent::ExpiredToken);
        let refusal = (StatusCode::UNAUTHORIZED.as_u16(), "unauthorised".to_owned());
        if meant || self.refreshed {
            return self.give_up(refusal.0, refusal.1);
        }
        self.refreshed = true;
        token.into_iter().for_each(|token| wallet.refused(token));
        if self.attempts < self.patience.attempts_max {
            self.state = State::Ready(now);
            return Vec::new();
        }
        self.give_up(refusal.0, refusal.1)
    }

    /// Another attempt after a pause, or the end. `refusal`: what to report if nothing was ever taken.
    fn again(&mut self, now: Timestamp, at_least: Duration, refusal: Option<(u16, String)>) -> Vec<Fact> {
        if self.attempts < self.patience.attempts_max {
            let pause = self.back_off(self.attempts).max(at_least);
            self.state = State::Ready(later(now, pause));
            return Vec::new();
        }
        match refusal {
            Some((status, code)) => self.give_up(status, code),
            None => self.done(Outcome::Unknown),
        }
    }

    /// Ends with a refusal by somebody who cannot know what became of earlier attempts.
    fn give_up(&mut self, status: u16, code: String) -> Vec<Fact> {
        let refused = Outcome::Rejected { status, code };
        self.done(if self.ambiguous { Outcome::Unknown } else { refused })
    }

    fn done(&mut self, outcome: Outcome) -> Vec<Fact> {
        self.state = State::Done(outcome.clone());
        if self.attempts == 0 {
            // Nothing was asked, so there is no answer.
            return Vec::new();
        }
        let client = self.operation.client.clone();
        let idempotency_key = self.operation.key.clone();
        vec![Fact::Answer(ClientAnswer { client, idempotency_key, attempt: self.attempts, outcome })]
    }

    /// Doubling, with up to half of it on top: a hash stands for chance, so that clients do not march in step.
    fn back_off(&self, attempts: u32) -> Duration {
        let doubled = self.patience.back_off.saturating_mul(1 << (attempts - 1).min(20));
        let pause = doubled.min(self.patience.back_off_max);
        let nanos = u64::try_from(pause.as_nanos()).expect("pauses last seconds");
        let key = [self.operation.client.as_str(), self.operation.key.as_str()];
        let chance = hash_id("back-off", &key, attempts).get() % u128::from(nanos / 2 + 1);
        pause + Duration::from_nanos(u64::try_from(chance).expect("it is less than a pause"))
    }
}
