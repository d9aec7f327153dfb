//! Plays a script, heals what it broke, and has the outcome judged.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use kafka::{Moment, Trouble};
use sim::world::life::End;
use sim::world::network::NodeIndex;
use sim::world::network::rules::LinkEffect;

use crate::bench::{BROKERS, Bench, HOSTS};
use crate::counter::NAME;
use crate::judge::judge;
use crate::script::{Script, Step};

/// Faults of steps begin and end under numbers of their own.
type Fault = u32;

/// No varint of a message begins so.
const GARBAGE: &[u8] = b"\xff\xff\xff";

/// What happened over all scripts: where nothing of a kind ever did, the test has shown nothing of it.
#[derive(Debug, Default)]
pub struct Coverage {
    inputs: AtomicU64,
    recoveries: AtomicU64,
    aborts: AtomicU64,
    unknown_commits: AtomicU64,
    fencings: AtomicU64,
    void_offsets: AtomicU64,
    dead_letters: AtomicU64,
    snapshots: AtomicU64,
}

impl Coverage {
    fn sums(&self) -> [(&'static str, &AtomicU64); 8] {
        [
            ("inputs", &self.inputs),
            ("recoveries", &self.recoveries),
            ("aborts", &self.aborts),
            ("unknown commits", &self.unknown_commits),
            ("fencings", &self.fencings),
            ("offsets asked for by who was not the owner", &self.void_offsets),
            ("dead letters", &self.dead_letters),
            ("snapshots", &self.snapshots),
        ]
    }

    fn note(&self, bench: &Bench) {
        for counters in &bench.counters {
            let counted = [
                (&self.inputs, &counters.inputs),
                (&self.recoveries, &counters.recoveries),
                (&self.aborts, &counters.aborts),
                (&self.unknown_commits, &counters.unknown_commits),
                (&self.fencings, &counters.fencings),
                (&self.dead_letters, &counters.dead_letters),
                (&self.snapshots, &counters.snapshots),
            ];
            for (sum, count) in counted {
                sum.fetch_add(count.get(), Ordering::Relaxed);
            }
        }
        self.void_offsets.fetch_add(bench.watch.void.get(), Ordering::Relaxed);
    }

    /// What never happened.
    pub fn lacks(&self) -> Vec<&'static str> {
        let never = self.sums().into_iter().filter(|(_, sum)| sum.load(Ordering::Relaxed) == 0);
        never.map(|(what, _)| what).collect()
    }
}

pub async fn play(bench: &Bench, script: &Script, coverage: &Coverage) {
    let mut under_way = FuturesUnordered::new();
    for (fault, (pause_us, step)) in script.steps.iter().enumerate() {
        let fault = Fault::try_from(fault).expect("scripts are short") + 1;
        let mut pause = std::pin::pin!(bench.wait_us(*pause_us));
        loop {
            futures::select_biased! {
                () = pause.as_mut().fuse() => break,
                () = under_way.select_next_some() => {}
            }
        }
        under_way.push(happen(bench, fault, step));
    }
    while under_way.next().await.is_some() {}
    drop(under_way);
    bench.watch.unheard_commits.set(0);
    bench.watch.lost_commits.set(0);
    judge(bench).await;
    coverage.note(bench);
}

async fn happen(bench: &Bench, fault: Fault, step: &Step) {
    match step {
        Step::Send { name, count, by } => {
            let inputs: Vec<(&str, u64)> = (0..*count).map(|place| (*name, by * (place + 1))).collect();
            bench.send(&inputs).await;
        }
        Step::Trickle { name, count, every_ms } => {
            for number in 1..=*count {
                bench.send(&[(name, number)]).await;
                bench.wait_ms(*every_ms).await;
            }
        }
        Step::Garbage { name } => bench.send_garbage(name, GARBAGE).await,
        Step::Kill { host, down_ms } => down(bench, fault, HOSTS[*host], *down_ms).await,
        Step::KillAfterMessages { host, messages, down_ms } => {
            bench.wait_messages(*messages).await;
            down(bench, fault, HOSTS[*host], *down_ms).await;
        }
        Step::Pause { host, for_ms } => stand_still(bench, fault, HOSTS[*host], *for_ms).await,
        Step::Stop { host } => {
            bench.world.ask_to_stop(HOSTS[*host], fault);
            bench.wait_ms(40_000).await;
            bench.world.start(HOSTS[*host], fault);
        }
        Step::KillBroker { broker, messages, down_ms } => {
            bench.wait_messages(*messages).await;
            down(bench, fault, BROKERS[*broker], *down_ms).await;
        }
        Step::PauseBroker { broker, for_ms } => stand_still(bench, fault, BROKERS[*broker], *for_ms).await,
        Step::CutLink { host, broker, silently, for_ms } => {
            let (host, broker) = (HOSTS[*host], BROKERS[*broker]);
            let effect = if *silently { LinkEffect::Silence } else { LinkEffect::Reject };
            bench.world.network.begin(fault, [(host, broker), (broker, host)].into(), effect);
            bench.wait_ms(*for_ms).await;
            bench.world.network.end(fault);
        }
        Step::Mute { api, done, for_ms } => {
            let moment = if *done { Moment::After } else { Moment::Before };
            let trouble = Trouble::NoAnswer { api: *api, moment, odds_ppm: 1_000_000 };
            in_trouble(bench, fault, &trouble, *for_ms).await;
        }
        Step::Slow { api, for_ms } => {
            let trouble = Trouble::SlowAnswer { api: *api, min_ms: 100, max_ms: 4_000, odds_ppm: 500_000 };
            in_trouble(bench, fault, &trouble, *for_ms).await;
        }
        Step::LoseCommit { done: true } => bench.watch.unheard_commits.set(1),
        Step::LoseCommit { done: false } => bench.watch.lost_commits.set(1),
        Step::MoveGroup { to } => {
            let at = bench.cluster.controller.controller.borrow().coordinator_partition(NAME);
            bench.move_leader(&at.topic, at.partition, *to);
        }
        Step::MoveTransactions { partition, to } => bench.move_leader("__transaction_state", *partition, *to),
        Step::MoveLeader { topic, partition, to } => bench.move_leader(topic, *partition, *to),
        Step::Rebalance => bench.rebalance(),
        Step::ThrowOut { host } => bench.throw_out(HOSTS[*host]),
    }
}

async fn down(bench: &Bench, fault: Fault, node: NodeIndex, down_ms: u64) {
    bench.world.kill(node, fault, End::Process);
    bench.wait_ms(down_ms).await;
    bench.world.start(node, fault);
}

async fn stand_still(bench: &Bench, fault: Fault, node: NodeIndex, for_ms: u64) {
    bench.world.pause(node, fault);
    bench.wait_ms(for_ms).await;
    bench.world.resume(node, fault);
}

async fn in_trouble(bench: &Bench, fault: Fault, trouble: &Trouble, for_ms: u64) {
    for seat in bench.cluster.iter() {
        let mut rng = bench.world.rng(&format!("trouble/{fault}/{}", seat.node));
        seat.broker.borrow_mut().begin_trouble(
            fault,
            trouble.clone(),
            Box::new(move |bound| rng.below(bound)),
        );
    }
    bench.wait_ms(for_ms).await;
    for seat in bench.cluster.iter() {
        seat.broker.borrow_mut().end_trouble(fault);
    }
}
