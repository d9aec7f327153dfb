//! Messages of the bank and the venue: late, lost, doubled; and a venue that ends its day early.

use model::{Calendar, Date};

use super::*;
use crate::party::{IDEMPOTENCY_KEY, header_text};
use crate::venue::{Venue, VenueSettings};

/// A deposit by a payer's reference of its own.
fn deposit(bench: &mut Bench<Bank>, now: u64) {
    let reference = bench.get(now, "/statement").expect("a statement").body["next"].to_string();
    bench.post(now, "/deposits", &json!({ "account": "A002", "amount": "7.50", "reference": reference }));
}

/// When which messages left.
fn left(bench: &mut Bench<impl Party>, until: u64) -> Vec<(u64, String)> {
    bench.until(until).0.into_iter().map(|(second, post)| (second, post.key)).collect()
}

fn notice(number: u64) -> String {
    format!("B{number:09}")
}

#[test]
fn a_late_notice_leaves_once_and_not_before() {
    let mut bench = bank();
    bench
        .troubles
        .begin(1, Trouble::MessageLate { of: Messages::Notices, hits: Hits::Every(2), by: seconds(100) });
    deposit(&mut bench, 0);
    deposit(&mut bench, 0);
    assert_eq!(left(&mut bench, 600), [(0, notice(1)), (100, notice(2))], "it is not repeated meanwhile");
    bench.troubles.end(1);
    deposit(&mut bench, 600);
    deposit(&mut bench, 600);
    assert_eq!(left(&mut bench, 700), [(600, notice(3)), (600, notice(4))]);
    assert_eq!(bench.troubles.met(1), 1);
}

#[test]
fn a_lost_notice_never_comes_and_the_statement_has_the_deposit() {
    let mut bench = bank();
    bench.troubles.begin(1, Trouble::MessageLost { of: Messages::All, hits: Hits::ALL });
    deposit(&mut bench, 0);
    assert!(left(&mut bench, 10_000).is_empty());
    assert_eq!(bench.troubles.met(1), 1);
    let statement = bench.get(10_000, "/statement?from=0").expect("a statement");
    assert_eq!(statement.body["entries"][0]["reference"], "B000000001");
    bench.troubles.end(1);
    deposit(&mut bench, 10_000);
    assert_eq!(left(&mut bench, 20_000), [(10_000, notice(2))]);
}

#[test]
fn a_doubled_notice_has_its_own_key_or_the_first_ones() {
    for (new_key, second) in [(true, "B000000001.again"), (false, "B000000001")] {
        let mut bench = bank();
        let doubled =
            Trouble::MessageDoubled { of: Messages::Notices, hits: Hits::ALL, after: seconds(3), new_key };
        bench.troubles.begin(1, doubled);
        deposit(&mut bench, 0);
        let (posts, _) = bench.until(600);
        let keys: Vec<_> = posts.iter().map(|(at, post)| (*at, post.key.as_str())).collect();
        assert_eq!(keys, [(0, "B000000001"), (3, second)]);
        assert_eq!(header_text(&posts[1].1.request, IDEMPOTENCY_KEY), Some(second));
        assert_eq!(body(&posts[0].1), body(&posts[1].1));
        bench.troubles.end(1);
        deposit(&mut bench, 600);
        assert_eq!((left(&mut bench, 700).len(), bench.troubles.met(1)), (1, 1));
    }
}

#[test]
fn while_the_bank_is_down_its_notices_wait() {
    let mut bench = bank();
    deposit(&mut bench, 0);
    bench.troubles.begin(1, Trouble::Down { how: Outage::Silent });
    assert!(left(&mut bench, 299).is_empty());
    bench.troubles.end(1);
    assert_eq!(left(&mut bench, 600), [(300, notice(1))]);
}

/// Tuesday's session opens 15.5 hours after the start of the tests, and closes 22 hours after it.
const OPEN: u64 = 55_800;
const CLOSE: u64 = OPEN + 23_400;
const END: u64 = CLOSE + 1_200;

fn venue() -> Bench<Venue> {
    bench(Venue::new(Calendar::xnys(), &[Date::constant(2026, 3, 10)], VenueSettings::default()))
}

fn key(kind: &str) -> String {
    format!("XNYS/2026-03-10/{kind}")
}

#[test]
fn a_day_of_the_venue_without_troubles() {
    let expected = [(OPEN, key("open")), (CLOSE, key("close")), (END, key("endOfDay"))];
    assert_eq!(left(&mut venue(), END + 600), expected);
}

#[test]
fn the_venues_messages_are_late_lost_or_twice() {
    let late = Trouble::MessageLate { of: Messages::EndOfDay, hits: Hits::ALL, by: seconds(3_600) };
    let lost = Trouble::MessageLost { of: Messages::Close, hits: Hits::ALL };
    let twice =
        Trouble::MessageDoubled { of: Messages::Open, hits: Hits::ALL, after: seconds(1), new_key: false };
    let mut bench = venue();
    for (id, trouble) in (1..).zip([late, lost, twice]) {
        bench.troubles.begin(id, trouble);
    }
    let expected = [(OPEN, key("open")), (OPEN + 1, key("open")), (END + 3_600, key("endOfDay"))];
    assert_eq!(left(&mut bench, END + 7_200), expected);
    assert_eq!([1, 2, 3].map(|id| bench.troubles.met(id)), [1, 1, 1]);
}

#[test]
fn a_lost_end_of_day_is_told_on_query() {
    let mut bench = venue();
    bench.troubles.begin(1, Trouble::MessageLost { of: Messages::EndOfDay, hits: Hits::ALL });
    assert_eq!(left(&mut bench, END + 7_200).len(), 2);
    let seen = bench.get(END + 7_200, "/api/v1/venues/XNYS/trade-dates/2026-03-10").expect("an answer");
    assert_eq!(seen.body["state"], "ENDED");
}

#[test]
fn a_venue_that_is_down_tells_everything_afterwards() {
    let mut bench = venue();
    bench.troubles.begin(1, Trouble::Down { how: Outage::Unavailable });
    let (posts, facts) = bench.until(END + 599);
    assert_eq!((posts.len(), facts.len()), (0, 3), "its day goes on");
    assert_eq!(bench.get(END + 599, "/trade-dates/2026-03-10").expect("an answer").status, 503);
    bench.troubles.end(1);
    assert_eq!(left(&mut bench, END + 700).len(), 3);
}

#[test]
fn the_day_ends_before_the_close_for_as_long_as_it_is_so() {
    let early = Trouble::EndOfDayEarly { before_close: Duration::from_secs(600) };
    let mut bench = venue();
    bench.until(OPEN);
    bench.troubles.begin(1, early.clone());
    let expected = [(CLOSE - 600, key("endOfDay")), (CLOSE, key("close"))];
    assert_eq!(left(&mut bench, END + 600), expected);
    let state = bench.get(END, "/trade-dates/2026-03-10").expect("an answer").body["state"].clone();
    assert_eq!((state, bench.troubles.met(1)), (json!("ENDED"), 1));

    let mut bench = venue();
    bench.troubles.begin(1, early);
    bench.until(CLOSE - 601);
    bench.troubles.end(1);
    assert_eq!(left(&mut bench, END), [(CLOSE, key("close")), (END, key("endOfDay"))]);
    assert_eq!(bench.troubles.met(1), 0);
}
