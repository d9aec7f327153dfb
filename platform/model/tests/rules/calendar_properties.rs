//! What holds on every covered day, and a naive settlement rule beside the table's.

use std::collections::BTreeMap;

use jiff::ToSpan;
use jiff::civil::{Date, date, time};
use model::calendar::{Closure, FIRST_YEAR, Holiday, LAST_YEAR, settlement_cycle};
use model::{Calendar, Timestamp};
use proptest::prelude::*;

fn covered() -> impl Iterator<Item = Date> {
    date(FIRST_YEAR, 1, 1).series(1.day()).take_while(|day| day.year() <= LAST_YEAR)
}

#[test]
fn settlement_dates_are_later_settlement_days_that_never_decrease() {
    let calendar = Calendar::xnys();
    let mut latest = date(FIRST_YEAR, 1, 1);
    let mut seen = 0;
    for day in covered().filter(|day| *day < date(LAST_YEAR, 12, 20)) {
        let settles = calendar.settlement_date(day).expect("covered");
        assert!(settles > day && settles >= latest && calendar.is_settlement_day(settles), "{day}");
        let between = day.tomorrow().expect("in range").series(1.day()).take_while(|day| *day <= settles);
        let settlement_days = between.filter(|day| calendar.is_settlement_day(*day)).count();
        assert_eq!(settlement_days, settlement_cycle(day), "{day}");
        latest = settles;
        seen += 1;
    }
    assert!(seen > 9_400);
}

#[test]
fn every_session_settles_once_and_only_where_it_is_looked_for() {
    let calendar = Calendar::xnys();
    let mut by_settlement: BTreeMap<Date, Vec<Date>> = BTreeMap::new();
    for day in covered().filter(|day| calendar.is_session(*day)) {
        if let Ok(settles) = calendar.settlement_date(day) {
            by_settlement.entry(settles).or_default().push(day);
        }
    }
    let (mut none, mut two) = (0, 0);
    for day in covered() {
        let expected = by_settlement.remove(&day).unwrap_or_default();
        none += usize::from(expected.is_empty() && calendar.is_settlement_day(day));
        two += usize::from(expected.len() == 2);
        assert_eq!(calendar.trade_dates_settling_on(day), expected, "{day}");
    }
    // Settlement days that follow an ad-hoc closure have no trade date of their own; Columbus Day, most
    // Veterans Days and both shortenings of the cycle have two.
    assert!(none >= 4 && two > 40, "{none} {two}");
}

#[test]
fn a_settlement_day_is_a_bank_day_that_the_exchange_did_not_plan_to_close() {
    let calendar = Calendar::xnys();
    let mut disagreements = 0;
    for day in covered() {
        let planned = !matches!(calendar.closure(day), Some(Closure::Weekend | Closure::Holiday(_)));
        assert_eq!(calendar.is_settlement_day(day), calendar.is_bank_day(day) && planned, "{day}");
        disagreements += usize::from(calendar.is_session(day) != calendar.is_settlement_day(day));
    }
    assert!(disagreements > 40);
}

#[test]
fn years_have_250_to_253_sessions() {
    let calendar = Calendar::xnys();
    for year in FIRST_YEAR..=LAST_YEAR {
        let sessions = covered().filter(|day| day.year() == year && calendar.is_session(*day)).count();
        assert!((250..=253).contains(&sessions), "{year}: {sessions}");
    }
}

#[test]
fn only_columbus_and_veterans_day_have_a_session_on_a_bank_holiday() {
    let calendar = Calendar::xnys();
    for day in covered().filter(|day| calendar.is_session(*day) && !calendar.is_bank_day(*day)) {
        let holiday = calendar.bank_holiday(day);
        assert!(matches!(holiday, Some(Holiday::Columbus | Holiday::Veterans)), "{day}: {holiday:?}");
    }
}

#[test]
fn sessions_last_six_and_a_half_hours_or_half_a_day() {
    let calendar = Calendar::xnys();
    let mut early = 0;
    for session in covered().filter_map(|day| calendar.session(day)) {
        let minutes = session.close.duration_since(session.open).as_mins();
        assert_eq!(minutes, if session.early_close { 210 } else { 390 }, "{}", session.date);
        assert_eq!(calendar.local_datetime(session.open).time(), time(9, 30, 0, 0), "{}", session.date);
        early += usize::from(session.early_close);
    }
    // One after each Thanksgiving, and at most one each in July and at Christmas.
    assert!((26..=78).contains(&early), "{early}");
}

proptest! {
    /// From any instant and for any time of day: strictly later, shows that time (or the one after a gap),
    /// and no earlier local day would have done.
    #[test]
    fn the_next_local_time_is_the_first_one(
        second in 1_262_304_000_i64..2_082_758_400,
        nanosecond in 0_i32..1_000_000_000,
        minute_of_day in 0_i32..1_440,
    ) {
        let calendar = Calendar::xnys();
        let after = Timestamp::new(second, nanosecond).expect("in range");
        let hour = i8::try_from(minute_of_day / 60).expect("below 24");
        let wanted = time(hour, i8::try_from(minute_of_day % 60).expect("below 60"), 0, 0);
        let next = calendar.next_local(after, wanted).expect("in range");
        prop_assert!(next > after);
        let shown = calendar.local_datetime(next);
        let moved = calendar.local_instant(shown.date(), wanted).expect("in range");
        prop_assert_eq!(moved, next);
        let earlier = shown.date().yesterday().expect("in range");
        prop_assert!(calendar.local_instant(earlier, wanted).expect("in range") <= after);
        if hour != 2 {
            prop_assert_eq!(shown.time(), wanted);
        }
    }
}
