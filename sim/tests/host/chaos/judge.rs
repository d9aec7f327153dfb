//! Plays a script, heals what it broke, and compares what became of it with what was asked for.

use std::cell::RefCell;
use std::collections::BTreeMap;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};
use sim::world::life::End;

use super::script::{NAMES, STREAMS, Script, Step};
use crate::bench::{Bench, HOSTS, KAFKA, POSTGRES};
use crate::sabotage::Trouble;

/// Faults of steps begin and end under numbers of their own.
type Fault = u32;

/// Longer than a lease, a session and the longest back-off together.
const SETTLE_S: u64 = 900;
/// Longer than all faults of a script.
const ANSWERED_S: u64 = 3_600;

/// Every answer to each request.
type Answers = RefCell<BTreeMap<u64, Vec<(u16, Value)>>>;

pub async fn play(bench: &Bench, script: &Script) {
    let answers = Answers::default();
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
        under_way.push(happen(bench, fault, step, &answers));
    }
    let all_answered = async { while under_way.next().await.is_some() {} };
    futures::select_biased! {
        () = all_answered.fuse() => {}
        () = bench.wait_us(ANSWERED_S * 1_000_000).fuse() => panic!("not all is answered"),
    }
    bench.sabotage.trouble.set(None);
    complete(bench, script).await;
    drop(under_way);
    judge(bench, script, &answers.into_inner()).await;
}

async fn happen(bench: &Bench, fault: Fault, step: &Step, answers: &Answers) {
    let world = &bench.world;
    match step {
        Step::Ask { what, key, name, by } => {
            let answer =
                bench.post_until_decided(what, &format!("k-{key}"), &json!({ "name": name, "by": by })).await;
            answers.borrow_mut().entry(*key).or_default().push(answer);
        }
        Step::Message { stream, sequence } => bench.send(&[(stream, *sequence)]).await,
        Step::Kill { host, down_ms } => {
            world.kill(HOSTS[*host], fault, End::Process);
            bench.wait_us(down_ms * 1_000).await;
            world.start(HOSTS[*host], fault);
        }
        Step::KillAfterMessages { host, messages } => {
            bench.wait_messages(*messages).await;
            world.kill(HOSTS[*host], fault, End::Process);
            bench.wait_us(1_000_000).await;
            world.start(HOSTS[*host], fault);
        }
        Step::CutDatabase { messages, down_ms } => {
            bench.wait_messages(*messages).await;
            world.kill(POSTGRES, fault, End::Process);
            bench.wait_us(down_ms * 1_000).await;
            world.start(POSTGRES, fault);
        }
        Step::Pause { host, for_ms } => {
            world.pause(HOSTS[*host], fault);
            bench.wait_us(for_ms * 1_000).await;
            world.resume(HOSTS[*host], fault);
        }
        Step::Stop { host } => {
            world.ask_to_stop(HOSTS[*host], fault);
            bench.wait_us(40_000_000).await;
            world.start(HOSTS[*host], fault);
        }
        Step::CutLog { down_ms } => {
            world.kill(KAFKA, fault, End::Process);
            bench.wait_us(down_ms * 1_000).await;
            world.start(KAFKA, fault);
        }
        Step::Refuse { sqlstate } => bench.sabotage.begin(0, Trouble::Sqlstate(sqlstate), 1),
    }
}

/// What the sources have not sent yet comes at last.
async fn complete(bench: &Bench, script: &Script) {
    for stream in STREAMS {
        for sequence in 1..=script.last(stream) {
            bench.send(&[(stream, sequence)]).await;
        }
    }
}

/// What each counter adds by request: each key once.
fn requested(script: &Script) -> BTreeMap<&'static str, Vec<u64>> {
    let mut keys: BTreeMap<u64, (&str, &'static str, u64)> = BTreeMap::new();
    for (_, step) in &script.steps {
        if let Step::Ask { what, key, name, by } = step {
            keys.insert(*key, (what, name, *by));
        }
    }
    let mut added: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
    for (what, name, by) in keys.values() {
        let of = added.entry(name).or_default();
        match *what {
            "increments" => of.push(*by),
            "ticks" => of.extend(vec![1; *by as usize]),
            _ => of.push(100),
        }
    }
    added
}

async fn judge(bench: &Bench, script: &Script, answers: &BTreeMap<u64, Vec<(u16, Value)>>) {
    for (key, answers) in answers {
        assert!(
            answers.iter().all(|answer| *answer == answers[0] && answer.0 < 300),
            "key {key}: {answers:?}"
        );
    }
    let mut wanted = requested(script);
    for stream in STREAMS {
        wanted.entry(stream).or_default().extend(1..=script.last(stream));
    }
    let sorted = |mut values: Vec<u64>| {
        values.sort_unstable();
        values
    };
    let wanted: BTreeMap<&str, Vec<u64>> =
        wanted.into_iter().map(|(name, added)| (name, sorted(added))).collect();
    let empty = ["timers", "effects", "parked", "dead_letters", "attempts"];
    let settled = || {
        wanted.iter().all(|(name, wanted)| sorted(bench.added(name)).len() >= wanted.len())
            && empty.iter().all(|table| bench.rows(table) == 0)
            && bench.unsent() == 0
    };
    bench.eventually(SETTLE_S, "all is settled", settled).await;
    bench.wait_us(30_000_000).await;
    for (name, wanted) in &wanted {
        assert_eq!(sorted(bench.added(name)), *wanted, "what {name} adds");
    }
    for stream in STREAMS.iter().filter(|stream| !NAMES.contains(stream)) {
        let in_order: Vec<u64> = (1..=script.last(stream)).collect();
        assert_eq!(bench.added(stream), in_order, "the order of {stream}");
    }
    bench.assert_no_gap("published");
    assert_eq!(bench.take_panics(), [""; 0]);
}
