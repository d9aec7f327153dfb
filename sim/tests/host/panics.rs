//! Inputs that panic: counted, kept aside after the third time, and taken in when an operator says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use sim::world::life::End;

use crate::bench::{self, Bench, HOSTS};
use crate::counter::POISON;
use crate::sabotage::Trouble;

const DONE: u64 = 10;
/// Three deaths, each with a restart and a new generation of the group.
const GIVEN_UP: u64 = 180;
/// Longer than two looks at what is parked.
const FLOWS: u64 = 180;

/// The only dead letter.
async fn letter(bench: &Bench) -> Value {
    let (status, letters) = bench.get_until_told("dead-letters").await;
    assert_eq!((status, letters["deadLetters"].as_array().map(Vec::len)), (200, Some(1)), "{letters}");
    letters["deadLetters"][0].clone()
}

pub async fn replay(bench: &Bench, letter: &Value) -> (u16, Value) {
    bench.post_until_decided(&format!("dead-letters/{}/replay", letter["id"]), "-", &json!({})).await
}

#[test]
fn a_message_that_panics_is_kept_aside_and_only_its_stream_waits() {
    bench::run(2, async |bench: Bench| {
        let others = ["a", "b", "c", "d", "e", "y"];
        bench.send(&others.map(|stream| (stream, 1))).await;
        bench.send_amounts(&[("x", 1, 1), ("x", 2, POISON), ("x", 3, 3)]).await;
        bench.send(&others.map(|stream| (stream, 2))).await;
        let all_but_x = || others.iter().all(|stream| bench.added(stream) == [1, 2]);
        bench
            .eventually(GIVEN_UP, "others flow, x stands", || {
                all_but_x()
                    && bench.added("x") == [1]
                    && bench.rows("dead_letters") == 1
                    && bench.rows("parked") == 1
            })
            .await;
        assert_eq!(bench.take_panics().len(), 3);
        let letter = letter(&bench).await;
        assert_eq!(
            (&letter["source"], &letter["sequence"], &letter["attempts"]),
            (&json!("payment/x"), &json!(2), &json!(3))
        );
        assert!(letter["offset"].as_i64().is_some_and(|offset| offset >= 0), "{letter}");
        assert!(letter["reason"].as_str().is_some_and(|reason| reason.contains("poison")), "{letter}");

        // It comes again through the log, and is not decided again.
        bench.send_amounts(&[("x", 2, POISON)]).await;
        bench.wait_us(5_000_000).await;
        assert_eq!((bench.rows("dead_letters"), bench.take_panics().len()), (1, 0));

        let (status, problem) = replay(&bench, &letter).await;
        assert_eq!(
            (status, &problem["title"]),
            (409, &json!("still dead")),
            "nobody dies of an operator's try"
        );
        bench.cured.set(true);
        assert_eq!(replay(&bench, &letter).await.0, 200);
        bench.eventually(DONE, "x flows", || bench.added("x") == [1, POISON, 3]).await;
        assert_eq!(["dead_letters", "parked", "attempts"].map(|table| bench.rows(table)), [0; 3]);
    });
}

#[test]
fn a_parked_message_that_panics_is_kept_aside_too() {
    bench::run(1, async |bench: Bench| {
        bench.send_amounts(&[("x", 2, POISON), ("x", 3, 3)]).await;
        bench.eventually(DONE, "both are parked", || bench.rows("parked") == 2).await;
        bench.send(&[("x", 1), ("y", 1)]).await;
        let given_up = || bench.rows("dead_letters") == 1 && bench.rows("parked") == 1;
        bench.eventually(2 * GIVEN_UP, "it is kept aside", || given_up() && bench.added("y") == [1]).await;
        bench.take_panics();
        bench.cured.set(true);
        assert_eq!(replay(&bench, &letter(&bench).await).await.0, 200);
        bench.eventually(DONE, "x flows", || bench.added("x") == [1, POISON, 3]).await;
    });
}

