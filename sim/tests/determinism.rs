//! One hash for one run, whatever surrounds it. The first thing to look at when anything else is odd.

mod support;

use std::process::Command;

use support::{bellwether, objects, root, run, said};

const SHORT_DAY: &str = "scenarios/market/short_day.toml";

/// The hashes of the runs of a process, in order.
fn hashes(command: &mut Command) -> Vec<String> {
    let said = said(command.args(["--format", "json"]));
    assert_eq!(said.exit, 0, "{}", said.out);
    let hash = |object: &serde_json::Value| object["trace_hash"].as_str().expect("a text").to_owned();
    objects(&said).iter().map(hash).collect()
}

fn runs(arguments: &[&str]) -> Vec<String> {
    hashes(bellwether().arg("run").args(arguments))
}

#[test]
fn one_hash_for_seed_77_in_every_surrounding() {
    let alone = runs(&[SHORT_DAY, "--seed", "77"]);
    let [hash] = alone.as_slice() else { panic!("one run, one hash: {alone:?}") };
    assert_eq!(hash.len(), 32, "{hash}");

    let batch = runs(&[SHORT_DAY, "--seeds", "75..77", "--jobs", "1"]);
    assert_eq!(&batch[2], hash, "as the third of a batch");
    let beside = runs(&[SHORT_DAY, "--seeds", "76..77", "--jobs", "2"]);
    assert_eq!(beside, batch[1..], "beside another run");
    assert_eq!(runs(&[SHORT_DAY, "--seed", "0x4d"]), alone, "with the seed in hexadecimal");

    let mut noisy = bellwether();
    noisy.env("RUST_LOG", "trace").args(["run", SHORT_DAY, "--seed", "77"]);
    assert_eq!(hashes(&mut noisy), alone, "with every log line");
    let mut elsewhere = bellwether();
    elsewhere.current_dir(std::env::temp_dir()).env("TZ", "Asia/Kathmandu").arg("run");
    elsewhere.arg(root().join(SHORT_DAY)).args(["--seed", "77"]);
    assert_eq!(hashes(&mut elsewhere), alone, "in another time zone and directory");

    assert_ne!(batch[0], batch[1], "another seed is another run");
}

/// Virtual time and record numbers, and nothing that the host or the executor numbers.
#[test]
fn two_logs_of_one_run_are_the_same_text() {
    let log = || {
        let mut command = bellwether();
        command.env("RUST_LOG", "debug").args(["run", SHORT_DAY, "--set", "load[0].count=10"]);
        let lines: Vec<String> = said(&mut command).err.lines().map(str::to_owned).collect();
        lines.into_iter().filter(|line| line.contains(" records: ")).collect::<Vec<_>>()
    };
    let (one, other) = (log(), log());
    assert!(one.len() > 1_000, "{}", one.len());
    assert_eq!(one, other);
    assert_eq!(one[0], "     0.000000000 DEBUG records: 1 world [] Opening");
}

#[test]
fn two_processes_agree() {
    let said = run(&["run", SHORT_DAY, "--seed", "3", "--check-determinism"]);
    assert_eq!(said.exit, 0, "{said:?}");
    assert!(said.out.starts_with("same  short_day seed 3  "), "{said:?}");
}
