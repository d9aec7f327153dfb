//! What a client was told is accepted was committed before, and is never lost again.
//!
//! Why it can break: an answer sent before the commit, a commit acknowledged by a primary without its
//! standby, or a failover to a standby that lags. Trades are trade's, withdrawals payment's, instruments and
//! accounts reference data's.

use std::collections::BTreeMap;

use contracts::events::{payment_stored, reference_stored, trade_stored};

use crate::fact::{ClientAnswer, ClientRequest, Outcome, RequestBody};
use crate::read::{payment, reference, subject, trade};
use crate::{Fact, FactKind, Invariant, Record, Verdict, Violation};

#[derive(Default)]
pub struct AcknowledgedIsDurable {
    /// What each client asked for, by client and idempotency key.
    asked: BTreeMap<(String, String), Kind>,
    /// What was committed, by kind and id.
    stored: BTreeMap<(Kind, String), Stored>,
    /// Which of it came with which transaction of a database.
    transactions: BTreeMap<(&'static str, u64), Vec<(Kind, String)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Trade,
    Withdrawal,
    Instrument,
    Account,
}

#[derive(Default)]
struct Stored {
    committed: u64,
    lost: Option<u64>,
    acknowledged: Option<u64>,
}

impl Kind {
    fn of(body: &RequestBody) -> Option<Self> {
        match body {
            RequestBody::Trade { .. } => Some(Self::Trade),
            RequestBody::Withdrawal { .. } => Some(Self::Withdrawal),
            RequestBody::Instrument { .. } => Some(Self::Instrument),
            RequestBody::Account { .. } => Some(Self::Account),
            RequestBody::Deposit { .. } | RequestBody::Get { .. } => None,
        }
    }

    fn owner(self) -> &'static str {
        match self {
            Self::Trade => "trade",
            Self::Withdrawal => "payment",
            Self::Instrument | Self::Account => "reference-data",
        }
    }
}

/// Whatever a commit makes durable that a client may be told of.
fn stored(fact: &Fact) -> impl Iterator<Item = (Kind, &str)> {
    let trades = trade(fact)
        .filter(|(_, event)| matches!(event, trade_stored::Event::Received(_)))
        .map(|(row, _)| (Kind::Trade, subject(&row.stream)));
    let withdrawals = payment(fact)
        .filter(|(_, event)| matches!(event, payment_stored::Event::WithdrawalRequested(_)))
        .map(|(row, _)| (Kind::Withdrawal, subject(&row.stream)));
    let reference_data = reference(fact).map(|(_, event)| match event {
        reference_stored::Event::InstrumentListed(listed) => {
            (Kind::Instrument, listed.instrument_id.as_str())
        }
        reference_stored::Event::AccountOpened(opened) => (Kind::Account, opened.account_id.as_str()),
    });
    trades.chain(withdrawals).chain(reference_data)
}

impl AcknowledgedIsDurable {
    fn asked(&mut self, request: &ClientRequest) {
        if let Some(kind) = Kind::of(&request.body) {
            self.asked.insert((request.client.clone(), request.idempotency_key.clone()), kind);
        }
    }

    fn committed(&mut self, fact: &Fact, transaction: u64, at: u64) {
        for (kind, id) in stored(fact) {
            let key = (kind, id.to_owned());
            self.transactions.entry((kind.owner(), transaction)).or_default().push(key.clone());
            let stored = self.stored.entry(key).or_default();
            (stored.committed, stored.lost) = (at, None);
        }
    }

