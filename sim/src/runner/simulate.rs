//! One run, from the plan to the verdict. Needs a thread of its own: a second runtime on one is not the same.

use std::cell::RefCell;
use std::rc::Rc;

use futures::FutureExt;
use host::signal::Signal;
use invariants::fact::Phase;
use invariants::judges::Judges;
use invariants::{Fact, Pending, Record, Violation};
use madsim::runtime::Runtime;
use model::{Calendar, Date, Timestamp};
use outside::plan::Plan;
use scenario::{Invariants, Scenario};
use services::settlement::{BATCH_TIME, OBLIGATIONS};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::count::Counts;
use super::verdict::EVERY_TRADE_TERMINATES;
use crate::adapters::process::{nanoseconds, timestamp};
use crate::fault::{self, PlannedFault, Stage};
use crate::platform::{self, Platform};
use crate::world::network::Links;
use crate::world::trace::Watcher;
use crate::world::{World, WorldSettings};

/// Between two looks at whether everything is done.
const LOOK_EVERY_NS: i64 = 20_000_000_000;
/// At rest for this long before the checks at rest: what is under way without a row gets there.
const REST_NS: i64 = 5_000_000_000;

/// After the last fault: who was let go comes back.
const HEAL_NS: i64 = 10_000_000_000;

/// What a run ended with.
#[derive(Debug, Default)]
pub struct End {
    pub violations: Vec<Broken>,
    pub pending: Vec<Pending>,
    /// A pending trade violates nothing that is watched.
    pub trades_unwatched: bool,
    pub unknown: Vec<&'static str>,
    pub missing_marks: Vec<String>,
    /// Every mark that was met.
    pub marks: Vec<&'static str>,
    pub counts: Counts,
    pub trace_hash: u128,
    pub records: u64,
    pub messages: u64,
    pub wakeups: u64,
    pub simulated_ns: u64,
    /// Cash by account at the bank, and positions by account and instrument, for snapshots.
    pub outcome: super::outcome::Outcome,
}

/// A broken invariant, and where.
#[derive(Clone, Debug)]
pub struct Broken {
    pub invariant: &'static str,
    pub at_ns: i64,
    pub record: u64,
    pub violation: Violation,
}

/// Watches for the first violation and counts.
struct Bench {
    judges: Judges,
    counts: Counts,
    broken: Vec<Broken>,
    stop: Rc<Signal>,
}

struct Shared(Rc<RefCell<Bench>>);

impl Watcher for Shared {
    fn see(&mut self, record: &Record<'_>) {
        let mut bench = self.0.borrow_mut();
        bench.counts.see(record);
        if !bench.broken.is_empty() {
            return;
        }
        if let Some((invariant, violation)) = bench.judges.observe(record) {
            let (at_ns, record) = (record.at_ns, record.sequence);
            bench.broken.push(Broken { invariant, at_ns, record, violation });
            bench.stop.send();
        }
    }
}

/// Runs a plan under a seed. `watchers` see every record after the judges.
pub fn simulate(scenario: &Scenario, plan: Plan, seed: u64, watchers: Vec<Box<dyn Watcher>>) -> End {
    let schedule_seed = xxh3_64_with_seed(b"schedule", seed);
    let runtime = Runtime::with_seed_and_config(schedule_seed, madsim::Config::default());
    runtime.block_on(run(scenario, plan, seed, watchers))
}

async fn run(scenario: &Scenario, plan: Plan, seed: u64, watchers: Vec<Box<dyn Watcher>>) -> End {
    let calendar = Calendar::xnys();
    let settings = WorldSettings {
        seed,
        epoch_ns: nanoseconds(plan.world.start),
        links: Links { base_ns: 100_000, jitter_ns: 200_000 },
    };
    let world = World::new(&settings);
    let stop = Rc::new(Signal::default());
    let judges = judges(scenario);
    let bench = Bench { judges, counts: Counts::default(), broken: Vec::new(), stop: stop.clone() };
    let bench = Rc::new(RefCell::new(bench));
    world.trace.watch(Box::new(Shared(bench.clone())));
    watchers.into_iter().for_each(|watcher| world.trace.watch(watcher));

    let load_ends = plan.last().unwrap_or(plan.world.start);
    let load_ends = scenario_end(scenario, load_ends);
    let faults = fault::plan::draw(scenario, &plan, seed);
    let platform = Rc::new(platform::start(&world, scenario, plan, calendar));
    let stage = Stage { world: world.clone(), platform: platform.clone() };
    let phases = phases(&stage, scenario, &bench, load_ends, &faults);
    let pending = futures::select_biased! {
        () = stop.received().fuse() => Vec::new(),
        pending = phases.fuse() => pending,
    };
    let end = finish(scenario, &world, &platform, &bench, pending);
    world.shut_down().await;
    end
}

