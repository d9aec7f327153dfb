//! Why the bank does not execute an order: external status reason codes of ISO 20022.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// AC01: debtor or creditor has no account here.
    IncorrectAccount,
    /// AC04: an account was closed.
    ClosedAccount,
    /// AC06: an account is blocked.
    BlockedAccount,
    /// AG01: the same account on both sides.
    TransactionForbidden,
    /// AM04: the debtor has less.
    InsufficientFunds,
    /// MS03: the bank does not say.
    NotSpecified,
    /// RR04: regulation forbids it.
    Regulatory,
    /// TM01: after the cut-off, or past the end of its validity.
    InvalidCutOffTime,
}

/// No reason has this code.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{0}` is not a reason of the bank; it has {codes}", codes = Reason::codes())]
pub struct UnknownReason(pub String);

impl Reason {
    pub const ALL: [Self; 8] = [
        Self::IncorrectAccount,
        Self::ClosedAccount,
        Self::BlockedAccount,
        Self::TransactionForbidden,
        Self::InsufficientFunds,
        Self::NotSpecified,
        Self::Regulatory,
        Self::InvalidCutOffTime,
    ];

    pub fn code(self) -> &'static str {
        match self {
            Self::IncorrectAccount => "AC01",
            Self::ClosedAccount => "AC04",
            Self::BlockedAccount => "AC06",
            Self::TransactionForbidden => "AG01",
            Self::InsufficientFunds => "AM04",
            Self::NotSpecified => "MS03",
            Self::Regulatory => "RR04",
            Self::InvalidCutOffTime => "TM01",
        }
    }

    fn codes() -> String {
        Self::ALL.map(Self::code).join(", ")
    }
}

impl FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(code: &str) -> Result<Self, UnknownReason> {
        let known = Self::ALL.into_iter().find(|reason| reason.code() == code);
        known.ok_or_else(|| UnknownReason(code.to_owned()))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}
