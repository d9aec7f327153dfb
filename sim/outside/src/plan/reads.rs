//! Reads in between: now and then a client looks up what came of a trade, and the operator looks at the whole.

use jiff::SignedDuration;
use model::Date;

use super::operation::{Ask, Intent, Operation};
use super::world::OPERATOR;
use crate::draw::{Draw, pick};

/// Odds that a submission is followed by a read: rare, because reads prove little by themselves.
const READ_PPM: u32 = 10_000;
/// From the submission to the read, in milliseconds.
const AFTER_MS: (u64, u64) = (500, 120_000);

#[derive(Clone, Copy)]
enum Subject {
    Position,
    Trades,
    Settlements,
    TrialBalance,
}

const SUBJECTS: [Subject; 4] =
    [Subject::Position, Subject::Trades, Subject::Settlements, Subject::TrialBalance];

/// A read that follows a submission for `account`, one of the client's own.
pub(super) fn after(
    submission: &Operation,
    account: &str,
    date: Date,
    draw: &mut dyn Draw,
) -> Option<Operation> {
    let hits = draw.odds_ppm(READ_PPM);
    let subject = *pick(draw, &SUBJECTS);
    let after_ms = i64::try_from(draw.between(AFTER_MS.0, AFTER_MS.1)).expect("minutes");
    let client = submission.client.clone();
    let (client, path) = match subject {
        Subject::Position => (client, format!("/api/v1/positions/{account}")),
        Subject::Trades => (client, format!("/api/v1/trades?account={account}&date={date}")),
        Subject::Settlements => (OPERATOR.to_owned(), format!("/api/v1/settlements/{date}")),
        Subject::TrialBalance => (OPERATOR.to_owned(), "/api/v1/ledger/trial-balance".to_owned()),
    };
    hits.then(|| Operation {
        at: submission.at + SignedDuration::from_millis(after_ms),
        client,
        key: format!("{}-read", submission.key),
        intent: Intent::Ordinary,
        ask: Ask::Get { path },
    })
}
