//! Strict decimal text, and serde as text: what money, prices and ids share at their edges.
//!
//! `rust_decimal` on its own rounds digits it cannot hold and accepts `1_000`; an amount that somebody
//! will pay is read exactly as written, or refused.

use rust_decimal::Decimal;

use crate::arithmetic::AmountError;

/// Reads `-?digits(.digits)?`, exactly: no plus sign, exponent, separator, or bare point.
pub(crate) fn parse_decimal(text: &str) -> Result<Decimal, AmountError> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (unsigned, None),
    };
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || fraction.is_some_and(|part| !is_digits(part)) {
        return Err(AmountError::NotADecimal { text: text.into() });
    }
    Decimal::from_str_exact(text).map_err(|_| AmountError::TooLarge)
}

/// Serialises through `Display` and deserialises through `FromStr`, so that a stored value passes the
/// same checks as one that was typed.
macro_rules! serde_as_text {
    ($name:ty) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use serde_as_text;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_plain_decimals_exactly() {
        for (text, mantissa, scale) in [
            ("0", 0, 0),
            ("-1.50", -150, 2),
            ("007", 7, 0),
            ("79228162514264337593543950335", i128::MAX >> 31, 0),
        ] {
            let value = parse_decimal(text).expect(text);
            assert_eq!((value.mantissa(), value.scale()), (mantissa, scale), "{text}");
        }
    }

    #[test]
    fn refuses_every_other_notation() {
        for text in ["", "-", ".5", "5.", "+1", "1e5", "1_000", "1,000", " 1", "--1", "1.-5", "NaN", "٣"] {
            assert_eq!(parse_decimal(text), Err(AmountError::NotADecimal { text: text.into() }), "{text:?}");
        }
    }

    #[test]
    fn refuses_digits_it_cannot_hold_instead_of_rounding_them() {
        for text in ["79228162514264337593543950336", "0.00000000000000000000000000001"] {
            assert_eq!(parse_decimal(text), Err(AmountError::TooLarge), "{text}");
        }
    }
}