#[test]
fn a_request_that_panics_has_an_answer_after_the_third_time() {
    bench::run(2, async |bench: Bench| {
        let poison = json!({ "name": "a", "by": POISON });
        let (status, problem) = bench.post_until_decided("increments", "k-1", &poison).await;
        assert_eq!((status, &problem["title"]), (500, &json!("cannot be decided")));
        assert_eq!(bench.take_panics().len(), 3);
        assert_eq!(bench.post_until_decided("increments", "k-1", &poison).await, (status, problem));
        let sound = json!({ "name": "a", "by": 2 });
        assert_eq!(bench.post_until_decided("increments", "k-2", &sound).await.0, 200);
        assert_eq!((bench.added("a"), bench.rows("attempts")), (vec![2], 0));
    });
}

#[test]
fn a_timer_that_panics_is_kept_aside_and_can_be_armed_again() {
    bench::run(2, async |bench: Bench| {
        bench.post("ticks", "k-1", &json!({ "name": "boom", "by": 2 })).await;
        bench.post("ticks", "k-2", &json!({ "name": "a", "by": 1 })).await;
        bench.eventually(10 * GIVEN_UP, "it is kept aside", || bench.rows("dead_letters") == 1).await;
        assert_eq!((bench.take_panics().len(), bench.added("a")), (3, vec![1]));
        let letter = letter(&bench).await;
        assert_eq!((&letter["topic"], &letter["source"]), (&json!("timers"), &json!("tick/boom")));
        bench.cured.set(true);
        assert_eq!(replay(&bench, &letter).await.0, 200);
        bench.eventually(60, "it fires, and fires again", || bench.added("boom") == [1, 1]).await;
        assert_eq!(["dead_letters", "timers", "attempts"].map(|table| bench.rows(table)), [0; 3]);
    });
}

#[test]
fn an_effect_whose_answer_panics_is_kept_aside_and_then_asked_about() {
    bench::run(1, async |bench: Bench| {
        bench.post("pings", "k-1", &json!({ "name": "boom", "by": 1 })).await;
        bench.post_until_decided("pings", "k-2", &json!({ "name": "a", "by": 1 })).await;
        bench.eventually(10 * GIVEN_UP, "it is kept aside", || bench.rows("dead_letters") == 1).await;
        assert_eq!((bench.take_panics().len(), bench.added("a")), (3, vec![100]));
        bench.cured.set(true);
        assert_eq!(replay(&bench, &letter(&bench).await).await.0, 200);
        bench.eventually(60, "the outcome", || bench.added("boom") == [100]).await;
        assert_eq!(bench.outside.seen().last().map(String::as_str), Some("GET /pings/boom"));
        assert_eq!(["dead_letters", "effects", "attempts"].map(|table| bench.rows(table)), [0; 3]);
    });
}

/// What happens while two operators have the same letter taken in.
#[derive(Clone, Copy, Debug)]
pub enum Meanwhile {
    /// The host that both ask dies.
    HostDies,
    /// The database's primary dies and its standby is promoted.
    FailsOver,
    /// From some pipeline on two connections break.
    Broken(Trouble),
    /// The next commit that stores something happens, and nobody hears of it.
    CommitIsUnknown,
}

impl Meanwhile {
    /// `at`: so many moments from now, or pipelines.
    async fn happen(self, bench: &Bench, at: u64) {
        match self {
            Self::HostDies => {
                bench.wait_us(at * 200).await;
                bench.world.kill(HOSTS[0], 0, End::Process);
                bench.wait_us(1_000_000).await;
                bench.world.start(HOSTS[0], 0);
            }
            Self::FailsOver => {
                bench.wait_us(at * 400).await;
                bench.fail_over(0, 2_000, 1_000).await;
            }
            Self::Broken(trouble) => bench.sabotage.begin(at, trouble, 2),
            Self::CommitIsUnknown => bench.sabotage.unheard_commits.set(1 + at),
        }
    }

    /// Each of two operators replays its letter while it happens, and is told that it is done: who comes when it is done
    /// already finds no letter any more. Stream `x` takes everything once and in this order.
    pub async fn two_operators(self, bench: &Bench, at: u64, letters: [&Value; 2], flows: &[u64]) {
        let what = format!("{self:?} at {at}");
        let trouble = self.happen(bench, at);
        let (one, other, ()) =
            futures::future::join3(replay(bench, letters[0]), replay(bench, letters[1]), trouble).await;
        let statuses = [one.0, other.0];
        assert!(statuses.iter().all(|status| [200, 404].contains(status)), "{what}: {statuses:?}");
        bench.eventually(FLOWS, &what, || bench.added("x") == flows).await;
        let empty = ["dead_letters", "parked", "attempts"].map(|table| bench.rows(table));
        assert_eq!(empty, [0; 3], "{what}");
        bench.eventually(60, &what, || bench.unsent() == 0).await;
        bench.assert_no_gap(&what);
        assert_eq!(bench.failovers.get(), u64::from(matches!(self, Self::FailsOver)), "{what}");
    }

