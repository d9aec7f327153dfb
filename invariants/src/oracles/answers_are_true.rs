//! What clients are told of their requests is so, and a request becomes one trade or withdrawal at most.
//!
//! Why it can break: idempotency keys whose scope is not the client, so that one is answered what another one
//! asked for; keys that are forgotten after a while, so that a late retry is a second trade; a commit of
//! unknown outcome that is reported as refused. A client that never learns what became of its request is no
//! matter, nor is what it is told at the edge, where nobody knows what was taken in before.

use std::collections::BTreeMap;

use contracts::events::{payment_stored, trade_stored};
use rust_decimal::Decimal;

use crate::book::amount;
use crate::fact::{ClientAnswer, ClientRequest, Outcome, RequestBody};
use crate::read::{payment, request_of, subject, trade};
use crate::{Fact, FactKind, Invariant, Record, Verdict, Violation};

/// The code of the refusal of a key that came with other content.
const KEY_REUSED: &str = "idempotency-key-reused";
/// Refusals by who decides: not those of tokens, rights and rates.
const DECIDED: &[u16] = &[400, 404, 409, 422];

/// Client and idempotency key.
type Key = (String, String);

#[derive(Clone, Default)]
pub struct AnswersAreTrue {
    /// The different things that were asked for under each key.
    asked: BTreeMap<Key, Vec<RequestBody>>,
    /// What each request was taken in as.
    taken_as: BTreeMap<Key, String>,
    /// Trades and withdrawals by id.
    taken: BTreeMap<String, Taken>,
}

#[derive(Clone)]
struct Taken {
    /// Of the request; `None` where no request is the cause.
    by: Option<Key>,
    terms: Terms,
    /// Taken in only to be refused at once.
    is_refused: bool,
    at: u64,
}

/// What can be compared of a request and of what it was taken in as.
#[derive(Clone, PartialEq, Eq)]
enum Terms {
    Trade { instrument: String, buyer: String, seller: String, quantity: Decimal, price: Decimal },
    Withdrawal { account: String, amount: Decimal },
}

impl Terms {
    /// `None` for anything else, and for what cannot be read: that was not accepted.
    fn asked(body: &RequestBody) -> Option<Self> {
        match body {
            RequestBody::Trade { instrument, buyer, seller, quantity, price } => Some(Self::Trade {
                instrument: instrument.clone(),
                buyer: buyer.clone(),
                seller: seller.clone(),
                quantity: amount(quantity)?,
                price: amount(price)?,
            }),
            RequestBody::Withdrawal { account, amount: wanted } => {
                Some(Self::Withdrawal { account: account.clone(), amount: amount(wanted)? })
            }
            _ => None,
        }
    }
}

impl AnswersAreTrue {
    fn asks(&mut self, request: &ClientRequest) {
        if !matches!(request.body, RequestBody::Trade { .. } | RequestBody::Withdrawal { .. }) {
            return;
        }
        let key = (request.client.clone(), request.idempotency_key.clone());
        let bodies = self.asked.entry(key).or_default();
        if !bodies.contains(&request.body) {
            bodies.push(request.body.clone());
        }
    }

    fn take(&mut self, id: &str, cause: &str, terms: Terms, at: u64) -> Result<(), Violation> {
        let by = request_of(cause).map(|(client, key)| (client.to_owned(), key.to_owned()));
        if let Some(key) = &by
            && let Some(first) = self.taken_as.insert(key.clone(), id.to_owned())
            && first != id
        {
            let why = format!("request {} of {} is taken in as {first} and as {id}", key.1, key.0);
            let since = self.taken.get(&first).map(|taken| taken.at);
            return Err(Violation::new(why)
                .about([&first, id, &key.0])
                .seen_at(since.into_iter().chain([at])));
        }
        self.taken.insert(id.to_owned(), Taken { by, terms, is_refused: false, at });
        Ok(())
    }

