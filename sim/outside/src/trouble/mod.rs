//! What goes wrong with the parties outside the platform: troubles, which a fault engine begins and ends, and the
//! decorator that makes a [`Party`](crate::Party) suffer them.
//!
//! A trouble changes what is seen of a party, never what its books say: whatever it executes, refuses or takes
//! is told as a fact as it was. Where a trouble is about the books themselves (a refusal, a held order, an early
//! end of day, a new key) the party is asked to do it, and its books then have it. `README.md` has the table of
//! all troubles, with what they fake and what is left out.
//!
//! | file | holds |
//! |---|---|
//! | here | the troubles, as plain data |
//! | `concern` | which requests and messages a trouble is about |
//! | `handle` | [`Troubles`], which engine and decorator share |
//! | `troubled` | [`Troubled`], the decorator |
//! | `requests` | requests on their way in and answers on their way back |
//! | `messages` | what the party sends of its own accord |
//! | `bank` | the bank's answers, statements and notices, told otherwise than they were |

mod bank;
mod concern;
mod handle;
mod messages;
mod requests;
#[cfg(test)]
mod tests;
mod troubled;

use std::time::Duration;

use model::Timestamp;
use serde::Serialize;

pub use self::concern::{Messages, Requests};
pub use self::handle::Troubles;
pub use self::troubled::Troubled;
use crate::bank::Reason;
use crate::draw::Span;

/// How often a trouble hits what it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hits {
    /// By these odds, in parts per million.
    Ppm(u32),
    /// Every n-th since it began, without a draw.
    Every(u32),
}

impl Hits {
    pub const ALL: Self = Self::Every(1);
}

/// Something that goes wrong with a party while it is active. Named after the rails' own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Trouble {
    /// Nothing reaches the party, and no message of its own leaves. What it does by itself goes on.
    Down { how: Outage },
    /// Answered with an error of the server; `done`: after the party has done it.
    Error { of: Requests, hits: Hits, status: u16, done: bool },
    /// Reaches the party so much later, when nobody waits for an answer any more.
    RequestLate { of: Requests, hits: Hits, by: Span },
    /// Never reaches the party, and is not answered.
    RequestLost { of: Requests, hits: Hits },
    /// Done at once and answered so much later, perhaps after the caller's time-out and its query.
    AckLate { of: Requests, hits: Hits, by: Span },
    /// Done and not answered.
    AckLost { of: Requests, hits: Hits },
    /// Done and answered; so much later the rail delivers the same request again, and a credit that it
    /// brought is told by one more notice.
    AckDuplicate { of: Requests, hits: Hits, after: Span },
    /// The bank refuses, for good, a new order that it would have taken.
    Reject { hits: Hits, reason: Reason },
    /// The bank takes a new order as pending, for so long.
    Pending { hits: Hits, lasts: Span },
    /// The bank's day is over: new orders are not executed. What it had taken as pending before still is.
    CutoffMissed { how: Cutoff },
    /// The bank has forgotten the order's UETR, as after its deduplication window: it executes it again.
    DedupExpired { hits: Hits },
    /// The bank says the opposite of what its books have.
    Contradict { hits: Hits, how: Contradiction },
    /// One line of a statement is wrong. It is right in later ones.
    StatementMismatch { hits: Hits, how: Mismatch },
    /// A message of the party leaves so much later; it is not repeated meanwhile.
    MessageLate { of: Messages, hits: Hits, by: Span },
    /// A message never leaves, and is not repeated.
    MessageLost { of: Messages, hits: Hits },
    /// A message leaves again so much later; `new_key`: under another idempotency key.
    MessageDoubled { of: Messages, hits: Hits, after: Span, new_key: bool },
    /// The venue ends its trade dates so long before the close of their sessions.
    EndOfDayEarly {
        #[serde(serialize_with = "as_text")]
        before_close: Duration,
    },
    /// When it begins, the identity provider signs with a new key, and publishes the old one for so long still.
    KeysRotated {
        #[serde(serialize_with = "as_text")]
        old_for: Duration,
    },
}

/// How a party that is down looks from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outage {
    /// 503
    Unavailable,
    /// The caller sees its own time-out.
    Silent,
}

/// What becomes of an order that comes after the bank's cut-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cutoff {
    /// Refused, with TM01.
    Refused,
    /// Pending until then; it still counts as arrived when it did.
    Pending { reopens: Timestamp },
}

/// How the bank contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contradiction {
    /// Answers RJCT to an instruction that it has executed; query and statement have the execution.
    RefusedButExecuted,
    /// Answers ACSC to an instruction that it has refused. A platform that believes executions at once, as ours
    /// does, cannot survive this.
    ExecutedButRefused,
    /// Answers a query as if it knew nothing. Harmless only while the order is still valid.
    UnknownButTaken,
    /// Tells by a notice that an order was refused, so long after it has executed it.
    RefusalAfterExecution { after: Span },
    /// Tells by a notice of the credit of a payment, so long after it has refused it. If that comes before the
    /// platform has asked, it is the first definite answer and will be believed.
    CreditAfterRefusal { after: Span },
}

/// What is wrong with the line of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mismatch {
    Missing,
    Doubled,
    /// A cent more.
    Amount,
}

impl Trouble {
    /// As scenarios name it.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Down { .. } => "down",
            Self::Error { .. } => "error",
            Self::RequestLate { .. } => "request-late",
            Self::RequestLost { .. } => "request-lost",
            Self::AckLate { .. } => "ack-late",
            Self::AckLost { .. } => "ack-lost",
            Self::AckDuplicate { .. } => "ack-duplicate",
            Self::Reject { .. } => "reject",
            Self::Pending { .. } => "pending",
            Self::CutoffMissed { .. } => "cutoff-missed",
            Self::DedupExpired { .. } => "dedup-expired",
            Self::Contradict { .. } => "contradict",
            Self::StatementMismatch { .. } => "statement-mismatch",
            Self::MessageLate { .. } => "message-late",
            Self::MessageLost { .. } => "message-lost",
            Self::MessageDoubled { .. } => "message-doubled",
            Self::EndOfDayEarly { .. } => "end-of-day-early",
            Self::KeysRotated { .. } => "keys-rotated",
        }
    }

    /// The parties, by the names of their nodes, to which it can happen.
    pub fn parties(&self) -> &'static [&'static str] {
        match self {
            Self::Down { .. }
            | Self::Error { .. }
            | Self::RequestLate { .. }
            | Self::RequestLost { .. }
            | Self::AckLate { .. }
            | Self::AckLost { .. }
            | Self::AckDuplicate { .. } => &["bank", "identity", "venue", "webhooks"],
            Self::Reject { .. }
            | Self::Pending { .. }
            | Self::CutoffMissed { .. }
            | Self::DedupExpired { .. }
            | Self::Contradict { .. }
            | Self::StatementMismatch { .. } => &["bank"],
            Self::MessageLate { .. } | Self::MessageLost { .. } | Self::MessageDoubled { .. } => {
                &["bank", "venue"]
            }
            Self::EndOfDayEarly { .. } => &["venue"],
            Self::KeysRotated { .. } => &["identity"],
        }
    }
}

fn as_text<S: serde::Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    scenario::TimeSpan(*length).serialize(serializer)
}
