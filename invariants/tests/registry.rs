//! The registries hold every oracle and mark, under names that scenarios can rely on.

use std::fs;
use std::path::Path;

use invariants::{marks, oracles};

/// The files of `src/oracles` without the registry itself: name and text.
fn oracle_files() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/oracles");
    let entries = fs::read_dir(folder).expect("the oracles have a folder");
    let paths = entries.map(|entry| entry.expect("an entry of it can be read").path());
    let name = |path: &Path| path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
    let mut files: Vec<(String, String)> = paths
        .map(|path| (name(&path), fs::read_to_string(&path).expect("a source file is text")))
        .filter(|(name, _)| name != "mod")
        .collect();
    files.sort();
    files
}

fn assert_sorted_and_unique(names: &[&str]) {
    for pair in names.windows(2) {
        assert!(pair[0] < pair[1], "{} comes before {}", pair[0], pair[1]);
    }
}

#[test]
fn invariants_are_sorted_unique_and_one_per_file() {
    let registered: Vec<&str> = oracles::all().iter().map(|invariant| invariant.name()).collect();
    assert_sorted_and_unique(&registered);
    let files: Vec<String> = oracle_files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(registered, files, "an oracle's name is that of its file, and every file is registered");
}

#[test]
fn every_oracle_says_why_it_can_break_and_is_seen_breaking() {
    for (name, text) in oracle_files() {
        assert!(text.starts_with("//! "), "{name} opens with what holds");
        assert!(text.contains("//! Why it can break:"), "{name} says why it can break");
        let fires = text.contains(" breaks(") || text.contains(" breaks_at_rest(");
        assert!(
            fires && text.contains(" holds("),
            "{name} has tests in which it fires and in which it holds"
        );
    }
}

#[test]
fn invariants_explain_themselves_and_need_something() {
    for invariant in oracles::all() {
        let (name, about) = (invariant.name(), invariant.about());
        assert!(
            about.ends_with('.') && about.contains("It breaks") || name == "node_panicked",
            "{name}: {about}"
        );
        assert!(!about.contains('\n'), "{name} is explained in one paragraph");
        assert!(!invariant.needs().is_empty(), "{name} is judged from some facts");
        assert!(invariant.is_settled(), "{name} has nothing pending before a run");
        let twice = invariant.needs().iter().any(|kind| invariant.welcomes().contains(kind));
        assert!(!twice, "{name} names a kind as needed or as welcome, not both");
    }
}

#[test]
fn marks_are_sorted_unique_and_explained() {
    let marks = marks::all();
    let names: Vec<&str> = marks.iter().map(|mark| mark.name()).collect();
    assert_sorted_and_unique(&names);
    for mark in &marks {
        let (name, about) = (mark.name(), mark.about());
        assert!(
            name.split_once(':').is_some_and(|(subject, what)| !subject.is_empty() && !what.is_empty()),
            "{name}"
        );
        assert!(about.ends_with('.') && !about.contains('\n'), "{name}: {about}");
        assert!(!mark.watches().is_empty() && !mark.seen(), "{name} watches something and has seen nothing");
    }
}

#[test]
fn the_marks_that_scenarios_name_exist() {
    let names: Vec<&str> = marks::all().iter().map(|mark| mark.name()).collect();
    for name in "trade:settled trade:rejected_by_position trade:rejected_by_tick trade:rejected_by_form \
                 trade:duplicate_answered trade:waited_for_reference_data settlement:batch_closed settlement:carried \
                 settlement:failed_final settlement:carried_then_settled settlement:two_trade_dates_one_batch \
                 settlement:released calendar:early_close calendar:no_settlement_on_good_friday \
                 calendar:dst_weekend_crossed calendar:weekend_crossed payment:confirmed payment:refused \
                 payment:deposit_booked payment:withdrawal_paid payment:withdrawal_refused edge:unauthorised \
                 edge:rate_limited edge:bad_request fix:accepted fix:rejected venue:end_of_day replay:finished \
                 notification:delivered ledger:booked"
        .split_whitespace()
    {
        assert!(names.contains(&name), "{name}");
    }
}
