use http::header;
use serde_json::{Value, json};

use super::*;
use crate::party::{IDEMPOTENCY_KEY, answer, header_text};
use crate::plan::{FixTrade, TradeForm};

const START: &str = "2026-03-06T14:30:00Z";

fn at(millis: u64) -> Timestamp {
    later(START.parse().expect("an instant"), Duration::from_millis(millis))
}

fn trade() -> TradeForm {
    TradeForm {
        instrument: "I01".to_owned(),
        buyer: "A001".to_owned(),
        seller: "A002".to_owned(),
        quantity: "100".to_owned(),
        price: "10.25".to_owned(),
    }
}

fn operation(intent: Intent, ask: Ask) -> Operation {
    Operation { at: at(0), client: "P01".to_owned(), key: "open-000001".to_owned(), intent, ask }
}

fn accepted() -> Response<Bytes> {
    answer(StatusCode::ACCEPTED, &json!({ "tradeId": "t1", "status": "SUBMITTED" }))
}

fn problem(status: u16, code: &str) -> Response<Bytes> {
    let body = json!({ "type": format!("https://bellwether.invalid/problems/{code}"), "status": status });
    answer(StatusCode::from_u16(status).expect("a status"), &body)
}

/// A call, and a clock that stands still except while the call waits.
struct Bench {
    call: ClientCall,
    wallet: Wallet,
    now: Timestamp,
    facts: Vec<Fact>,
}

impl Bench {
    fn new(intent: Intent, ask: Ask) -> Self {
        let call = ClientCall::new(operation(intent, ask), Patience::default());
        let wallet = Wallet::new("P01", "hush", Some("stale".to_owned()));
        Self { call, wallet, now: at(0), facts: Vec::new() }
    }

    fn of(intent: Intent) -> Self {
        Self::new(intent, Ask::Trade(trade()))
    }

    fn step(&mut self) -> Step {
        loop {
            match self.call.next(self.now, &mut self.wallet) {
                Step::Wait(until) => {
                    assert!(until > self.now, "waiting for the past");
                    self.now = until;
                }
                step => return step,
            }
        }
    }

    /// The next request of the operation itself; tokens are handed out on the way.
    fn request(&mut self) -> Option<Request<Bytes>> {
        loop {
            let Step::Send(send) = self.step() else { return None };
            self.facts.extend(send.facts);
            if send.to != requests::IDENTITY {
                return Some(send.request);
            }
            let token =
                json!({ "access_token": format!("token@{}", self.now.as_millisecond()), "expires_in": 3600 });
            self.answer(Ok(answer(StatusCode::OK, &token)));
        }
    }

    fn answer(&mut self, outcome: Result<Response<Bytes>, CallError>) {
        let facts = self.call.answered(self.now, &mut self.wallet, outcome);
        self.facts.extend(facts);
    }

    /// Answers request after request, and gives what the client knows in the end.
    fn run(&mut self, answers: Vec<Result<Response<Bytes>, CallError>>) -> Outcome {
        for answer in answers {
            self.request().expect("one more attempt");
            self.answer(answer);
        }
        match self.step() {
            Step::Done(outcome) => outcome,
            step => panic!("not done: {step:?}"),
        }
    }

    fn attempts(&self) -> Vec<u32> {
        let attempt = |fact: &Fact| match fact {
            Fact::Request(request) => Some(request.attempt),
            _ => None,
        };
        self.facts.iter().filter_map(attempt).collect()
    }
}

fn rejected(status: u16, code: &str) -> Outcome {
    Outcome::Rejected { status, code: code.to_owned() }
}

