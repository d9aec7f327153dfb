//! Which requests, messages and bookings a trouble is about.

use bytes::Bytes;
use http::Request;
use invariants::fact::{BankKind, BankMovement};
use serde::Serialize;

use super::{Contradiction, Hits, Trouble};
use crate::party::{Post, route};

/// Requests that a party gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Requests {
    All,
    /// Payments and payouts, to the bank.
    Instructions,
    /// What became of a payment or payout; what state a trade date is in.
    Queries,
    /// The bank's statement.
    Statements,
    /// Paid in at the bank.
    Deposits,
    /// For a token, from the identity provider.
    Tokens,
    /// For the identity provider's keys.
    Keys,
    /// Whose path begins like this: `/hooks/P01` is one participant's webhook.
    Under(String),
}

/// Messages that a party sends of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Messages {
    All,
    /// The bank's credit notices.
    Notices,
    /// The venue's.
    Open,
    Close,
    EndOfDay,
}

impl Requests {
    pub(super) fn include(&self, request: &Request<Bytes>) -> bool {
        let (method, path) = route(request);
        match self {
            Self::All => true,
            Self::Under(start) => request.uri().path().starts_with(start),
            Self::Instructions => matches!((method, path.as_slice()), ("POST", ["payments" | "payouts"])),
            Self::Queries => {
                matches!((method, path.as_slice()), ("GET", ["payments", _] | [.., "trade-dates", _]))
            }
            Self::Statements => matches!((method, path.as_slice()), ("GET", ["statement"])),
            Self::Deposits => matches!((method, path.as_slice()), ("POST", ["deposits"])),
            Self::Tokens => matches!((method, path.as_slice()), ("POST", ["token"])),
            Self::Keys => matches!((method, path.as_slice()), ("GET", [".well-known", _])),
        }
    }
}

impl Messages {
    fn include(self, post: &Post) -> bool {
        let last = post.key.rsplit('/').next();
        match self {
            Self::All => true,
            Self::Notices => post.request.uri().path().ends_with("/notices"),
            Self::Open => last == Some("open"),
            Self::Close => last == Some("close"),
            Self::EndOfDay => last == Some("endOfDay"),
        }
    }
}

impl Trouble {
    /// How often it hits such a request, if it is about it.
    pub(super) fn on_request(&self, request: &Request<Bytes>) -> Option<Hits> {
        let (of, hits) = match self {
            Self::Down { .. } => (&Requests::All, Hits::ALL),
            Self::Error { of, hits, .. }
            | Self::RequestLate { of, hits, .. }
            | Self::RequestLost { of, hits }
            | Self::AckLate { of, hits, .. }
            | Self::AckLost { of, hits }
            | Self::AckDuplicate { of, hits, .. } => (of, *hits),
            Self::Reject { hits, .. } | Self::Pending { hits, .. } | Self::DedupExpired { hits } => {
                (&Requests::Instructions, *hits)
            }
            Self::CutoffMissed { .. } => (&Requests::Instructions, Hits::ALL),
            Self::StatementMismatch { hits, .. } => (&Requests::Statements, *hits),
            Self::Contradict { hits, how } => match how {
                Contradiction::RefusedButExecuted | Contradiction::ExecutedButRefused => {
                    (&Requests::Instructions, *hits)
                }
                Contradiction::UnknownButTaken => (&Requests::Queries, *hits),
                Contradiction::RefusalAfterExecution { .. } | Contradiction::CreditAfterRefusal { .. } => {
                    return None;
                }
            },
            Self::MessageLate { .. }
            | Self::MessageLost { .. }
            | Self::MessageDoubled { .. }
            | Self::EndOfDayEarly { .. }
            | Self::KeysRotated { .. } => return None,
        };
        of.include(request).then_some(hits)
    }

    /// Whether the bank itself is asked to treat an order otherwise.
    pub(super) fn is_treatment(&self) -> bool {
        matches!(
            self,
            Self::Reject { .. }
                | Self::Pending { .. }
                | Self::CutoffMissed { .. }
                | Self::DedupExpired { .. }
        )
    }

    /// How often it hits such a message of the party, if it is about it.
    pub(super) fn on_message(&self, post: &Post) -> Option<Hits> {
        match self {
            Self::Down { .. } => Some(Hits::ALL),
            Self::MessageLate { of, hits, .. }
            | Self::MessageLost { of, hits }
            | Self::MessageDoubled { of, hits, .. } => of.include(post).then_some(*hits),
            _ => None,
        }
    }

    /// How often it hits such an execution or refusal of the bank, if it is about it.
    pub(super) fn on_booking(&self, moved: &BankMovement) -> Option<Hits> {
        let Self::Contradict { hits, how } = self else { return None };
        let contradicts = match how {
            Contradiction::RefusalAfterExecution { .. } => {
                matches!(moved.kind, BankKind::Executed | BankKind::PaidOut)
            }
            // Nobody gets a notice of a payout.
            Contradiction::CreditAfterRefusal { .. } => {
                moved.kind == BankKind::Refused && moved.creditor != model::AccountId::world().as_str()
            }
            _ => false,
        };
        (contradicts && !moved.uetr.is_empty()).then_some(*hits)
    }
}
