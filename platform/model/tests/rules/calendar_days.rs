//! Dates that published notices decide, one by one: the days on which a simpler rule is wrong.

use jiff::civil::{Date, date, time};
use model::calendar::{Closure, Holiday};
use model::{Calendar, CalendarError, Timestamp, VenueId};

fn day(text: &str) -> Date {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn settles(trade_date: &str, settlement_date: &str) {
    let found = Calendar::xnys().settlement_date(day(trade_date));
    assert_eq!(found, Ok(day(settlement_date)), "{trade_date}");
}

#[track_caller]
fn settling_on(settlement_date: &str, trade_dates: &[&str]) {
    let found = Calendar::xnys().trade_dates_settling_on(day(settlement_date));
    assert_eq!(found, trade_dates.iter().map(|date| day(date)).collect::<Vec<_>>(), "{settlement_date}");
}

/// (session, bank day, settlement day)
#[track_caller]
fn open(date: &str, expected: (bool, bool, bool)) {
    let (calendar, date) = (Calendar::xnys(), day(date));
    let found = (calendar.is_session(date), calendar.is_bank_day(date), calendar.is_settlement_day(date));
    assert_eq!(found, expected, "{date}");
}

#[test]
fn a_bank_holiday_with_a_session_settles_with_the_day_before() {
    open("2025-10-13", (true, false, false));
    settles("2025-10-10", "2025-10-14");
    settles("2025-10-13", "2025-10-14");
    settling_on("2025-10-14", &["2025-10-10", "2025-10-13"]);
    settling_on("2025-10-13", &[]);
    open("2021-11-11", (true, false, false));
    settles("2021-11-09", "2021-11-12");
    settles("2021-11-10", "2021-11-15");
    settles("2021-11-11", "2021-11-15");
    settling_on("2021-11-15", &["2021-11-10", "2021-11-11"]);
}

#[test]
fn the_shorter_cycle_begins_with_a_double_day() {
    settles("2024-05-23", "2024-05-28");
    settles("2024-05-24", "2024-05-29");
    settles("2024-05-28", "2024-05-29");
    settles("2024-05-29", "2024-05-30");
    settling_on("2024-05-29", &["2024-05-24", "2024-05-28"]);
    settling_on("2024-05-28", &["2024-05-23"]);
    settles("2017-09-01", "2017-09-07");
    settles("2017-09-05", "2017-09-07");
    settling_on("2017-09-07", &["2017-09-01", "2017-09-05"]);
}

#[test]
fn a_day_of_mourning_stops_trading_and_not_settlement() {
    for mourning in ["2018-12-05", "2025-01-09"] {
        open(mourning, (false, true, true));
        assert_eq!(Calendar::xnys().closure(day(mourning)), Some(Closure::AdHoc));
        assert_eq!(Calendar::xnys().session(day(mourning)), None);
    }
    settles("2025-01-08", "2025-01-09");
    settling_on("2025-01-09", &["2025-01-08"]);
    settling_on("2025-01-10", &[]);
    settles("2018-12-03", "2018-12-05");
    settles("2018-12-04", "2018-12-06");
    open("2012-10-29", (false, true, true));
    open("2012-10-30", (false, true, true));
    settles("2012-10-26", "2012-10-31");
    assert_eq!(Calendar::xnys().next_session_after(day("2012-10-26")), Ok(day("2012-10-31")));
}

#[test]
fn a_planned_closure_stops_settlement_though_banks_work() {
    for closed in ["2020-07-03", "2021-12-24", "2026-07-03", "2027-06-18", "2027-12-24"] {
        open(closed, (false, true, false));
    }
    for good_friday in ["2024-03-29", "2025-04-18", "2026-04-03"] {
        open(good_friday, (false, true, false));
        let closure = Calendar::xnys().closure(day(good_friday));
        assert_eq!(closure, Some(Closure::Holiday(Holiday::GoodFriday)));
    }
    settles("2020-07-01", "2020-07-06");
    settles("2020-07-02", "2020-07-07");
    settles("2025-04-17", "2025-04-21");
}

#[test]
fn observance_of_weekend_holidays() {
    // A Saturday New Year closes neither exchange nor banks on the Friday.
    open("2021-12-31", (true, true, true));
    open("2027-12-31", (true, true, true));
    // Juneteenth was not yet observed in 2021, was on a Monday for its Sunday in 2022.
    open("2021-06-18", (true, true, true));
    open("2022-06-20", (false, false, false));
    // A Sunday New Year and a Sunday Christmas close both on the Monday.
    open("2023-01-02", (false, false, false));
    open("2022-12-26", (false, false, false));
    // A Saturday Veterans Day is not moved.
    open("2023-11-10", (true, true, true));
}

/// The fifteen early closes of 2020 to 2027, as the exchange announced them.
#[test]
fn early_closes_are_those_announced() {
    let calendar = Calendar::xnys();
    let mut found = Vec::new();
    for date in date(2020, 1, 1).series(jiff::ToSpan::day(1)).take_while(|date| date.year() < 2028) {
        if let Some(session) = calendar.session(date).filter(|session| session.early_close) {
            assert_eq!(calendar.local_datetime(session.close).time(), time(13, 0, 0, 0));
            found.push(date.to_string());
        }
    }
    assert_eq!(
        found,
        [
            "2020-11-27",
            "2020-12-24",
            "2021-11-26",
            "2022-11-25",
            "2023-07-03",
            "2023-11-24",
            "2024-07-03",
            "2024-11-29",
            "2024-12-24",
            "2025-07-03",
            "2025-11-28",
            "2025-12-24",
            "2026-11-27",
            "2026-12-24",
            "2027-11-26",
        ]
    );
}

#[test]
fn sessions_are_searched_forward() {
    let calendar = Calendar::xnys();
    assert_eq!(calendar.next_session_on_or_after(day("2026-03-06")), Ok(day("2026-03-06")));
    assert_eq!(calendar.next_session_on_or_after(day("2026-03-07")), Ok(day("2026-03-09")));
    assert_eq!(calendar.next_session_after(day("2026-03-06")), Ok(day("2026-03-09")));
    assert_eq!(calendar.next_settlement_day_after(day("2025-10-10")), Ok(day("2025-10-14")));
}

#[test]
fn the_next_six_o_clock_is_never_24_hours_away_by_assumption() {
    let calendar = Calendar::xnys();
    let instant = |text: &str| text.parse::<Timestamp>().unwrap_or_else(|error| panic!("{text}: {error}"));
    for (after, next) in [
        // Into summer time, 23 hours.
        ("2026-03-07T23:00:00Z", "2026-03-08T22:00:00Z"),
        // Out of it, 25 hours.
        ("2026-10-31T22:00:00Z", "2026-11-01T23:00:00Z"),
        // Strictly after, and the same day where it is still to come.
        ("2026-03-06T22:59:59.999999999Z", "2026-03-06T23:00:00Z"),
        ("2026-03-06T23:00:00Z", "2026-03-07T23:00:00Z"),
        // In UTC it is already tomorrow, in New York it is not.
        ("2026-03-07T03:00:00Z", "2026-03-07T23:00:00Z"),
    ] {
        assert_eq!(calendar.next_local(instant(after), time(18, 0, 0, 0)), Ok(instant(next)), "{after}");
    }
}

#[test]
fn a_skipped_time_moves_forward_and_a_repeated_one_is_the_first() {
    let calendar = Calendar::xnys();
    for (date, hour, expected) in
        [("2026-03-08", 2, "2026-03-08T07:30:00Z"), ("2026-11-01", 1, "2026-11-01T05:30:00Z")]
    {
        let found = calendar.local_instant(day(date), time(hour, 30, 0, 0));
        assert_eq!(found, Ok(expected.parse().expect("an instant")), "{date}");
    }
}

#[test]
fn outside_the_covered_years_nothing_is_claimed() {
    let calendar = Calendar::xnys();
    for outside in ["2009-12-31", "2036-01-02"] {
        let date = day(outside);
        open(outside, (false, false, false));
        assert!(
            !calendar.covers(date) && calendar.session(date).is_none() && calendar.closure(date).is_none()
        );
        assert_eq!(calendar.settlement_date(date), Err(CalendarError::OutOfRange { date }));
        assert_eq!(calendar.next_session_on_or_after(date), Err(CalendarError::OutOfRange { date }));
        assert_eq!(calendar.trade_dates_settling_on(date), []);
    }
    let last = day("2035-12-31");
    assert!(calendar.is_session(last));
    assert_eq!(calendar.settlement_date(last), Err(CalendarError::OutOfRange { date: last }));
    assert_eq!(calendar.next_settlement_day_after(last), Err(CalendarError::OutOfRange { date: last }));
}

#[test]
fn a_venue_is_found_by_its_code() {
    let venue = |code| VenueId::new(code).expect("a valid id");
    let found = Calendar::of(&venue("XNYS")).expect("a known venue");
    assert!(std::ptr::eq(found, Calendar::xnys()) && found.venue() == "XNYS");
    assert!(Calendar::of(&venue("XLON")).is_none());
}
