//! The small values of a scenario file: lengths of time, odds, drawn values, selections by number.
//!
//! Each has one written form, which `Display` and `Serialize` give back. How they are read from a file, and
//! what is said about a mistake, is in `read/`.

use std::fmt;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::{Serialize, Serializer};

/// A length of time, written with units from large to small: `1h30m`, `2s`, `250ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(pub Duration);

const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl TimeSpan {
    pub const fn from_secs(seconds: u64) -> Self {
        TimeSpan(Duration::from_secs(seconds))
    }

    /// Whole numbers with units, each unit at most once and smaller than the one before it. A day is 24
    /// hours here: calendar days are dates.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let mut units = UNITS.iter();
        let mut nanos: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|&end| end > 0)?;
            let number: u64 = rest[..digits].parse().ok()?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let (_, length) = units.find(|(unit, _)| *unit == &rest[..letters])?;
            nanos = nanos.checked_add(number.checked_mul(*length)?)?;
            rest = &rest[letters..];
        }
        (!text.is_empty()).then_some(TimeSpan(Duration::from_nanos(nanos)))
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.write_str("0s");
        }
        for (unit, length) in UNITS {
            let whole = nanos / u128::from(length);
            if whole > 0 {
                write!(f, "{whole}{unit}")?;
                nanos %= u128::from(length);
            }
        }
        Ok(())
    }
}

impl Serialize for TimeSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A length of time with a sign, as clocks are set by: `-1m`, `1h`. Nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignedSpan(pub i64);

impl SignedSpan {
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, span) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let ns = i64::try_from(TimeSpan::parse(span)?.0.as_nanos()).ok()?;
        Some(Self(sign * ns))
    }
}

impl fmt::Display for SignedSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}", TimeSpan(Duration::from_nanos(self.0.unsigned_abs())))
    }
}

impl Serialize for SignedSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Steps of one millisecond where both ends are whole milliseconds, of one nanosecond otherwise.
impl Draw for SignedSpan {
    fn steps_to(self, max: Self) -> Option<u64> {
        let between = u64::try_from(max.0.checked_sub(self.0)?).ok()?;
        Some(between / signed_step(self, max))
    }

    fn step_up(self, max: Self, steps: u64) -> Self {
        Self(self.0.saturating_add_unsigned(steps * signed_step(self, max)))
    }
}

fn signed_step(min: SignedSpan, max: SignedSpan) -> u64 {
    if min.0 % 1_000_000 == 0 && max.0 % 1_000_000 == 0 { 1_000_000 } else { 1 }
}

/// Odds in parts per million, 0 to 1,000,000. Never a float: a float would round differently elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Ppm(pub u32);

impl Ppm {
    pub const MILLION: u32 = 1_000_000;

    /// One draw. `uniform(n)` gives a number below `n`.
    pub fn hits(self, uniform: &mut dyn FnMut(u64) -> u64) -> bool {
        uniform(u64::from(Self::MILLION)) < u64::from(self.0)
    }
}

/// A value, or a range from which the seed draws one: `5` or `{ min = 1, max = 9 }`, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Drawn<T> {
    Fixed(T),
    Between { min: T, max: T },
}

impl<T: Default> Default for Drawn<T> {
    fn default() -> Self {
        Drawn::Fixed(T::default())
    }
}

/// What `{ min, max }` can be drawn from: values in equal steps.
pub trait Draw: Copy + PartialOrd {
    /// How many steps lie between `self` and `max`; `None` where that does not fit.
    fn steps_to(self, max: Self) -> Option<u64>;
    /// The value `steps` above `self` in a range that ends at `max`.
    fn step_up(self, max: Self, steps: u64) -> Self;
}

impl<T: Draw> Drawn<T> {
    /// Draws the value; a fixed one takes nothing from the source. `uniform(n)` gives a number below `n`.
    pub fn resolve(&self, uniform: &mut dyn FnMut(u64) -> u64) -> T {
        match *self {
            Drawn::Fixed(value) => value,
            Drawn::Between { min, max } => {
                let steps = min.steps_to(max).and_then(|steps| steps.checked_add(1));
                let steps = steps.expect("the loader refuses ranges that are empty or too wide");
                min.step_up(max, uniform(steps))
            }
        }
    }

    pub fn min(&self) -> T {
        match *self {
            Drawn::Fixed(value) | Drawn::Between { min: value, .. } => value,
        }
    }

    pub fn max(&self) -> T {
        match *self {
            Drawn::Fixed(value) | Drawn::Between { max: value, .. } => value,
        }
    }
}

impl Draw for i64 {
    fn steps_to(self, max: Self) -> Option<u64> {
        u64::try_from(max.checked_sub(self)?).ok()
    }

    fn step_up(self, _: Self, steps: u64) -> Self {
        self.saturating_add_unsigned(steps)
    }
}

impl Draw for u64 {
    fn steps_to(self, max: Self) -> Option<u64> {
        max.checked_sub(self)
    }