    fn stored(&mut self, fact: &Fact, at: u64) -> Result<(), Violation> {
        for (row, event) in trade(fact) {
            let id = subject(&row.stream);
            match event {
                trade_stored::Event::Received(received) => {
                    let Some(trade) = &received.trade else { continue };
                    let terms = Terms::Trade {
                        instrument: trade.instrument_id.clone(),
                        buyer: trade.buyer_account_id.clone(),
                        seller: trade.seller_account_id.clone(),
                        quantity: trade.quantity.into(),
                        price: amount(&trade.price).unwrap_or_default(),
                    };
                    self.take(id, &row.cause, terms, at)?;
                }
                trade_stored::Event::Refused(_) => {
                    if let Some(taken) = self.taken.get_mut(id) {
                        taken.is_refused = true;
                    }
                }
                _ => {}
            }
        }
        for (row, event) in payment(fact) {
            if let payment_stored::Event::WithdrawalRequested(asked) = event {
                let amount = amount(&asked.amount).unwrap_or_default();
                let terms = Terms::Withdrawal { account: asked.account_id.clone(), amount };
                self.take(&asked.withdrawal_id, &row.cause, terms, at)?;
            }
        }
        Ok(())
    }

    fn answered(&self, answer: &ClientAnswer, at: u64) -> Result<(), Violation> {
        let key = (answer.client.clone(), answer.idempotency_key.clone());
        let Some(bodies) = self.asked.get(&key) else { return Ok(()) };
        match &answer.outcome {
            Outcome::Accepted { id } => self.accepted(&key, id, bodies, at),
            Outcome::Rejected { status, code } if DECIDED.contains(status) && bodies.len() == 1 => {
                self.refused(&key, code, at)
            }
            _ => Ok(()),
        }
    }

    /// That it was taken in at all is `acknowledged_is_durable`'s.
    fn accepted(&self, key: &Key, id: &str, bodies: &[RequestBody], at: u64) -> Result<(), Violation> {
        let Some(taken) = self.taken.get(id) else { return Ok(()) };
        let client = &key.0;
        let why = match &taken.by {
            Some(by) if by != key => {
                format!("{client} was told that {id} is its request {}, it is {} of {}", key.1, by.1, by.0)
            }
            _ if !bodies.iter().any(|body| Terms::asked(body).as_ref() == Some(&taken.terms)) => {
                format!("{client} asked for {bodies:?}, taken in as {id} was something else")
            }
            _ => return Ok(()),
        };
        Err(Violation::new(why).about([id, client]).seen_at([taken.at, at]))
    }

    fn refused(&self, key: &Key, code: &str, at: u64) -> Result<(), Violation> {
        let (client, request) = key;
        if code == KEY_REUSED {
            let why =
                format!("{client} was told that it had used key {request} for something else, and had not");
            return Err(Violation::new(why).about([client]).seen_at([at]));
        }
        let Some(id) = self.taken_as.get(key) else { return Ok(()) };
        match self.taken.get(id) {
            Some(taken) if !taken.is_refused => {
                let why =
                    format!("{client} was told that {request} is refused ({code}), it was taken in as {id}");
                Err(Violation::new(why).about([id, client]).seen_at([taken.at, at]))
            }
            _ => Ok(()),
        }
    }
}

