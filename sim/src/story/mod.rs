//! A run told as text: one entry per record, of everything or of what concerns one trade or account.
//!
//! Used by `replay`, and for the evidence of a failure. Reads facts only; nothing in the platform is
//! instrumented for it.

pub mod concern;
mod events;
mod facts;

use std::fmt::Write as _;

use invariants::Record;

use self::concern::Concern;
use crate::runner::report::local;

/// Where a further line of the same record begins: after number, time and node.
const INDENT: usize = 8 + 2 + 27 + 2 + 31 + 2;

/// Tells records, those that concern the reader.
pub struct Storyteller {
    concern: Concern,
}

impl Storyteller {
    pub fn new(concern: Concern) -> Self {
        Self { concern }
    }

    /// The record's lines: number, venue time, node, what happened, cause. `None` where it is of no concern.
    pub fn tell(&mut self, record: &Record<'_>) -> Option<String> {
        let items = self.concern.items(record);
        (!items.is_empty()).then(|| entry(record, &items))
    }
}

/// Any record, in full.
pub fn tell(record: &Record<'_>) -> String {
    entry(record, &facts::items(record.fact))
}

/// One thing of a record, in words. `cause` where it is not the record's own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    text: String,
    cause: Option<String>,
}

impl Item {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), cause: None }
    }
}

