//! Moments of a scenario, local to its venue, and the instants they stand for.
//!
//! A bare time of day means every session day of the run; the other forms mean once. Local times that a
//! change of clocks skips or repeats are errors, never silently moved.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::Offset;
use serde::{Serialize, Serializer};

use crate::calendar::Calendar;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// `"09:30"`: on every session day of the run.
    EverySession(Time),
    /// `"Mon 18:00:02"`: on the first such day whose time is not before the start.
    Weekday(Weekday, Time),
    /// `"T+1 18:00:02"`: on the n-th settlement date after the day of the start.
    Settlement(u8, Time),
    /// `"2026-03-06T18:00:02"`; with an offset (`-05:00`) where the clock shows that time twice.
    At(DateTime, Option<Offset>),
}

impl Default for When {
    fn default() -> Self {
        When::EverySession(Time::midnight())
    }
}

/// Why a moment stands for no instant, or two for no window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error("{0} does not exist: clocks go forward over it")]
    Skipped(DateTime),
    #[error("{0} happens twice: clocks go back over it")]
    Repeated(DateTime, Offset, Offset),
    #[error("{0} is never at UTC offset {1}")]
    OtherOffset(DateTime, Offset),
    #[error("{0} is after the end of the run, {1}")]
    AfterEnd(DateTime, DateTime),
    #[error("{0} is before the start of the run, {1}")]
    BeforeStart(DateTime, DateTime),
    #[error("no calendar covers {0}")]
    NotCovered(Date),
    #[error("{1} is not after {0}")]
    Empty(When, When),
    #[error("one end is a bare time of day, on every session day, and the other happens once")]
    Mixed,
    #[error("the run is longer than {0} days")]
    TooLong(i64),
}

impl When {
    /// The core session's hours, where a file says nothing.
    pub(crate) const OPEN: When = When::EverySession(Time::constant(9, 30, 0, 0));
    pub(crate) const CLOSE: When = When::EverySession(Time::constant(16, 0, 0, 0));

    pub fn parse(text: &str) -> Option<Self> {
        if let Some((day, time)) = text.split_once(' ') {
            let time = parse_time(time)?;
            if let Some(number) = day.strip_prefix("T+") {
                let number = number.parse().ok().filter(|number| (1..=9).contains(number))?;
                return Some(When::Settlement(number, time));
            }
            return Some(When::Weekday(parse_weekday(day)?, time));
        }
        match text.split_once('T') {
            Some((date, rest)) => parse_local(date, rest),
            None => parse_time(text).map(When::EverySession),
        }
    }

    pub fn time(&self) -> Time {
        match self {
            When::EverySession(time) | When::Weekday(_, time) | When::Settlement(_, time) => *time,
            When::At(local, _) => local.time(),
        }
    }

    pub fn is_every_session(&self) -> bool {
        matches!(self, When::EverySession(_))
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            When::EverySession(time) => f.write_str(&short_time(*time)),
            When::Weekday(weekday, time) => write!(f, "{} {}", weekday_name(*weekday), short_time(*time)),
            When::Settlement(number, time) => write!(f, "T+{number} {}", short_time(*time)),
            When::At(local, None) => write!(f, "{local}"),
            When::At(local, Some(offset)) => write!(f, "{local}{}", written_offset(*offset)),
        }
    }
}

impl Serialize for When {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `HH:MM`, `HH:MM:SS` or with a fraction.
pub(crate) fn parse_time(text: &str) -> Option<Time> {
    let digit = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let plain = text.chars().all(|c| c.is_ascii_digit() || c == ':' || c == '.');
    (plain && digit(0) && digit(1) && text.as_bytes().get(2) == Some(&b':')).then(|| text.parse().ok())?
}

pub(crate) fn parse_date(text: &str) -> Option<Date> {
    let plain = text.len() == 10 && text.chars().all(|c| c.is_ascii_digit() || c == '-');
    plain.then(|| text.parse().ok())?
}

fn parse_local(date: &str, rest: &str) -> Option<When> {
    let date = parse_date(date)?;
    let split = rest.find(['-', '+']).unwrap_or(rest.len());
    let (time, offset) = rest.split_at(split);
    let offset = match offset {
        "" => None,
        text => Some(parse_offset(text)?),
    };
    Some(When::At(date.to_datetime(parse_time(time)?), offset))
}

/// `-05:00`.
fn parse_offset(text: &str) -> Option<Offset> {
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
    Offset::from_seconds(if text.starts_with('-') { -seconds } else { seconds }).ok()
}

fn written_offset(offset: Offset) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", seconds.abs() / 3600, seconds.abs() / 60 % 60)
}

pub(crate) fn parse_weekday(text: &str) -> Option<Weekday> {
    Weekday::Monday.cycle_forward().take(7).find(|weekday| weekday_name(*weekday) == text)
}

pub(crate) fn weekday_name(weekday: Weekday) -> &'static str {
    match weekday {
        Weekday::Monday => "Mon",
        Weekday::Tuesday => "Tue",
        Weekday::Wednesday => "Wed",
        Weekday::Thursday => "Thu",
        Weekday::Friday => "Fri",
        Weekday::Saturday => "Sat",
        Weekday::Sunday => "Sun",
    }
}

fn short_time(time: Time) -> String {
    let written = time.to_string();
    written.strip_suffix(":00").filter(|short| short.len() == 5).map_or(written.clone(), str::to_owned)
}

impl When {
    /// The instants of `start..=end` that this moment stands for, ascending.
    ///
    /// Only a bare time of day gives more than one, and it may give none; the others give one or an error.
    pub fn resolve(
        &self,
        calendar: &Calendar,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<Vec<Timestamp>, TimeError> {
        let first_day = calendar.local(start).date();
        let once = match *self {
            When::EverySession(time) => return every_session(calendar, time, start, end),
            When::Weekday(weekday, time) => first_weekday(calendar, weekday, time, start, first_day)?,
            When::Settlement(number, time) => {
                let date = (0..number).try_fold(first_day, |date, _| calendar.settlement_day_after(date))?;
                calendar.instant(date.to_datetime(time), None)?
            }
            When::At(local, offset) => calendar.instant(local, offset)?,
        };
        match once {
            at if at < start => Err(TimeError::BeforeStart(calendar.local(at), calendar.local(start))),
            at if at > end => Err(TimeError::AfterEnd(calendar.local(at), calendar.local(end))),
            at => Ok(vec![at]),
        }
    }
}

fn every_session(
    calendar: &Calendar,
    time: Time,
    start: Timestamp,
    end: Timestamp,
) -> Result<Vec<Timestamp>, TimeError> {
    let last_day = calendar.local(end).date();
    let mut day = calendar.local(start).date();
    let mut instants = Vec::new();
    while day <= last_day {
        if calendar.is_session(day) {
            instants.push(calendar.instant(day.to_datetime(time), None)?);
        }
        day = next_day(day);
    }
    instants.retain(|at| (start..=end).contains(at));
    Ok(instants)
}

fn first_weekday(
    calendar: &Calendar,
    weekday: Weekday,
    time: Time,
    start: Timestamp,
    first_day: Date,
) -> Result<Timestamp, TimeError> {
    let mut day = first_day;
    loop {
        if day.weekday() == weekday {
            let at = calendar.instant(day.to_datetime(time), None)?;
            if at >= start {
                return Ok(at);
            }
        }
        day = next_day(day);
    }
}

pub(crate) fn next_day(day: Date) -> Date {
    day.tomorrow().expect("scenarios end long before the year 9999")
}