impl Invariant for AnswersAreTrue {
    fn name(&self) -> &'static str {
        "answers_are_true"
    }

    fn about(&self) -> &'static str {
        "A request becomes one trade or withdrawal at most, of the terms that were asked for; its client is told \
         so, and nobody else. It breaks when two clients share a key, a key is forgotten, or a commit of \
         unknown outcome is told as refused."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed, FactKind::Request, FactKind::Answer]
    }

    fn fork(&self) -> Option<Box<dyn Invariant>> {
        Some(Box::new(self.clone()))
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        match record.fact {
            Fact::Request(request) => {
                self.asks(request);
                Verdict::Holds
            }
            Fact::Answer(answer) => self.answered(answer, record.sequence).into(),
            fact => self.stored(fact, record.sequence).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::TradeRefused;

    use super::*;
    use crate::testing::{
        Commit, accepted, answered, asked, asks_trade, breaks, history, holds, received, settled,
    };

    fn asks(client: &str) -> Fact {
        asked(client, "k", 1, asks_trade())
    }

    fn eleven() -> RequestBody {
        let RequestBody::Trade { instrument, buyer, seller, price, .. } = asks_trade() else {
            unreachable!("it is a trade")
        };
        RequestBody::Trade { instrument, buyer, seller, price, quantity: "11".to_owned() }
    }

    fn taken(id: &str, client: &str) -> Commit {
        Commit::by("trade")
            .event(&format!("trade/{id}"), received(id))
            .caused_by(&format!("request/{client} POST /trades/k"))
    }

    fn refusal(status: u16, code: &str) -> Fact {
        answered("c", "k", Outcome::Rejected { status, code: code.to_owned() })
    }

    #[test]
    fn holds_when_the_client_gets_its_own() {
        let told = history![asks("c"), taken("T-1", "c"), accepted("c", "k", "T-1")];
        holds(AnswersAreTrue::default(), told);
    }

    #[test]
    fn holds_when_the_same_is_asked_again_and_answered_late() {
        let told = history![
            asks("c"),
            asks("c"),
            taken("T-1", "c"),
            asked("c", "k", 2, asks_trade()),
            settled("T-1"),
            accepted("c", "k", "T-1"),
            accepted("c", "k", "T-1"),
        ];
        holds(AnswersAreTrue::default(), told);
    }

    #[test]
    fn holds_when_the_answer_is_unknown_or_the_edge_refused_another_attempt() {
        let told = history![asks("c"), taken("T-1", "c"), answered("c", "k", Outcome::Unknown)];
        holds(AnswersAreTrue::default(), told);
        // Two equal requests: one was taken, the other one too many.
        for status in [401, 403, 429] {
            holds(
                AnswersAreTrue::default(),
                history![asks("c"), taken("T-1", "c"), refusal(status, "limit")],
            );
        }
    }

    #[test]
    fn holds_when_a_refusal_is_one() {
        let refused = trade_stored::Event::Refused(TradeRefused::default());
        let taken = taken("T-1", "c").version(2, "trade/T-1", refused);
        holds(AnswersAreTrue::default(), history![asks("c"), taken, refusal(422, "price-off-tick")]);
        let reused = asked("c", "k", 1, eleven());
        let told = history![asks("c"), taken_by_c(), reused, refusal(422, KEY_REUSED)];
        holds(AnswersAreTrue::default(), told);
    }

    fn taken_by_c() -> Commit {
        taken("T-1", "c")
    }

    #[test]
    fn breaks_when_something_else_is_taken_in() {
        let told = history![asked("c", "k", 1, eleven()), taken("T-1", "c"), accepted("c", "k", "T-1")];
        breaks(AnswersAreTrue::default(), told, "taken in as T-1 was something else");
    }

    #[test]
    fn breaks_when_two_clients_share_a_key() {
        let told = history![asks("c"), taken("T-1", "c"), asks("d"), accepted("d", "k", "T-1")];
        breaks(AnswersAreTrue::default(), told, "d was told that T-1 is its request k, it is k of c");
        let told =
            history![asked("d", "k", 1, eleven()), taken("T-1", "d"), asks("c"), refusal(422, KEY_REUSED)];
        breaks(AnswersAreTrue::default(), told, "c was told that it had used key k for something else");
    }

    #[test]
    fn breaks_when_a_key_is_forgotten() {
        let told = history![asks("c"), taken("T-1", "c"), taken("T-2", "c")];
        breaks(AnswersAreTrue::default(), told, "request k of c is taken in as T-1 and as T-2");
    }

    #[test]
    fn breaks_when_a_commit_is_told_as_refused() {
        let told = history![asks("c"), taken("T-1", "c"), refusal(409, "failed")];
        breaks(
            AnswersAreTrue::default(),
            told,
            "c was told that k is refused (failed), it was taken in as T-1",
        );
    }
}
