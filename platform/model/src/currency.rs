//! Currencies: an ISO 4217 code and the number of decimals of its minor unit.
//!
//! A new currency is one more row of [`Currency::ALL`]. Exchange rates are not here.

use std::fmt;
use std::str::FromStr;

use crate::arithmetic::AmountError;
use crate::text::serde_as_text;

/// A currency in which the platform settles.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    code: &'static str,
    minor_units: u32,
}

impl Currency {
    /// The United States dollar, in cents.
    pub const USD: Self = Self { code: "USD", minor_units: 2 };

    /// Every currency that can be parsed.
    pub const ALL: &'static [Self] = &[Self::USD];

    /// The ISO 4217 code, three capital letters.
    pub const fn code(self) -> &'static str {
        self.code
    }

    /// How many decimals the smallest payable amount has.
    pub const fn minor_units(self) -> u32 {
        self.minor_units
    }
}

impl FromStr for Currency {
    type Err = AmountError;

    fn from_str(code: &str) -> Result<Self, AmountError> {
        let known = Self::ALL.iter().find(|currency| currency.code == code);
        known.copied().ok_or_else(|| AmountError::UnknownCurrency { code: code.into() })
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

serde_as_text!(Currency);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_currency_is_found_by_its_code() {
        for &currency in Currency::ALL {
            assert_eq!(currency.code().parse(), Ok(currency));
            assert!(currency.code().len() == 3 && currency.code().bytes().all(|b| b.is_ascii_uppercase()));
        }
    }

    #[test]
    fn another_code_is_named_in_the_error() {
        for code in ["usd", "XXX", ""] {
            let refused = code.parse::<Currency>();
            assert_eq!(refused, Err(AmountError::UnknownCurrency { code: code.into() }));
        }
    }
}
