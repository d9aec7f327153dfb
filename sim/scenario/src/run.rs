//! The days and windows of a run: what the local times of a scenario mean as instants.

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use crate::calendar::Calendar;
use crate::fault::Occurs;
use crate::load::Load;
use crate::scenario::{Day, Scenario, Until};
use crate::when::{TimeError, When, next_day};

/// Moments later than this after the start are mistakes, not plans.
const LONGEST: SignedDuration = SignedDuration::from_hours(62 * 24);

/// From the first to the last moment that load and faults may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    pub start: Timestamp,
    /// Where the scenario says `until = "settled"`: the end of the last trading day's settlement date, or a later
    /// moment that the file names.
    pub end: Timestamp,
    /// Days on which load runs, ascending.
    pub trading: Vec<Date>,
}

/// A window, first moment included and last one not.
pub type Window = (Timestamp, Timestamp);

/// A key (`from` or `to`) and what is wrong with it.
pub type WindowError = (&'static str, TimeError);

impl Scenario {
    /// The instants that frame the run.
    pub fn run(&self, calendar: &Calendar) -> Result<Run, TimeError> {
        let market = &self.market;
        let start = calendar.instant(market.start, None)?;
        let end = match market.until {
            Until::Settled => start + LONGEST,
            Until::At(local) => calendar.instant(local, None)?,
            Until::After(span) => SignedDuration::try_from(span.0)
                .map_or(Timestamp::MAX, |span| start.checked_add(span).unwrap_or(Timestamp::MAX)),
        };
        if end > start + LONGEST {
            return Err(TimeError::TooLong(LONGEST.as_hours() / 24));
        }
        let mut run = Run { start, end, trading: Vec::new() };
        run.trading = self.trading_dates(&run, calendar);
        if market.until == Until::Settled {
            run.end = self.last_moment(&run, calendar)?;
        }
        Ok(run)
    }

    fn trading_dates(&self, run: &Run, calendar: &Calendar) -> Vec<Date> {
        let market = &self.market;
        if market.trading.is_empty() {
            return match market.until {
                Until::Settled => vec![market.start.date()],
                _ => run.sessions(calendar),
            };
        }
        let days = market.trading.iter().flat_map(|day| run.dates_of(*day, calendar, market.until));
        let mut dates: Vec<Date> = days.filter(|date| calendar.is_session(*date)).collect();
        dates.sort_unstable();
        dates.dedup();
        dates
    }

    fn last_moment(&self, run: &Run, calendar: &Calendar) -> Result<Timestamp, TimeError> {
        let last_trading = run.trading.last().copied().unwrap_or(self.market.start.date());
        let settles = next_day(calendar.settlement_date(last_trading)?);
        let midnight = calendar.instant(settles.to_datetime(jiff::civil::Time::midnight()), None)?;
        let loads = self.loads.iter().flat_map(|load| [load.from, load.to]);
        let faults = self.faults.iter().flat_map(|fault| match fault.occurs {
            Occurs::At { at } => [at, at],
            Occurs::Every { from, to, .. } | Occurs::Window { from, to } => [from, to],
        });
        let named = loads.chain(faults).filter(|when| !when.is_every_session());
        // What does not resolve is reported where it stands.
        let named = named.filter_map(|when| when.resolve(calendar, run.start, run.end).ok());
        Ok(named.flatten().fold(midnight, Timestamp::max))
    }
}

impl Run {
    /// The session days of the run.
    pub fn sessions(&self, calendar: &Calendar) -> Vec<Date> {
        self.days(calendar).filter(|day| calendar.is_open_between(*day, self.start, self.end)).collect()
    }

    /// From the day of the start to that of the last moment before the end.
    fn days(&self, calendar: &Calendar) -> impl Iterator<Item = Date> + use<> {
        let first = calendar.local(self.start).date();
        let last = calendar.local(self.end - SignedDuration::from_nanos(1)).date();
        std::iter::successors(Some(first), |day| Some(next_day(*day))).take_while(move |day| *day <= last)
    }

    /// The dates that `day` means. In a run until all has settled a weekday means the first one; in a run with
    /// an end every session on one.
    pub(crate) fn dates_of(&self, day: Day, calendar: &Calendar, until: Until) -> Vec<Date> {
        let named = self.days(calendar).filter(|date| day.is(*date));
        match (day, until) {
            (Day::Weekday(_), Until::Settled) => named.take(1).collect(),
            (Day::Weekday(_), _) => {
                self.sessions(calendar).into_iter().filter(|date| day.is(*date)).collect()
            }
            (Day::Date(_), _) => named.collect(),
        }
    }

    /// The windows from `from` to `to`. Where both are bare times of day: one on each of `days` that lies in the
    /// run, and at least one. Else the one that they name.
    pub(crate) fn windows(
        &self,
        from: When,
        to: When,
        days: &[Date],
        calendar: &Calendar,
    ) -> Result<Vec<Window>, WindowError> {
        let mut windows = match (from, to) {
            (When::EverySession(from), When::EverySession(to)) => days
                .iter()
                .map(|day| {
                    let at = |key, time| {
                        calendar.instant(day.to_datetime(time), None).map_err(|error| (key, error))
                    };
                    Ok((at("from", from)?, at("to", to)?))
                })
                .collect::<Result<Vec<Window>, WindowError>>()?,
            _ if from.is_every_session() != to.is_every_session() => return Err(("to", TimeError::Mixed)),
            _ => vec![(self.once("from", from, calendar)?, self.once("to", to, calendar)?)],
        };
        if windows.iter().any(|(from, to)| to <= from) {
            return Err(("to", TimeError::Empty(from, to)));
        }
        let first = windows.first().copied();
        windows.retain(|(from, to)| self.start <= *from && *to <= self.end);
        match first.filter(|_| windows.is_empty()) {
            Some((from, _)) if from < self.start => {
                Err(("from", TimeError::BeforeStart(calendar.local(from), calendar.local(self.start))))
            }
            Some((_, to)) => Err(("to", TimeError::AfterEnd(calendar.local(to), calendar.local(self.end)))),
            None => Ok(windows),
        }
    }

    fn once(&self, key: &'static str, when: When, calendar: &Calendar) -> Result<Timestamp, WindowError> {
        let instants = when.resolve(calendar, self.start, self.end).map_err(|error| (key, error))?;
        Ok(*instants.first().expect("every moment but a bare time of day gives one instant"))
    }
}

impl Day {
    pub(crate) fn is(&self, date: Date) -> bool {
        match *self {
            Day::Weekday(weekday) => date.weekday() == weekday,
            Day::Date(named) => date == named,
        }
    }
}

impl Load {
    /// When this load runs: one window on each of its trading days, or the one that its times name.
    pub fn windows(&self, run: &Run, calendar: &Calendar) -> Result<Vec<Window>, WindowError> {
        let chosen = |date: &&Date| self.days.is_empty() || self.days.iter().any(|day| day.is(**date));
        let days: Vec<Date> = run.trading.iter().filter(chosen).copied().collect();
        run.windows(self.from, self.to, &days, calendar)
    }
}
