//! The one place that asks `model` about sessions and settlement days.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

use crate::when::next_day;

/// Sessions and settlement days of a venue.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
    no_session: Vec<Date>,
    no_settlement: Vec<Date>,
}

impl Calendar {
    /// New York Stock Exchange.
    pub fn xnys() -> Self {
        let date = |month, day| Date::constant(2026, month, day);
        let no_session =
            [(1, 1), (1, 19), (2, 16), (4, 3), (5, 25), (6, 19), (7, 3), (9, 7), (11, 26), (12, 25)];
        let no_session: Vec<Date> = no_session.into_iter().map(|(month, day)| date(month, day)).collect();
        let mut no_settlement = no_session.clone();
        no_settlement.extend([date(10, 12), date(11, 11)]);
        let zone = TimeZone::get("America/New_York").expect("jiff bundles the time zone database");
        Calendar { zone, no_session, no_settlement }
    }

    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    pub fn is_session(&self, day: Date) -> bool {
        is_workday(day) && !self.no_session.contains(&day)
    }

    pub fn is_settlement_day(&self, day: Date) -> bool {
        is_workday(day) && !self.no_settlement.contains(&day)
    }

    /// The day on which trades of `trade_date` settle.
    pub fn settlement_date(&self, trade_date: Date) -> Date {
        self.settlement_day_after(trade_date)
    }

    /// The first settlement day after `day`.
    pub fn settlement_day_after(&self, day: Date) -> Date {
        let mut day = next_day(day);
        while !self.is_settlement_day(day) {
            day = next_day(day);
        }
        day
    }
}

fn is_workday(day: Date) -> bool {
    !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
}
