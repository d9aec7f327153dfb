//! The settlement cycle: how many settlement days after the trade date a regular-way trade settles.

use jiff::civil::{Date, date};

/// The first trade date of each cycle, newest first. Source: SEC rule 15c6-1 and its amendments.
const CYCLES: [(Date, usize); 3] = [(date(2024, 5, 28), 1), (date(2017, 9, 5), 2), (date(1995, 6, 7), 3)];

/// The cycle before the first entry.
const OLDEST: usize = 5;

/// How many settlement days after its trade date a trade settles: 5, 3, 2 or 1, by what was in force on
/// the trade date.
pub fn settlement_cycle(trade_date: Date) -> usize {
    CYCLES.iter().find(|(from, _)| trade_date >= *from).map_or(OLDEST, |(_, days)| *days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cycle_begins_on_its_first_trade_date() {
        for (from, days) in CYCLES {
            assert_eq!(settlement_cycle(from), days);
            let before = from.yesterday().expect("a day before it");
            assert_eq!(settlement_cycle(before), if days == 3 { 5 } else { days + 1 });
        }
    }
}
