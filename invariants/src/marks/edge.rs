//! Marks of what clients were answered at the edge.

use super::{Mark, when};
use crate::fact::Outcome;
use crate::{Fact, FactKind, Record};

const ANSWERS: &[FactKind] = &[FactKind::Answer];

pub fn marks() -> Vec<Box<dyn Mark>> {
    vec![
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
        when!("edge:unknown", "A client never learnt what became of its request.", ANSWERS, |record| {
            matches!(record.fact, Fact::Answer(answer) if answer.outcome == Outcome::Unknown)
        }),
    ]
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
    use crate::testing::{accepted, answered, asked, asks_trade, history};

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
        check("edge:unknown", history![answered("c", "k", Outcome::Unknown)], true);
        check("edge:retried", history![asked("c", "k", 2, asks_trade())], true);
    }
}
