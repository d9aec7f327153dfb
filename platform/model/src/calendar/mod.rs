//! Calendars of a venue: which days trade, which days banks work, which days settle, and when.
//!
//! Called per trade by trade validation, clearing and settlement, and by the scenario loader. Every answer
//! comes from a table of days that is filled once per process from published rules.
//!
//! Three calendars, not one:
//! - **E**, exchange sessions (NYSE rule 7.2 and the exchange's notices);
//! - **F**, bank days (holidays of the Federal Reserve Banks);
//! - **S**, settlement days: a weekday that is no bank holiday, on which the exchange is open or shut
//!   only ad hoc. Good Friday and the Friday before a Saturday holiday are therefore no settlement days
//!   though banks work; a national day of mourning is one though the exchange is shut.
//!
//! A trade settles on the n-th day of S strictly after its trade date, n being the cycle in force on the
//! trade date (SEC rule 15c6-1).
//!
//! Valid for [`FIRST_YEAR`] to [`LAST_YEAR`]. Outside there are no sessions: predicates answer `false` and
//! searches fail with [`CalendarError::OutOfRange`]. Deliberately absent: after-hours sessions, halts, and
//! "now". A trade date is sealed by the venue; it is never derived from a wall clock here.

mod bank;
mod cycle;
mod days;
mod holiday;
mod rules;
mod xnys;
mod zone;

use std::sync::LazyLock;

pub use jiff::Timestamp;
pub use jiff::civil::{Date, DateTime, Time};
use thiserror::Error;

pub use cycle::settlement_cycle;
pub use days::{FIRST_YEAR, LAST_YEAR};
pub use holiday::Holiday;
pub use rules::Closure;

use crate::ids::VenueId;
use days::{Day, Days};
use rules::ExchangeDay;
use zone::Zone;

/// Why a calendar has no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CalendarError {
    /// The date, or the day searched from it, is not covered.
    #[error("the calendar covers {FIRST_YEAR} to {LAST_YEAR}, which a search from {date} leaves")]
    OutOfRange {
        /// The date that was asked about.
        date: Date,
    },
    /// The local time has no instant that a timestamp can hold.
    #[error("the instant is outside the range of timestamps")]
    InstantOutOfRange,
}

/// The core session of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The local date.
    pub date: Date,
    /// The opening, 09:30 local for XNYS.
    pub open: Timestamp,
    /// The close, 16:00 local for XNYS, 13:00 on an early close.
    pub close: Timestamp,
    /// Whether it closes early.
    pub early_close: bool,
}

/// The three calendars of a venue, and its local time.
#[derive(Debug)]
pub struct Calendar {
    venue: &'static str,
    hours: rules::Hours,
    days: Days,
    zone: Zone,
}

static XNYS: LazyLock<Calendar> = LazyLock::new(|| Calendar {
    venue: xnys::VENUE,
    hours: xnys::HOURS,
    days: Days::new(xnys::exchange_day),
    zone: Zone::new(xnys::ZONE),
});

pub(crate) fn warm_up() {
    LazyLock::force(&XNYS);
}

