//! Identifiers: checked text, cheap to clone, one type per thing that is named.
//!
//! An id crosses topics, databases, URLs and logs, so its alphabet is the one all of them pass unquoted.
//! Ids are compared and ordered as text. How an id is made from a business key is in
//! [`mod@crate::hash_id`].

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use thiserror::Error;

use crate::text::serde_as_text;

/// The longest id, in bytes.
pub const ID_LEN_MAX: usize = 64;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdError {
    /// No characters at all.
    #[error("an id must not be empty")]
    Empty,
    /// Longer than [`ID_LEN_MAX`].
    #[error("an id has at most {ID_LEN_MAX} characters, this one has {len}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A character outside `A-Z a-z 0-9 . _ -`.
    #[error("`{character}` at position {position} is not allowed in an id")]
    Character {
        /// The first one that is not allowed.
        character: char,
        /// Its byte position, from zero.
        position: usize,
    },
    /// Not the lower-case text of a version 4 UUID.
    #[error("`{text}` is not a UETR: a version 4 UUID in lower case")]
    NotAUetr {
        /// The text as it was given.
        text: String,
    },
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks a text and takes a copy of it.
            ///
            /// # Errors
            /// A variant of [`IdError`] per reason.
            pub fn new(text: &str) -> Result<Self, IdError> {
                $check(text)?;
                Ok(Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        serde_as_text!($name);
    };
}

id! {
    /// A trade, from its submission to its end.
    TradeId, check_text
}
id! {
    /// An account that holds cash and shares; also the house accounts of the ledger.
    AccountId, check_text
}
id! {
    /// A security.
    InstrumentId, check_text
}
id! {
    /// A member of the venue, the owner of accounts.
    ParticipantId, check_text
}
id! {
    /// A venue, by its market identifier code (ISO 10383), such as `XNYS`.
    VenueId, check_text
}
id! {
    /// One of the payments that settle an obligation; each attempt at it has its own [`Uetr`].
    PaymentLegId, check_text
}
id! {
    /// A journal entry of the ledger.
    EntryId, check_text
}
id! {
    /// Unique end-to-end transaction reference: names one payment at every bank that touches it.
    ///
    /// A version 4 UUID in lower case (ISO 20022, `UUIDv4Identifier`).
    Uetr, check_uetr
}

static CCP: LazyLock<AccountId> = LazyLock::new(|| AccountId("CCP".into()));
static SUSPENSE: LazyLock<AccountId> = LazyLock::new(|| AccountId("SUSPENSE".into()));
static WORLD: LazyLock<AccountId> = LazyLock::new(|| AccountId("WORLD".into()));

impl AccountId {
    /// The central counterparty: buyer to every seller, seller to every buyer.
    pub fn ccp() -> Self {
        CCP.clone()
    }

    /// Holds what arrived and cannot be attributed yet.
    pub fn suspense() -> Self {
        SUSPENSE.clone()
    }

    /// The other side of everything that enters or leaves the platform: deposits, withdrawals, issuance.
    pub fn world() -> Self {
        WORLD.clone()
    }

    /// Whether it is one of the ledger's own accounts, which no participant may open.
    pub fn is_house(&self) -> bool {
        matches!(self.as_str(), "CCP" | "SUSPENSE" | "WORLD")
    }
}

pub(crate) fn warm_up() {
    LazyLock::force(&CCP);
    LazyLock::force(&SUSPENSE);
    LazyLock::force(&WORLD);
}

/// For ids that are made here and not read: a failure is a programmer's error.
pub(crate) fn checked<T>(id: Result<T, IdError>) -> T {
    id.expect("hex digits and hyphens make a valid id")
}

fn check_text(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    let allowed = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    if let Some((position, character)) = text.char_indices().find(|&(_, character)| !allowed(character)) {
        return Err(IdError::Character { character, position });
    }
    if text.len() > ID_LEN_MAX {
        return Err(IdError::TooLong { len: text.len() });
    }
    Ok(())
}

fn check_uetr(text: &str) -> Result<(), IdError> {
    let fits = |(position, byte): (usize, u8)| match position {
        8 | 13 | 18 | 23 => byte == b'-',
        14 => byte == b'4',
        19 => matches!(byte, b'8' | b'9' | b'a' | b'b'),
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    if text.len() == 36 && text.bytes().enumerate().all(fits) {
        return Ok(());
    }
    Err(IdError::NotAUetr { text: text.into() })
}
