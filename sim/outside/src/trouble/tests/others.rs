//! The identity provider and the webhooks.

use super::*;
use crate::identity::{ClientRole, IdentityProvider, RegisteredClient};
use crate::webhooks::{Webhooks, path};

fn identity() -> Bench<IdentityProvider> {
    let client = RegisteredClient {
        id: "P01".to_owned(),
        secret: "hush".to_owned(),
        role: ClientRole::Participant,
        accounts: Vec::new(),
    };
    bench(IdentityProvider::new([7; 32], IdentityProvider::TOKEN_LIFETIME, [client]))
}

fn keys(bench: &mut Bench<IdentityProvider>, now: u64) -> Vec<String> {
    let body = bench.get(now, "/.well-known/jwks.json").expect("an answer").body;
    let keys = body["keys"].as_array().expect("a set").iter();
    keys.map(|key| key["kid"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn keys_are_rotated_once_when_it_begins_with_and_without_grace() {
    for grace in [0, 60] {
        let mut bench = identity();
        let [first] = keys(&mut bench, 0).try_into().expect("one key");
        bench.troubles.begin(1, Trouble::KeysRotated { old_for: Duration::from_secs(grace) });
        bench.until(10);
        let after = keys(&mut bench, 11);
        assert_ne!(after[0], first);
        assert_eq!(after[1..], if grace == 0 { vec![] } else { vec![first] });
        bench.troubles.end(1);
        assert_eq!(keys(&mut bench, 100), after[..1], "the new key stays");
        assert_eq!(bench.troubles.met(1), 1);
    }
}

#[test]
fn an_identity_provider_that_is_down_gives_neither_tokens_nor_keys() {
    let mut bench = identity();
    let ask = json!({ "client_id": "P01", "client_secret": "hush" });
    bench.troubles.begin(1, Trouble::Down { how: Outage::Unavailable });
    assert_eq!(bench.get(0, "/.well-known/jwks.json").expect("an answer").status, 503);
    assert_eq!(bench.post(0, "/token", &ask).0.expect("an answer").status, 503);
    bench.troubles.end(1);
    assert_eq!(bench.post(1, "/token", &ask).0.expect("an answer").status, 200);
}

#[test]
fn keys_and_tokens_can_be_troubled_alone() {
    let mut bench = identity();
    bench.troubles.begin(1, Trouble::RequestLost { of: Requests::Keys, hits: Hits::ALL });
    bench.troubles.begin(2, Trouble::AckLate { of: Requests::Tokens, hits: Hits::ALL, by: seconds(9) });
    assert_eq!(bench.get(0, "/.well-known/jwks.json"), None);
    let ask = json!({ "client_id": "P01", "client_secret": "hush" });
    assert_eq!(bench.post(0, "/token", &ask).0.expect("an answer").after, Duration::from_secs(9));
}

fn notify(bench: &mut Bench<Webhooks>, now: u64, participant: &str) -> (Option<u16>, usize) {
    let notice = json!({ "eventId": "settlement-completed/t1", "channel": "webhook" });
    let (seen, facts) = bench.post(now, &path(participant), &notice);
    (seen.map(|seen| seen.status), facts.len())
}

#[test]
fn a_webhook_takes_a_notice_and_fails_so_that_it_comes_again() {
    let mut bench = bench(Webhooks::new());
    let of = Requests::Under(path("P01"));
    bench.troubles.begin(1, Trouble::Error { of, hits: Hits::ALL, status: 500, done: true });
    assert_eq!(notify(&mut bench, 0, "P01"), (Some(500), 1));
    assert_eq!(notify(&mut bench, 0, "P02"), (Some(200), 1), "another participant's");
    bench.troubles.end(1);
    assert_eq!(notify(&mut bench, 1, "P01"), (Some(200), 1));
    assert_eq!((bench.party.party.duplicates(), bench.troubles.met(1)), (1, 1));
}

#[test]
fn a_webhook_fails_is_silent_slow_or_down() {
    let all = || Requests::All;
    let cases = [
        (Trouble::Error { of: all(), hits: Hits::ALL, status: 500, done: false }, (Some(500), 0)),
        (Trouble::RequestLost { of: all(), hits: Hits::ALL }, (None, 0)),
        (Trouble::AckLate { of: all(), hits: Hits::ALL, by: seconds(9) }, (Some(200), 1)),
        (Trouble::Down { how: Outage::Unavailable }, (Some(503), 0)),
        (Trouble::Down { how: Outage::Silent }, (None, 0)),
    ];
    for (trouble, expected) in cases {
        let mut bench = bench(Webhooks::new());
        bench.troubles.begin(1, trouble);
        assert_eq!(notify(&mut bench, 0, "P01"), expected);
        bench.troubles.end(1);
        assert_eq!((notify(&mut bench, 1, "P01"), bench.troubles.met(1)), ((Some(200), 1), 1));
    }
}
