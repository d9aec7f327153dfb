//! Plays a script, heals what it broke, and compares what became of it with what was asked for.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};
use sim::world::life::End;
use sim::world::network::NodeIndex;

use super::coverage::Coverage;
use super::script::{Far, STREAMS, Script, Step};
use crate::bench::{Bench, HOSTS, KAFKA, POSTGRES, STANDBY};
use crate::outside;
use crate::sabotage::Trouble;

/// Faults of steps begin and end under numbers of their own.
type Fault = u32;

/// Longer than a lease, a session and the longest back-off together.
const SETTLE_S: u64 = 900;
/// How often an operator looks at what was kept aside.
const OPERATOR_EVERY_S: u64 = 5;
/// Longer than all faults of a script.
const ANSWERED_S: u64 = 3_600;

/// What became of a script while it was played.
#[derive(Default)]
struct Diary {
    /// Every answer to each request.
    answers: RefCell<BTreeMap<u64, Vec<(u16, Value)>>>,
    /// From when to when something was broken.
    faults: RefCell<Vec<(i64, i64)>>,
}

pub async fn play(bench: &Bench, script: &Script, coverage: &Coverage) {
    let diary = Diary::default();
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
        under_way.push(happen(bench, script, (fault, step), &diary));
    }
    let all_over = async { while under_way.next().await.is_some() {} };
    futures::select_biased! {
        () = all_over.fuse() => {}
        () = bench.wait_us(ANSWERED_S * 1_000_000).fuse() => panic!("not all is answered"),
    }
    drop(under_way);
    bench.sabotage.trouble.set(None);
    bench.sabotage.unheard_commits.set(0);
    bench.sabotage.lost_commits.set(0);
    complete(bench, script).await;
    judge(bench, script, &diary).await;
    coverage.note(bench);
}

async fn happen(bench: &Bench, script: &Script, (fault, step): (Fault, &Step), diary: &Diary) {
    let begun = bench.world.now_ns();
    match step {
        Step::Ask { what, key, name, by } => {
            let body = json!({ "name": name, "by": by });
            let answer = bench.post_until_decided(what, &format!("k-{key}"), &body).await;
            diary.answers.borrow_mut().entry(*key).or_default().push(answer);
        }
        Step::Message { stream, sequence } => send(bench, script, stream, *sequence).await,
        Step::Poison { stream, sequence, cured_ms } => {
            send(bench, script, stream, *sequence).await;
            bench.wait_us(cured_ms * 1_000).await;
            bench.cured.set(true);
            replay_all(bench).await;
        }
        fails => fail(bench, fault, fails).await,
    }
    if step.is_fault() {
        diary.faults.borrow_mut().push((begun, bench.world.now_ns()));
    }
}

async fn fail(bench: &Bench, fault: Fault, step: &Step) {
    match step {
        Step::Kill { host, down_ms } => down(bench, fault, HOSTS[*host], *down_ms).await,
        Step::KillAfterMessages { host, messages } => {
            bench.wait_messages(*messages).await;
            down(bench, fault, HOSTS[*host], 1_000).await;
        }
        Step::CutDatabase { messages, down_ms } => {
            bench.wait_messages(*messages).await;
            down(bench, fault, bench.database.leader().node, *down_ms).await;
        }
        Step::CutLog { down_ms } => down(bench, fault, KAFKA, *down_ms).await,
        Step::Failover { detect_ms, back_ms } => bench.fail_over(fault, *detect_ms, *back_ms).await,
        Step::Pause { host, for_ms } => {
            bench.world.pause(HOSTS[*host], fault);
            bench.wait_us(for_ms * 1_000).await;
            bench.world.resume(HOSTS[*host], fault);
        }
        Step::Stop { host } => {
            bench.world.ask_to_stop(HOSTS[*host], fault);
            bench.wait_us(40_000_000).await;
            bench.world.start(HOSTS[*host], fault);
        }
        Step::Refuse { sqlstate } => {
            bench.sabotage.begin(0, Trouble::Sqlstate(sqlstate), 1);
            over(bench, || bench.sabotage.times.get() == 0).await;
        }
        Step::LoseAnswer { done } => {
            let (unheard, lost) = (&bench.sabotage.unheard_commits, &bench.sabotage.lost_commits);
            let commits = if *done { unheard } else { lost };
            commits.set(1);
            over(bench, || commits.get() == 0).await;
        }
        Step::CutLink { host, far, silently, for_ms } => {
            let far = match far {
                Far::Database => &[POSTGRES, STANDBY][..],
                Far::Log => &[KAFKA],
            };
            bench.cut_link(fault, (HOSTS[*host], far), *silently, *for_ms).await;
        }
        Step::Rebalance => bench.rebalance(),
        Step::ThrowOut { host } => bench.throw_out(HOSTS[*host]),
        Step::Silence { seen } => {
            let silence = if *seen { outside::Step::SeeAndStaySilent } else { outside::Step::Lose };
            bench.outside.script([silence]);
        }
        Step::Ask { .. } | Step::Message { .. } | Step::Poison { .. } => {
            unreachable!("these do not break anything")
        }
    }
}

async fn down(bench: &Bench, fault: Fault, node: NodeIndex, down_ms: u64) {
    bench.world.kill(node, fault, End::Process);
    bench.wait_us(down_ms * 1_000).await;
    bench.world.start(node, fault);
}

