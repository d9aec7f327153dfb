//! Local days, and the clock on the wall in New York, by a rule of our own.
//!
//! Daylight saving time runs from the second Sunday of March to the first Sunday of November, each at 02:00
//! local time (Energy Policy Act of 2005, section 110). The platform asks a time zone database instead.
//! Years before 2007 are left out.

use std::fmt;

const DAY_NS: i64 = 86_400 * SECOND_NS;
const HOUR_NS: i64 = 3_600 * SECOND_NS;
const SECOND_NS: i64 = 1_000_000_000;

/// A date, as days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(i64);

impl Day {
    /// A date of the proleptic Gregorian calendar. Howard Hinnant, "chrono-Compatible Low-Level Date
    /// Algorithms", `days_from_civil`.
    pub fn new(year: i64, month: i64, day: i64) -> Self {
        let shifted = if month <= 2 { year - 1 } else { year };
        let era = shifted.div_euclid(400);
        let year_of_era = shifted.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Self(era * 146_097 + day_of_era - 719_468)
    }

    /// Reads `2026-03-06`, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-').map(|part| part.parse::<i64>().ok());
        let day = Self::new(parts.next()??, parts.next()??, parts.next()??);
        (text.len() == 10 && day.to_string() == text).then_some(day)
    }

    /// `civil_from_days` of the same source.
    fn civil(self) -> (i64, i64, i64) {
        let shifted = self.0 + 719_468;
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let year = year_of_era + shifted.div_euclid(146_097) * 400 + i64::from(month >= 10);
        (year, (month + 2) % 12 + 1, day_of_year - (153 * month + 2) / 5 + 1)
    }

    pub fn year(self) -> i64 {
        self.civil().0
    }

    /// 0 is Sunday.
    pub fn weekday(self) -> i64 {
        (self.0 + 4).rem_euclid(7)
    }

    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The n-th Sunday of a month.
    fn sunday(year: i64, month: i64, nth: i64) -> Self {
        let first = Self::new(year, month, 1);
        Self(first.0 + (7 - first.weekday()) % 7 + 7 * (nth - 1))
    }

    /// The two Sundays on which the clocks of New York change.
    pub fn clock_changes(year: i64) -> [Self; 2] {
        [Self::sunday(year, 3, 2), Self::sunday(year, 11, 1)]
    }

    /// Good Friday, by the anonymous Gregorian computus (Meeus, Jones, Butcher).
    pub fn good_friday(year: i64) -> Self {
        let (golden, century, of_century) = (year % 19, year / 100, year % 100);
        let moon_shift = (century - (century + 8) / 25 + 1) / 3;
        let moon = (19 * golden + century - century / 4 - moon_shift + 15) % 30;
        let weekday = (32 + 2 * (century % 4) + 2 * (of_century / 4) - moon - of_century % 4) % 7;
        let correction = (golden + 11 * moon + 22 * weekday) / 451;
        let easter = moon + weekday - 7 * correction + 114;
        Self(Self::new(year, easter / 31, easter % 31 + 1).0 - 2)
    }

    /// The instant at which this day's local clock shows a full hour after 02:00, in nanoseconds.
    fn local_hour_ns(self, hour: i64) -> i64 {
        let [spring, autumn] = Self::clock_changes(self.year());
        let behind_utc = if (spring..autumn).contains(&self) { 4 } else { 5 };
        self.0 * DAY_NS + (hour + behind_utc) * HOUR_NS
    }

    /// 18:00 in New York on this day: before it nothing settles.
    pub fn settlement_opens_ns(self) -> i64 {
        self.local_hour_ns(18)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(out, "{year:04}-{month:02}-{day:02}")
    }
}

/// The local hour of day in New York, 0 to 23.
pub fn local_hour(at_ns: i64) -> i64 {
    let year = Day(at_ns.div_euclid(DAY_NS)).year();
    let [spring, autumn] = Day::clock_changes(year);
    let summer = spring.0 * DAY_NS + 7 * HOUR_NS..autumn.0 * DAY_NS + 6 * HOUR_NS;
    let behind_utc = if summer.contains(&at_ns) { 4 } else { 5 };
    (at_ns - behind_utc * HOUR_NS).rem_euclid(DAY_NS) / HOUR_NS
}

/// An instant for messages: UTC to the millisecond.
pub fn utc(at_ns: i64) -> String {
    let millis = at_ns.rem_euclid(DAY_NS) / 1_000_000;
    let (seconds, day) = (millis / 1_000, Day(at_ns.div_euclid(DAY_NS)));
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{day}T{hour:02}:{minute:02}:{second:02}.{:03}Z", millis % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_read_and_write() {
        for text in ["1970-01-01", "2000-02-29", "2024-02-29", "2026-03-06", "2027-12-31"] {
            assert_eq!(Day::parse(text).expect("a date").to_string(), text);
        }
        for text in ["", "2026-02-29", "2026-3-06", "2026-03-06T", "20260306"] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
        assert_eq!(Day::new(2026, 3, 8).weekday(), 0);
    }

    #[test]
    fn clocks_change_as_tzdata_says() {
        let known = [
            (2020, "03-08", "11-01"),
            (2021, "03-14", "11-07"),
            (2026, "03-08", "11-01"),
            (2027, "03-14", "11-07"),
        ];
        for (year, spring, autumn) in known {
            let [from, to] = Day::clock_changes(year).map(|day| day.to_string());
            assert_eq!((from, to), (format!("{year}-{spring}"), format!("{year}-{autumn}")));
        }
    }

    #[test]
    fn good_fridays_are_known() {
        for text in [
            "2020-04-10",
            "2021-04-02",
            "2022-04-15",
            "2023-04-07",
            "2024-03-29",
            "2025-04-18",
            "2026-04-03",
            "2027-03-26",
        ] {
            let day = Day::parse(text).expect("a date");
            assert_eq!(Day::good_friday(day.year()), day);
        }
    }

    #[test]
    fn settlement_opens_at_eighteen_local() {
        for (day, opens) in [
            ("2026-03-06", "2026-03-06T23:00:00.000Z"),
            ("2026-03-08", "2026-03-08T22:00:00.000Z"),
            ("2026-03-09", "2026-03-09T22:00:00.000Z"),
            ("2026-10-30", "2026-10-30T22:00:00.000Z"),
            ("2026-11-02", "2026-11-02T23:00:00.000Z"),
        ] {
            let at = Day::parse(day).expect("a date").settlement_opens_ns();
            assert_eq!(utc(at), opens);
            assert_eq!(local_hour(at), 18);
            assert_eq!(local_hour(at - 1), 17);
        }
    }
}
