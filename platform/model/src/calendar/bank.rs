//! F: the days on which the Federal Reserve Banks, and so Fedwire, are closed.
//!
//! Source: the Federal Reserve's holiday schedule. A holiday on a Sunday is observed on Monday; for one on
//! a Saturday the Reserve Banks are open the preceding Friday. Good Friday is not a bank holiday.

use jiff::civil::Date;

use super::holiday::Holiday;
use super::rules::sunday_moves_to_monday;

/// The bank holiday observed on a date.
pub(super) fn holiday(date: Date) -> Option<Holiday> {
    let closes_for = |holiday: &Holiday| {
        *holiday != Holiday::GoodFriday
            && holiday.falls_on(date.year()).map(sunday_moves_to_monday) == Some(date)
    };
    Holiday::ALL.into_iter().find(closes_for)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_saturday_holiday_leaves_friday_open_and_a_sunday_one_takes_monday() {
        assert_eq!(holiday(date(2026, 7, 3)), None);
        assert_eq!(holiday(date(2026, 7, 4)), Some(Holiday::Independence));
        assert_eq!(holiday(date(2027, 7, 4)), None);
        assert_eq!(holiday(date(2027, 7, 5)), Some(Holiday::Independence));
    }

    #[test]
    fn good_friday_is_a_working_day_of_banks() {
        assert_eq!(holiday(date(2025, 4, 18)), None);
    }
}
