//! The calendar of a venue as the loader needs it: the one place that asks `model` about days.
//!
//! `model` moves a local time that a change of clocks skips, as services must; the loader refuses it, so it looks
//! at the time zone itself.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};

use crate::when::TimeError;

/// Sessions, settlement days and local time of a venue.
#[derive(Clone, Debug)]
pub struct Calendar {
    days: &'static model::Calendar,
    zone: TimeZone,
}

impl Calendar {
    /// `None` where `zone` is no name of the IANA database.
    pub fn new(days: &'static model::Calendar, zone: &str) -> Option<Self> {
        let zone = TimeZoneDatabase::bundled().get(zone).ok()?;
        Some(Calendar { days, zone })
    }

    /// The New York Stock Exchange.
    pub fn xnys() -> Self {
        Self::new(model::Calendar::xnys(), "America/New_York").expect("jiff's bundled database has New York")
    }

    pub fn is_session(&self, date: Date) -> bool {
        self.days.is_session(date)
    }

    /// Whether the exchange is open at some time of `date` between the two instants.
    pub(crate) fn is_open_between(&self, date: Date, start: Timestamp, end: Timestamp) -> bool {
        self.days.session(date).is_some_and(|session| session.open < end && session.close > start)
    }

    /// The first session after a date; `None` beyond the years that the calendar covers.
    pub(crate) fn next_session(&self, date: Date) -> Option<Date> {
        self.days.next_session_after(date).ok()
    }

    /// The day on which trades of `trade_date` settle.
    pub(crate) fn settlement_date(&self, trade_date: Date) -> Result<Date, TimeError> {
        self.days.settlement_date(trade_date).map_err(|_| TimeError::NotCovered(trade_date))
    }

    /// The first settlement day after a date.
    pub(crate) fn settlement_day_after(&self, date: Date) -> Result<Date, TimeError> {
        self.days.next_settlement_day_after(date).map_err(|_| TimeError::NotCovered(date))
    }

    /// What the venue's clock shows.
    pub fn local(&self, at: Timestamp) -> DateTime {
        self.zone.to_datetime(at)
    }

    /// The zone of the venue's clock.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The only instant at which the venue's clock shows `local`; `offset` says which where there are two.
    pub(crate) fn instant(&self, local: DateTime, offset: Option<Offset>) -> Result<Timestamp, TimeError> {
        let chosen = match (self.zone.to_ambiguous_timestamp(local).offset(), offset) {
            (AmbiguousOffset::Gap { .. }, _) => return Err(TimeError::Skipped(local)),
            (AmbiguousOffset::Fold { before, after }, None) => {
                return Err(TimeError::Repeated(local, before, after));
            }
            (AmbiguousOffset::Fold { before, after }, Some(named)) if named == before || named == after => {
                named
            }
            (AmbiguousOffset::Unambiguous { offset: only }, None) => only,
            (AmbiguousOffset::Unambiguous { offset: only }, Some(named)) if named == only => only,
            (_, Some(named)) => return Err(TimeError::OtherOffset(local, named)),
        };
        chosen.to_timestamp(local).map_err(|_| TimeError::NotCovered(local.date()))
    }
}
