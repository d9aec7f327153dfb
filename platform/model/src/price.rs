//! Prices: currency units per share, above zero, at most nine decimals.
//!
//! The finest price increment of US equities is $0.0001 (Regulation NMS, rule 612); nine decimals leave
//! room for averages and other venues while every product stays exact in 128 bits.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;

use crate::arithmetic::{AmountError, ArithmeticError};
use crate::currency::Currency;
use crate::money::Money;
use crate::quantity::Quantity;
use crate::text::{parse_decimal, serde_as_text};

/// How many decimals a price has at most.
const MAX_DECIMALS: u32 = 9;
/// How many a price shows at least: `10.50`, not `10.5`.
const MIN_DECIMALS: u32 = 2;

/// A price per share, above zero.
///
/// Equal prices have one representation, so equality, text and hashes agree. A price has no currency of
/// its own: the instrument's is given where money is made of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(Decimal);

impl Price {
    /// A price per share.
    ///
    /// # Errors
    /// `NotPositive`, `TooManyDecimals` beyond nine, `TooLarge` above 96 bits of its last decimal.
    pub fn new(price: Decimal) -> Result<Self, AmountError> {
        if price.mantissa() <= 0 {
            return Err(AmountError::NotPositive);
        }
        let price = price.normalize();
        if price.scale() > MAX_DECIMALS {
            return Err(AmountError::TooManyDecimals { allowed: MAX_DECIMALS });
        }
        let missing = MIN_DECIMALS.saturating_sub(price.scale());
        let mantissa = price.mantissa().checked_mul(10_i128.pow(missing)).ok_or(AmountError::TooLarge)?;
        let price = Decimal::try_from_i128_with_scale(mantissa, price.scale() + missing);
        price.map(Self).map_err(|_| AmountError::TooLarge)
    }

    /// The price as a decimal number.
    pub const fn as_decimal(self) -> Decimal {
        self.0
    }

    /// Whether it is a multiple of the price increment `tick`.
    pub fn on_tick(self, tick: Self) -> bool {
        self.billionths() % tick.billionths() == 0
    }

    /// What `quantity` shares cost, exactly.
    ///
    /// # Errors
    /// `FractionOfMinorUnit` if the product lies between two minor units, `Overflow` if it is too large.
    pub fn value(self, quantity: Quantity, currency: Currency) -> Result<Money, ArithmeticError> {
        let product = self.billionths().checked_mul(i128::from(quantity.get()));
        let product = product.ok_or(ArithmeticError::Overflow)?;
        // Every currency of ISO 4217 has at most four decimals, so this is a division.
        let unit = 10_i128.pow(MAX_DECIMALS - currency.minor_units());
        if product % unit != 0 {
            return Err(ArithmeticError::FractionOfMinorUnit { currency });
        }
        Money::from_minor(product / unit, currency)
    }

    /// In units of 1e-9: at most 96 bits times 1e9, which 127 bits hold.
    fn billionths(self) -> i128 {
        self.0.mantissa() * 10_i128.pow(MAX_DECIMALS - self.0.scale())
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Price {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        Self::new(parse_decimal(text)?)
    }
}

serde_as_text!(Price);
