//! The holidays that shut US exchanges or banks, and the dates on which they fall.
//!
//! Only the holiday itself: on which day it is *observed* differs between the exchange and the banks, and
//! is in [`super::xnys`] and [`super::bank`].

use jiff::civil::{Date, Weekday, date};

/// A holiday of the exchange, the banks, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holiday {
    /// 1 January.
    NewYear,
    /// Birthday of Martin Luther King, Jr.: third Monday of January.
    MartinLutherKing,
    /// Washington's birthday: third Monday of February.
    Presidents,
    /// Two days before Easter Sunday.
    GoodFriday,
    /// Last Monday of May.
    Memorial,
    /// 19 June, from 2022.
    Juneteenth,
    /// 4 July.
    Independence,
    /// First Monday of September.
    Labor,
    /// Second Monday of October.
    Columbus,
    /// 11 November.
    Veterans,
    /// Fourth Thursday of November.
    Thanksgiving,
    /// 25 December.
    Christmas,
}

impl Holiday {
    /// In the order of the year.
    pub const ALL: [Self; 12] = [
        Self::NewYear,
        Self::MartinLutherKing,
        Self::Presidents,
        Self::GoodFriday,
        Self::Memorial,
        Self::Juneteenth,
        Self::Independence,
        Self::Labor,
        Self::Columbus,
        Self::Veterans,
        Self::Thanksgiving,
        Self::Christmas,
    ];

    /// The date of the holiday in a covered year, wherever it falls in the week. `None` where it did
    /// not exist yet.
    pub(super) fn falls_on(self, year: i16) -> Option<Date> {
        Some(match self {
            Self::NewYear => date(year, 1, 1),
            Self::MartinLutherKing => nth_weekday(year, 1, 3, Weekday::Monday),
            Self::Presidents => nth_weekday(year, 2, 3, Weekday::Monday),
            Self::GoodFriday => good_friday(year),
            Self::Memorial => nth_weekday(year, 5, -1, Weekday::Monday),
            // A law of June 2021; exchange and Reserve Banks first closed for it in 2022.
            Self::Juneteenth if year < 2022 => return None,
            Self::Juneteenth => date(year, 6, 19),
            Self::Independence => date(year, 7, 4),
            Self::Labor => nth_weekday(year, 9, 1, Weekday::Monday),
            Self::Columbus => nth_weekday(year, 10, 2, Weekday::Monday),
            Self::Veterans => date(year, 11, 11),
            Self::Thanksgiving => nth_weekday(year, 11, 4, Weekday::Thursday),
            Self::Christmas => date(year, 12, 25),
        })
    }
}

/// The `nth` such weekday of a month, from its end if negative.
fn nth_weekday(year: i16, month: i8, nth: i8, weekday: Weekday) -> Date {
    let found = date(year, month, 1).nth_weekday_of_month(nth, weekday);
    found.expect("every month has a first to fourth and a last of each weekday")
}

/// Two days before Easter Sunday, by the anonymous Gregorian computus (Meeus, Astronomical Algorithms,
/// chapter 8; his letters).
fn good_friday(year: i16) -> Date {
    let y = i32::from(year);
    let (b, c) = (y / 100, y % 100);
    let golden = y % 19;
    let f = (b + 8) / 25;
    let g = (b - f + 1) / 3;
    let epact = (19 * golden + b - b / 4 - g + 15) % 30;
    let l = (32 + 2 * (b % 4) + 2 * (c / 4) - epact - c % 4) % 7;
    let m = (golden + 11 * epact + 22 * l) / 451;
    let days = epact + l - 7 * m + 114;
    let narrow = |part: i32| i8::try_from(part).expect("a month or a day of it");
    let easter = date(year, narrow(days / 31), narrow(days % 31 + 1));
    easter
        .yesterday()
        .and_then(Date::yesterday)
        .expect("the years of the calendar are far from the ends of time")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dates as the exchange published them, with the earliest and latest Easter of the covered years.
    #[test]
    fn good_friday_is_where_the_exchange_put_it() {
        for (year, month, day) in [
            (2010, 4, 2),
            (2011, 4, 22),
            (2012, 4, 6),
            (2016, 3, 25),
            (2019, 4, 19),
            (2020, 4, 10),
            (2021, 4, 2),
            (2022, 4, 15),
            (2023, 4, 7),
            (2024, 3, 29),
            (2025, 4, 18),
            (2026, 4, 3),
            (2027, 3, 26),
            (2035, 3, 23),
        ] {
            assert_eq!(good_friday(year), date(year, month, day));
        }
    }

    #[test]
    fn floating_holidays_fall_on_their_weekday_of_the_month() {
        for (holiday, month, day) in [
            (Holiday::MartinLutherKing, 1, 20),
            (Holiday::Presidents, 2, 17),
            (Holiday::Memorial, 5, 26),
            (Holiday::Labor, 9, 1),
            (Holiday::Columbus, 10, 13),
            (Holiday::Thanksgiving, 11, 27),
        ] {
            assert_eq!(holiday.falls_on(2025), Some(date(2025, month, day)), "{holiday:?}");
        }
    }

    #[test]
    fn juneteenth_begins_in_2022() {
        assert_eq!(Holiday::Juneteenth.falls_on(2021), None);
        assert_eq!(Holiday::Juneteenth.falls_on(2022), Some(date(2022, 6, 19)));
    }
}
