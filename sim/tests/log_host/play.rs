//! Plays a script, heals what it broke, and has the outcome judged.

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use kafka::cluster::TRANSACTION_STATE;
use kafka::{Moment, Trouble};
use sim::world::life::End;
use sim::world::network::NodeIndex;
use sim::world::network::rules::LinkEffect;

use crate::bench::{BROKERS, Bench, HOSTS};
use crate::counter::NAME;
use crate::coverage::{Coverage, MOVES, died, stood_still};
use crate::judge::judge;
use crate::script::{Script, Step};

/// Faults of steps begin and end under numbers of their own.
type Fault = u32;

/// Odds of a request to be late, or to come twice.
const LATE_PPM: u32 = 300_000;

/// No varint of a message begins so.
const GARBAGE: &[u8] = b"\xff\xff\xff";

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
        under_way.push(happen(bench, coverage, fault, step));
    }
    while under_way.next().await.is_some() {}
    drop(under_way);
    bench.watch.unheard_commits.set(0);
    bench.watch.lost_commits.set(0);
    judge(bench).await;
    coverage.note(bench);
}

async fn happen(bench: &Bench, coverage: &Coverage, fault: Fault, step: &Step) {
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
        Step::Kill { host, down_ms } => host_down(bench, coverage, fault, *host, *down_ms).await,
        Step::KillAfterMessages { host, messages, down_ms } => {
            bench.wait_messages(*messages).await;
            host_down(bench, coverage, fault, *host, *down_ms).await;
        }
        Step::Pause { host, for_ms } => {
            bench.calls_of(*host).into_iter().for_each(|call| coverage.add(stood_still(call), 1));
            stand_still(bench, fault, HOSTS[*host], *for_ms).await;
        }
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
            let met = in_trouble(bench, fault, &trouble, *for_ms).await;
            coverage.add(format!("no answer to {api:?}"), met);
        }
        Step::Slow { api, for_ms } => {
            let trouble = Trouble::SlowAnswer { api: *api, min_ms: 100, max_ms: 4_000, odds_ppm: 500_000 };
            let met = in_trouble(bench, fault, &trouble, *for_ms).await;
            coverage.add(format!("late answers to {api:?}"), met);
        }
        Step::LateRequests { api, by_ms, for_ms } => {
            let trouble =
                Trouble::DelayedRequest { api: *api, min_ms: 1, max_ms: *by_ms, odds_ppm: LATE_PPM };
            let met = in_trouble(bench, fault, &trouble, *for_ms).await;
            coverage.add(format!("late {api:?}"), met);
        }
        Step::RepeatedRequests { api, by_ms, for_ms } => {
            let trouble =
                Trouble::RepeatedRequest { api: *api, min_ms: 1, max_ms: *by_ms, odds_ppm: LATE_PPM };
            let met = in_trouble(bench, fault, &trouble, *for_ms).await;
            coverage.add(format!("repeated {api:?}"), met);
        }
        Step::LoseCommit { done: true } => bench.watch.unheard_commits.set(1),
        Step::LoseCommit { done: false } => bench.watch.lost_commits.set(1),
        Step::MoveGroup { to } => {
            let at = bench.cluster.controller.controller.borrow().coordinator_partition(NAME);
            let moved = bench.move_leader(&at.topic, at.partition, *to);
            note_move(bench, coverage, MOVES[0], moved);
        }
        Step::MoveTransactions { partition, to } => {
            let moved = bench.move_leader(TRANSACTION_STATE, *partition, *to);
            note_move(bench, coverage, MOVES[1], moved);
        }
        Step::MoveLeader { topic, partition, to } => {
            let moved = bench.move_leader(topic, *partition, *to);
            note_move(bench, coverage, MOVES[2], moved);
        }
        Step::Rebalance => bench.rebalance(),
        Step::ThrowOut { host } => bench.throw_out(HOSTS[*host]),
    }
}

/// Only a move that somebody waits for shows anything.
fn note_move(bench: &Bench, coverage: &Coverage, what: &str, moved: bool) {
    let is_felt = (0..HOSTS.len()).any(|host| !bench.calls_of(host).is_empty());
    coverage.add(format!("{what} moves during a call"), u64::from(moved && is_felt));
}

async fn host_down(bench: &Bench, coverage: &Coverage, fault: Fault, host: usize, down_ms: u64) {
    bench.calls_of(host).into_iter().for_each(|call| coverage.add(died(call), 1));
    down(bench, fault, HOSTS[host], down_ms).await;
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

/// How many requests it hit.
async fn in_trouble(bench: &Bench, fault: Fault, trouble: &Trouble, for_ms: u64) -> u64 {
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
    bench.cluster.iter().map(|seat| seat.broker.borrow().met(fault)).sum()
}
