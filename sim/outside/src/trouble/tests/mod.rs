//! Each trouble bites while it is active, and no longer; the books stay true.

mod bank;
mod composition;
mod contradictions;
mod messages;
mod others;
mod requests;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use invariants::Fact;
use model::{Money, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::bank::{Bank, BankSettings};
use crate::draw::Draw;
use crate::draw::tests_support::{SplitMix, streams};
use crate::party::{Party, Post, Reply, later};

const START: &str = "2026-03-09T22:00:00Z";

/// Counts what is drawn.
struct Counted(SplitMix, Rc<Cell<u32>>);

impl Draw for Counted {
    fn next_u64(&mut self) -> u64 {
        self.1.set(self.1.get() + 1);
        self.0.next_u64()
    }
}

/// A party with its troubles, and what was drawn for them.
struct Bench<P> {
    party: Troubled<P>,
    troubles: Troubles,
    drawn: Rc<Cell<u32>>,
}

/// What a caller sees, and how long after.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    body: Value,
    after: Duration,
}

fn at(seconds: u64) -> Timestamp {
    later(START.parse().expect("an instant"), Duration::from_secs(seconds))
}

fn seconds(seconds: u64) -> Span {
    Span::exactly(Duration::from_secs(seconds))
}

fn bench<P: Party>(party: P) -> Bench<P> {
    let (troubles, drawn) = (Troubles::new(), Rc::new(Cell::new(0)));
    let draw = Box::new(Counted(SplitMix(9), drawn.clone()));
    Bench { party: Troubled::new(party, troubles.clone(), draw), troubles, drawn }
}

/// A prompt bank in which A001 has 100.00, A002 and the CCP nothing.
fn bank() -> Bench<Bank> {
    let opening = [("A001", "100.00"), ("A002", "0.00"), ("CCP", "0.00")];
    let money = |text| Money::parse(text, model::Currency::USD).expect("an amount");
    let opening = opening.map(|(account, cash)| (account.to_owned(), money(cash)));
    let settings = BankSettings {
        pending_ppm: 0,
        answer_after: Span::ZERO,
        notice_after: Span::ZERO,
        ..BankSettings::default()
    };
    bench(Bank::new(opening, settings, &mut streams(1)))
}

impl<P: Party> Bench<P> {
    /// Sends a request: what comes back, and the facts.
    fn send(&mut self, now: u64, request: Request<Bytes>) -> (Option<Seen>, Vec<Fact>) {
        let handled = self.party.handle(at(now), &request);
        let seen = |after, response: http::Response<Bytes>| {
            let body = serde_json::from_slice(response.body()).expect("JSON");
            Some(Seen { status: response.status().as_u16(), body, after })
        };
        let seen = match handled.reply {
            Reply::Now(response) => seen(Duration::ZERO, response),
            Reply::After(after, response) => seen(after, response),
            Reply::Never => None,
        };
        (seen, handled.facts)
    }

    fn post(&mut self, now: u64, path: &str, body: &Value) -> (Option<Seen>, Vec<Fact>) {
        let request = Request::post(path).body(Bytes::from(body.to_string())).expect("a request");
        self.send(now, request)
    }

    fn get(&mut self, now: u64, path: &str) -> Option<Seen> {
        self.send(now, Request::get(path).body(Bytes::new()).expect("a request")).0
    }

    /// Everything that the party does of its own accord up to then; each message is answered with 200.
    fn until(&mut self, end: u64) -> (Vec<(u64, Post)>, Vec<Fact>) {
        let (mut posts, mut facts) = (Vec::new(), Vec::new());
        let mut now = at(0);
        while let Some(due) = self.party.next_due().filter(|due| *due <= at(end)) {
            now = now.max(due);
            let done = self.party.due(now);
            facts.extend(done.facts);
            for post in done.posts {
                self.party.answered(now, &post.key, StatusCode::OK);
                let second = now.duration_since(at(0)).as_secs().unsigned_abs();
                posts.push((second, post));
            }
        }
        (posts, facts)
    }
}

impl Bench<Bank> {
    /// Pays an amount from A001 to the CCP, under a UETR of this number.
    fn pay(&mut self, now: u64, number: u8, amount: &str) -> (String, Vec<Fact>) {
        let (seen, facts) = self.post(now, "/payments", &order(number, amount));
        (line(seen), facts)
    }

    fn query(&mut self, now: u64, number: u8) -> String {
        let seen = self.get(now, &format!("/payments/{}", uetr(number)));
        line(seen)
    }

    fn balance(&self, account: &str) -> String {
        self.party.party.balances()[account].amount().to_string()
    }
}

fn uetr(number: u8) -> String {
    format!("0b3f1c5a-6a1e-4c2d-9b7a-00000000000{number}")
}

/// Valid for two hours.
fn order(number: u8, amount: &str) -> Value {
    json!({
        "uetr": uetr(number), "debtor": "A001", "creditor": "CCP", "amount": amount, "currency": "USD",
        "validUntil": at(7_200).to_string(),
    })
}

/// An answer of the bank in one line.
fn line(seen: Option<Seen>) -> String {
    let Some(seen) = seen else { return "silence".to_owned() };
    let text = |name: &str| seen.body[name].as_str().unwrap_or("-").to_owned();
    format!("{} {} {}", seen.status, text("status"), text("reason")).trim_end().to_owned()
}

fn body(post: &Post) -> Value {
    serde_json::from_slice(post.request.body()).expect("JSON")
}

#[test]
fn without_troubles_nothing_is_different_and_nothing_is_drawn() {
    let mut plain = bank().party.party;
    let mut bench = bank();
    let deposit = json!({ "account": "A002", "amount": "7.50", "reference": "in-1" });
    let asks = [("/payments", order(1, "40.00")), ("/payments", order(1, "40.00")), ("/deposits", deposit)];
    for (now, (path, body)) in (0..).zip(&asks) {
        let request = Request::post(*path).body(Bytes::from(body.to_string())).expect("a request");
        let expected = plain.handle(at(now), &request);
        let handled = bench.party.handle(at(now), &request);
        assert_eq!(format!("{expected:?}"), format!("{handled:?}"));
    }
    let due = plain.next_due().expect("a notice");
    assert_eq!(bench.party.next_due(), Some(due));
    assert_eq!(format!("{:?}", plain.due(due)), format!("{:?}", bench.party.due(due)));
    assert_eq!(bench.drawn.get(), 0);
}

#[test]
fn what_is_over_leaves_no_trace() {
    let mut bench = bank();
    let trouble = Trouble::AckLost { of: Requests::All, hits: Hits::Ppm(500_000) };
    bench.troubles.begin(1, trouble.clone());
    assert_eq!(bench.troubles.active(), [(1, trouble)]);
    bench.troubles.end(1);
    bench.troubles.end(1);
    assert!(bench.troubles.is_calm());
    assert_eq!(bench.pay(0, 1, "40.00").0, "200 ACSC");
    assert_eq!((bench.drawn.get(), bench.troubles.met(1), bench.troubles.met(2)), (0, 0, 0));
}
