//! Seeds, as people write them: `7`, `0x4d`, `1..200`.

use std::str::FromStr;

/// Reads a seed: decimal, or hexadecimal after `0x`.
pub fn seed(text: &str) -> Result<u64, String> {
    let read = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    read.map_err(|_| "a seed is a number below 2^64, decimal or hexadecimal after 0x".to_owned())
}

/// Seeds from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    pub first: u64,
    pub last: u64,
}

impl Seeds {
    pub fn only(seed: u64) -> Self {
        Self { first: seed, last: seed }
    }

    pub fn count(&self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    pub fn iter(&self) -> impl Iterator<Item = u64> + use<> {
        self.first..=self.last
    }
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once("..").ok_or("seeds read like 1..200, both included")?;
        let (first, last) = (seed(first)?, seed(last)?);
        if first > last {
            return Err(format!("{first} is after {last}"));
        }
        Ok(Self { first, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_decimal_or_hexadecimal_and_both_ends_count() {
        let seeds: Seeds = "0xA..12".parse().expect("well-formed");
        assert_eq!((seeds, seeds.count()), (Seeds { first: 10, last: 12 }, 3));
        assert_eq!(seeds.iter().collect::<Vec<_>>(), [10, 11, 12]);
        assert_eq!(Seeds::only(u64::MAX).iter().count(), 1);
        for wrong in ["", "1", "1-2", "2..1", "1..", "-1..2", "1..=2", "0x..3"] {
            assert!(wrong.parse::<Seeds>().is_err(), "{wrong}");
        }
        assert!(seed("18446744073709551616").is_err() && seed("0xffffffffffffffff") == Ok(u64::MAX));
    }
}
