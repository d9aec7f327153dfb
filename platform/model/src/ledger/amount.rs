//! What an account can hold, and by how much a leg changes it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::arithmetic::ArithmeticError;
use crate::currency::Currency;
use crate::ids::{AccountId, InstrumentId};
use crate::money::Money;
use crate::quantity::SignedQuantity;

/// What is held: a currency or a security.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Asset {
    /// Cash, counted in minor units.
    Currency(Currency),
    /// A security, counted in shares.
    Instrument(InstrumentId),
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Currency(currency) => fmt::Display::fmt(currency, f),
            Self::Instrument(instrument) => fmt::Display::fmt(instrument, f),
        }
    }
}

/// A signed amount of one asset: positive is into the account, negative out of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Amount {
    /// Cash.
    Cash(Money),
    /// Whole shares.
    Shares {
        /// The security.
        instrument: InstrumentId,
        /// How many, signed.
        quantity: SignedQuantity,
    },
}

impl Amount {
    /// Nothing, of an asset.
    pub fn zero(asset: &Asset) -> Self {
        match asset {
            Asset::Currency(currency) => Self::Cash(Money::zero(*currency)),
            Asset::Instrument(instrument) => {
                Self::Shares { instrument: instrument.clone(), quantity: SignedQuantity::ZERO }
            }
        }
    }

    /// What it is an amount of.
    pub fn asset(&self) -> Asset {
        match self {
            Self::Cash(money) => Asset::Currency(money.currency()),
            Self::Shares { instrument, .. } => Asset::Instrument(instrument.clone()),
        }
    }

    /// Minor units of cash, or shares: wide enough to sum without overflow.
    pub fn units(&self) -> i128 {
        match self {
            Self::Cash(money) => money.minor(),
            Self::Shares { quantity, .. } => quantity.get().into(),
        }
    }

    /// Whether it is nothing.
    pub fn is_zero(&self) -> bool {
        self.units() == 0
    }

    /// The sum.
    ///
    /// # Errors
    /// `AssetMismatch`, `CurrencyMismatch` or `Overflow`.
    pub fn checked_add(&self, other: &Self) -> Result<Self, ArithmeticError> {
        match (self, other) {
            (Self::Cash(left), Self::Cash(right)) => left.checked_add(*right).map(Self::Cash),
            (
                Self::Shares { instrument, quantity },
                Self::Shares { instrument: other_instrument, quantity: other_quantity },
            ) if instrument == other_instrument => {
                let quantity = quantity.checked_add(*other_quantity)?;
                Ok(Self::Shares { instrument: instrument.clone(), quantity })
            }
            _ => Err(ArithmeticError::AssetMismatch),
        }
    }

    /// The opposite amount.
    ///
    /// # Errors
    /// `Overflow` for `i64::MIN` shares, which has no opposite.
    pub fn checked_neg(&self) -> Result<Self, ArithmeticError> {
        Ok(match self {
            Self::Cash(money) => Self::Cash(-*money),
            Self::Shares { instrument, quantity } => {
                Self::Shares { instrument: instrument.clone(), quantity: quantity.checked_neg()? }
            }
        })
    }
}

/// `-12.50 USD`, `100 ACME`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cash(money) => write!(f, "{money}"),
            Self::Shares { instrument, quantity } => write!(f, "{quantity} {instrument}"),
        }
    }
}

/// One line of an entry: an account and what it gains or loses.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leg {
    /// Whose balance changes.
    pub account: AccountId,
    /// By how much.
    pub amount: Amount,
}

impl Leg {
    /// A movement of cash.
    pub fn cash(account: AccountId, amount: Money) -> Self {
        Self { account, amount: Amount::Cash(amount) }
    }

    /// A movement of shares.
    pub fn shares(account: AccountId, instrument: InstrumentId, quantity: SignedQuantity) -> Self {
        Self { account, amount: Amount::Shares { instrument, quantity } }
    }

    /// The leg that undoes this one.
    ///
    /// # Errors
    /// `Overflow`, see [`Amount::checked_neg`].
    pub fn checked_neg(&self) -> Result<Self, ArithmeticError> {
        Ok(Self { account: self.account.clone(), amount: self.amount.checked_neg()? })
    }
}
