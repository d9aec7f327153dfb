//! The table of days: what the rules say about each covered date, looked up by position.

use jiff::civil::{Date, date};

use super::bank;
use super::holiday::Holiday;
use super::rules::{Closure, ExchangeDay, is_weekend};

/// The first covered year.
pub const FIRST_YEAR: i16 = 2010;
/// The last covered year.
pub const LAST_YEAR: i16 = 2035;

/// One date in all three calendars.
#[derive(Debug)]
pub(super) struct Day {
    pub date: Date,
    pub exchange: ExchangeDay,
    pub bank_holiday: Option<Holiday>,
}

impl Day {
    pub fn is_session(&self) -> bool {
        !matches!(self.exchange, ExchangeDay::Closed(_))
    }

    pub fn is_bank_day(&self) -> bool {
        !is_weekend(self.date) && self.bank_holiday.is_none()
    }

    /// An ad-hoc closure stops trading, not the settlement of what was traded before.
    pub fn is_settlement_day(&self) -> bool {
        self.is_bank_day() && (self.is_session() || self.exchange == ExchangeDay::Closed(Closure::AdHoc))
    }
}

/// Every covered date, in order.
#[derive(Debug)]
pub(super) struct Days {
    days: Vec<Day>,
    /// Position of 1 January of each covered year.
    years: Vec<usize>,
}

impl Days {
    pub fn new(exchange_day: impl Fn(Date) -> ExchangeDay) -> Self {
        let mut table = Self { days: Vec::new(), years: Vec::new() };
        for date in date(FIRST_YEAR, 1, 1).series(jiff::ToSpan::day(1)) {
            if date.year() > LAST_YEAR {
                break;
            }
            if date.day_of_year() == 1 {
                table.years.push(table.days.len());
            }
            let bank_holiday = bank::holiday(date);
            table.days.push(Day { date, exchange: exchange_day(date), bank_holiday });
        }
        table
    }

    pub fn get(&self, date: Date) -> Option<&Day> {
        self.days.get(self.position(date)?)
    }

    /// The days from a covered date on, itself included.
    pub fn from(&self, date: Date) -> Option<&[Day]> {
        self.days.get(self.position(date)?..)
    }

    /// The days before a covered date.
    pub fn before(&self, date: Date) -> Option<&[Day]> {
        self.days.get(..self.position(date)?)
    }

    fn position(&self, date: Date) -> Option<usize> {
        let year = usize::try_from(date.year() - FIRST_YEAR).ok()?;
        let day = usize::try_from(date.day_of_year() - 1).ok()?;
        Some(self.years.get(year)? + day)
    }
}