impl Calendar {
    /// The New York Stock Exchange, with the Fed's bank days and DTCC's settlement days.
    pub fn xnys() -> &'static Self {
        &XNYS
    }

    /// The calendar of a venue, if the platform knows it.
    pub fn of(venue: &VenueId) -> Option<&'static Self> {
        (venue.as_str() == xnys::VENUE).then(Self::xnys)
    }

    /// The venue's market identifier code.
    pub fn venue(&self) -> &'static str {
        self.venue
    }

    /// Whether the calendar knows this date at all.
    pub fn covers(&self, date: Date) -> bool {
        self.days.get(date).is_some()
    }

    /// E: whether the exchange holds a core session.
    pub fn is_session(&self, date: Date) -> bool {
        self.is(date, Day::is_session)
    }

    /// F: whether banks, and with them Fedwire, work.
    pub fn is_bank_day(&self, date: Date) -> bool {
        self.is(date, Day::is_bank_day)
    }

    /// S: whether trades settle.
    pub fn is_settlement_day(&self, date: Date) -> bool {
        self.is(date, Day::is_settlement_day)
    }

    /// Whether the session closes early. `false` on a day without one.
    pub fn is_early_close(&self, date: Date) -> bool {
        self.is(date, |day| day.exchange == ExchangeDay::EarlyClose)
    }

    /// Why the exchange holds no session. `None` on a session, or outside the covered years.
    pub fn closure(&self, date: Date) -> Option<Closure> {
        match self.days.get(date)?.exchange {
            ExchangeDay::Closed(closure) => Some(closure),
            ExchangeDay::Full | ExchangeDay::EarlyClose => None,
        }
    }

    /// The bank holiday observed on this date.
    pub fn bank_holiday(&self, date: Date) -> Option<Holiday> {
        self.days.get(date)?.bank_holiday
    }

    /// The core session of a date, if there is one.
    pub fn session(&self, date: Date) -> Option<Session> {
        let early_close = match self.days.get(date)?.exchange {
            ExchangeDay::Full => false,
            ExchangeDay::EarlyClose => true,
            ExchangeDay::Closed(_) => return None,
        };
        let close = if early_close { self.hours.early_close } else { self.hours.close };
        let instant = |time| {
            let instant = self.zone.instant(date, time);
            instant.expect("the covered years are far inside the range of timestamps")
        };
        Some(Session { date, open: instant(self.hours.open), close: instant(close), early_close })
    }

    /// The first session at or after a date.
    ///
    /// # Errors
    /// `OutOfRange` if the covered years hold none.
    pub fn next_session_on_or_after(&self, date: Date) -> Result<Date, CalendarError> {
        let days = self.days.from(date).unwrap_or_default();
        first(days, Day::is_session).ok_or(CalendarError::OutOfRange { date })
    }

    /// The first session after a date.
    ///
    /// # Errors
    /// `OutOfRange` if the covered years hold none.
    pub fn next_session_after(&self, date: Date) -> Result<Date, CalendarError> {
        first(self.after(date)?, Day::is_session).ok_or(CalendarError::OutOfRange { date })
    }

    /// The first settlement day strictly after a date: where a fail is carried to.
    ///
    /// # Errors
    /// `OutOfRange` if the covered years hold none.
    pub fn next_settlement_day_after(&self, date: Date) -> Result<Date, CalendarError> {
        first(self.after(date)?, Day::is_settlement_day).ok_or(CalendarError::OutOfRange { date })
    }

    /// When a trade of this trade date settles regular way: [`settlement_cycle`] settlement days later.
    ///
    /// # Errors
    /// `OutOfRange` if either date is outside the covered years.
    pub fn settlement_date(&self, trade_date: Date) -> Result<Date, CalendarError> {
        let mut settlement_days = self.after(trade_date)?.iter().filter(|day| day.is_settlement_day());
        let day = settlement_days.nth(settlement_cycle(trade_date) - 1);
        day.map(|day| day.date).ok_or(CalendarError::OutOfRange { date: trade_date })
    }

    /// The trade dates that settle on a date, ascending: two after a bank holiday with a session and at
    /// a shortening of the cycle, none on a day that does not settle.
    ///
    /// Only sessions are trade dates. Trade dates before [`FIRST_YEAR`] are not known.
    pub fn trade_dates_settling_on(&self, date: Date) -> Vec<Date> {
        let earlier = self.days.before(date).unwrap_or_default();
        let mut trade_dates: Vec<Date> = earlier
            .iter()
            .rev()
            .filter(|day| day.is_session())
            .map(|day| (day.date, self.settlement_date(day.date)))
            // Settlement dates never decrease, so the first earlier one ends the search.
            .take_while(|(_, settles)| settles.as_ref().map_or(true, |settles| *settles >= date))
            .filter(|(_, settles)| *settles == Ok(date))
            .map(|(trade_date, _)| trade_date)
            .collect();
        trade_dates.reverse();
        trade_dates
    }

    /// The instant of a local time at the venue.
    ///
    /// A time that a DST change skips is moved forward by the gap, and of a time that occurs twice the
    /// earlier one is meant (RFC 5545).
    ///
    /// # Errors
    /// `InstantOutOfRange` at the very ends of time.
    pub fn local_instant(&self, date: Date, time: Time) -> Result<Timestamp, CalendarError> {
        self.zone.instant(date, time)
    }

    /// The date and time that clocks at the venue show.
    pub fn local_datetime(&self, instant: Timestamp) -> DateTime {
        self.zone.datetime(instant)
    }

    /// The next instant strictly after `after` at which clocks at the venue show `time`.
    ///
    /// A local day has 23 or 25 hours when the clocks change, so this is never "24 hours later".
    ///
    /// # Errors
    /// `InstantOutOfRange` at the very ends of time.
    pub fn next_local(&self, after: Timestamp, time: Time) -> Result<Timestamp, CalendarError> {
        self.zone.next(after, time)
    }

    fn is(&self, date: Date, holds: impl Fn(&Day) -> bool) -> bool {
        self.days.get(date).is_some_and(holds)
    }

    /// The covered days strictly after a covered date.
    fn after(&self, date: Date) -> Result<&[Day], CalendarError> {
        let days = self.days.from(date).and_then(|days| days.split_first());
        days.map(|(_, later)| later).ok_or(CalendarError::OutOfRange { date })
    }
}

fn first(days: &[Day], holds: impl Fn(&Day) -> bool) -> Option<Date> {
    days.iter().find(|day| holds(day)).map(|day| day.date)
}