    /// Over all its moments it made commits unknown; but a host that dies does not live to see that one is.
    pub fn assert_seen(self, unknown_commits: u64) {
        let sees_it = !matches!(self, Self::HostDies);
        assert_eq!(unknown_commits > 0, sees_it, "{self:?}: unknown commits");
    }
}

/// Each message takes effect once and in its stream's place.
fn a_letter_is_taken_in_once(meanwhile: Meanwhile, places: u64) {
    let unknown = Arc::new(AtomicU64::new(0));
    for at in 0..places {
        let seen = unknown.clone();
        bench::run(2, async move |bench: Bench| {
            bench.send_amounts(&[("x", 1, POISON), ("x", 2, 2), ("x", 3, 3)]).await;
            let given_up = || bench.rows("dead_letters") == 1 && bench.rows("parked") == 2;
            bench.eventually(GIVEN_UP, "it is kept aside", given_up).await;
            bench.take_panics();
            bench.cured.set(true);
            let letter = letter(&bench).await;
            meanwhile.two_operators(&bench, at, [&letter, &letter], &[POISON, 2, 3]).await;
            seen.fetch_add(bench.sabotage.tally.unknown_commits.get(), Ordering::Relaxed);
        });
    }
    meanwhile.assert_seen(unknown.load(Ordering::Relaxed));
}

#[test]
fn two_operators_at_once_and_a_death_in_between_take_a_letter_in_once() {
    a_letter_is_taken_in_once(Meanwhile::HostDies, 20);
}

#[test]
fn two_operators_at_once_and_a_failover_take_a_letter_in_once() {
    a_letter_is_taken_in_once(Meanwhile::FailsOver, 12);
}

#[test]
fn two_operators_at_once_and_unknown_commits_take_a_letter_in_once() {
    a_letter_is_taken_in_once(Meanwhile::CommitIsUnknown, 3);
    for trouble in [Trouble::LostBefore, Trouble::LostAfter] {
        a_letter_is_taken_in_once(Meanwhile::Broken(trouble), 10);
    }
}

/// A timer's letter and an effect's are rows put back: by one of two operators, also where its commit is not heard of.
#[test]
fn a_timer_and_an_effect_are_put_back_once_whatever_becomes_of_the_commit() {
    for at in 0..8 {
        is_put_back_once("ticks", 2, "timers", &[1, 1], &[], at);
        is_put_back_once("pings", 1, "effects", &[100], &["boom"], at);
    }
}

/// A request whose `rows` end as a letter, which two operators replay while the answer to a pipeline is lost. Then it
/// has `added` this, and the party outside has `executed` that.
fn is_put_back_once(
    route: &'static str,
    by: i64,
    rows: &'static str,
    added: &'static [u64],
    executed: &'static [&'static str],
    at: u64,
) {
    bench::run(1, async move |bench: Bench| {
        let what = format!("{route}: an answer is lost at {at}");
        bench.post(route, "k-1", &json!({ "name": "boom", "by": by })).await;
        bench.eventually(10 * GIVEN_UP, "it is kept aside", || bench.rows("dead_letters") == 1).await;
        bench.take_panics();
        bench.cured.set(true);
        let letter = letter(&bench).await;
        bench.sabotage.begin(at, Trouble::LostAfter, 1);
        let (one, other) = futures::future::join(replay(&bench, &letter), replay(&bench, &letter)).await;
        assert!([one.0, other.0].iter().all(|status| [200, 404].contains(status)), "{what}");
        bench.eventually(400, &what, || bench.added("boom") == added).await;
        assert_eq!(bench.outside.executed(), executed, "{what}");
        let empty = ["dead_letters", rows, "attempts"].map(|table| bench.rows(table));
        assert_eq!(empty, [0; 3], "{what}");
    });
}