#[test]
fn an_operation_that_is_taken_at_once() {
    let mut bench = Bench::of(Intent::Ordinary);
    let request = bench.request().expect("a request");
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/api/v1/trades"));
    assert_eq!(header_text(&request, IDEMPOTENCY_KEY), Some("open-000001"));
    let token = header_text(&request, header::AUTHORIZATION.as_str()).expect("a token");
    assert!(token.starts_with("Bearer token@"));
    let body: Value = serde_json::from_slice(request.body()).expect("JSON");
    let expected = json!({
        "instrumentId": "I01", "buyerAccountId": "A001", "sellerAccountId": "A002", "quantity": 100,
        "price": "10.25",
    });
    assert_eq!(body, expected);

    bench.answer(Ok(accepted()));
    let Step::Done(outcome) = bench.step() else { panic!("not done") };
    assert_eq!(outcome, Outcome::Accepted { id: "t1".to_owned() });
    let [Fact::Request(asked), Fact::Answer(told)] = bench.facts.as_slice() else {
        panic!("{:?}", bench.facts)
    };
    assert_eq!((asked.attempt, told.attempt), (1, 1));
    assert_eq!((&asked.idempotency_key, &told.outcome), (&told.idempotency_key, &outcome));
}

#[test]
fn it_waits_for_its_time() {
    let mut bench = Bench::of(Intent::Ordinary);
    let early = at(0).checked_sub(Duration::from_secs(1)).expect("an instant");
    assert!(matches!(bench.call.next(early, &mut bench.wallet), Step::Wait(until) if until == at(0)));
}

#[test]
fn attempts_carry_one_key_and_end() {
    let mut bench = Bench::of(Intent::Ordinary);
    let mut keys = std::collections::BTreeSet::new();
    let mut times = Vec::new();
    while let Some(request) = bench.request() {
        keys.insert(header_text(&request, IDEMPOTENCY_KEY).expect("a key").to_owned());
        times.push(bench.now);
        bench.answer(Err(CallError::TimedOut));
    }
    assert_eq!((keys.len(), bench.attempts()), (1, (1..=8).collect()));
    let pauses: Vec<i64> = times.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs()).collect();
    assert!(pauses.is_sorted() && (16..=24).contains(pauses.last().expect("pauses")), "{pauses:?}");
    assert_eq!(bench.run(vec![]), Outcome::Unknown);
    assert!(matches!(bench.facts.last(), Some(Fact::Answer(answer)) if answer.outcome == Outcome::Unknown));
}

#[test]
fn silence_then_an_answer_is_that_answer() {
    for (silence, answer, expected) in [
        (Err(CallError::Reset), accepted(), Outcome::Accepted { id: "t1".to_owned() }),
        (Ok(problem(503, "store-unavailable")), accepted(), Outcome::Accepted { id: "t1".to_owned() }),
        (Ok(problem(409, "in-flight")), accepted(), Outcome::Accepted { id: "t1".to_owned() }),
        (Err(CallError::TimedOut), problem(422, "unknown-account"), rejected(422, "unknown-account")),
        (Err(CallError::Refused), problem(400, "bad-field"), rejected(400, "bad-field")),
    ] {
        assert_eq!(Bench::of(Intent::Ordinary).run(vec![silence, Ok(answer)]), expected);
    }
}

#[test]
fn a_definite_refusal_is_not_tried_again() {
    for (status, code) in [
        (400, "malformed-json"),
        (403, "foreign-account"),
        (409, "declared-otherwise"),
        (422, "other-payload"),
    ] {
        let mut bench = Bench::of(Intent::Ordinary);
        assert_eq!(bench.run(vec![Ok(problem(status, code))]), rejected(status, code));
        assert_eq!(bench.attempts(), [1]);
    }
}

#[test]
fn a_limit_says_when_to_come_back() {
    let limited = |seconds: &str| {
        let mut response = problem(429, "rate-limited");
        response.headers_mut().insert(header::RETRY_AFTER, seconds.parse().expect("a header"));
        Ok(response)
    };
    let mut bench = Bench::of(Intent::Ordinary);
    bench.request();
    bench.answer(limited("7"));
    bench.request();
    assert_eq!(bench.now, at(7_000));
    bench.answer(Ok(accepted()));

    let always = (0..4).map(|_| limited("1")).collect();
    assert_eq!(Bench::of(Intent::Ordinary).run(always), rejected(429, "rate-limited"));
    let mut once_silent: Vec<_> = (0..4).map(|_| limited("1")).collect();
    once_silent.insert(0, Err(CallError::TimedOut));
    assert_eq!(
        Bench::of(Intent::Ordinary).run(once_silent),
        Outcome::Unknown,
        "the first may have been taken"
    );
}