    fn step_up(self, _: Self, steps: u64) -> Self {
        self + steps
    }
}

/// Steps of one millisecond where both ends are whole milliseconds, of one nanosecond otherwise.
impl Draw for TimeSpan {
    fn steps_to(self, max: Self) -> Option<u64> {
        let between = max.0.checked_sub(self.0)?.as_nanos();
        u64::try_from(between / u128::from(time_step(self, max))).ok()
    }

    fn step_up(self, max: Self, steps: u64) -> Self {
        TimeSpan(self.0 + Duration::from_nanos(steps * time_step(self, max)))
    }
}

fn time_step(min: TimeSpan, max: TimeSpan) -> u64 {
    let whole = |span: TimeSpan| span.0.as_nanos().is_multiple_of(1_000_000);
    if whole(min) && whole(max) { 1_000_000 } else { 1 }
}

/// Steps of the finest decimal place that either end is written with: `"10.00"` steps by a cent.
impl Draw for Decimal {
    fn steps_to(self, max: Self) -> Option<u64> {
        let scale = self.scale().max(max.scale());
        let between = max.checked_sub(self)?.checked_mul(Decimal::from(10_u64.checked_pow(scale)?))?;
        u64::try_from(between.normalize()).ok()
    }

    fn step_up(self, max: Self, steps: u64) -> Self {
        let scale = self.scale().max(max.scale());
        let steps = i64::try_from(steps).expect("the loader keeps ranges of decimals far below 2^63 steps");
        self + Decimal::new(steps, scale)
    }
}

/// Which accounts or instruments, by number from 1: `"all"`, `[1, 4]`, or `"2..10"` with both ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    #[default]
    All,
    Listed(Vec<u32>),
    Range(u32, u32),
}

impl Selection {
    /// The chosen numbers, ascending, of `1..=count`.
    pub fn numbers(&self, count: u32) -> Vec<u32> {
        match self {
            Selection::All => (1..=count).collect(),
            Selection::Listed(numbers) => {
                let mut numbers = numbers.clone();
                numbers.sort_unstable();
                numbers.dedup();
                numbers
            }
            Selection::Range(first, last) => (*first..=*last).collect(),
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "all" {
            return Some(Selection::All);
        }
        let (first, last) = text.split_once("..")?;
        Some(Selection::Range(first.parse().ok()?, last.parse().ok()?))
    }
}

impl Serialize for Selection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Selection::All => serializer.serialize_str("all"),
            Selection::Listed(numbers) => numbers.serialize(serializer),
            Selection::Range(first, last) => serializer.collect_str(&format_args!("{first}..{last}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_span_is_written_as_it_is_read() {
        for text in ["1h30m", "250ms", "2s", "1d2h", "90us", "0s"] {
            let span = TimeSpan::parse(text);
            assert_eq!(span.map(|span| span.to_string()).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_not_a_time_span() {
        for text in ["", "5", "m", "30 m", "1.5h", "30m1h", "1h1h", "2 hours", "-1s", "99999999999d"] {
            assert_eq!(TimeSpan::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_signed_span_keeps_its_sign() {
        for text in ["-1m", "1h30m", "-250ms"] {
            assert_eq!(SignedSpan::parse(text).map(|span| span.to_string()).as_deref(), Some(text));
        }
        let around = Drawn::Between { min: SignedSpan(-2_000_000), max: SignedSpan(2_000_000) };
        assert_eq!(around.resolve(&mut |steps| steps - 1), SignedSpan(2_000_000));
        assert_eq!(around.resolve(&mut |steps| steps / 2), SignedSpan(0));
    }

    #[test]
    fn drawn_values_reach_both_ends_in_equal_steps() {
        let price = Drawn::Between { min: Decimal::new(1000, 2), max: Decimal::new(10005, 3) };
        assert_eq!(price.resolve(&mut |n| n - 1), Decimal::new(10005, 3));
        assert_eq!(price.resolve(&mut |n| n - n), Decimal::new(10, 0));
        assert_eq!(price.resolve(&mut |n| n - 5).to_string(), "10.001");

        let pause = Drawn::Between { min: TimeSpan::from_secs(2), max: TimeSpan::from_secs(3) };
        assert_eq!(pause.resolve(&mut |n| n / 2).to_string(), "2s500ms");
        assert_eq!(Drawn::Fixed(7_u64).resolve(&mut |_| panic!("nothing to draw")), 7);
    }

    #[test]
    fn odds_hit_as_often_as_they_say() {
        let hits = (0..1_000_000).filter(|&draw| Ppm(20_000).hits(&mut |_| draw)).count();
        assert_eq!(hits, 20_000);
    }

    #[test]
    fn a_selection_gives_numbers() {
        assert_eq!(Selection::All.numbers(3), [1, 2, 3]);
        assert_eq!(Selection::Listed(vec![4, 1, 4]).numbers(9), [1, 4]);
        assert_eq!(Selection::parse("2..4").map(|chosen| chosen.numbers(9)), Some(vec![2, 3, 4]));
    }
}
