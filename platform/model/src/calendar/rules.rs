//! What a venue's rules say about one day, and its hours. Each venue is one file that answers with these.

use jiff::civil::{Date, Time, Weekday};

use super::holiday::Holiday;

/// Why the exchange holds no session on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Closure {
    /// Saturday or Sunday.
    Weekend,
    /// A holiday, observed on this day.
    Holiday(Holiday),
    /// Decided for that one day, after the year's calendar was published. Earlier trades still settle.
    AdHoc,
}

/// What the exchange does on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExchangeDay {
    /// A session of normal length.
    Full,
    /// A session that closes early.
    EarlyClose,
    /// No session.
    Closed(Closure),
}

/// The core session in local time.
#[derive(Debug)]
pub(super) struct Hours {
    pub open: Time,
    pub close: Time,
    pub early_close: Time,
}

pub(super) fn is_weekend(date: Date) -> bool {
    matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
}

/// Where a holiday is observed that falls on a Sunday: the Monday after it. Saturdays differ by calendar.
pub(super) fn sunday_moves_to_monday(date: Date) -> Date {
    if date.weekday() != Weekday::Sunday {
        return date;
    }
    date.tomorrow().expect("the years of the calendar are far from the ends of time")
}
