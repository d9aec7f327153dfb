//! Letters of what could not be decoded: repaired by an operator, and taken in once whatever breaks meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::bench::{self, Bench};
use crate::panics::{Meanwhile, replay};
use crate::sabotage::Trouble;

const DONE: u64 = 10;

async fn letters(bench: &Bench) -> Vec<Value> {
    let (status, mut letters) = bench.get_until_told("dead-letters").await;
    assert_eq!(status, 200, "{letters}");
    serde_json::from_value(letters["deadLetters"].take()).expect("a list")
}

/// The same message came twice, so it has two letters. Each is replayed by an operator of its own, at once.
fn a_repaired_letter_is_taken_in_once(meanwhile: Meanwhile, places: u64) {
    let unknown = Arc::new(AtomicU64::new(0));
    for at in 0..places {
        let seen = unknown.clone();
        bench::run(2, async move |bench: Bench| {
            let what = format!("{meanwhile:?} at {at}");
            bench.send_unreadable("x", 1).await;
            bench.send_unreadable("x", 1).await;
            bench.send(&[("x", 2), ("x", 3)]).await;
            let stands = || bench.rows("dead_letters") == 2 && bench.rows("parked") == 2;
            bench.eventually(DONE, "it is kept aside", stands).await;
            let letters = letters(&bench).await;
            for letter in &letters {
                assert_eq!(replay(&bench, letter).await.0, 409, "{what}: it cannot be read");
                bench.repair_letter(letter["id"].as_i64().expect("a number"), "x", 1).await;
            }
            meanwhile.two_operators(&bench, at, [&letters[0], &letters[1]], &[1, 2, 3]).await;
            seen.fetch_add(bench.sabotage.tally.unknown_commits.get(), Ordering::Relaxed);
        });
    }
    meanwhile.assert_seen(unknown.load(Ordering::Relaxed));
}

#[test]
fn a_repaired_letter_is_taken_in_once_although_its_host_dies() {
    a_repaired_letter_is_taken_in_once(Meanwhile::HostDies, 20);
}

#[test]
fn a_repaired_letter_is_taken_in_once_although_the_database_fails_over() {
    a_repaired_letter_is_taken_in_once(Meanwhile::FailsOver, 12);
}

#[test]
fn a_repaired_letter_is_taken_in_once_although_commits_are_unknown() {
    a_repaired_letter_is_taken_in_once(Meanwhile::CommitIsUnknown, 3);
    for trouble in [Trouble::LostBefore, Trouble::LostAfter] {
        a_repaired_letter_is_taken_in_once(Meanwhile::Broken(trouble), 14);
    }
}
