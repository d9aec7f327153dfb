//! What the platform costs while nothing is asked of it, and what the scenarios for measuring have in common.

use std::process::Command;
use std::sync::Arc;

use sim::runner::pool::{self, Ended};
use sim::runner::simulate::End;
use sim::runner::subject::{Subject, catalogue};
use sim::runner::verdict::{Verdict, judge};

/// Most deliveries and alarms in a second of simulated time, of all nodes together.
const WAKEUPS_PER_SECOND_MAX: u64 = 20;
/// Noise of the allocator. A single allocation of 16 bytes left behind by each wake-up would come to 13 MiB.
const GROWTH_KIB_MAX: u64 = 512;
/// Tells a child process how long to idle.
const IDLE_FOR: &str = "BELLWETHER_IDLE_FOR";

fn subject(name: &str, overrides: &[String]) -> Subject {
    let file = format!("{}/../scenarios/bench/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    Subject::load(file.as_ref(), &catalogue(), overrides).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

/// The end of an empty weekend, or of as much of it as the overrides say.
fn idle(overrides: &[String]) -> End {
    let subject = Arc::new(subject("empty_weekend", overrides));
    let run = subject.clone();
    let end = match pool::alone(move || run.run(1, Vec::new())).ended {
        Ended::Returned(Ok(end)) => end,
        other => panic!("{other:?}"),
    };
    assert_eq!(judge(&subject.scenario.expect, &end), Verdict::Pass, "{end:?}");
    end
}

#[test]
fn an_idle_second_has_few_wake_ups() {
    let end = idle(&[]);
    let seconds = end.simulated_ns / 1_000_000_000;
    assert!(seconds >= 60 * 3_600, "a weekend has 60 hours, this one {seconds} s");
    assert!(end.wakeups > seconds / 60, "nobody idles without heartbeats: {} wake-ups", end.wakeups);
    let most = WAKEUPS_PER_SECOND_MAX * seconds;
    assert!(end.wakeups <= most, "{} wake-ups in {seconds} s, {} too many", end.wakeups, end.wakeups - most);
    assert_eq!((end.counts.trades, end.counts.restarts), (0, 0));
}

/// The most memory that a process had which idled for so long, in KiB.
fn peak_of_a_child(hours: u32) -> u64 {
    let mut child = Command::new(std::env::current_exe().expect("this is a program"));
    child.args(["--exact", "idles_as_long_as_it_is_told", "--ignored", "--nocapture"]);
    let output = child.env(IDLE_FOR, format!("{hours}h")).output().expect("this program starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let peak =
        said.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")?.trim().parse().ok());
    peak.unwrap_or_else(|| panic!("the child says no peak: {said}"))
}

#[test]
#[cfg(target_os = "linux")]
fn idling_longer_takes_no_more_memory() {
    let (short, long) = (peak_of_a_child(20), peak_of_a_child(60));
    assert!(long <= short + GROWTH_KIB_MAX, "20 hours peak at {short} KiB, 60 hours at {long} KiB");
}

#[test]
#[ignore = "the child of idling_longer_takes_no_more_memory"]
fn idles_as_long_as_it_is_told() {
    let Ok(how_long) = std::env::var(IDLE_FOR) else { return };
    idle(&[format!("market.until=\"{how_long}\"")]);
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let peak = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux tells a peak");
    println!("\n{peak}");
}

#[test]
fn the_days_with_1_000_and_10_000_trades_differ_in_nothing_else() {
    let mut few = subject("trades_1000", &["load[0].count=10_000".to_owned()]).scenario;
    let many = subject("trades_10000", &[]).scenario;
    assert_ne!(few.name, many.name);
    (few.name, few.about) = (many.name.clone(), many.about.clone());
    assert_eq!(few, many);
}
