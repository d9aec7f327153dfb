//! The behaviours of `store-suite`, on a real PostgreSQL 15 or later: one test each.
//!
//! Besides, random scripts are played on both stores (`differential`).
//! Where there is none, all tests are reported as ignored, loudly, and none as passed.
#![expect(clippy::disallowed_methods, reason = "a real server needs real time and threads")]

mod bench;
mod cluster;
mod control;
mod differential;
mod installation;
mod place;

#[path = "../../../../sim/postgres/tests/suite/servers.rs"]
mod servers;
/// The other store, as its own tests drive it.
#[path = "../../../../sim/postgres/tests/suite/bench.rs"]
mod simulated;

use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use store_suite::{ALL, Behaviour, Power, Stage, Store, tables};

use crate::bench::RealBench;
use crate::cluster::Cluster;
use crate::installation::Installation;
use crate::place::{Ground, can_mount};

/// Most of them wait, so there are more than cores.
const THREADS: usize = 4;

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let (ground, why_not) = match ground(&arguments) {
        Ok(ground) => (ground, None),
        Err(error) => {
            eprintln!("LOUD: no behaviour is judged on a real PostgreSQL: {error}");
            (None, Some(error))
        }
    };
    let no_disks = can_mount().err();
    if let Some(error) = &no_disks {
        eprintln!("LOUD: nothing is shown of full disks, for a small one cannot be mounted: {error}");
    }
    let is_ignored = |behaviour: &Behaviour| {
        let lacks = behaviour.needs.iter().any(|power| Store::Real.lacks(*power).is_some());
        lacks || why_not.is_some() || (no_disks.is_some() && behaviour.needs.contains(&Power::FullDisk))
    };
    let trial = |behaviour: &'static Behaviour| {
        let ground = ground.clone();
        Trial::test(behaviour.name, move || show(ground.as_deref(), behaviour))
            .with_ignored_flag(is_ignored(behaviour))
    };
    let mut trials: Vec<Trial> = ALL.iter().map(trial).collect();
    let both = ground.clone();
    let random = Trial::test("random_scripts_are_told_the_same_on_both_stores", move || {
        differential::run(both.as_deref().ok_or("there is no PostgreSQL")?)
    });
    trials.push(random.with_ignored_flag(why_not.is_some()));
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Servers end and directories go before the process does.
    drop(ground);
    conclusion.exit();
}

/// Servers to show behaviours on, unless they are only to be listed.
fn ground(arguments: &Arguments) -> Result<Option<Arc<Ground>>, String> {
    let installation = Arc::new(Installation::find()?);
    if arguments.list {
        return Ok(None);
    }
    let tables: String = tables::ALL.iter().map(|table| live::create_table(table)).collect();
    let template = Cluster::create(installation, &tables)?;
    Ok(Some(Arc::new(Ground::new(template)?)))
}

fn show(ground: Option<&Ground>, behaviour: &Behaviour) -> Result<(), Failed> {
    let place = ground.ok_or("there is no PostgreSQL")?.place(behaviour)?;
    let mut bench = RealBench::new(place);
    (behaviour.run)(&mut Stage::new(&mut bench));
    Ok(())
}
