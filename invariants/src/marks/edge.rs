//! Marks of what clients were answered at the edge.

use std::collections::BTreeSet;

use contracts::events::trade_stored;

use super::{Mark, follow, when};
use crate::fact::Outcome;
use crate::read::{request_of, trade};
use crate::{Fact, FactKind, Record};

const ANSWERS: &[FactKind] = &[FactKind::Answer];
const FAULTS_AND_CLIENTS: &[FactKind] = &[FactKind::Fault, FactKind::Request, FactKind::Answer];

/// How long a token is good for: what is asked later, after the keys have changed, comes under a token of the new ones.
const TOKEN_NS: i64 = 3_600_000_000_000;

pub fn marks() -> Vec<Box<dyn Mark>> {
    vec![
        follow(
            "edge:accepted_under_new_keys",
            "A request was accepted that was made when all tokens from before a rotation of keys had expired.",
            FAULTS_AND_CLIENTS,
            accepted_under_new_keys,
        ),
        when!("edge:bad_request", "A request was answered 400 or 422.", ANSWERS, |record| {
            status(record).is_some_and(|status| matches!(status, 400 | 422))
        }),
        when!(
            "edge:in_flight",
            "A request was answered 409: the same one was still in flight.",
            ANSWERS,
            |record| { status(record) == Some(409) }
        ),
        when!("edge:rate_limited", "A request was answered 429.", ANSWERS, |record| status(record)
            == Some(429)),
        when!("edge:retried", "A client sent a request again.", &[FactKind::Request], |record| {
            matches!(record.fact, Fact::Request(request) if request.attempt > 1)
        }),
        when!("edge:unauthorised", "A request was answered 401 or 403.", ANSWERS, |record| {
            status(record).is_some_and(|status| matches!(status, 401 | 403))
        }),
        follow(
            "edge:unknown_but_taken",
            "A client never learnt what became of its request, and it was taken in.",
            &[FactKind::Answer, FactKind::Committed],
            unknown_but_taken,
        ),
        when!("edge:unknown", "A client never learnt what became of its request.", ANSWERS, |record| {
            matches!(record.fact, Fact::Answer(answer) if answer.outcome == Outcome::Unknown)
        }),
    ]
}

/// Requests by client and key: unheard of by their clients, and taken in.
#[derive(Default)]
struct Requests {
    unknown: BTreeSet<(String, String)>,
    taken: BTreeSet<(String, String)>,
}

fn unknown_but_taken(requests: &mut Requests, record: &Record<'_>) -> bool {
    if let Fact::Answer(answer) = record.fact
        && answer.outcome == Outcome::Unknown
    {
        let key = (answer.client.clone(), answer.idempotency_key.clone());
        let is_taken = requests.taken.contains(&key);
        requests.unknown.insert(key);
        return is_taken;
    }
    let taken = trade(record.fact).filter(|(_, event)| matches!(event, trade_stored::Event::Received(_)));
    let keys = taken.filter_map(|(row, _)| request_of(&row.cause));
    keys.fold(false, |met, (client, key)| {
        let key = (client.to_owned(), key.to_owned());
        let met = met || requests.unknown.contains(&key);
        requests.taken.insert(key);
        met
    })
}

#[derive(Default)]
struct Keys {
    rotated_ns: Option<i64>,
    /// Requests, by client and key, that come under tokens of new keys.
    asked: BTreeSet<(String, String)>,
}

fn accepted_under_new_keys(keys: &mut Keys, record: &Record<'_>) -> bool {
    match record.fact {
        Fact::FaultBegan { action, .. } if action == "keys-rotated" => {
            keys.rotated_ns.get_or_insert(record.at_ns);
            false
        }
        Fact::Request(request) if keys.rotated_ns.is_some_and(|at| record.at_ns - at > TOKEN_NS) => {
            keys.asked.insert((request.client.clone(), request.idempotency_key.clone()));
            false
        }
        Fact::Answer(answer) => {
            let was_asked = keys.asked.remove(&(answer.client.clone(), answer.idempotency_key.clone()));
            was_asked && matches!(answer.outcome, Outcome::Accepted { .. })
        }
        _ => false,
    }
}

/// The status of a refusal.
fn status(record: &Record<'_>) -> Option<u16> {
    match record.fact {
        Fact::Answer(answer) => match answer.outcome {
            Outcome::Rejected { status, .. } => Some(status),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use crate::testing::{Commit, accepted, answered, asked, asks_trade, history, received};

    #[test]
    fn a_token_of_new_keys_is_accepted() {
        let mark = "edge:accepted_under_new_keys";
        let (action, target) = ("keys-rotated".to_owned(), "identity".to_owned());
        let rotated = || Fact::FaultBegan { id: 1, action: action.clone(), target: target.clone() };
        let ask = || asked("c", "k", 1, asks_trade());
        check(mark, history![rotated(), (TOKEN_NS + 1, ask()), accepted("c", "k", "T-1")], true);
        check(mark, history![rotated(), (TOKEN_NS, ask()), accepted("c", "k", "T-1")], false);
        check(mark, history![(TOKEN_NS + 1, ask()), accepted("c", "k", "T-1")], false);
        let refused = answered("c", "k", Outcome::Rejected { status: 401, code: String::new() });
        check(mark, history![rotated(), (TOKEN_NS + 1, ask()), refused], false);
    }

    #[test]
    fn answers_have_a_status() {
        for (mark, met, other) in [
            ("edge:bad_request", 422, 429),
            ("edge:in_flight", 409, 422),
            ("edge:rate_limited", 429, 400),
            ("edge:unauthorised", 403, 404),
        ] {
            let refused = |status| answered("c", "k", Outcome::Rejected { status, code: String::new() });
            check(mark, history![refused(other), accepted("c", "k", "T-1")], false);
            check(mark, history![refused(met)], true);
        }
        let taken =
            || Commit::by("trade").event("trade/T-1", received("T-1")).caused_by("request/c POST /trades/k");
        let unknown = || answered("c", "k", Outcome::Unknown);
        check("edge:unknown_but_taken", history![taken(), unknown()], true);
        check("edge:unknown_but_taken", history![unknown(), taken()], true);
        check("edge:unknown_but_taken", history![taken(), answered("c", "l", Outcome::Unknown)], false);
        check("edge:unknown", history![answered("c", "k", Outcome::Unknown)], true);
        check("edge:retried", history![asked("c", "k", 2, asks_trade())], true);
    }
}
