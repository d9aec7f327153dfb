//! Reference data: which instruments may be traded, and which accounts exist, of whom.
//!
//! Commands: `ListInstrument`, `RegisterParticipant`, from operators through the gateway. Both are declared
//! once: the same content again changes nothing, other content is refused, for services that have
//! learnt it already would never know. What is declared is published for every service's own store.
//!
//! Deliberately absent: reads (each service reads its own copy), changes and delistings.

use std::collections::BTreeSet;

use bytes::Bytes;
use contracts::Message;
use contracts::events::reference_data_event::Kind;
use contracts::events::reference_stored::Event;
use contracts::events::{AccountOpened, InstrumentListed, ReferenceDataEvent};
use host::{Decision, HttpAction, Problem, Reject, Service, StreamId, StreamRef, View};
use http::{Request, StatusCode};
use model::{AccountId, Currency, InstrumentId, ParticipantId, Price, Timestamp};
use serde_json::json;

use crate::support::request::{self, Path};
use crate::support::{Fields, body};

/// How many accounts one request may open: each is a stream of the decision.
const ACCOUNTS_PER_REQUEST_MAX: usize = 100;

/// The service.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReferenceData;

#[derive(Clone, Debug)]
pub enum Command {
    ListInstrument(InstrumentListed),
    /// One participant's accounts, at least one.
    RegisterParticipant {
        participant: String,
        accounts: Vec<AccountOpened>,
    },
}

/// `instrument/<id>` or `account/<id>`: what was declared of it, once it was.
#[derive(Clone, Debug, Default)]
pub struct State {
    declared: Option<Event>,
}

/// Something else is declared under this id.
fn declared_otherwise(what: &str, id: &str) -> Reject<Event> {
    let problem = Problem::new(
        StatusCode::CONFLICT,
        "declared-otherwise",
        format!("{what} {id} is declared with other content"),
    );
    Decision::none().reject(problem.of(id))
}

impl Service for ReferenceData {
    const NAME: &'static str = "reference-data";
    type Command = Command;
    type Event = Event;
    type State = State;

    fn streams(&self, command: &Command) -> Vec<StreamRef> {
        match command {
            Command::ListInstrument(listed) => vec![StreamRef::write("instrument", &listed.instrument_id)],
            Command::RegisterParticipant { accounts, .. } => {
                accounts.iter().map(|account| StreamRef::write("account", &account.account_id)).collect()
            }
        }
    }

    fn decide(
        &self,
        _: Timestamp,
        command: &Command,
        view: &View<'_, State>,
    ) -> Result<Decision<Event>, Reject<Event>> {
        match command {
            Command::ListInstrument(listed) => {
                let id = &listed.instrument_id;
                let event = Event::InstrumentListed(listed.clone());
                let kind = Kind::InstrumentListed(listed.clone());
                let decision = declare(view, StreamId::new("instrument", id), id, event, kind)
                    .ok_or_else(|| declared_otherwise("instrument", id))?;
                Ok(decision.answer(201, json!({ "instrumentId": id })))
            }
            Command::RegisterParticipant { participant, accounts } => {
                let mut decision = Decision::none();
                for account in accounts {
                    let id = &account.account_id;
                    let event = Event::AccountOpened(account.clone());
                    let kind = Kind::AccountOpened(account.clone());
                    let opened = declare(view, StreamId::new("account", id), id, event, kind)
                        .ok_or_else(|| declared_otherwise("account", id))?;
                    decision = decision.and(opened);
                }
                Ok(decision.answer(201, json!({ "participantId": participant })))
            }
        }
    }

    fn apply(&self, state: &mut State, event: &Event) {
        state.declared = Some(event.clone());
    }

    fn on_message(&self, _: &Message) -> Option<Command> {
        None
    }

    fn on_request(&self, request: &Request<Bytes>) -> HttpAction<Command> {
        let path = Path::of(request);
        request::action(match path.parts() {
            ("POST", ["api", "v1", "instruments"]) => list_instrument(request),
            ("POST", ["api", "v1", "participants"]) => register_participant(request),
            _ => Err(request::no_route(request)),
        })
    }
}

/// Declares it where nothing is declared yet; `None` where something else is.
fn declare(
    view: &View<'_, State>,
    stream: StreamId,
    key: &str,
    event: Event,
    kind: Kind,
) -> Option<Decision<Event>> {
    match &view.state(&stream).declared {
        None => {
            let message = ReferenceDataEvent { kind: Some(kind) };
            Some(Decision::none().event(stream.clone(), event).publish(stream, key, "", message))
        }
        Some(declared) => (*declared == event).then(Decision::none),
    }
}