    fn acknowledged(&mut self, answer: &ClientAnswer, at: u64) -> Result<(), Violation> {
        let asked = self.asked.remove(&(answer.client.clone(), answer.idempotency_key.clone()));
        let (Some(kind), Outcome::Accepted { id }) = (asked, &answer.outcome) else { return Ok(()) };
        let told = format!("{} was told that {id} is accepted", answer.client);
        let broken = |why: &str, seen: Vec<u64>| {
            let why = format!("{told}, {why} {}", kind.owner());
            Err(Violation::new(why).about([id, &answer.client]).seen_at(seen))
        };
        match self.stored.get_mut(&(kind, id.clone())) {
            None => broken("which was never committed by", vec![at]),
            Some(Stored { committed, lost: Some(lost), .. }) => {
                broken("whose commit had been lost by", vec![*committed, *lost, at])
            }
            Some(stored) => {
                stored.acknowledged = Some(at);
                Ok(())
            }
        }
    }

    fn lost(&mut self, database: &str, transaction: u64, at: u64) -> Result<(), Violation> {
        let owners = ["trade", "payment", "reference-data"];
        let Some(owner) = owners.into_iter().find(|owner| *owner == database) else { return Ok(()) };
        for (kind, id) in self.transactions.remove(&(owner, transaction)).unwrap_or_default() {
            let Some(stored) = self.stored.get_mut(&(kind, id.clone())) else { continue };
            stored.lost = Some(at);
            if let Some(told) = stored.acknowledged {
                let why = format!(
                    "{id} was acknowledged, then {database} lost transaction {transaction} that held it"
                );
                return Err(Violation::new(why).about([id]).seen_at([stored.committed, told, at]));
            }
        }
        Ok(())
    }
}

impl Invariant for AcknowledgedIsDurable {
    fn name(&self) -> &'static str {
        "acknowledged_is_durable"
    }

    fn about(&self) -> &'static str {
        "What a client was told is accepted was committed before and is never lost. It breaks when an \
         answer overtakes its commit, or a failover goes to a standby that lacks what the old primary \
         acknowledged."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed, FactKind::Request, FactKind::Answer]
    }

    fn welcomes(&self) -> &'static [FactKind] {
        &[FactKind::CommitLost]
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        let at = record.sequence;
        match record.fact {
            Fact::Request(request) => self.asked(request),
            Fact::Committed(committed) => self.committed(record.fact, committed.transaction, at),
            Fact::Answer(answer) => return self.acknowledged(answer, at).into(),
            Fact::CommitLost { database, transaction } => {
                return self.lost(database, *transaction, at).into();
            }
            _ => {}
        }
        Verdict::Holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Commit, Told, accepted, asked, asks_trade, breaks, history, holds, received};

    fn asks() -> Fact {
        asked("c", "k", 1, asks_trade())
    }

    fn commit() -> Told {
        Commit::by("trade").transaction(7).event("trade/T-1", received("T-1")).into()
    }

    fn lost() -> Fact {
        Fact::CommitLost { database: "trade".to_owned(), transaction: 7 }
    }

    #[test]
    fn holds_when_the_commit_comes_first() {
        let account = RequestBody::Deposit { account: "B".to_owned(), amount: "1.00".to_owned() };
        let told = history![
            asks(),
            commit(),
            accepted("c", "k", "T-1"),
            asked("c", "d", 1, account),
            accepted("c", "d", "R-1")
        ];
        holds(AcknowledgedIsDurable::default(), told);
    }

    #[test]
    fn breaks_when_the_answer_comes_first() {
        let told = history![asks(), accepted("c", "k", "T-1")];
        breaks(AcknowledgedIsDurable::default(), told, "T-1 is accepted, which was never committed by trade");
    }

    #[test]
    fn breaks_when_the_commit_is_lost() {
        let told = history![asks(), commit(), accepted("c", "k", "T-1"), lost()];
        breaks(AcknowledgedIsDurable::default(), told, "trade lost transaction 7");
        let told = history![asks(), commit(), lost(), accepted("c", "k", "T-1")];
        breaks(AcknowledgedIsDurable::default(), told, "whose commit had been lost by trade");
    }

    #[test]
    fn holds_when_a_lost_commit_is_made_again() {
        holds(
            AcknowledgedIsDurable::default(),
            history![asks(), commit(), lost(), commit(), accepted("c", "k", "T-1")],
        );
    }
}
