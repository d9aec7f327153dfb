//! Marks of the days on which calendars differ. Trade dates are told by the seals that settlement receives.

use std::collections::BTreeMap;

use contracts::events::settlement_stored::Event;

use super::{Mark, follow, when};
use crate::day::{Day, local_hour};
use crate::fact::VenueMessage;
use crate::read::settlement;
use crate::{Fact, FactKind, Record};

const COMMITS: &[FactKind] = &[FactKind::Committed];

pub fn marks() -> Vec<Box<dyn Mark>> {
    vec![
        follow(
            "calendar:bank_holiday_session",
            "Trades of a session on a bank holiday went to a batch.",
            COMMITS,
            |seals, record| batch_over(seals, record, |trade_date, _| is_bank_holiday_session(trade_date)),
        ),
        follow(
            "calendar:dst_weekend_crossed",
            "Trades of before a clock change settled after it.",
            COMMITS,
            |seals, record| {
                batch_over(seals, record, |trade_date, batch| {
                    Day::clock_changes(batch.year())
                        .iter()
                        .any(|change| trade_date < *change && *change <= batch)
                })
            },
        ),
        when!(
            "calendar:early_close",
            "The venue closed at 13:00 local time.",
            &[FactKind::Venue],
            |record| {
                let closes = matches!(record.fact, Fact::Venue { message: VenueMessage::Close, .. });
                closes && local_hour(record.at_ns) == 13
            }
        ),
        follow(
            "calendar:no_settlement_on_good_friday",
            "Trades of before Good Friday settled after it.",
            COMMITS,
            |seals, record| {
                batch_over(seals, record, |trade_date, batch| {
                    let good_friday = Day::good_friday(batch.year());
                    trade_date < good_friday && good_friday < batch
                })
            },
        ),
        follow(
            "calendar:weekend_crossed",
            "Trades of before a weekend settled after it.",
            COMMITS,
            |seals, record| {
                batch_over(seals, record, |trade_date, batch| {
                    let mut between = std::iter::successors(Some(trade_date), |day| Some(day.next()));
                    between.by_ref().take_while(|day| *day < batch).any(|day| day.weekday() == 0)
                })
            },
        ),
    ]
}

/// Columbus Day and Veterans Day: the exchange is open, the banks are shut.
fn is_bank_holiday_session(day: Day) -> bool {
    let october_first = Day::new(day.year(), 10, 1);
    let monday =
        std::iter::successors(Some(october_first), |day| Some(day.next())).find(|day| day.weekday() == 1);
    let columbus = monday.map(|first| (0..7).fold(first, |day, _| day.next()));
    let veterans = Day::new(day.year(), 11, 11);
    Some(day) == columbus || (day == veterans && (1..=5).contains(&day.weekday()))
}

/// Trade dates with instructions, by settlement date.
type Seals = BTreeMap<String, Vec<Day>>;

/// Whether a batch starts that settles trades of a fitting date: (trade date, settlement date).
fn batch_over(seals: &mut Seals, record: &Record<'_>, fits: fn(Day, Day) -> bool) -> bool {
    settlement(record.fact).any(|(_, event)| match event {
        Event::SealReceived(seal) if seal.instructions > 0 => {
            seals.entry(seal.settlement_date.clone()).or_default().extend(Day::parse(&seal.trade_date));
            false
        }
        Event::BatchStarted(batch) => {
            let (date, sealed) = (Day::parse(&batch.settlement_date), seals.get(&batch.settlement_date));
            date.zip(sealed)
                .is_some_and(|(date, sealed)| sealed.iter().any(|trade_date| fits(*trade_date, date)))
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use contracts::events::{BatchStarted, TradeDateCleared};

    use super::super::check;
    use super::*;
    use crate::testing::{Commit, Told, history};

    fn batch(trade_date: &str, settlement_date: &str) -> Vec<Told> {
        let [trade_date, settlement_date] = [trade_date, settlement_date].map(ToOwned::to_owned);
        let started = BatchStarted { settlement_date: settlement_date.clone(), ..BatchStarted::default() };
        let seal = TradeDateCleared { trade_date, settlement_date, instructions: 1 };
        let stored = |event| Commit::by("settlement").event("stream", event);
        history![stored(Event::SealReceived(seal)), stored(Event::BatchStarted(started))]
    }

    #[test]
    fn batches_cross_days() {
        check("calendar:weekend_crossed", batch("2026-03-06", "2026-03-09"), true);
        check("calendar:weekend_crossed", batch("2026-03-05", "2026-03-06"), false);
        check("calendar:dst_weekend_crossed", batch("2026-03-06", "2026-03-09"), true);
        check("calendar:dst_weekend_crossed", batch("2026-10-30", "2026-11-02"), true);
        check("calendar:dst_weekend_crossed", batch("2026-03-13", "2026-03-16"), false);
        check("calendar:no_settlement_on_good_friday", batch("2026-04-02", "2026-04-06"), true);
        check("calendar:no_settlement_on_good_friday", batch("2026-04-01", "2026-04-02"), false);
        check("calendar:bank_holiday_session", batch("2025-10-13", "2025-10-14"), true);
        check("calendar:bank_holiday_session", batch("2025-10-14", "2025-10-15"), false);
        check("calendar:bank_holiday_session", batch("2026-11-11", "2026-11-12"), true);
    }

    #[test]
    fn an_early_close_is_at_thirteen_local() {
        let close = || Fact::Venue {
            venue: "XNYS".to_owned(),
            trade_date: "2026-11-27".to_owned(),
            message: VenueMessage::Close,
        };
        // Standard time: 13:00 is 18:00 UTC, five hours before settlement opens.
        let opens = Day::parse("2026-11-27").expect("a date").settlement_opens_ns();
        let hour = 3_600_000_000_000;
        check("calendar:early_close", history![(opens - 5 * hour, close())], true);
        check("calendar:early_close", history![(opens - 2 * hour, close())], false);
    }
}