/// `{instrumentId, tick, currency}`
fn list_instrument(request: &Request<Bytes>) -> Result<HttpAction<Command>, Problem> {
    let body = body::of(request)?;
    let fields = Fields::of(&body, &["instrumentId", "tick", "currency"])?;
    let listed = InstrumentListed {
        instrument_id: fields.parsed::<InstrumentId>("instrumentId")?.to_string(),
        currency: fields.parsed::<Currency>("currency")?.to_string(),
        tick: fields.parsed::<Price>("tick")?.to_string(),
    };
    request::command(request, "POST /instruments", Command::ListInstrument(listed))
}

/// `{participantId, accounts: [{accountId, bankAccount}], webhook}`
fn register_participant(request: &Request<Bytes>) -> Result<HttpAction<Command>, Problem> {
    let body = body::of(request)?;
    let fields = Fields::of(&body, &["participantId", "accounts", "webhook"])?;
    let participant = fields.parsed::<ParticipantId>("participantId")?.to_string();
    let webhook = fields.text("webhook")?;
    if webhook.is_empty() || !webhook.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(fields.bad("webhook", "must be an address in visible ASCII"));
    }
    let listed = fields.list("accounts", &["accountId", "bankAccount"])?;
    if !(1..=ACCOUNTS_PER_REQUEST_MAX).contains(&listed.len()) {
        return Err(fields.bad("accounts", format!("must be 1 to {ACCOUNTS_PER_REQUEST_MAX}")));
    }
    let mut seen = BTreeSet::new();
    let mut accounts = Vec::with_capacity(listed.len());
    for account in listed {
        let id = account.parsed::<AccountId>("accountId")?;
        if id.is_house() {
            return Err(account.bad("accountId", "is a house account"));
        }
        if !seen.insert(id.clone()) {
            return Err(account.bad("accountId", "occurs twice"));
        }
        accounts.push(AccountOpened {
            account_id: id.to_string(),
            participant_id: participant.clone(),
            bank_account: account.parsed::<AccountId>("bankAccount")?.to_string(),
            webhook: webhook.to_owned(),
        });
    }
    request::command(request, "POST /participants", Command::RegisterParticipant { participant, accounts })
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::testing::Bench;

    const IBM: &str = r#"{"instrumentId":"IBM","tick":"0.01","currency":"USD"}"#;
    const P_1: &str = r#"{"participantId":"P-1","webhook":"webhook/P-1",
        "accounts":[{"accountId":"A-1","bankAccount":"B-1"},{"accountId":"A-2","bankAccount":"B-2"}]}"#;

    fn bench() -> Bench<ReferenceData> {
        Bench::new(ReferenceData, "2026-03-06T08:00:00-05:00")
    }

    #[test]
    fn an_instrument_is_listed_once() {
        let mut bench = bench();
        assert_snapshot!(bench.post("/api/v1/instruments", "k-1", IBM), @r#"
        command  client-1 POST /instruments / k-1
        event    instrument/IBM InstrumentListed{instrument_id=IBM currency=USD tick=0.01}
        publish  reference-data-events #1 from instrument/IBM key IBM date - ReferenceData{kind=InstrumentListed{instrument_id=IBM currency=USD tick=0.01}}
        answer   201 {"instrumentId":"IBM"}
        "#);
        assert_snapshot!(bench.post("/api/v1/instruments", "k-2", IBM), @r#"
        command  client-1 POST /instruments / k-2
        answer   201 {"instrumentId":"IBM"}
        "#);
        assert_snapshot!(bench.post("/api/v1/instruments", "k-3", &IBM.replace("0.01", "0.05")), @r"
        command  client-1 POST /instruments / k-3
        reject   409 declared-otherwise [IBM] instrument IBM is declared with other content
        ");
    }

    #[test]
    fn a_participant_opens_accounts_and_adds_more_later() {
        let mut bench = bench();
        assert_snapshot!(bench.post("/api/v1/participants", "k-1", P_1), @r#"
        command  client-1 POST /participants / k-1
        event    account/A-1 AccountOpened{account_id=A-1 participant_id=P-1 bank_account=B-1 webhook=webhook/P-1}
        event    account/A-2 AccountOpened{account_id=A-2 participant_id=P-1 bank_account=B-2 webhook=webhook/P-1}
        publish  reference-data-events #1 from account/A-1 key A-1 date - ReferenceData{kind=AccountOpened{account_id=A-1 participant_id=P-1 bank_account=B-1 webhook=webhook/P-1}}
        publish  reference-data-events #1 from account/A-2 key A-2 date - ReferenceData{kind=AccountOpened{account_id=A-2 participant_id=P-1 bank_account=B-2 webhook=webhook/P-1}}
        answer   201 {"participantId":"P-1"}
        "#);
        assert_snapshot!(bench.post("/api/v1/participants", "k-2", &P_1.replace("A-2", "A-3")), @r#"
        command  client-1 POST /participants / k-2
        event    account/A-3 AccountOpened{account_id=A-3 participant_id=P-1 bank_account=B-2 webhook=webhook/P-1}
        publish  reference-data-events #1 from account/A-3 key A-3 date - ReferenceData{kind=AccountOpened{account_id=A-3 participant_id=P-1 bank_account=B-2 webhook=webhook/P-1}}
        answer   201 {"participantId":"P-1"}
        "#);
    }

    /// Else an account would have two owners, or money would go to another bank account.
    #[test]
    fn an_account_never_changes_its_owner_or_bank_account() {
        let mut bench = bench();
        bench.post("/api/v1/participants", "k-1", P_1);
        assert_snapshot!(bench.post("/api/v1/participants", "k-2", &P_1.replace("P-1", "P-2")), @r"
        command  client-1 POST /participants / k-2
        reject   409 declared-otherwise [A-1] account A-1 is declared with other content
        ");
        assert_snapshot!(bench.post("/api/v1/participants", "k-3", &P_1.replace("B-2", "B-3")), @r"
        command  client-1 POST /participants / k-3
        reject   409 declared-otherwise [A-2] account A-2 is declared with other content
        ");
    }

    #[test]
    fn what_cannot_be_declared_is_told_with_its_field() {
        let mut bench = bench();
        let mut refused = String::new();
        for (from, to) in [
            ("A-2", "A-1"),
            ("A-2", "CCP"),
            ("A-2", "A 2"),
            ("webhook/P-1", ""),
            (r#""webhook""#, r#""hook""#),
            (r#"{"accountId":"A-1","bankAccount":"B-1"},{"accountId":"A-2","bankAccount":"B-2"}"#, ""),
        ] {
            refused += &bench.post("/api/v1/participants", "k-1", &P_1.replace(from, to));
        }
        for (from, to) in [("0.01", "0"), ("0.01", "-0.01"), ("USD", "usd")] {
            refused += &bench.post("/api/v1/instruments", "k-1", &IBM.replace(from, to));
        }
        refused += &bench.post("/api/v1/instruments", "", IBM);
        refused += &bench.get("/api/v1/instruments");
        assert_snapshot!(refused, @r#"
        answer   400 {"type":"https://bellwether.invalid/problems/bad-field","title":"bad field","status":400,"detail":"accounts[1].accountId: occurs twice"}
        answer   400 {"type":"https://bellwether.invalid/problems/bad-field","title":"bad field","status":400,"detail":"accounts[1].accountId: is a house account"}
        answer   400 {"type":"https://bellwether.invalid/problems/bad-field","title":"bad field","status":400,"detail":"accounts[1].accountId: ` ` at position 1 is not allowed in an id"}
        answer   400 {"type":"https://bellwether.invalid/problems/bad-field","title":"bad field","status":400,"detail":"webhook: must be an address in visible ASCII"}
        answer   400 {"type":"https://bellwether.invalid/problems/bad-field","title":"bad field","status":400,"detail":"hook: is not known here; known are participantId, accounts, webhook"}
        answer   400 {"type":"https://bellwether.invalid/problems/bad-field","title":"bad field","status":400,"detail":"accounts: must be 1 to 100"}
        answer   400 {"type":"https://bellwether.invalid/problems/bad-field","title":"bad field","status":400,"detail":"tick: a price must be above zero"}
        answer   400 {"type":"https://bellwether.invalid/problems/bad-field","title":"bad field","status":400,"detail":"tick: a price must be above zero"}
        answer   400 {"type":"https://bellwether.invalid/problems/bad-field","title":"bad field","status":400,"detail":"currency: `usd` is not a known currency"}
        answer   400 {"type":"https://bellwether.invalid/problems/idempotency-key-required","title":"idempotency key required","status":400,"detail":"header idempotency-key: 1 to 128 visible ASCII characters"}
        answer   404 {"type":"https://bellwether.invalid/problems/not-found","title":"not found","status":404,"detail":"GET /api/v1/instruments"}
        "#);
    }
}
