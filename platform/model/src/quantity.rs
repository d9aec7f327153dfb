//! Quantities: whole shares held or traded, and signed movements of them.
//!
//! Fractional shares do not exist on the platform: what a corporate action leaves over is cash in lieu.
//! The table of what is allowed is in [`crate::arithmetic`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::arithmetic::{AmountError, ArithmeticError};

/// A number of shares, zero or more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quantity(u64);

impl Quantity {
    /// No shares.
    pub const ZERO: Self = Self(0);

    /// A number of shares.
    pub const fn new(shares: u64) -> Self {
        Self(shares)
    }

    /// The number of shares.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether it is no shares at all.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn checked_add(self, other: Self) -> Result<Self, ArithmeticError> {
        self.0.checked_add(other.0).map(Self).ok_or(ArithmeticError::Overflow)
    }

    /// The difference.
    ///
    /// # Errors
    /// `Negative` if `other` is larger.
    pub fn checked_sub(self, other: Self) -> Result<Self, ArithmeticError> {
        self.0.checked_sub(other.0).map(Self).ok_or(ArithmeticError::Negative)
    }

    /// The quantity after a movement.
    ///
    /// # Errors
    /// `Overflow` or `Negative`.
    pub fn checked_move(self, movement: SignedQuantity) -> Result<Self, ArithmeticError> {
        let magnitude = Self(movement.0.unsigned_abs());
        if movement.is_negative() { self.checked_sub(magnitude) } else { self.checked_add(magnitude) }
    }

    /// The sum of any number of quantities, zero for none.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn checked_sum(quantities: impl IntoIterator<Item = Self>) -> Result<Self, ArithmeticError> {
        quantities.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }

    /// As a movement into an account.
    ///
    /// # Errors
    /// `Overflow` above `i64::MAX`.
    pub fn incoming(self) -> Result<SignedQuantity, ArithmeticError> {
        i64::try_from(self.0).map(SignedQuantity).map_err(|_| ArithmeticError::Overflow)
    }

    /// As a movement out of an account.
    ///
    /// # Errors
    /// `Overflow` above `i64::MAX`.
    pub fn outgoing(self) -> Result<SignedQuantity, ArithmeticError> {
        self.incoming()?.checked_neg()
    }
}

/// A movement of shares, or a position that may be short: positive is into the account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignedQuantity(i64);

impl SignedQuantity {
    /// No movement.
    pub const ZERO: Self = Self(0);

    /// A signed number of shares.
    pub const fn new(shares: i64) -> Self {
        Self(shares)
    }

    /// The signed number of shares.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Whether nothing moves.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether shares leave.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// The sum.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn checked_add(self, other: Self) -> Result<Self, ArithmeticError> {
        self.0.checked_add(other.0).map(Self).ok_or(ArithmeticError::Overflow)
    }

    /// The difference.
    ///
    /// # Errors
    /// `Overflow`.
    pub fn checked_sub(self, other: Self) -> Result<Self, ArithmeticError> {
        self.0.checked_sub(other.0).map(Self).ok_or(ArithmeticError::Overflow)
    }

    /// The opposite movement.
    ///
    /// # Errors
    /// `Overflow` for `i64::MIN`, which has no opposite.
    pub fn checked_neg(self) -> Result<Self, ArithmeticError> {
        self.0.checked_neg().map(Self).ok_or(ArithmeticError::Overflow)
    }

    /// How many shares move, whichever way.
    pub const fn magnitude(self) -> Quantity {
        Quantity(self.0.unsigned_abs())
    }
}

macro_rules! whole_number_text {
    ($name:ident, $inner:ty) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        /// Reads decimal digits, without a plus sign.
        impl FromStr for $name {
            type Err = AmountError;

            fn from_str(text: &str) -> Result<Self, AmountError> {
                let number = if text.starts_with('+') { None } else { text.parse::<$inner>().ok() };
                number.map(Self).ok_or_else(|| AmountError::NotAWholeNumber { text: text.into() })
            }
        }
    };
}

whole_number_text!(Quantity, u64);
whole_number_text!(SignedQuantity, i64);