fn entry(record: &Record<'_>, items: &[Item]) -> String {
    let time = local(record.at_ns).strftime("%a %Y-%m-%d %H:%M:%S%.3f").to_string();
    let mut out = format!("{:>8}  {time}  {:<31}  ", record.sequence, record.node);
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            let _ = write!(out, "\n{:INDENT$}", "");
        }
        out += &item.text;
        let cause = item.cause.as_deref().filter(|cause| *cause != record.cause);
        let cause = if place == 0 { cause.or(Some(record.cause)) } else { cause };
        if let Some(cause) = cause.filter(|cause| !cause.is_empty()) {
            let _ = write!(out, "  ← {cause}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use contracts::events::{
        Settled, SettlementInstruction, Trade, TradeReceived, settlement_stored, trade_stored,
    };
    use contracts::{Headers, Message, StoredEvent};
    use invariants::Fact;
    use invariants::fact::{
        BankKind, BankMovement, ClientAnswer, ClientRequest, Committed, EventRow, OutboxRow, Outcome,
        RequestBody,
    };

    use super::*;

    const TRADE: &str = "4a7dd9a3ce08ce65566c68dea23b526e"; // of client-1 and key-1

    fn trade(id: &str) -> Option<Trade> {
        Some(Trade {
            trade_id: id.to_owned(),
            instrument_id: "I01".to_owned(),
            buyer_account_id: "A001".to_owned(),
            seller_account_id: "A002".to_owned(),
            quantity: 10,
            price: "12.34".to_owned(),
            ..Trade::default()
        })
    }

    fn row(stream: String, version: u64, cause: &str, event: StoredEvent) -> EventRow {
        EventRow {
            stream,
            version,
            cause: cause.to_owned(),
            event: Some(event),
            payload: bytes::Bytes::new(),
        }
    }

    fn committed(database: &str, events: Vec<EventRow>, outbox: Vec<OutboxRow>) -> Fact {
        let database = database.to_owned();
        Fact::Committed(Committed { database, transaction: 1, database_time_ns: 0, events, outbox, rows: 1 })
    }

    fn request() -> Fact {
        let (instrument, buyer, seller) = ("I01".to_owned(), "A001".to_owned(), "A002".to_owned());
        let (quantity, price) = ("10".to_owned(), "12.34".to_owned());
        let body = RequestBody::Trade { instrument, buyer, seller, quantity, price };
        let (client, idempotency_key) = ("client-1".to_owned(), "key-1".to_owned());
        Fact::Request(ClientRequest { client, idempotency_key, attempt: 1, body })
    }

    fn answer(key: &str) -> Fact {
        let outcome = Outcome::Accepted { id: TRADE.to_owned() };
        let (client, idempotency_key) = ("client-1".to_owned(), key.to_owned());
        Fact::Answer(ClientAnswer { client, idempotency_key, attempt: 1, outcome })
    }

    /// A batch about two trades.
    fn batch() -> Fact {
        let received = |id: &str| {
            let received =
                TradeReceived { trade: trade(id), client: "client-1".to_owned(), ..TradeReceived::default() };
            let event = StoredEvent::Trade(trade_stored::Event::Received(received));
            row(format!("trade/{id}"), 1, &format!("request/client-1 POST /trades/of-{id}"), event)
        };
        let instruction = SettlementInstruction { trade: trade(TRADE), ..SettlementInstruction::default() };
        let headers = Headers { sequence: 3, cause: "x".to_owned(), ..Headers::default() };
        let outbox = OutboxRow {
            topic: "settlement-instructions".to_owned(),
            key: "A002".to_owned(),
            headers,
            message: Some(Message::from(instruction)),
        };
        committed("trade", vec![received("T-9"), received(TRADE)], vec![outbox])
    }

    fn settled() -> Fact {
        let event = settlement_stored::Event::Settled(Settled { batch: "2026-03-04".to_owned() });
        let row =
            row(format!("obligation/{TRADE}"), 9, "position/account/A002@5", StoredEvent::Settlement(event));
        committed("settlement", vec![row], Vec::new())
    }

    fn paid(uetr: &str) -> Fact {
        let [debtor, creditor] = ["A001", "CCP"].map(str::to_owned);
        let (amount, reference) = ("123.40".to_owned(), "B1".to_owned());
        Fact::Bank(BankMovement {
            kind: BankKind::Executed,
            uetr: uetr.to_owned(),
            debtor,
            creditor,
            amount,
            reference,
        })
    }

    fn story(concern: Concern, facts: &[Fact]) -> String {
        let mut teller = Storyteller::new(concern);
        let tell = |(sequence, fact): (u64, &Fact)| {
            let at_ns = 1_772_810_100_123_000_000 + i64::try_from(sequence).expect("a few") * 1_000_000;
            teller.tell(&Record { sequence, at_ns, node: "node/1", cause: "x", fact })
        };
        (1..).zip(facts).filter_map(tell).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn everything() {
        insta::assert_snapshot!(story(Concern::everything(), &[request(), batch(), Fact::NodeDied]), @r"
        1  Fri 2026-03-06 10:15:00.124  node/1                           client-1 asks under key-1: A001 buys 10 I01 at 12.34 of A002  ← x
        2  Fri 2026-03-06 10:15:00.125  node/1                           trade/trade/T-9@1 received from client-1: A001 buys 10 I01 at 12.34 of A002  ← request/client-1 POST /trades/of-T-9
                                                                         trade/trade/4a7dd9a3ce08ce65566c68dea23b526e@1 received from client-1: A001 buys 10 I01 at 12.34 of A002  ← request/client-1 POST /trades/of-4a7dd9a3ce08ce65566c68dea23b526e
                                                                         → settlement-instructions #3 key A002
        3  Fri 2026-03-06 10:15:00.126  node/1                           died  ← x
        ");
    }

    #[test]
    fn a_trade_has_its_request_its_part_of_a_batch_and_its_payments() {
        let leg = model::PaymentLegId::new(&format!("{TRADE}.buyer")).expect("an id");
        let ours = model::uetr(&leg, 1).to_string();
        let others = "988ceb8c-0d9c-41de-8bc8-40ae6d718958";
        let facts = [
            request(),
            answer("key-2"),
            batch(),
            answer("key-1"),
            paid(&ours),
            paid(others),
            settled(),
            Fact::NodeDied,
        ];
        insta::assert_snapshot!(story(Concern::trade(TRADE), &facts), @r"
        1  Fri 2026-03-06 10:15:00.124  node/1                           client-1 asks under key-1: A001 buys 10 I01 at 12.34 of A002  ← x
        3  Fri 2026-03-06 10:15:00.126  node/1                           trade/trade/4a7dd9a3ce08ce65566c68dea23b526e@1 received from client-1: A001 buys 10 I01 at 12.34 of A002  ← request/client-1 POST /trades/of-4a7dd9a3ce08ce65566c68dea23b526e
                                                                         → settlement-instructions #3 key A002
        4  Fri 2026-03-06 10:15:00.127  node/1                           client-1 hears of key-1: accepted as 4a7dd9a3ce08ce65566c68dea23b526e  ← x
        5  Fri 2026-03-06 10:15:00.128  node/1                           paid 123.40 from A001 to CCP, 3711fe84-9516-4389-966b-5288c7fe2114, reference B1  ← x
        7  Fri 2026-03-06 10:15:00.130  node/1                           settlement/obligation/4a7dd9a3ce08ce65566c68dea23b526e@9 SETTLED in the batch of 2026-03-04  ← position/account/A002@5
        ");
    }

    #[test]
    fn an_account_has_what_names_it() {
        let others = "988ceb8c-0d9c-41de-8bc8-40ae6d718958";
        let facts = [request(), answer("key-1"), settled(), paid(others), Fact::NodeStarted];
        let numbers = |account| {
            let story = story(Concern::account(account), &facts);
            story.lines().map(|line| line[..8].trim().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(numbers("A001"), ["1", "2", "4"]);
        assert_eq!(numbers("A002"), ["1", "2", "3"]);
        assert_eq!(numbers("A00"), [""; 0]);
    }
}
