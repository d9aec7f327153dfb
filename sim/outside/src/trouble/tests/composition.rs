//! Several troubles at once, odds, determinism, and what engine and host see.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::*;

fn late(by: u64) -> Trouble {
    Trouble::AckLate { of: Requests::Instructions, hits: Hits::ALL, by: seconds(by) }
}

#[test]
fn troubles_of_the_way_back_add_up() {
    let mut bench = bank();
    bench.troubles.begin(3, late(5));
    bench.troubles.begin(7, late(10));
    let contradict = Trouble::Contradict { hits: Hits::ALL, how: Contradiction::RefusedButExecuted };
    bench.troubles.begin(5, contradict);
    let (seen, facts) = bench.post(0, "/payments", &order(1, "40.00"));
    let seen = seen.expect("an answer");
    assert_eq!((seen.after, &seen.body["status"]), (Duration::from_secs(15), &json!("RJCT")));
    assert_eq!((facts.len(), [3, 5, 7].map(|id| bench.troubles.met(id))), (1, [1, 1, 1]));
    bench.troubles.end(3);
    let (seen, _) = bench.post(0, "/payments", &order(2, "1.00"));
    assert_eq!(seen.expect("an answer").after, Duration::from_secs(10));
}

#[test]
fn a_refusal_can_be_lost_and_a_duplicate_forgotten() {
    let mut bench = bank();
    bench.troubles.begin(1, Trouble::Reject { hits: Hits::ALL, reason: Reason::InsufficientFunds });
    bench.troubles.begin(2, Trouble::AckLost { of: Requests::Instructions, hits: Hits::ALL });
    assert_eq!(
        (bench.pay(0, 1, "1.00").0.as_str(), bench.query(1, 1).as_str()),
        ("silence", "200 RJCT AM04")
    );
    bench.troubles.end(1);
    bench.troubles.end(2);

    let of = Requests::Instructions;
    bench.troubles.begin(3, Trouble::AckDuplicate { of, hits: Hits::ALL, after: seconds(5) });
    bench.troubles.begin(4, Trouble::DedupExpired { hits: Hits::ALL });
    bench.pay(10, 2, "40.00");
    let (_, facts) = bench.until(15);
    assert_eq!((facts.len(), bench.balance("CCP").as_str()), (1, "80.00"), "paid twice, and told so");
}

#[test]
fn a_trouble_on_the_way_in_leaves_nothing_to_the_others() {
    let mut bench = bank();
    bench.troubles.begin(2, late(5));
    bench.troubles.begin(1, Trouble::Down { how: Outage::Unavailable });
    assert_eq!(bench.pay(0, 1, "1.00").0, "503 - -");
    assert_eq!((bench.troubles.met(1), bench.troubles.met(2)), (1, 0));
}

/// What a day of troubles looks like from outside.
fn story(odds: u32) -> (Vec<String>, u32) {
    let mut bench = bank();
    let hits = Hits::Ppm(odds);
    let of = || Requests::Instructions;
    let troubles = [
        Trouble::AckLate { of: of(), hits, by: Span::millis(0, 20_000) },
        Trouble::AckLost { of: of(), hits },
        Trouble::AckDuplicate { of: of(), hits, after: Span::millis(0, 60_000) },
        Trouble::Pending { hits, lasts: Span::millis(1, 30_000) },
        Trouble::RequestLost { of: of(), hits },
    ];
    for (id, trouble) in (1..).zip(troubles) {
        bench.troubles.begin(id, trouble);
    }
    let mut told = Vec::new();
    for now in 0..40 {
        let number = u8::try_from(now % 10).expect("below 10");
        told.push(format!("{:?}", bench.post(now, "/payments", &order(number, "1.00"))));
        told.push(format!("{:?}", bench.until(now)));
    }
    told.extend((1..6).map(|id| bench.troubles.met(id).to_string()));
    (told, bench.drawn.get())
}

#[test]
fn the_same_draws_tell_the_same_story() {
    let (told, drawn) = story(300_000);
    assert_eq!((&told, drawn), (&story(300_000).0, story(300_000).1));
    assert!(told[told.len() - 5..].iter().all(|met| met != "0"), "{told:?}");
    assert_ne!(told, story(100_000).0);
    let (never, drawn) = story(0);
    assert_eq!(
        (&never[never.len() - 5..], drawn),
        (["0", "0", "0", "0", "0"].map(str::to_owned).as_slice(), 200)
    );
}

#[test]
fn plain_counts_take_no_draw() {
    let mut bench = bank();
    bench.troubles.begin(1, Trouble::AckLost { of: Requests::Instructions, hits: Hits::Every(3) });
    let silent: Vec<u8> = (1..9).filter(|number| bench.pay(0, *number, "1.00").0 == "silence").collect();
    assert_eq!((silent, bench.drawn.get()), (vec![3, 6], 0));
}

#[derive(Default)]
struct Woken(AtomicU32);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn the_host_is_woken_and_looks_at_the_party_at_once() {
    let bench = bank();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut changed = pin!(bench.troubles.changed());
    let mut poll = || changed.as_mut().poll(&mut Context::from_waker(&waker));
    assert_eq!((poll(), bench.party.next_due()), (Poll::Pending, None));
    bench.troubles.begin(1, late(5));
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert!(bench.party.next_due().is_some_and(|due| due < at(0)));
    assert_eq!((poll(), poll()), (Poll::Ready(()), Poll::Pending));
}

#[test]
#[should_panic(expected = "trouble 1 has begun already")]
fn an_id_is_for_one_trouble_at_a_time() {
    let troubles = Troubles::new();
    troubles.begin(1, late(1));
    troubles.begin(1, late(1));
}

#[test]
fn troubles_are_printed_as_scenarios_name_them() {
    let of = Requests::Under("/hooks/P01".to_owned());
    let troubles = [
        Trouble::AckLate {
            of: Requests::Instructions,
            hits: Hits::Ppm(20_000),
            by: Span::millis(500, 90_000),
        },
        Trouble::Reject { hits: Hits::Every(10), reason: Reason::InsufficientFunds },
        Trouble::CutoffMissed { how: Cutoff::Refused },
        Trouble::KeysRotated { old_for: Duration::from_secs(600) },
        Trouble::Error { of, hits: Hits::ALL, status: 500, done: true },
    ];
    let expected = [
        r#"{"action":"ack-late","of":"instructions","hits":{"ppm":20000},"by":{"min":"500ms","max":"1m30s"}}"#,
        r#"{"action":"reject","hits":{"every":10},"reason":"AM04"}"#,
        r#"{"action":"cutoff-missed","how":"refused"}"#,
        r#"{"action":"keys-rotated","old-for":"10m"}"#,
        r#"{"action":"error","of":{"under":"/hooks/P01"},"hits":{"every":1},"status":500,"done":true}"#,
    ];
    for (trouble, expected) in troubles.iter().zip(expected) {
        let printed = serde_json::to_value(trouble).expect("plain data");
        assert_eq!(printed, serde_json::from_str::<Value>(expected).expect("JSON"));
        assert_eq!(printed["action"], trouble.action());
        assert!(!trouble.parties().is_empty());
    }
}
