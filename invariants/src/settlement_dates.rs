//! When trades settle, from a table that was not made by the platform: see `data/README.md`.

use std::collections::BTreeMap;

use crate::day::Day;

const TABLE: &str = include_str!("../data/settlement_dates_xnys_2020_2027.csv");

#[derive(Clone)]
pub struct SettlementDates {
    /// Sessions and settlement days; with a settlement date where trades can be of that day.
    days: BTreeMap<Day, Listed>,
}

#[derive(Clone)]
struct Listed {
    settles: bool,
    settlement_date: Option<Day>,
}

impl Default for SettlementDates {
    fn default() -> Self {
        Self { days: TABLE.lines().skip(1).map(read).collect() }
    }
}

fn read(line: &str) -> (Day, Listed) {
    let mut columns = line.split(',');
    let mut column = || columns.next().expect("the committed table has five columns");
    let day = Day::parse(column()).expect("the committed table starts each line with a date");
    let _session = column();
    let settles = column() == "1";
    (day, Listed { settles, settlement_date: Day::parse(column()) })
}

impl SettlementDates {
    /// Whether the table reaches the day: beyond it nothing can be said.
    pub fn covers(&self, day: Day) -> bool {
        let (first, last) = (self.days.first_key_value(), self.days.last_key_value());
        first.is_some_and(|(first, _)| *first <= day) && last.is_some_and(|(last, _)| day <= *last)
    }

    /// The settlement date of trades of a day; `None` if no trade can be of that day.
    pub fn of_trade_date(&self, day: Day) -> Option<Day> {
        self.days.get(&day)?.settlement_date
    }

    /// The trade dates whose trades settle on a day, in order.
    pub fn settling_on(&self, day: Day) -> Vec<Day> {
        // Ten days before are enough for two settlement days and the longest of holidays.
        let before = self.days.range(..day).rev().take(10);
        let mut dates: Vec<Day> = before
            .filter(|(_, listed)| listed.settlement_date == Some(day))
            .map(|(trade_date, _)| *trade_date)
            .collect();
        dates.reverse();
        dates
    }

    pub fn is_settlement_day(&self, day: Day) -> bool {
        self.days.get(&day).is_some_and(|listed| listed.settles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_that_most_platforms_get_wrong() {
        let dates = SettlementDates::default();
        let day = |text| Day::parse(text).expect("a date");
        for (trade_date, settlement_date) in [
            ("2024-05-24", "2024-05-29"),
            ("2024-05-28", "2024-05-29"),
            ("2025-01-08", "2025-01-09"),
            ("2025-10-10", "2025-10-14"),
            ("2025-10-13", "2025-10-14"),
            ("2026-03-06", "2026-03-09"),
            ("2026-04-02", "2026-04-06"),
        ] {
            assert_eq!(dates.of_trade_date(day(trade_date)), Some(day(settlement_date)), "{trade_date}");
        }
        assert!(
            dates.is_settlement_day(day("2025-01-09")) && dates.of_trade_date(day("2025-01-09")).is_none()
        );
        assert!(!dates.is_settlement_day(day("2025-10-13")) && !dates.is_settlement_day(day("2026-04-03")));
        assert!(dates.covers(day("2020-01-02")) && !dates.covers(day("2028-01-03")));
    }
}
