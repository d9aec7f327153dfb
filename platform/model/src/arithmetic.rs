//! What arithmetic and text can get wrong about an amount, one variant per reason.
//!
//! No amount in this crate wraps, saturates or rounds: an operation gives the exact result or one of
//! these errors.
//!
//! | operation | result | refused when |
//! |---|---|---|
//! | `Money ± Money` | `Money` | currencies differ, too large |
//! | `Money` compared with `Money` | `Ordering` | currencies differ |
//! | `-Money`, `\|Money\|` | `Money` | never |
//! | `Quantity + Quantity` | `Quantity` | above `u64` |
//! | `Quantity - Quantity` | `Quantity` | it would be negative |
//! | `Quantity` as a movement, in or out | `SignedQuantity` | above `i64` |
//! | `SignedQuantity ± SignedQuantity`, `-SignedQuantity` | `SignedQuantity` | outside `i64` |
//! | `Price × Quantity` | `Money` | not a whole number of minor units, too large |
//! | `Price` on a tick | `bool` | never |
//!
//! Deliberately absent: money times money, money times a fraction (it needs a rounding rule, which
//! belongs to the contract that asks for it), price plus price, and `<` on money.

use thiserror::Error;

use crate::currency::Currency;

/// Why an operation on amounts has no exact result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ArithmeticError {
    /// The result is larger than its type holds.
    #[error("the result is too large")]
    Overflow,
    /// A count of shares would fall below zero.
    #[error("the result would be negative")]
    Negative,
    /// Amounts of two currencies have no sum and no order.
    #[error("amounts in {left} and {right} do not combine")]
    CurrencyMismatch {
        /// The currency of the left operand.
        left: Currency,
        /// The currency of the right operand.
        right: Currency,
    },
    /// Amounts of two assets have no sum.
    #[error("amounts of two different assets do not combine")]
    AssetMismatch,
    /// The exact value lies between two minor units of the currency.
    #[error("the exact value is not a whole number of minor units of {currency}")]
    FractionOfMinorUnit {
        /// The currency that cannot express the value.
        currency: Currency,
    },
}

/// Why a number or a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AmountError {
    /// The text is not `-?digits(.digits)?`.
    #[error("`{text}` is not a plain decimal number")]
    NotADecimal {
        /// The text as it was given.
        text: String,
    },
    /// The text is not a whole number of shares.
    #[error("`{text}` is not a whole number in range")]
    NotAWholeNumber {
        /// The text as it was given.
        text: String,
    },
    /// More decimals than the currency's minor unit, or the finest price, has.
    #[error("at most {allowed} decimals are allowed")]
    TooManyDecimals {
        /// How many decimals the type allows.
        allowed: u32,
    },
    /// More digits than an amount holds.
    #[error("the number is too large")]
    TooLarge,
    /// A price is above zero.
    #[error("a price must be above zero")]
    NotPositive,
    /// The text names no currency: it should read like `12.34 USD`.
    #[error("`{text}` names no currency, as `12.34 USD` does")]
    MissingCurrency {
        /// The text as it was given.
        text: String,
    },
    /// A three-letter code that the platform does not settle in.
    #[error("`{code}` is not a known currency")]
    UnknownCurrency {
        /// The code as it was given.
        code: String,
    },
}
