//! The table of guarantees: the README says what the loader enforces, and the loader says why.

mod support;

use std::path::PathBuf;

use sim::guarantees::page;
use sim::runner::subject::catalogue;

const BEGIN: &str = "<!-- guarantees: written by `BLESS=1 cargo test -p sim --test guarantees` -->";
const END: &str = "<!-- end of guarantees -->";

fn readme() -> PathBuf {
    support::root().join("README.md")
}

/// What stands before, between and after the markers.
fn parts(text: &str) -> [&str; 3] {
    let (before, rest) = text.split_once(BEGIN).expect("the README has the section's first marker");
    let (section, after) = rest.split_once(END).expect("the README has the section's last marker");
    [before, section, after]
}

#[test]
fn the_readme_has_the_table() {
    let text = std::fs::read_to_string(readme()).expect("the README is in the repository");
    let [before, section, after] = parts(&text);
    let written = format!("\n{}\n", page::markdown());
    if std::env::var_os("BLESS").is_some() {
        let text = format!("{before}{BEGIN}{written}{END}{after}");
        std::fs::write(readme(), text).expect("the README can be written");
        return;
    }
    assert_eq!(section, written, "write it with BLESS=1");
}

/// Files whose `expect = "pass"` asks for more than is guaranteed, with what is said of each.
#[test]
fn who_asks_for_too_much_is_told_why() {
    let folder = support::root().join("scenarios/invalid/guarantees");
    let files = scenario::find(&[folder]).expect("the folder is in the repository");
    assert!(files.len() >= 6, "only {} files", files.len());
    let told = files.iter().map(|file| {
        let name = file.file_name().and_then(|name| name.to_str()).expect("names are plain text");
        let text = std::fs::read_to_string(file).expect("the file was just found");
        let mistakes = scenario::load_str(name, &text, &catalogue(), &[]).expect_err(name);
        mistakes.render(scenario::Style::Plain)
    });
    insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"));
}

/// The same files, if they expect what they are told to, or do without what may break.
#[test]
fn who_expects_it_is_let_through() {
    let folder = support::root().join("scenarios/invalid/guarantees");
    for file in scenario::find(&[folder]).expect("the folder is in the repository") {
        let text = std::fs::read_to_string(&file).expect("the file was just found");
        let mistakes = scenario::load_str("x", &text, &catalogue(), &[]).expect_err("it asks for too much");
        let json = mistakes.to_json();
        let hint = json[0]["hint"].as_str().expect("a hint");
        let set = hint.replace("expect = ", "expect=");
        scenario::load_str("x", &text, &catalogue(), &[set]).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    }
}

/// The table of faults, before that of guarantees.
#[test]
fn the_readme_names_every_fault() {
    let text = std::fs::read_to_string(readme()).expect("the README is in the repository");
    let rows: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("| family | actions |")).collect();
    let rows = rows.into_iter().take_while(|line| line.starts_with('|'));
    let words: Vec<&str> = rows.flat_map(|row| row.split([' ', ',', '|', '(', ')'])).collect();
    let actions = catalogue().fault_actions;
    let missing: Vec<&str> =
        actions.iter().map(|action| action.name.as_str()).filter(|name| !words.contains(name)).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn it_can_be_listed() {
    let said = support::run(&["list", "guarantees"]);
    assert_eq!(said.exit, 0);
    assert!(said.out.contains("acknowledged_is_durable") && said.out.contains("forced failover"));
    let said = support::run(&["list", "guarantees", "--format", "json"]);
    let cells: Vec<serde_json::Value> =
        said.out.lines().map(|line| serde_json::from_str(line).expect("an object per line")).collect();
    assert!(cells.iter().any(|cell| cell["but"].as_array().is_some_and(Vec::is_empty)));
    assert!(cells.iter().any(|cell| cell["but"][0]["guarantee"] == "may break"));
    assert_eq!(support::run(&["list", "marks", "--format", "json"]).exit, 2);
}