#[test]
fn a_refused_token_is_replaced_once() {
    let mut bench = Bench::of(Intent::Ordinary);
    let first = bench.request().expect("a request");
    bench.now = at(5_000);
    bench.answer(Ok(problem(401, "unauthorised")));
    let second = bench.request().expect("a second attempt");
    assert_ne!(header_text(&first, "authorization"), header_text(&second, "authorization"));
    bench.answer(Ok(problem(401, "unauthorised")));
    assert_eq!(bench.run(vec![]), rejected(401, "unauthorised"));
}

#[test]
fn tokens_are_kept_until_shortly_before_they_expire() {
    let mut bench = Bench::of(Intent::Ordinary);
    bench.run(vec![Ok(accepted())]);
    let kept = bench.wallet.token(at(0)).expect("a token").to_owned();
    assert_eq!(bench.wallet.token(at(3_539_000)), Some(kept.as_str()));
    assert_eq!(bench.wallet.token(at(3_540_000)), None);
}

#[test]
fn one_call_fetches_for_all_and_its_death_does_not_stop_the_others() {
    let mut bench = Bench::of(Intent::Ordinary);
    assert!(matches!(bench.call.next(at(0), &mut bench.wallet), Step::Send(send) if send.to == "identity"));
    let mut other = ClientCall::new(operation(Intent::Ordinary, Ask::Trade(trade())), Patience::default());
    assert!(matches!(other.next(at(0), &mut bench.wallet), Step::Wait(until) if until == at(250)));
    assert!(matches!(other.next(at(10_000), &mut bench.wallet), Step::Send(send) if send.to == "identity"));
}

#[test]
fn without_a_token_nothing_is_asked() {
    let mut bench = Bench::of(Intent::Ordinary);
    let Step::Send(_) = bench.step() else { panic!("it needs a token") };
    bench.answer(Ok(answer(StatusCode::UNAUTHORIZED, &json!({ "error": "invalid_client" }))));
    assert_eq!(bench.run(vec![]), rejected(401, "no-token"));
    assert_eq!(bench.facts, []);
}

#[test]
fn tokens_that_are_meant_to_be_refused_are_not_replaced() {
    for (intent, token) in [(Intent::BadToken, "Bearer e30.e30.AAAA"), (Intent::ExpiredToken, "Bearer stale")]
    {
        let mut bench = Bench::of(intent);
        let request = bench.request().expect("a request");
        assert_eq!(header_text(&request, "authorization"), Some(token));
        bench.answer(Ok(problem(401, "unauthorised")));
        assert_eq!(bench.run(vec![]), rejected(401, "unauthorised"));
        assert_eq!(bench.attempts(), [1]);
    }
}

#[test]
fn broken_requests_are_broken_as_they_should() {
    let malformed = Bench::of(Intent::MalformedBody).request().expect("a request");
    assert!(serde_json::from_slice::<Value>(malformed.body()).is_err());
    let keyless = Bench::of(Intent::MissingKey).request().expect("a request");
    assert_eq!(header_text(&keyless, IDEMPOTENCY_KEY), None);
    let negative = TradeForm { quantity: "-5".to_owned(), ..trade() };
    let negative = Bench::new(Intent::NegativeQuantity, Ask::Trade(negative)).request().expect("a request");
    let body: Value = serde_json::from_slice(negative.body()).expect("JSON");
    assert_eq!(body["quantity"], json!(-5));
}

