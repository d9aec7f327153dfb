//! Payment: the only one who speaks with the settlement bank, which alone decides about cash.
//!
//! Consumes payment-instructions (settlement) and reference-data-events (whose account is which at the bank);
//! takes withdrawals from clients and credit notices from the bank. An order goes out as an effect under the
//! UETR of its attempt, is queried after silence, and its definite outcome is published as a payment event
//! keyed by the participant's account. What the bank says unasked is read too: notices, hourly statements. Whatever
//! of it is taken in is answered 2xx, a contradiction as well: that is a reconciliation break, for operators.
//!
//! | file | holds |
//! |---|---|
//! | `orders` | payments and withdrawals, attempt by attempt |
//! | `credits` | deposits: what is told of them, and when it is believed |
//! | `statement` | the statement, line by line |
//! | `breaks` | reconciliation breaks, and their list |
//! | `bank` | the bank's requests and answers |
//!
//! Streams: `payment/<leg>`, `withdrawal/<id>`, `credit/<bank reference>`, `statement` (how many lines are
//! settled), `account/<id>` and `bank-account/<id>` (the same opening, found from either side). Left out: cash
//! balances, which are the bank's, and currencies other than the account's.
//!
//! Watched by `payment_once_per_leg`, `cash_conserved`, `reconciled`.

mod bank;
mod breaks;
mod credits;
mod orders;
mod statement;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use contracts::Message;
use contracts::events::payment_stored::Event;
use contracts::events::{AccountOpened, PaymentInstruction, reference_data_event};
use host::ports::store::Table;
use host::{
    Decision, Effect, EffectAnswer, EffectCall, EffectStep, HttpAction, HttpCommand, Lookup, LookupResult,
    Problem, Reject, Service, StreamId, StreamRef, View,
};
use http::{Request, Response};
use model::{AccountId, Currency, Money, Timestamp};

use self::bank::{Answered, Outcome};
use self::credits::{Credit, Heard, Notice};
use self::orders::{Payable, Withdrawal};
use self::statement::Statement;
use crate::support::{Fields, Path, body, request};

pub use self::breaks::BREAKS;
pub use self::orders::PAYMENTS;

/// The service and its settings.
#[derive(Clone, Debug)]
pub struct Payment {
    /// The central counterparty's account at the bank.
    pub ccp_bank_account: String,
    /// How long the bank may execute a withdrawal; shorter than it remembers references.
    pub withdrawal_valid_for: Duration,
    /// How soon an instruction whose accounts are not known yet is looked at again.
    pub reference_retry_after: Duration,
    /// How soon the next statement is asked for where this one left something open.
    pub statement_again_after: Duration,
}

#[derive(Clone, Debug)]
pub enum Command {
    KnowAccount(AccountOpened),
    Instruct(PaymentInstruction),
    /// Instructed before both accounts at the bank were known.
    SendLate {
        leg: String,
        debtor: String,
        creditor: String,
    },
    Answered(Answered),
    Withdraw(Withdrawal),
    TakeNotice(Notice),
    /// A notice has told of the refusal of an attempt of ours.
    HearRefusal {
        stream: StreamId,
        attempt: u32,
        reason: String,
    },
    AskStatement,
    ReadStatement(Statement),
}

/// The state of a stream.
#[derive(Clone, Debug, Default)]
pub struct State {
    known: Known,
    /// The subjects of the breaks that were opened here.
    breaks: BTreeSet<String>,
}

/// What is known, by the kind of the stream.
#[derive(Clone, Debug, Default)]
enum Known {
    #[default]
    Nothing,
    /// `payment/<leg>`, `withdrawal/<id>`
    Payable(Box<Payable>),
    /// `credit/<bank reference>`
    Credit(Box<Heard>),
    /// `statement`: the last line up to which all are settled
    Settled(u64),
    /// `account/<id>`, `bank-account/<id>`
    Account(AccountOpened),
}

impl Default for Payment {
    fn default() -> Self {
        Self {
            ccp_bank_account: AccountId::ccp().to_string(),
            withdrawal_valid_for: Duration::from_secs(2 * 60 * 60),
            reference_retry_after: Duration::from_secs(1),
            statement_again_after: Duration::from_secs(60),
        }
    }
}

/// What the opening of a run records here of an account, besides the events of the reference data's own topic.
pub fn opening(account: &AccountOpened) -> [(StreamId, Event); 2] {
    [stream::account(&account.account_id), stream::bank_account(&account.bank_account)]
        .map(|stream| (stream, Event::AccountOpened(account.clone())))
}

impl Service for Payment {
    const NAME: &'static str = "payment";
    type Command = Command;
    type Event = Event;
    type State = State;

