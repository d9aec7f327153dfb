//! The calendar against tables that others generated; see `tests/data`.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::ToSpan;
use jiff::civil::{Date, time};
use model::calendar::{Closure, Holiday, settlement_cycle};
use model::{Calendar, Timestamp};

/// One row by column name.
type Row = BTreeMap<String, String>;

fn rows(file: &str) -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let row = |line: &str| -> Row {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells.len(), header.len(), "{line}");
        header.iter().zip(cells).map(|(name, cell)| ((*name).to_owned(), cell.to_owned())).collect()
    };
    lines.map(row).collect()
}

fn date(text: &str) -> Date {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn flag(text: &str) -> bool {
    match text {
        "0" => false,
        "1" => true,
        other => panic!("neither 0 nor 1: {other}"),
    }
}

/// 18:00 at the venue on a date, found from the instant before it as a timer would find it.
fn at_six(calendar: &Calendar, date: Date) -> Timestamp {
    let midnight = calendar.local_instant(date, time(0, 0, 0, 0)).expect("in range");
    calendar.next_local(midnight, time(18, 0, 0, 0)).expect("in range")
}

#[test]
fn every_session_of_2020_to_2023() {
    let calendar = Calendar::xnys();
    let rows = rows("xnys_sessions_2020_2023.csv");
    assert_eq!(rows.len(), 1_006);
    for row in &rows {
        let trade_date = date(&row["trade_date"]);
        let session = calendar.session(trade_date).unwrap_or_else(|| panic!("no session on {trade_date}"));
        assert_eq!(session.date, trade_date);
        assert_eq!(trade_date.strftime("%a").to_string(), row["weekday"], "{trade_date}");
        assert_eq!(session.open, instant(&row["open_utc"]), "{trade_date}");
        assert_eq!(session.close, instant(&row["close_utc"]), "{trade_date}");
        assert_eq!(session.early_close, flag(&row["early_close"]), "{trade_date}");
        assert_eq!(calendar.is_early_close(trade_date), flag(&row["early_close"]), "{trade_date}");

        let local = calendar.local_datetime(session.open).to_zoned(jiff::tz::TimeZone::UTC);
        let ahead = local.expect("in range").timestamp().duration_since(session.open);
        assert_eq!(ahead.as_hours().to_string(), row["et_utc_offset_hours"], "{trade_date}");

        assert_eq!(calendar.is_settlement_day(trade_date), flag(&row["is_settlement_day"]), "{trade_date}");
        let next_day = calendar.next_settlement_day_after(trade_date).expect("covered");
        assert_eq!(next_day, date(&row["settle_t1"]), "{trade_date}");
        let settles = calendar.settlement_date(trade_date).expect("covered");
        assert_eq!(settles, date(&row["settle_cycle_in_force"]), "{trade_date}");
        assert_eq!(settlement_cycle(trade_date).to_string(), row["cycle_days"], "{trade_date}");
        let days = trade_date.until(next_day).expect("in range").get_days();
        assert_eq!(days.to_string(), row["calendar_days_to_t1"], "{trade_date}");

        assert_eq!(at_six(calendar, trade_date), instant(&row["trade_day_1800et_utc"]), "{trade_date}");
        assert_eq!(at_six(calendar, next_day), instant(&row["settle_t1_1800et_utc"]), "{trade_date}");
        assert!(calendar.trade_dates_settling_on(settles).contains(&trade_date), "{trade_date}");
    }
}

#[test]
fn every_day_of_2020_to_2023() {
    let calendar = Calendar::xnys();
    let rows = rows("us_calendar_days_2020_2023.csv");
    assert_eq!(rows.len(), 1_461);
    for row in &rows {
        let day = date(&row["date"]);
        assert_eq!(day.strftime("%a").to_string(), row["weekday"], "{day}");
        assert_eq!(calendar.is_session(day), flag(&row["exchange_open"]), "{day}");
        assert_eq!(calendar.session(day).is_some(), flag(&row["exchange_open"]), "{day}");
        assert_eq!(calendar.is_bank_day(day), flag(&row["fed_open"]), "{day}");
        assert_eq!(calendar.is_settlement_day(day), flag(&row["settlement_day"]), "{day}");
        assert_eq!(reason(calendar, day), row["reason"], "{day}");
    }
}

/// The table's last column: why a day is not open in every calendar.
fn reason(calendar: &Calendar, day: Date) -> String {
    match (calendar.closure(day), calendar.bank_holiday(day)) {
        (None, None) => String::new(),
        (None, Some(holiday)) => format!("bank_holiday_exchange_open:{}", name(holiday)),
        (Some(Closure::Weekend), _) => "weekend".to_owned(),
        (Some(Closure::Holiday(closed)), Some(holiday)) => {
            assert_eq!(closed, holiday, "{day}");
            format!("holiday:{}", name(holiday))
        }
        (Some(Closure::Holiday(_) | Closure::AdHoc), _) => "exchange_closed_fed_open".to_owned(),
    }
}

fn name(holiday: Holiday) -> String {
    match holiday {
        Holiday::MartinLutherKing => "MLK".to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_sessions_of_both_tables_agree() {
    let days = rows("us_calendar_days_2020_2023.csv");
    let open: Vec<_> =
        days.iter().filter(|row| flag(&row["exchange_open"])).map(|row| &row["date"]).collect();
    let sessions = rows("xnys_sessions_2020_2023.csv");
    assert_eq!(open, sessions.iter().map(|row| &row["trade_date"]).collect::<Vec<_>>());
}

#[test]
fn every_time_change_of_2020_to_2027() {
    let calendar = Calendar::xnys();
    let midnight = |date| calendar.local_instant(date, time(0, 0, 0, 0)).expect("in range");
    let changes = rows("us_dst_2020_2027.csv");
    assert_eq!(changes.len(), 16);
    let mut expected = BTreeMap::new();
    for row in &changes {
        let hours = if row["dst_transition"] == "start" { "23.0" } else { "25.0" };
        assert_eq!(row["local_day_hours"], hours);
        expected.insert(date(&row["date"]), if hours == "23.0" { 23 } else { 25 });
    }
    for day in date("2020-01-01").series(1.day()).take_while(|day| day.year() < 2028) {
        let hours = midnight(day.tomorrow().expect("in range")).duration_since(midnight(day)).as_hours();
        assert_eq!(hours, *expected.get(&day).unwrap_or(&24), "{day}");

        let six = at_six(calendar, day);
        let next = calendar.next_local(six, time(18, 0, 0, 0)).expect("in range");
        assert_eq!(next, at_six(calendar, day.tomorrow().expect("in range")), "{day}");
        assert_eq!(calendar.local_datetime(next).time(), time(18, 0, 0, 0), "{day}");
    }
}
