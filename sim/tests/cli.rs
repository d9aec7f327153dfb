//! The command line as its users see it: help, exit codes, what goes to which stream.

mod support;

use support::{Said, bellwether, objects, run, said};

const SHORT_DAY: &str = "scenarios/market/short_day.toml";
/// A short day that is over in no time, and sees what it must see.
const SMALL: &[&str] = &["--set", "load[0].count=60", "--set", "check.must_see=[\"trade:settled\"]"];

fn small(arguments: &[&str]) -> Said {
    let mut command = bellwether();
    command.args(&arguments[..1]).arg(SHORT_DAY).args(SMALL).args(&arguments[1..]);
    said(&mut command)
}

#[test]
fn help() {
    let snapshots = support::root().join("snapshots/help");
    for verb in ["", "run", "replay", "canaries", "check", "schema", "list", "explain", "kafka"] {
        let said = said(bellwether().args((!verb.is_empty()).then_some(verb)).arg("--help"));
        assert_eq!((said.exit, said.err.as_str()), (0, ""));
        let name = if verb.is_empty() { "bellwether" } else { verb };
        insta::with_settings!({ snapshot_path => &snapshots, prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, said.out);
        });
    }
}

#[test]
fn wrong_usage_exits_with_2_and_says_what_is_right() {
    for (arguments, hint) in [
        (&["rum"][..], "similar subcommand"),
        (&["run", "--seeds", "5..1"], "5 is after 1"),
        (&["run", "--seed", "minus"], "decimal or hexadecimal"),
        (&["run", "--seed", "1", "--seeds", "1..2"], "cannot be used with"),
        (&["run", "--wall-limit", "5"], "1h30m"),
        (&["run", "sim/src"], "hint: name .toml files"),
        (&["explain", "oversell"], "did you mean no_oversell or oversell-unchecked?"),
        (&["list", "everything"], "possible values: invariants, faults"),
        (&["replay", SHORT_DAY, "--seed", "1", "--until", "noon"], "hint: a time reads like"),
        (&[], "Usage: bellwether"),
    ] {
        let said = run(arguments);
        assert_eq!((said.exit, said.out.as_str()), (2, ""), "{arguments:?}");
        assert!(said.err.contains(hint), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn every_wrong_file_is_told_with_its_place_and_exits_with_5() {
    let said = run(&["check", "scenarios/invalid"]);
    assert_eq!((said.exit, said.out.as_str()), (5, ""));
    let line = "scenarios/invalid/unknown_service.toml:22:1: topology.posiiton: unknown key `posiiton` (did you mean `position`?)";
    assert!(said.err.contains(line), "{}", said.err);
    let files = scenario::find(&[support::root().join("scenarios/invalid")]);
    for file in files.expect("the folder is in the repository") {
        let file = file.strip_prefix(support::root()).expect("it is below the root");
        let name = format!("{}:", file.display());
        assert!(said.err.contains(&name), "{name} is not told of");
    }
}

#[test]
fn a_scenario_with_a_mistake_is_not_run() {
    let said = run(&["run", SHORT_DAY, "--set", "market.acounts=50", "--format", "json"]);
    assert_eq!((said.exit, said.out.as_str()), (5, ""));
    assert!(said.err.contains("unknown key `acounts`"), "{}", said.err);
    assert_eq!(run(&["run", "no/such.toml"]).exit, 5);
    let silent = "scenarios/faults/rails_one_receiver_silent.toml";
    let said = run(&["check", silent, "--set", "fault[0].participant=\"P99\""]);
    assert_eq!(said.exit, 5);
    assert!(said.err.contains("there is no participant P99"), "{}", said.err);
}

#[test]
fn data_that_is_not_there_is_named() {
    let said = run(&["run", "scenarios/market/lobster_replay.toml", "--set", "load[0].file=no/such.csv"]);
    assert_eq!(said.exit, 5);
    assert!(
        said.out.contains("no/such.csv: not found") && said.out.contains("hint: recorded data"),
        "{said:?}"
    );
}

#[test]
fn the_committed_scenarios_are_sound() {
    let said = run(&["check", "scenarios", "--instants"]);
    assert_eq!((said.exit, said.err.as_str()), (0, ""));
    assert!(
        said.out
            .contains("scenarios/market/full_day.toml: ok\n  Fri 2026-03-06 08:00:00-05:00  market.start")
    );
    assert!(!said.out.contains("invalid"), "a folder called invalid must be named itself");
}

#[test]
fn json_is_one_object_per_run_and_nothing_else() {
    let said = small(&["run", "--seeds", "1..2", "--format", "json"]);
    assert_eq!(said.exit, 0, "{said:?}");
    let objects = objects(&said);
    assert_eq!(objects.len(), 2);
    for (object, seed) in objects.iter().zip(1..) {
        assert_eq!((object["scenario"].as_str(), object["seed"].as_u64()), (Some("short_day"), Some(seed)));
        assert_eq!(object["verdict"], "pass");
        for field in ["violations", "pending", "missing_marks"] {
            assert_eq!(object[field], serde_json::json!([]), "{field}");
        }
        for field in ["records", "messages", "wakeups", "sim_seconds", "wall_seconds"] {
            assert!(object[field].as_f64() > Some(0.0), "{field}: {}", object[field]);
        }
        for field in ["orders", "trades", "settled", "failed", "rejected", "faults", "restarts", "conflicts"]
        {
            assert!(object["counts"][field].is_u64(), "{field}: {}", object["counts"]);
        }
        assert_eq!(object["trace_hash"].as_str().map(str::len), Some(32));
    }
}

#[test]
fn a_run_that_misses_its_subject_is_vacuous() {
    let seen = ["--set", "check.must_see=[\"settlement:failed_final\"]"];
    let said = said(bellwether().args(["run", SHORT_DAY, "--set", "load[0].count=10"]).args(seen));
    assert_eq!(said.exit, 6, "{said:?}");
    let last: Vec<&str> = said.out.lines().rev().take(3).collect();
    assert!(
        last[0].starts_with("  reproduce  cargo sim run scenarios/market/short_day.toml --seed 1 --set "),
        "{last:?}"
    );
    assert_eq!(last[1].trim(), "settlement:failed_final");
}

#[test]
fn a_canary_whose_violation_does_not_happen_is_not_found() {
    let said = small(&["run", "--set", "expect=violation:no_oversell"]);
    assert_eq!(said.exit, 1, "{said:?}");
    assert!(
        said.out.starts_with("not found") && said.out.contains("no seed violated no_oversell"),
        "{said:?}"
    );
}

#[test]
fn reports_are_written_for_every_run() {
    let folder = std::env::temp_dir().join(format!("bellwether-reports-{}", std::process::id()));
    let said = small(&["run", "--report", folder.to_str().expect("plain text")]);
    assert_eq!(said.exit, 0, "{said:?}");
    let read = |name| std::fs::read_to_string(folder.join(name)).expect("it was written");
    let object: serde_json::Value = serde_json::from_str(&read("short_day-1.json")).expect("JSON");
    assert_eq!(object["verdict"], "pass");
    assert_eq!(read("short_day-1.txt"), said.out);
    std::fs::remove_dir_all(&folder).expect("it is ours");
}

#[test]
fn a_plan_is_printed_and_can_be_read_again() {
    let said = small(&["run", "--seed", "7", "--plan"]);
    assert_eq!((said.exit, said.err.as_str()), (0, ""));
    let plan = outside::Plan::from_toml(&said.out).expect("a plan");
    assert!(plan.operations.len() > 60, "{}", plan.operations.len());
    assert_eq!(said.out, small(&["run", "--seed", "7", "--plan"]).out);
}

#[test]
fn lists_and_explanations() {
    let lists = ["invariants", "workloads", "services", "marks", "targets"].map(|what| run(&["list", what]));
    let has = ["no_oversell  ", "trades  ", "position  ", "trade:settled  ", "postgres/settlement/primary"];
    for (said, has) in lists.iter().zip(has) {
        assert_eq!((said.exit, said.err.as_str()), (0, ""));
        assert!(said.out.contains(has), "{has}: {}", said.out);
    }
    assert!(run(&["list", "scenarios"]).out.contains("scenarios/market/short_day.toml  "));
    insta::assert_snapshot!(run(&["explain", "no_oversell"]).out, @r"
    no_oversell (invariant)
    No account promises or delivers more shares than it holds settled. It breaks when two trades are
    decided against the same balance: by two instances, by a zombie, or on a stale read.
    Judged from: Committed
    and, where they occur: Opening
    ");
    insta::assert_snapshot!(run(&["explain", "trade:settled"]).out, @r"
    trade:settled (mark)
    A trade ended as SETTLED.
    Seen in: Committed
    ");
}

#[test]
fn the_schema_is_json() {
    let said = run(&["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(schema["title"], "Bellwether scenario");
}

/// The id of the first trade that was taken in and settled.
fn settled_trade() -> String {
    let all = small(&["replay", "--seed", "7"]);
    assert_eq!(all.exit, 0);
    let settled =
        all.out.lines().find(|line| line.contains(" SETTLED in the batch of ")).expect("trades settle");
    let stream = settled.split("settlement/obligation/").nth(1).expect("an obligation");
    stream.split('@').next().expect("a version").to_owned()
}

#[test]
fn the_story_of_a_trade_goes_from_the_request_to_the_last_notice() {
    let id = settled_trade();
    let story = small(&["replay", "--seed", "7", "--trade", &id]);
    assert_eq!(story.exit, 0, "{story:?}");
    let mut rest = story.out.as_str();
    for step in [
        " asks under session-",
        " received from ",
        " accepted for trade date 2026-03-03",
        &format!(": accepted as {id}"),
        "trade-submitted ",
        " reserved for trade ",
        " novated, settles 2026-03-04",
        " instructed for 2026-03-04",
        " blocked ",
        "  bank     ",
        "/buyer@2 confirmed, attempt 1",
        "  bank     ",
        "/seller@2 confirmed, attempt 1",
        " delivered ",
        " SETTLED in the batch of 2026-03-04",
        " took notice of settlement-completed/",
    ] {
        let Some(at) = rest.find(step) else { panic!("no `{step}` in what is left:\n{rest}") };
        rest = &rest[at + step.len()..];
    }
    // The ledger books beside the settlement, at its own pace.
    assert!(story.out.contains("/buyer/1@1 POSTED: "), "{}", story.out);
    let first = story.out.lines().next().expect("a line");
    assert!(first.contains("Tue 2026-03-03 ") && first.contains("  client/P"), "{first}");
}

#[test]
fn a_story_ends_where_it_is_asked_to() {
    let early = small(&["replay", "--seed", "7", "--until", "09:35"]);
    assert_eq!(early.exit, 0);
    assert!(early.out.lines().count() > 100 && !early.out.contains("  Tue 2026-03-03 09:35:0"));
    let account = small(&["replay", "--seed", "7", "--account", "A006", "--until", "09:00:01"]);
    assert!(
        account.out.starts_with("     111  ")
            || account.out.contains("A006 opens with 1000000.00 USD at the bank")
    );
    assert!(account.out.lines().all(|line| line.contains("A006")), "{}", account.out);
    let nobody = small(&["replay", "--seed", "7", "--trade", "nobody"]);
    assert_eq!(nobody.exit, 2);
    assert!(nobody.err.contains("nothing in this run concerns `nobody`"), "{}", nobody.err);
}

#[test]
fn a_reader_who_leaves_is_no_error() {
    use std::io::Read;
    use std::process::Stdio;
    let mut child = bellwether();
    child.args(["replay", SHORT_DAY, "--seed", "7"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().expect("the binary starts");
    let mut some = [0; 100];
    child.stdout.take().expect("it is piped").read_exact(&mut some).expect("a story");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
