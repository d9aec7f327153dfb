//! E: the New York Stock Exchange.
//!
//! Source: NYSE rule 7.2 (holidays; a Saturday holiday is observed on Friday unless that ends a month or a
//! year, which of these holidays only New Year does; a Sunday one on Monday), the exchange's yearly holiday
//! and early closing notices, and its notices of the ad-hoc closures.

use jiff::civil::{Date, Weekday, date, time};

use super::holiday::Holiday;
use super::rules::{Closure, ExchangeDay, Hours, is_weekend, sunday_moves_to_monday};

pub(super) const VENUE: &str = "XNYS";
pub(super) const ZONE: &str = "America/New_York";
pub(super) const HOURS: Hours =
    Hours { open: time(9, 30, 0, 0), close: time(16, 0, 0, 0), early_close: time(13, 0, 0, 0) };

/// Full-day closures that no rule gives. The only place that lists them.
const AD_HOC_CLOSURES: [Date; 4] = [
    // Hurricane Sandy.
    date(2012, 10, 29),
    date(2012, 10, 30),
    // National days of mourning: George H. W. Bush, Jimmy Carter.
    date(2018, 12, 5),
    date(2025, 1, 9),
];

pub(super) fn exchange_day(date: Date) -> ExchangeDay {
    if is_weekend(date) {
        ExchangeDay::Closed(Closure::Weekend)
    } else if let Some(holiday) = holiday(date) {
        ExchangeDay::Closed(Closure::Holiday(holiday))
    } else if AD_HOC_CLOSURES.contains(&date) {
        ExchangeDay::Closed(Closure::AdHoc)
    } else if closes_early(date) {
        ExchangeDay::EarlyClose
    } else {
        ExchangeDay::Full
    }
}

fn holiday(date: Date) -> Option<Holiday> {
    let closes_for = |holiday: &Holiday| {
        !matches!(holiday, Holiday::Columbus | Holiday::Veterans)
            && holiday.falls_on(date.year()).map(|day| observed(*holiday, day)) == Some(date)
    };
    Holiday::ALL.into_iter().find(closes_for)
}

fn observed(holiday: Holiday, date: Date) -> Date {
    if date.weekday() == Weekday::Saturday && holiday != Holiday::NewYear {
        return date.yesterday().expect("the years of the calendar are far from the ends of time");
    }
    sunday_moves_to_monday(date)
}

/// The day after Thanksgiving, 3 July and Christmas Eve, where the day is otherwise a full session: from
/// Monday to Thursday. On a Friday the latter two are the holiday of a Saturday, and closed.
fn closes_early(date: Date) -> bool {
    let thanksgiving = Holiday::Thanksgiving.falls_on(date.year());
    matches!((date.month(), date.day()), (7, 3) | (12, 24)) || date.yesterday().ok() == thanksgiving
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saturday_new_year_does_not_close_the_last_day_of_the_year() {
        for year in [2010, 2021, 2027, 2032] {
            assert_eq!(exchange_day(date(year, 12, 31)), ExchangeDay::Full, "{year}");
        }
    }

    #[test]
    fn ad_hoc_closures_fall_on_days_that_rules_leave_open() {
        for date in AD_HOC_CLOSURES {
            assert_eq!(exchange_day(date), ExchangeDay::Closed(Closure::AdHoc), "{date}");
        }
    }
}
