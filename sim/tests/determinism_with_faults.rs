//! One hash for one run, whatever surrounds it, also where everything breaks: thirteen scenarios, five surroundings.

mod support;

use std::process::Command;

use support::{bellwether, objects, root, said};

/// Between them the two lists have every family of faults. Two, so that they are tried on two cores.
const MANY_THINGS: [&str; 6] = [
    "brokers_lose_power",
    "commit_unknown_everywhere",
    "databases_of_every_kind_of_badness",
    "disks_of_brokers",
    "everything_at_low_odds",
    "requests_late_and_twice",
];
const ONE_THING: [&str; 7] = [
    "bank_loses_every_tenth_answer",
    "brokers_die_by_turns",
    "clocks_strobe_around_the_close",
    "links_of_every_kind_of_badness",
    "old_primary_goes_on_answering",
    "position_killed_at_every_step",
    "rebalance_in_the_open",
];
const SEED: &str = "5";

fn path(scenario: &str) -> String {
    format!("scenarios/faults/{scenario}.toml")
}

/// The hashes of the runs of a process, in the order of scenarios. `None` where one fails.
fn hashes(command: &mut Command) -> Vec<(String, String)> {
    let said = said(command.args(["--format", "json", "--seed", SEED]));
    assert_eq!(said.exit, 0, "{}", said.out);
    let text = |object: &serde_json::Value, key: &str| object[key].as_str().expect("a text").to_owned();
    let mut hashes: Vec<(String, String)> =
        objects(&said).iter().map(|run| (text(run, "scenario"), text(run, "trace_hash"))).collect();
    hashes.sort();
    hashes
}

/// All these scenarios in one process.
fn together(scenarios: &[&str], prepare: impl FnOnce(&mut Command)) -> Vec<(String, String)> {
    let mut command = bellwether();
    command.arg("run");
    prepare(&mut command);
    command.args(scenarios.iter().map(|scenario| root().join(path(scenario))));
    hashes(&mut command)
}

#[test]
fn one_hash_in_every_surrounding_where_many_things_break() {
    one_hash_for_each(&MANY_THINGS);
}

#[test]
fn one_hash_in_every_surrounding_where_one_thing_breaks() {
    one_hash_for_each(&ONE_THING);
}

fn one_hash_for_each(scenarios: &[&str]) {
    let together = |prepare: &dyn Fn(&mut Command)| together(scenarios, prepare);
    let alone: Vec<(String, String)> =
        scenarios.iter().flat_map(|scenario| hashes(bellwether().args(["run", &path(scenario)]))).collect();
    assert_eq!(alone.len(), scenarios.len());
    let one_after_the_other = together(&|command| {
        command.args(["--jobs", "1"]);
    });
    assert_eq!(one_after_the_other, alone, "as one of many in a process");
    let beside = together(&|command| {
        command.args(["--jobs", "2"]);
    });
    assert_eq!(beside, alone, "beside another run");
    let noisy = together(&|command| {
        command.env("RUST_LOG", "debug");
    });
    assert_eq!(noisy, alone, "with log lines");
    let elsewhere = together(&|command| {
        command.current_dir(std::env::temp_dir()).env("TZ", "Asia/Kathmandu");
    });
    assert_eq!(elsewhere, alone, "in another time zone and directory");
}
