//! Set-ups that are wrong on purpose, each caught by the history checker within a few seeds, and the right set-up beside
//! it: under the same seeds and faults nothing is found.
//!
//! A history that never met what it is about proves nothing: a canary counts how often it did.

mod pipeline;
mod transactions;
mod writes;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::rc::Rc;

use futures::future::LocalBoxFuture;
use kafka_suite::history::{History, check};
use kafka_suite::{Settings, Stage};
use libtest_mimic::{Failed, Trial};

use crate::cluster::{Peculiar, SimCluster};

/// Within so many seeds each is caught.
const SEEDS: u64 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setup {
    Right,
    Wrong,
}

struct Canary {
    name: &'static str,
    wrong: &'static str,
    right: &'static str,
    /// What befalls both.
    faults: &'static str,
    /// The checker must name one of these.
    caught_as: &'static [&'static str],
    /// And may name these.
    besides: &'static [&'static str],
    /// Of brokers, in the wrong set-up.
    brokers: Settings<'static>,
    /// In both.
    clients: Clients,
    run: fn(Stage, Setup) -> LocalBoxFuture<'static, Run>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Clients {
    java_producers: bool,
    /// Copies of `EndTxn` come late: that is what it must meet.
    late_end_txn: bool,
}

struct Run {
    history: History,
    /// How often the situation was there in which the wrong set-up fails.
    met: u32,
}

fn all() -> Vec<Canary> {
    [writes::canaries(), transactions::canaries(), pipeline::canaries()].into_iter().flatten().collect()
}

pub fn trials() -> Vec<Trial> {
    let canary = |canary: Canary| {
        let name = format!("canary_{}_is_caught_and_passes_without", canary.name);
        Trial::test(name, move || is_caught(&canary))
    };
    let mut trials: Vec<Trial> = all().into_iter().map(canary).collect();
    trials.push(Trial::test("the_readme_has_the_canaries", the_readme_has_the_canaries));
    trials
}

fn run(canary: &Canary, seed: u64, setup: Setup) -> Run {
    let Clients { java_producers, late_end_txn } = canary.clients;
    let copies = late_end_txn.then(|| Rc::new(Cell::new(0)));
    let brokers = if setup == Setup::Wrong { canary.brokers } else { &[] };
    let (world, cluster) =
        SimCluster::new(seed, Peculiar { brokers, java_producers, late_end_txn: copies.clone() });
    let outcome = Rc::new(Cell::new(None));
    let (run, told) = (canary.run, Rc::clone(&outcome));
    world.run(async move {
        told.set(Some(run(Stage::new(Rc::new(cluster), "canary"), setup).await));
    });
    let run = outcome.take().expect("it has ended");
    Run { met: run.met + copies.map_or(0, |copies| copies.get()), ..run }
}

fn is_caught(canary: &Canary) -> Result<(), Failed> {
    passes_without(canary)?;
    for seed in 1..=SEEDS {
        let found = check(&run(canary, seed, Setup::Wrong).history);
        let names: BTreeSet<&str> = found.iter().map(|anomaly| anomaly.name()).collect();
        let is_known = |name: &&str| canary.caught_as.contains(name) || canary.besides.contains(name);
        if let Some(name) = names.iter().find(|name| !is_known(name)) {
            return Err(format!("wrong, seed {seed}: {name} too: {found:?}").into());
        }
        if canary.caught_as.iter().any(|name| names.contains(name)) {
            return Ok(());
        }
    }
    Err(format!("not caught under {SEEDS} seeds").into())
}

/// Nothing is found in the right set-up, and its subject is met about once a seed.
fn passes_without(canary: &Canary) -> Result<(), Failed> {
    let seeds = SEEDS.max(crate::seeds());
    let mut met_in_all = 0;
    for seed in 1..=seeds {
        let Run { history, met } = run(canary, seed, Setup::Right);
        let found = check(&history);
        if !found.is_empty() {
            return Err(format!("right, seed {seed}: {found:?}").into());
        }
        let kept = history.logs.values().flatten().count();
        if kept < 20 {
            return Err(format!("right, seed {seed}: {kept} records say little").into());
        }
        met_in_all += u64::from(met);
    }
    if met_in_all < seeds {
        return Err(format!("right, {seeds} seeds: met {met_in_all} times").into());
    }
    Ok(())
}

/// In Markdown.
fn table() -> String {
    let mut table = String::from("| wrong | right | under | caught as |\n|---|---|---|---|\n");
    for Canary { wrong, right, faults, caught_as, .. } in all() {
        writeln!(table, "| {wrong} | {right} | {faults} | {} |", caught_as.join(", "))
            .expect("a text takes all");
    }
    table
}

fn the_readme_has_the_canaries() -> Result<(), Failed> {
    const BEGIN: &str = "<!-- the canaries begin -->\n";
    const END: &str = "<!-- the canaries end -->";
    kafka_suite::readme_has(&table(), BEGIN, END);
    Ok(())
}