    fn tables(&self) -> Vec<&'static Table> {
        vec![&PAYMENTS, &BREAKS]
    }

    fn streams(&self, command: &Command) -> Vec<StreamRef> {
        match command {
            Command::KnowAccount(opened) => vec![
                StreamRef::write("account", &opened.account_id),
                StreamRef::write("bank-account", &opened.bank_account),
            ],
            Command::Instruct(terms) => orders::streams(&terms.leg_id, [&terms.debtor, &terms.creditor]),
            Command::SendLate { leg, debtor, creditor } => orders::streams(leg, [debtor, creditor]),
            Command::Answered(answered) => vec![write(answered.stream.clone())],
            Command::Withdraw(withdrawal) => vec![
                write(stream::withdrawal(&withdrawal.id())),
                StreamRef::read("account", &withdrawal.account),
            ],
            Command::TakeNotice(notice) => credits::streams(&notice.credit).into(),
            Command::HearRefusal { stream, .. } => vec![write(stream.clone())],
            Command::AskStatement => vec![write(stream::statement())],
            Command::ReadStatement(statement) => statement.streams(),
        }
    }

    fn lookups(&self, command: &Command) -> Vec<Lookup> {
        match command {
            Command::TakeNotice(notice) => credits::lookups(notice.credit.uetr.as_deref()),
            Command::ReadStatement(statement) => statement.lookups(),
            _ => Vec::new(),
        }
    }

    fn decide(
        &self,
        _now: Timestamp,
        command: &Command,
        view: &View<'_, State>,
    ) -> Result<Decision<Event>, Reject<Event>> {
        Ok(match command {
            Command::KnowAccount(opened) => know_account(opened, view),
            Command::Instruct(terms) => self.instruct(terms, view),
            Command::SendLate { leg, .. } => self.send_late(leg, view),
            Command::Answered(answered) => self.answered(answered, view),
            Command::Withdraw(withdrawal) => return self.withdraw(withdrawal, view),
            Command::TakeNotice(notice) => self.take_notice(notice, view),
            Command::HearRefusal { stream, attempt, reason } => {
                self.hear_refusal(stream, *attempt, reason, view)
            }
            Command::AskStatement => self.ask_statement(view),
            Command::ReadStatement(statement) => self.read_statement(statement, view),
        })
    }

    fn apply(&self, state: &mut State, event: &Event) {
        let known = &mut state.known;
        match (&mut *known, event) {
            (_, Event::BreakOpened(opened)) => {
                state.breaks.insert(opened.subject.clone());
            }
            (Known::Payable(payable), Event::Instructed(terms)) => payable.instruct(terms),
            (_, Event::Instructed(terms)) => *known = Known::Payable(Box::new(Payable::instructed(terms))),
            (_, Event::WithdrawalRequested(requested)) => {
                *known = Known::Payable(Box::new(Payable::withdrawal(requested)));
            }
            (Known::Payable(payable), _) => payable.note(event),
            (_, Event::CreditTold(told)) => *known = Known::Credit(Box::new(Heard::Told(told.clone()))),
            (_, Event::Deposited(deposited)) => {
                *known = Known::Credit(Box::new(Heard::Booked(deposited.clone())));
            }
            (_, Event::StatementRead(read)) => *known = Known::Settled(read.next_entry),
            (_, Event::AccountOpened(opened)) => *known = Known::Account(opened.clone()),
            (known, event) => panic!("{event:?} does not follow {known:?}"),
        }
    }

    fn on_message(&self, message: &Message) -> Option<Command> {
        match message {
            Message::PaymentInstruction(terms) => Some(Command::Instruct(terms.clone())),
            Message::ReferenceData(event) => match &event.kind {
                Some(reference_data_event::Kind::AccountOpened(opened)) => {
                    Some(Command::KnowAccount(opened.clone()))
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn on_timer(&self, id: &str) -> Option<Command> {
        if id == "statement" {
            return Some(Command::AskStatement);
        }
        let (kind, rest) = id.split_once('/')?;
        match kind {
            "send" => {
                let mut parts = rest.splitn(3, '/').map(str::to_owned);
                let (debtor, creditor, leg) = (parts.next()?, parts.next()?, parts.next()?);
                Some(Command::SendLate { leg, debtor, creditor })
            }
            "executed" => {
                let (attempt, stream) = rest.split_once('/')?;
                let outcome = Outcome::Executed { reference: String::new() };
                let (stream, attempt) = (StreamId::named(stream), attempt.parse().ok()?);
                Some(Command::Answered(Answered { stream, attempt, outcome }))
            }
            "refused" => {
                let mut parts = rest.splitn(3, '/');
                let (attempt, reason) = (parts.next()?.parse().ok()?, parts.next()?.to_owned());
                Some(Command::HearRefusal { stream: StreamId::named(parts.next()?), attempt, reason })
            }
            _ => None,
        }
    }

    fn on_request(&self, request: &Request<Bytes>) -> HttpAction<Command> {
        let path = Path::of(request);
        request::action(match path.parts() {
            ("POST", ["api", "v1", "withdrawals"]) => read_withdrawal(request),
            ("GET", ["api", "v1", "breaks"]) => breaks::read(request),
            ("POST", ["bank", "notices"]) => read_notice(request),
            _ => Err(request::no_route(request)),
        })
    }

    fn render(&self, request: &Request<Bytes>, rows: &[LookupResult]) -> Response<Bytes> {
        breaks::render(request, rows)
    }

    fn effect_call(&self, effect: &Effect, step: EffectStep) -> EffectCall {
        bank::call(effect, step)
    }

    fn effect_answer(
        &self,
        effect: &Effect,
        step: EffectStep,
        response: &Response<Bytes>,
    ) -> EffectAnswer<Command> {
        bank::answer(effect, step, response)
    }

    fn effect_expired(&self, effect: &Effect) -> Option<Command> {
        bank::expired(effect)
    }

    /// A statement is read again instead.
    fn effect_can_be_queried(&self, effect: &Effect) -> bool {
        effect.valid_until.is_some()
    }

    fn standing_timers(&self, now: Timestamp) -> Vec<(String, Timestamp)> {
        vec![("statement".to_owned(), statement::next_hour(now))]
    }
}

fn know_account(opened: &AccountOpened, view: &View<'_, State>) -> Decision<Event> {
    let unknown =
        opening(opened).into_iter().filter(|(stream, _)| matches!(view.state(stream).known, Known::Nothing));
    unknown.fold(Decision::none(), |decision, (stream, event)| decision.event(stream, event))
}

fn read_withdrawal(request: &Request<Bytes>) -> Result<HttpAction<Command>, Problem> {
    let body = body::of(request)?;
    let fields = Fields::of(&body, &["accountId", "amount", "currency"])?;
    let account: AccountId = fields.parsed("accountId")?;
    if account.is_house() {
        return Err(fields.bad("accountId", "is a house account"));
    }
    let withdrawal = Withdrawal {
        client: request::client(request)?.to_owned(),
        idempotency_key: request::idempotency_key(request)?.to_owned(),
        account,
        amount: amount(&fields)?,
    };
    request::command(request, "POST /withdrawals", Command::Withdraw(withdrawal))
}

/// The bank is a client of its own. `status` is ACSC for the credit that a notice is of, and RJCT where it tells,
/// of an order of ours, that it was refused (pacs.002).
fn read_notice(request: &Request<Bytes>) -> Result<HttpAction<Command>, Problem> {
    let body = body::of(request)?;
    let names = ["reference", "account", "amount", "currency", "uetr", "status", "reason"];
    let fields = Fields::of(&body, &names)?;
    let reference = fields.text("reference")?;
    if !request::is_key(reference) {
        return Err(fields.bad("reference", "is not a reference"));
    }
    let uetr = fields.optional_text("uetr")?.filter(|uetr| !uetr.is_empty());
    if uetr.is_some_and(|uetr| !request::is_key(uetr)) {
        return Err(fields.bad("uetr", "is not a reference"));
    }
    let credit = Credit {
        reference: reference.to_owned(),
        bank_account: fields.parsed::<AccountId>("account")?.to_string(),
        amount: amount(&fields)?,
        uetr: uetr.map(str::to_owned),
    };
    Ok(HttpAction::Command(HttpCommand {
        scope: format!("{} POST /bank/notices", bank::PARTY),
        idempotency_key: request::idempotency_key(request)?.to_owned(),
        command: Command::TakeNotice(Notice { refused: refused(&fields)?, credit }),
    }))
}

/// Why a notice says that an order was refused: a code of up to four letters and digits.
fn refused(fields: &Fields<'_>) -> Result<Option<String>, Problem> {
    let reason = fields.optional_text("reason")?.unwrap_or_default();
    if reason.len() > 4 || !reason.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(fields.bad("reason", "is not a status reason code"));
    }
    match fields.optional_text("status")? {
        None | Some("ACSC") => Ok(None),
        Some("RJCT") if fields.optional_text("uetr")?.is_none_or(str::is_empty) => {
            Err(fields.bad("uetr", "names the order that was refused"))
        }
        Some("RJCT") => Ok(Some(reason.to_owned())),
        Some(_) => Err(fields.bad("status", "is ACSC or RJCT")),
    }
}

fn amount(fields: &Fields<'_>) -> Result<Money, Problem> {
    let currency = fields.optional_parsed("currency")?.unwrap_or(Currency::USD);
    let amount =
        Money::parse(fields.text("amount")?, currency).map_err(|error| fields.bad("amount", error))?;
    if amount.is_positive() { Ok(amount) } else { Err(fields.bad("amount", "must be above zero")) }
}

fn write(id: StreamId) -> StreamRef {
    StreamRef { id, access: host::Access::Write }
}

/// The names of the streams.
mod stream {
    use host::StreamId;

    pub const WITHDRAWAL: &str = "withdrawal";

    pub fn payment(leg: &str) -> StreamId {
        StreamId::new("payment", leg)
    }

    pub fn withdrawal(id: &str) -> StreamId {
        StreamId::new(WITHDRAWAL, id)
    }

    pub fn credit(reference: &str) -> StreamId {
        StreamId::new("credit", reference)
    }

    pub fn statement() -> StreamId {
        StreamId::named("statement")
    }

    pub fn account(account: &str) -> StreamId {
        StreamId::new("account", account)
    }

    pub fn bank_account(account: &str) -> StreamId {
        StreamId::new("bank-account", account)
    }
}
