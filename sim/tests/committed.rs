//! The committed scenarios: each loads, is short, says what it is about, and means the days it claims.

#[path = "../scenario/tests/support/schema.rs"]
mod schema;
mod support;

use scenario::{Calendar, Expect, Scenario, find, load, load_str, resolved_instants};
use sim::runner::subject::catalogue;

/// About sixty, as far as faults allow: each has its table, and the full day has one of every kind.
const LINES_MAX: usize = 100;

/// Marks that some scenario must see, or what it is there for is never met.
const MARKS: &[&str] = &[
    "calendar:dst_weekend_crossed",
    "calendar:early_close",
    "calendar:no_settlement_on_good_friday",
    "edge:accepted_under_new_keys",
    "edge:bad_request",
    "edge:rate_limited",
    "edge:unauthorised",
    "fix:accepted",
    "fix:rejected",
    "kafka:duplicate_visible",
    "kafka:gap_filled",
    "kafka:poison_passed",
    "kafka:rebalanced",
    "kafka:zombie_returned",
    "ledger:booked_late",
    "node:died_deciding",
    "node:restarted",
    "payment:cutoff_missed",
    "payment:deposit_booked",
    "payment:refused",
    "payment:unknown_then_confirmed",
    "payment:withdrawal_paid",
    "payment:withdrawal_refused",
    "replay:finished",
    "settlement:batch_changed_hands",
    "settlement:batch_closed",
    "settlement:batch_resumed",
    "settlement:batch_under_skew",
    "settlement:carried",
    "settlement:carried_then_settled",
    "settlement:failed_final",
    "settlement:two_trade_dates_one_batch",
    "store:commit_unknown_of_clearing",
    "store:commit_unknown_of_ledger",
    "store:commit_unknown_of_notification",
    "store:commit_unknown_of_payment",
    "store:commit_unknown_of_position",
    "store:commit_unknown_of_reference-data",
    "store:commit_unknown_of_settlement",
    "store:commit_unknown_of_trade",
    "store:failed_over",
    "store:panicked",
    "store:standby_joined",
    "store:standby_left",
    "trade:duplicate_answered",
    "trade:rejected_by_position",
    "trade:rejected_by_tick",
    "trade:settled",
    "venue:end_of_day",
    "venue:sealed_early",
    "venue:sealed_late",
    "venue:sealed_on_asking",
];

/// Every scenario that is meant to load, with its file's stem and text.
fn all() -> Vec<(String, String, Scenario)> {
    within("scenarios")
}

fn within(folder: &str) -> Vec<(String, String, Scenario)> {
    let files = find(&[support::root().join(folder)]).expect("the folder is in the repository");
    assert!(files.len() >= 12, "only {} scenarios", files.len());
    let read = |file: &std::path::PathBuf| {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).expect("names are plain text");
        let text = std::fs::read_to_string(file).expect("the file was just found");
        let scenario = load(file, &catalogue(), &[]).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        (stem.to_owned(), text, scenario)
    };
    files.iter().map(read).collect()
}

#[test]
fn each_is_short_and_says_what_it_is_about() {
    for (stem, text, scenario) in all() {
        assert_eq!(scenario.name, stem);
        assert!(text.lines().count() <= LINES_MAX, "{stem} has {} lines", text.lines().count());
        assert!(scenario.about.ends_with('.') && scenario.about.len() > 30, "{stem}: {}", scenario.about);
        assert!(!scenario.tags.is_empty(), "{stem} has no tags");
        assert!(
            scenario.expect != Expect::Pass || !scenario.check.must_see.is_empty(),
            "{stem} can be vacuous"
        );
    }
}

#[test]
fn every_mark_is_asked_for_by_a_scenario() {
    let asked: Vec<String> = all().into_iter().flat_map(|(_, _, scenario)| scenario.check.must_see).collect();
    for mark in MARKS {
        assert!(asked.iter().any(|asked| asked == mark), "no scenario must see {mark}");
    }
}

#[test]
fn what_is_printed_loads_as_the_same_scenario() {
    for (stem, _, scenario) in all() {
        let printed = scenario.to_toml().expect("a scenario is a TOML file");
        match load_str(&stem, &printed, &catalogue(), &[]) {
            Ok(again) => assert_eq!(again, scenario, "{printed}"),
            Err(mistakes) => panic!("{mistakes}\n{printed}"),
        }
    }
}

#[test]
fn each_fits_the_schema() {
    let schema = scenario::schema(&catalogue());
    for (stem, text, _) in all() {
        let file: serde_json::Value = toml::from_str(&text).expect("it loaded");
        if let Err(why) = schema::validate(&schema, &file) {
            panic!("{stem} does not fit the schema: {why}");
        }
    }
}

#[test]
fn the_instants_they_mean() {
    let mut shown = String::new();
    for (stem, _, scenario) in within("scenarios/market") {
        let instants = resolved_instants(&scenario, &Calendar::xnys()).expect("the loader checked them");
        let run = scenario.run(&Calendar::xnys()).expect("the loader checked it");
        shown += &format!("{stem}\n");
        for date in &run.trading {
            let settles = model::Calendar::xnys().settlement_date(*date).expect("covered");
            shown += &format!("    {} settles {}\n", date.strftime("%a %F"), settles.strftime("%a %F"));
        }
        for instant in instants {
            shown += &format!("    {instant}\n");
        }
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn the_calendar_scenarios_are_on_the_days_they_need() {
    let calendar = model::Calendar::xnys();
    for (stem, _, scenario) in all() {
        let trading = scenario.run(&Calendar::xnys()).expect("the loader checked it").trading;
        let settles =
            trading.iter().map(|date| calendar.settlement_date(*date).expect("covered").to_string());
        let settles: Vec<String> = settles.collect();
        match stem.as_str() {
            "full_day" => assert_eq!(settles, ["2026-03-09"]),
            "columbus_day" => assert_eq!(settles, ["2026-10-13", "2026-10-13"]),
            "good_friday" => assert_eq!(settles, ["2026-04-06"]),
            "early_close" => assert!(calendar.is_early_close(trading[0])),
            _ => {}
        }
    }
}