#[test]
fn a_second_attempt_over_fix_is_a_possible_duplicate() {
    let report = FixTrade {
        sequence: 3,
        transacted: at(0),
        trade_date: model::Date::constant(2026, 3, 6),
        trade: trade(),
    };
    let mut bench = Bench::new(Intent::Ordinary, Ask::FixTrade(report.clone()));
    let flag = |request: &Request<Bytes>| {
        let message = std::str::from_utf8(request.body()).expect("a message");
        crate::fix::value(message, 43).map(str::to_owned)
    };
    let first = bench.request().expect("a request");
    assert_eq!((first.uri().path(), flag(&first)), ("/api/v1/fix", None));
    assert_eq!(header_text(&first, "authorization"), None);
    bench.answer(Err(CallError::TimedOut));
    assert_eq!(flag(&bench.request().expect("again")).as_deref(), Some("Y"));
    let duplicate = Bench::new(Intent::Duplicate, Ask::FixTrade(report)).request().expect("a request");
    assert_eq!(flag(&duplicate).as_deref(), Some("Y"));
}

#[test]
fn answers_over_fix_are_understood() {
    let fix = |status: u16, body: &str| {
        let message = format!("8=FIX.4.4|9=0|{body}|10=000|").replace('|', "\u{1}");
        Response::builder().status(status).body(Bytes::from(message)).expect("a response")
    };
    let report = FixTrade {
        sequence: 3,
        transacted: at(0),
        trade_date: model::Date::constant(2026, 3, 6),
        trade: trade(),
    };
    for (answers, expected) in [
        (vec![fix(202, "35=AR|939=0|1003=t1")], Outcome::Accepted { id: "t1".to_owned() }),
        (vec![fix(400, "35=3|45=3|371=55|373=1|58=Symbol is required")], rejected(400, "tag-55")),
        (vec![fix(422, "35=AR|939=1|751=99|58=price off tick: 10.253")], rejected(422, "price-off-tick")),
        (
            vec![fix(409, "35=j|380=4|58=later"), fix(202, "35=AR|939=0|1003=t1")],
            Outcome::Accepted { id: "t1".to_owned() },
        ),
    ] {
        let mut bench = Bench::new(Intent::Ordinary, Ask::FixTrade(report.clone()));
        assert_eq!(bench.run(answers.into_iter().map(Ok).collect()), expected);
    }
}

#[test]
fn an_account_is_accepted_under_the_name_that_was_asked_for() {
    let ask = Ask::Account { account: "A001".to_owned(), participant: "P01".to_owned() };
    let mut bench = Bench::new(Intent::Setup, ask);
    let request = bench.request().expect("a request");
    let body: Value = serde_json::from_slice(request.body()).expect("JSON");
    let accounts = json!([{ "accountId": "A001", "bankAccount": "A001" }]);
    assert_eq!(body, json!({ "participantId": "P01", "webhook": "/hooks/P01", "accounts": accounts }));
    bench.answer(Ok(answer(StatusCode::CREATED, &json!({ "participantId": "P01" }))));
    assert_eq!(bench.run(vec![]), Outcome::Accepted { id: "A001".to_owned() });
}

#[test]
fn deposits_go_to_the_bank_without_a_token() {
    let ask = Ask::Deposit { account: "A001".to_owned(), amount: "5.00".to_owned() };
    let mut bench = Bench::new(Intent::Ordinary, ask);
    let Step::Send(send) = bench.step() else { panic!("nothing to send") };
    assert_eq!((send.to, send.request.uri().path()), ("bank", "/deposits"));
    assert_eq!(header_text(&send.request, "authorization"), None);
    let body: Value = serde_json::from_slice(send.request.body()).expect("JSON");
    assert_eq!(body["reference"], "open-000001");
    bench.answer(Ok(answer(StatusCode::CREATED, &json!({ "reference": "B000000009" }))));
    assert_eq!(bench.run(vec![]), Outcome::Accepted { id: "B000000009".to_owned() });
}