fn judges(scenario: &Scenario) -> Judges {
    let judges = match &scenario.check.invariants {
        Invariants::All => Judges::all(),
        Invariants::Named(names) => Judges::select(names.iter().map(String::as_str))
            .unwrap_or_else(|unknown| panic!("the loader checks names, and let `{}` pass", unknown.0)),
    };
    // In an undisturbed world no commit is lost, and looking back would cost as much as judging does.
    if scenario.faults.is_empty() { judges } else { judges.taking_back() }
}

/// When load ends: at the last operation, or later where the scenario says so.
fn scenario_end(scenario: &Scenario, last: Timestamp) -> Timestamp {
    let calendar = scenario::Calendar::xnys();
    match (&scenario.market.until, scenario.run(&calendar)) {
        (scenario::Until::Settled, _) | (_, Err(_)) => last,
        (_, Ok(run)) => run.end.max(last),
    }
}

/// Load and faults, healing, settling; what is pending when the time for it is up.
async fn phases(
    stage: &Stage,
    scenario: &Scenario,
    bench: &Rc<RefCell<Bench>>,
    load_ends: Timestamp,
    faults: &[PlannedFault],
) -> Vec<Pending> {
    let Stage { world, platform } = stage;
    world.tell_world(&Fact::Phase(Phase::Load));
    futures::join!(fault::engine::perform(stage, faults), world.until(nanoseconds(load_ends)));
    if !faults.is_empty() {
        world.tell_world(&Fact::Phase(Phase::Heal));
        world.until(world.now_ns() + HEAL_NS).await;
    }
    world.tell_world(&Fact::Phase(Phase::Settle));
    let within_ns = i64::try_from(scenario.settle.within.0.as_nanos()).unwrap_or(i64::MAX);
    let mut deadline_ns = world.now_ns();
    loop {
        if is_settled(platform, bench) {
            world.until(world.now_ns() + REST_NS).await;
            if is_settled(platform, bench) {
                world.tell_world(&Fact::Phase(Phase::Rest));
                return Vec::new();
            }
        }
        if world.now_ns() > deadline_ns.saturating_add(within_ns) {
            match last_due_ns(platform).filter(|due_ns| *due_ns > deadline_ns) {
                Some(due_ns) => deadline_ns = due_ns,
                None => return pending(platform, bench),
            }
        }
        world.until(world.now_ns() + LOOK_EVERY_NS).await;
    }
}

fn is_settled(platform: &Platform, bench: &Rc<RefCell<Bench>>) -> bool {
    platform.clients.open() == 0 && bench.borrow().judges.is_settled() && platform.pending().is_empty()
}

fn pending(platform: &Platform, bench: &Rc<RefCell<Bench>>) -> Vec<Pending> {
    let mut pending: Vec<Pending> =
        bench.borrow().judges.pending().into_iter().map(|(_, pending)| pending).collect();
    pending.extend(platform.pending());
    pending
}

/// The last 18:00 at which an obligation that is open now is due.
fn last_due_ns(platform: &Platform) -> Option<i64> {
    let server = platform.databases.get("settlement")?.primary();
    let server = server.borrow();
    let (status, due) = (OBLIGATIONS.column("status"), OBLIGATIONS.column("due_date"));
    let open = server.rows(OBLIGATIONS.name).filter(|row| row[status].as_int() == 0);
    let due: Date = open.map(|row| row[due].as_text()).max()?.parse().expect("dates are stored as ISO 8601");
    let batch = Calendar::xnys().local_instant(due, BATCH_TIME);
    Some(nanoseconds(batch.expect("due dates are dates of the calendar")))
}

fn finish(
    scenario: &Scenario,
    world: &Rc<World>,
    platform: &Platform,
    bench: &Rc<RefCell<Bench>>,
    pending: Vec<Pending>,
) -> End {
    let mut bench = bench.borrow_mut();
    let at_ns = world.now_ns();
    let record = world.trace.records();
    if bench.broken.is_empty() && pending.is_empty() {
        let broken = bench.judges.at_rest();
        let broken =
            broken.into_iter().map(|(invariant, violation)| Broken { invariant, at_ns, record, violation });
        let broken: Vec<Broken> = broken.collect();
        bench.broken.extend(broken);
    }
    let must_see = scenario.check.must_see.iter().map(String::as_str);
    let mut counts = std::mem::take(&mut bench.counts);
    counts.conflicts = platform.counters.conflicts.get();
    End {
        violations: std::mem::take(&mut bench.broken),
        trades_unwatched: !bench.judges.invariants().any(|watched| watched.name() == EVERY_TRADE_TERMINATES),
        pending,
        unknown: bench.judges.unknown(),
        marks: bench.judges.seen().collect(),
        missing_marks: bench.judges.missing(must_see).into_iter().map(str::to_owned).collect(),
        counts,
        trace_hash: world.trace.hash(),
        records: record,
        messages: world.network.messages(),
        wakeups: world.agenda.wakeups(),
        simulated_ns: world.agenda.elapsed(),
        outcome: super::outcome::Outcome::of(platform, timestamp(at_ns)),
    }
}
