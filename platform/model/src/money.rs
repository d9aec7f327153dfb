//! Money: an exact amount of one currency, never finer than its minor unit.
//!
//! Used wherever cash moves or is owed. Arithmetic is checked and exact; the table of what is allowed is
//! in [`crate::arithmetic`]. Negative amounts are debts or outflows. There is no rounding here.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Neg;
use std::str::FromStr;

use rust_decimal::Decimal;

use crate::arithmetic::{AmountError, ArithmeticError};
use crate::currency::Currency;
use crate::text::{parse_decimal, serde_as_text};

/// An amount of one currency, a whole number of minor units.
///
/// Equal amounts have one representation (`1` and `1.00` dollars are both `1.00`, zero has no sign), so
/// equality, text and hashes agree. It is not `PartialOrd`: `<` across currencies would be false both
/// ways and say nothing; see [`Money::checked_cmp`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// Always at the currency's own scale.
    amount: Decimal,
    currency: Currency,
}

impl Money {
    /// Nothing, of a currency.
    pub fn zero(currency: Currency) -> Self {
        Self { amount: Decimal::new(0, currency.minor_units()), currency }
    }

    /// An amount in major units.
    ///
    /// # Errors
    /// `TooManyDecimals` if it is not a whole number of minor units, `TooLarge` above 96 bits of them.
    pub fn new(amount: Decimal, currency: Currency) -> Result<Self, AmountError> {
        let allowed = currency.minor_units();
        let amount = amount.normalize();
        let missing = allowed.checked_sub(amount.scale()).ok_or(AmountError::TooManyDecimals { allowed })?;
        let minor = 10_i128.checked_pow(missing).and_then(|unit| amount.mantissa().checked_mul(unit));
        minor.and_then(|minor| Self::from_minor(minor, currency).ok()).ok_or(AmountError::TooLarge)
    }

    /// An amount in minor units: cents, for dollars.
    ///
    /// # Errors
    /// `Overflow` above 96 bits.
    pub fn from_minor(minor: i128, currency: Currency) -> Result<Self, ArithmeticError> {
        let amount = Decimal::try_from_i128_with_scale(minor, currency.minor_units());
        Ok(Self { amount: amount.map_err(|_| ArithmeticError::Overflow)?, currency })
    }

    /// Reads an amount in major units such as `-1000000.00`, without the currency's code.
    ///
    /// # Errors
    /// `NotADecimal`, `TooManyDecimals` or `TooLarge`.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, AmountError> {
        Self::new(parse_decimal(text)?, currency)
    }

    /// The amount in major units, with all decimals of the minor unit.
    pub const fn amount(self) -> Decimal {
        self.amount
    }

    /// The amount in minor units.
    pub const fn minor(self) -> i128 {
        self.amount.mantissa()
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.minor() == 0
    }

    /// Whether it is below zero.
    pub const fn is_negative(self) -> bool {
        self.minor() < 0
    }

    /// Whether it is above zero.
    pub const fn is_positive(self) -> bool {
        self.minor() > 0
    }

    /// The sum.
    ///
    /// # Errors
    /// `CurrencyMismatch` or `Overflow`.
    pub fn checked_add(self, other: Self) -> Result<Self, ArithmeticError> {
        self.same_currency(other)?;
        // Not through Decimal's own sum: where that overflows it drops cents instead of failing.
        Self::from_minor(self.minor() + other.minor(), self.currency)
    }

    /// The difference.
    ///
    /// # Errors
    /// `CurrencyMismatch` or `Overflow`.
    pub fn checked_sub(self, other: Self) -> Result<Self, ArithmeticError> {
        self.checked_add(-other)
    }

    /// The order of two amounts.
    ///
    /// # Errors
    /// `CurrencyMismatch`.
    pub fn checked_cmp(self, other: Self) -> Result<Ordering, ArithmeticError> {
        self.same_currency(other)?;
        Ok(self.minor().cmp(&other.minor()))
    }

    /// The sum of any number of amounts, zero for none.
    ///
    /// # Errors
    /// `CurrencyMismatch` or `Overflow`.
    pub fn checked_sum(
        currency: Currency,
        amounts: impl IntoIterator<Item = Self>,
    ) -> Result<Self, ArithmeticError> {
        amounts.into_iter().try_fold(Self::zero(currency), Self::checked_add)
    }

    /// The amount without its sign.
    pub fn abs(self) -> Self {
        if self.is_negative() { -self } else { self }
    }

    fn same_currency(self, other: Self) -> Result<(), ArithmeticError> {
        if self.currency == other.currency {
            return Ok(());
        }
        Err(ArithmeticError::CurrencyMismatch { left: self.currency, right: other.currency })
    }
}

impl Neg for Money {
    type Output = Self;

    fn neg(self) -> Self {
        Self::from_minor(-self.minor(), self.currency).expect("the range of amounts is symmetric")
    }
}

/// `123.45 USD`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads `123.45 USD`: the number, one space, the code.
impl FromStr for Money {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (amount, code) =
            text.split_once(' ').ok_or_else(|| AmountError::MissingCurrency { text: text.into() })?;
        Self::parse(amount, code.parse()?)
    }
}

serde_as_text!(Money);