/// Waits until what lies in wait has struck, or a minute.
async fn over(bench: &Bench, is_over: impl Fn() -> bool) {
    for _ in 0..600 {
        if is_over() {
            return;
        }
        bench.wait_us(100_000).await;
    }
}

async fn send(bench: &Bench, script: &Script, stream: &str, sequence: u64) {
    bench.send_amounts(&[(stream, sequence, script.amount(stream, sequence))]).await;
}

/// An operator has every letter taken in. What waits for another letter is told so, and its turn comes.
async fn replay_all(bench: &Bench) {
    let (_, letters) = bench.get_until_told("dead-letters").await;
    for letter in letters["deadLetters"].as_array().expect("a list") {
        let path = format!("dead-letters/{}/replay", letter["id"]);
        let (status, answer) = bench.post_until_decided(&path, "-", &json!({})).await;
        assert!([200, 404, 409].contains(&status), "{letter}: {status} {answer}");
    }
}

/// What the sources have not sent yet comes at last, and nothing is poison any longer.
async fn complete(bench: &Bench, script: &Script) {
    bench.cured.set(true);
    for stream in STREAMS {
        for sequence in 1..=script.last(stream) {
            send(bench, script, stream, sequence).await;
        }
    }
}

/// Each key's command.
fn requests(script: &Script) -> BTreeMap<u64, (&'static str, &'static str, u64)> {
    let asked = script.steps.iter().filter_map(|(_, step)| match step {
        Step::Ask { what, key, name, by } => Some((*key, (*what, *name, *by))),
        _ => None,
    });
    asked.collect()
}

/// What each counter adds, in any order: by request, each key once; by message, each sequence once.
fn wanted(script: &Script) -> BTreeMap<&'static str, Vec<u64>> {
    let mut added: BTreeMap<&'static str, Vec<u64>> = BTreeMap::new();
    for (what, name, by) in requests(script).into_values() {
        let of = added.entry(name).or_default();
        match what {
            "increments" => of.push(by),
            "ticks" => of.extend(vec![1; by as usize]),
            _ => of.push(100),
        }
    }
    for stream in STREAMS {
        let amounts = (1..=script.last(stream)).map(|sequence| script.amount(stream, sequence));
        added.entry(stream).or_default().extend(amounts);
    }
    added.values_mut().for_each(|added| added.sort_unstable());
    added
}

async fn judge(bench: &Bench, script: &Script, diary: &Diary) {
    for (key, answers) in &*diary.answers.borrow() {
        let same = answers.iter().all(|answer| *answer == answers[0] && answer.0 < 300);
        assert!(same, "key {key}: {answers:?}");
    }
    let wanted = wanted(script);
    settle(bench, &wanted).await;
    for (name, wanted) in &wanted {
        let mut added = bench.added(name);
        added.sort_unstable();
        assert_eq!(added, *wanted, "what {name} adds");
    }
    for stream in STREAMS {
        let in_order: Vec<u64> =
            (1..=script.last(stream)).map(|sequence| script.amount(stream, sequence)).collect();
        assert_eq!(bench.added_by_messages(stream), in_order, "the order of {stream}");
    }
    bench.assert_no_gap("published");
    assert_eq!(bench.sabotage.claims.wrong.get(), 0, "positions moved under a claim that was void");
    judge_calls(bench, script, &diary.faults.borrow());
    let panics = bench.take_panics();
    let explained = panics.iter().all(|panic| panic.contains("poison"));
    assert!(explained && panics.len() <= 3 * script.poisons(), "panics: {panics:?}");
}

async fn settle(bench: &Bench, wanted: &BTreeMap<&str, Vec<u64>>) {
    let empty = ["timers", "effects", "parked", "dead_letters", "attempts"];
    let settled = || {
        wanted.iter().all(|(name, wanted)| bench.added(name).len() >= wanted.len())
            && empty.iter().all(|table| bench.rows(table) == 0)
            && bench.unsent() == 0
    };
    for _ in 0..SETTLE_S / OPERATOR_EVERY_S {
        if settled() {
            break;
        }
        if bench.rows("dead_letters") > 0 {
            replay_all(bench).await;
        }
        bench.wait_us(OPERATOR_EVERY_S * 1_000_000).await;
    }
    bench.eventually(1, "all is settled", settled).await;
    bench.wait_us(30_000_000).await;
}

/// Somebody outside did what was asked for, each once, and was asked again only because something was broken
/// between two calls, or the first of them told nothing.
fn judge_calls(bench: &Bench, script: &Script, faults: &[(i64, i64)]) {
    let pings = requests(script).into_values().filter(|(what, ..)| *what == "pings");
    let names: BTreeSet<&str> = pings.map(|(_, name, _)| name).collect();
    let mut executed = bench.outside.executed();
    executed.sort_unstable();
    assert_eq!(executed, names.iter().copied().collect::<Vec<_>>(), "executed outside");
    let inconclusive = bench.outside.inconclusive();
    for name in names {
        let calls = bench.outside.calls_of(&format!("/pings/{name}"));
        for pair in calls.windows(2) {
            let explains = |(begun, ended): &(i64, i64)| *begun <= pair[1] && *ended >= pair[0];
            let is_explained = inconclusive.contains(&pair[0]) || faults.iter().any(explains);
            assert!(is_explained, "{name} was called again for no reason: {calls:?}, {faults:?}");
        }
    }
}
