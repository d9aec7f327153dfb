//! Local time at a venue. The zone is looked up once, in the database compiled into `jiff`.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::CalendarError;

#[derive(Debug)]
pub(super) struct Zone(TimeZone);

impl Zone {
    /// Never the host's database: two hosts would disagree about the same instant.
    pub fn new(name: &str) -> Self {
        let zone = TimeZoneDatabase::bundled().get(name);
        Self(zone.expect("the zones of venues are constants that the bundled database has"))
    }

    pub fn instant(&self, date: Date, time: Time) -> Result<Timestamp, CalendarError> {
        let local = self.0.to_ambiguous_timestamp(date.to_datetime(time));
        local.compatible().map_err(|_| CalendarError::InstantOutOfRange)
    }

    pub fn datetime(&self, instant: Timestamp) -> DateTime {
        self.0.to_datetime(instant)
    }

    pub fn next(&self, after: Timestamp, time: Time) -> Result<Timestamp, CalendarError> {
        let today = self.datetime(after).date();
        let candidate = self.instant(today, time)?;
        if candidate > after {
            return Ok(candidate);
        }
        let tomorrow = today.tomorrow().map_err(|_| CalendarError::InstantOutOfRange)?;
        self.instant(tomorrow, time)
    }
}
