//! Marks of a trade's life, as trade and position store it.

use std::collections::{BTreeMap, BTreeSet};

use contracts::events::{RejectReason, TradeState, position_stored, trade_stored};

use super::{Mark, follow, when};
use crate::fact::{Outcome, RequestBody};
use crate::read::{position, subject, trade};
use crate::{Fact, FactKind, Record};

const COMMITS: &[FactKind] = &[FactKind::Committed];
const COMMITS_AND_CLIENTS: &[FactKind] = &[FactKind::Committed, FactKind::Request, FactKind::Answer];

pub fn marks() -> Vec<Box<dyn Mark>> {
    vec![
        follow(
            "trade:duplicate_answered",
            "A client asked for a trade again after it was taken, and was answered its id.",
            COMMITS_AND_CLIENTS,
            duplicate_answered,
        ),
        when!("trade:failed", "A trade ended as FAILED.", COMMITS, |record| reaches(
            record,
            TradeState::Failed
        )),
        when!("trade:rejected_by_form", "A trade was refused for its form.", COMMITS, |record| {
            use RejectReason::{BadPrice, BadQuantity, SameAccount};
            refused(record, |reason| matches!(reason, BadPrice | BadQuantity | SameAccount))
        }),
        when!(
            "trade:rejected_by_position",
            "Position refused a trade, for the seller lacks the shares.",
            COMMITS,
            |record| {
                position(record.fact).any(|(_, event)| matches!(event, position_stored::Event::Refused(_)))
            }
        ),
        when!("trade:rejected_by_tick", "A trade was refused for a price off the tick.", COMMITS, |record| {
            refused(record, |reason| reason == RejectReason::PriceOffTick)
        }),
        when!(
            "trade:rejected_by_reference_data",
            "A trade was refused for an unknown instrument or account.",
            COMMITS,
            |record| {
                refused(record, |reason| {
                    matches!(reason, RejectReason::UnknownInstrument | RejectReason::UnknownAccount)
                })
            }
        ),
        when!("trade:settled", "A trade ended as SETTLED.", COMMITS, |record| reaches(
            record,
            TradeState::Settled
        )),
        follow(
            "trade:waited_for_reference_data",
            "A trade that waited for reference data was accepted.",
            COMMITS,
            waited_for_reference_data,
        ),
    ]
}

fn reaches(record: &Record<'_>, state: TradeState) -> bool {
    trade(record.fact).any(
        |(_, event)| matches!(event, trade_stored::Event::Advanced(advanced) if advanced.state() == state),
    )
}

fn refused(record: &Record<'_>, because: fn(RejectReason) -> bool) -> bool {
    trade(record.fact)
        .any(|(_, event)| matches!(event, trade_stored::Event::Refused(refused) if because(refused.reason())))
}

fn waited_for_reference_data(waiting: &mut BTreeSet<String>, record: &Record<'_>) -> bool {
    trade(record.fact).any(|(row, event)| match event {
        trade_stored::Event::Received(received) if received.waits_until_ms > 0 => {
            waiting.insert(subject(&row.stream).to_owned());
            false
        }
        trade_stored::Event::Accepted(_) => waiting.contains(subject(&row.stream)),
        _ => false,
    })
}

#[derive(Default)]
struct Askings {
    /// Trades by the record that took them in.
    taken: BTreeMap<String, u64>,
    /// By client and idempotency key: how often it was asked, and the record of the latest.
    asked: BTreeMap<(String, String), (u32, u64)>,
}

/// The second asking came after the trade was taken in, and the answer names that trade.
fn duplicate_answered(askings: &mut Askings, record: &Record<'_>) -> bool {
    for (row, event) in trade(record.fact) {
        if matches!(event, trade_stored::Event::Received(_)) {
            askings.taken.insert(subject(&row.stream).to_owned(), record.sequence);
        }
    }
    match record.fact {
        Fact::Request(request) if matches!(request.body, RequestBody::Trade { .. }) => {
            let key = (request.client.clone(), request.idempotency_key.clone());
            let (times, latest) = askings.asked.entry(key).or_default();
            (*times, *latest) = (*times + 1, record.sequence);
            false
        }
        Fact::Answer(answer) => {
            let Outcome::Accepted { id } = &answer.outcome else { return false };
            let asked = askings.asked.get(&(answer.client.clone(), answer.idempotency_key.clone()));
            let taken = askings.taken.get(id);
            asked.zip(taken).is_some_and(|((times, latest), taken)| *times > 1 && taken < latest)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::{TradeReceived, TradeRefused};

    use super::super::check;
    use super::*;
    use crate::testing::{Commit, accepted, advanced, asked, asks_trade, history, received, taken};

    fn stored(event: trade_stored::Event) -> Commit {
        Commit::by("trade").event("trade/T-1", event)
    }

    fn refused(reason: RejectReason) -> Commit {
        stored(trade_stored::Event::Refused(TradeRefused {
            reason: reason.into(),
            ..TradeRefused::default()
        }))
    }

    #[test]
    fn trades_end() {
        check("trade:settled", history![stored(advanced(TradeState::Settled, TradeState::Settled))], true);
        check("trade:settled", history![stored(advanced(TradeState::Settled, TradeState::Failed))], false);
        check("trade:failed", history![stored(advanced(TradeState::Failed, TradeState::Failed))], true);
        check("trade:rejected_by_tick", history![refused(RejectReason::PriceOffTick)], true);
        check("trade:rejected_by_tick", history![refused(RejectReason::BadPrice)], false);
        check("trade:rejected_by_form", history![refused(RejectReason::BadQuantity)], true);
        check("trade:rejected_by_reference_data", history![refused(RejectReason::UnknownAccount)], true);
        let by_position = position_stored::Event::Refused(Default::default());
        check(
            "trade:rejected_by_position",
            history![Commit::by("position").event("account/S", by_position)],
            true,
        );
    }

    #[test]
    fn a_duplicate_is_asked_after_the_trade_was_taken() {
        let mark = "trade:duplicate_answered";
        let ask = |attempt| asked("c", "k", attempt, asks_trade());
        let took = || stored(received("T-1"));
        check(mark, history![ask(1), took(), ask(2), accepted("c", "k", "T-1")], true);
        check(mark, history![ask(1), ask(2), took(), accepted("c", "k", "T-1")], false);
        check(mark, history![ask(1), took(), accepted("c", "k", "T-1")], false);
        check(
            mark,
            history![ask(1), took(), accepted("c", "k", "T-1"), ask(2), accepted("c", "k", "T-1")],
            true,
        );
    }

    #[test]
    fn a_trade_may_wait_for_reference_data() {
        let waits = TradeReceived { waits_until_ms: 1, ..TradeReceived::default() };
        let told = history![stored(trade_stored::Event::Received(waits)), stored(taken())];
        check("trade:waited_for_reference_data", told, true);
        check("trade:waited_for_reference_data", history![stored(received("T-1")), stored(taken())], false);
    }
}
