//! Each party hears of each final outcome, never before it is committed, and each notice is filed as
//! delivered once.
//!
//! Why it can break: a notice sent from inside a transaction that rolls back, a delivery forgotten in a
//! crash, or one filed twice by two instances. A receiver may get a notice twice: it knows it by (event,
//! channel). Of a party that notification has not heard of yet the operator is told instead.

use std::collections::{BTreeMap, BTreeSet};

use contracts::events::{
    RejectReason, Trade, notification_stored, reference_stored, settlement_failed, trade_stored,
};
use contracts::{Message, topics};

use crate::read::{messages, notification, reference, trade};
use crate::{Fact, FactKind, Invariant, Pending, Record, Verdict, Violation};

#[derive(Clone, Default)]
pub struct NotifiedOnceAfterCommit {
    /// The participant of each account.
    participants: BTreeMap<String, String>,
    /// Committed events that a notice may tell of, as `<topic>/<trade or leg>`.
    committed: BTreeSet<String>,
    /// Final outcomes of trades and the participants who have not heard of them.
    unheard: BTreeMap<String, Unheard>,
    /// Notices by (event, channel).
    notices: BTreeMap<(String, String), Notice>,
    /// Accounts of which notification has heard: of others it tells the operator.
    known: BTreeSet<String>,
}

/// Who hears of outcomes whose parties notification does not know.
const OPERATOR: &str = "operator";

#[derive(Clone)]
struct Unheard {
    /// A party without known participant is an empty name: any notice of the event will do.
    participants: BTreeSet<String>,
    accounts: [String; 2],
    since: u64,
}

#[derive(Clone, Default)]
struct Notice {
    participant: String,
    taken: Option<u64>,
    delivered: Option<u64>,
}

impl NotifiedOnceAfterCommit {
    fn commits(&mut self, message: &Message, at: u64) {
        match message {
            Message::TradeRejected(rejected) => {
                let known = !matches!(
                    rejected.reason(),
                    RejectReason::UnknownAccount
                        | RejectReason::UnknownInstrument
                        | RejectReason::SameAccount
                );
                self.outcome(topics::TRADE_REJECTED, rejected.trade.as_ref(), known, at);
            }
            Message::SettlementCompleted(completed) => {
                self.outcome(topics::SETTLEMENT_COMPLETED, completed.trade.as_ref(), true, at);
            }
            Message::SettlementFailed(failed) => {
                if matches!(failed.outcome, Some(settlement_failed::Outcome::Final(true))) {
                    self.outcome(topics::SETTLEMENT_FAILED, failed.trade.as_ref(), true, at);
                }
            }
            Message::PaymentEvent(event) => {
                self.committed.insert(format!("{}/{}", topics::PAYMENT_EVENTS, event.leg_id));
            }
            _ => {}
        }
    }

    /// A trade has ended. Where its parties may not exist, only those that are known wait for a notice.
    fn outcome(&mut self, topic: &str, trade: Option<&Trade>, parties_known: bool, at: u64) {
        let Some(trade) = trade else { return };
        let event = format!("{topic}/{}", trade.trade_id);
        if !self.committed.insert(event.clone()) {
            return;
        }
        let accounts = [&trade.buyer_account_id, &trade.seller_account_id];
        let named = accounts.map(|account| self.participants.get(account).cloned());
        let participants: BTreeSet<String> = if named.iter().any(Option::is_some) {
            named.into_iter().flatten().collect()
        } else {
            parties_known.then(String::new).into_iter().collect()
        };
        if !participants.is_empty() {
            let accounts = accounts.map(Clone::clone);
            self.unheard.insert(event, Unheard { participants, accounts, since: at });
        }
    }

    fn notice(&mut self, event: &str, channel: &str) -> &mut Notice {
        self.notices.entry((event.to_owned(), channel.to_owned())).or_default()
    }

    /// The operator is told instead of parties that notification does not know.
    fn told_operator(&mut self, event: &str) {
        let Some(unheard) = self.unheard.get_mut(event) else { return };
        let [known, unknown]: [Vec<&String>; 2] = [true, false].map(|is| {
            unheard.accounts.iter().filter(|account| self.known.contains(*account) == is).collect()
        });
        let owed: BTreeSet<&String> =
            known.iter().filter_map(|account| self.participants.get(*account)).collect();
        for participant in unknown.iter().filter_map(|account| self.participants.get(*account)) {
            if !owed.contains(participant) && unheard.participants.remove(participant) {
                unheard.participants.insert(OPERATOR.to_owned());
            }
        }
    }

    fn taken(&mut self, event: &str, channel: &str, at: u64) -> Result<(), Violation> {
        if !self.committed.contains(event) {
            let why =
                format!("a notice of {event} arrived through {channel}, and no such outcome is committed");
            return Err(Violation::new(why).about([event, channel]).seen_at([at]));
        }
        let notice = self.notice(event, channel);
        notice.taken.get_or_insert(at);
        let participant = notice.participant.clone();
        if let Some(unheard) = self.unheard.get_mut(event) {
            unheard.participants.remove(&participant);
            unheard.participants.remove("");
            if unheard.participants.is_empty() {
                self.unheard.remove(event);
            }
        }
        Ok(())
    }

    fn stored(&mut self, event: &notification_stored::Event, at: u64) -> Result<(), Violation> {
        match event {
            notification_stored::Event::Due(due) => {
                self.notice(&due.event_id, &due.channel).participant.clone_from(&due.participant_id);
                if due.participant_id == OPERATOR {
                    self.told_operator(&due.event_id);
                }
                Ok(())
            }
            notification_stored::Event::Delivered(delivered) => {
                let (event, channel) = (&delivered.event_id, &delivered.channel);
                let notice = self.notice(event, channel);
                let (first, taken) = (notice.delivered.replace(at), notice.taken);
                let why = match (first, taken) {
                    (Some(_), _) => "is filed as delivered twice",
                    (None, None) => "is filed as delivered, and nobody got it",
                    (None, Some(_)) => return Ok(()),
                };
                let why = format!("the notice of {event} through {channel} {why}");
                Err(Violation::new(why).about([event, channel]).seen_at(first.into_iter().chain([at])))
            }
            notification_stored::Event::AccountOpened(opened) => {
                self.known.insert(opened.account_id.clone());
                self.opened(&opened.account_id, &opened.participant_id);
                Ok(())
            }
        }
    }

    fn opened(&mut self, account: &str, participant: &str) {
        self.participants.insert(account.to_owned(), participant.to_owned());
    }

    fn accounts(&mut self, fact: &Fact) {
        for (_, event) in reference(fact) {
            if let reference_stored::Event::AccountOpened(opened) = event {
                self.opened(&opened.account_id, &opened.participant_id);
            }
        }
        for (_, event) in trade(fact) {
            if let trade_stored::Event::AccountOpened(opened) = event {
                self.opened(&opened.account_id, &opened.participant_id);
            }
        }
    }

    fn named(event: &str, unheard: &Unheard) -> String {
        let participants: Vec<&str> = unheard.participants.iter().map(String::as_str).collect();
        match participants.as_slice() {
            [""] => format!("nobody has heard of {event}"),
            some => format!("{} have not heard of {event}", some.join(", ")),
        }
    }
}

impl Invariant for NotifiedOnceAfterCommit {
    fn name(&self) -> &'static str {
        "notified_once_after_commit"
    }

    fn about(&self) -> &'static str {
        "Each party of a trade hears of its final outcome, never before that is committed, and each notice \
         is filed as delivered once. It breaks when a notice is sent from a transaction that rolls back, or \
         forgotten in a crash."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Committed, FactKind::Notified]
    }

    fn fork(&self) -> Option<Box<dyn Invariant>> {
        Some(Box::new(self.clone()))
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        if let Fact::Notified { event_id, channel, .. } = record.fact {
            return self.taken(event_id, channel, record.sequence).into();
        }
        self.accounts(record.fact);
        for message in messages(record.fact) {
            self.commits(message, record.sequence);
        }
        notification(record.fact).try_for_each(|(_, event)| self.stored(event, record.sequence)).into()
    }

    fn at_rest(&mut self) -> Verdict {
        let Some((event, unheard)) = self.unheard.first_key_value() else { return Verdict::Holds };
        let why = Self::named(event, unheard);
        Verdict::Violated(Violation::new(why).about([event]).seen_at([unheard.since]))
    }

    fn pending(&self) -> Vec<Pending> {
        let named = |(event, unheard): (&String, &Unheard)| Pending {
            what: format!("notice of {event}"),
            why: Self::named(event, unheard),
        };
        self.unheard.iter().map(named).collect()
    }

    fn is_settled(&self) -> bool {
        self.unheard.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::{AccountOpened, NoticeDelivered, NoticeDue};

    use super::*;
    use crate::testing::{Commit, Told, breaks, breaks_at_rest, history, holds, settled};

    const EVENT: &str = "settlement-completed/T-1";

    fn opened(account: &str) -> Commit {
        let (account_id, participant_id) = (account.to_owned(), format!("P-{account}"));
        let event = AccountOpened { account_id, participant_id, ..AccountOpened::default() };
        Commit::by("reference-data")
            .event(&format!("account/{account}"), reference_stored::Event::AccountOpened(event))
    }

    fn due(account: &str) -> Commit {
        let due = NoticeDue {
            event_id: EVENT.to_owned(),
            channel: format!("hook-{account}"),
            participant_id: format!("P-{account}"),
            text: String::new(),
        };
        Commit::by("notification").event("notice", notification_stored::Event::Due(due))
    }

    fn filed(account: &str) -> Commit {
        let delivered = NoticeDelivered { event_id: EVENT.to_owned(), channel: format!("hook-{account}") };
        Commit::by("notification").event("notice", notification_stored::Event::Delivered(delivered))
    }

    fn heard(account: &str) -> Fact {
        let channel = format!("hook-{account}");
        Fact::Notified { receiver: account.to_owned(), event_id: EVENT.to_owned(), channel }
    }

    fn world() -> Vec<Told> {
        history![opened("B"), opened("S"), settled("T-1"), due("B"), due("S")]
    }

    #[test]
    fn holds_when_both_parties_hear_of_it() {
        let mut told = world();
        told.extend(history![heard("B"), heard("B"), filed("B"), heard("S"), filed("S")]);
        holds(NotifiedOnceAfterCommit::default(), told);
    }

    fn due_to_operator() -> Commit {
        let due = NoticeDue {
            event_id: EVENT.to_owned(),
            channel: OPERATOR.to_owned(),
            participant_id: OPERATOR.to_owned(),
            text: String::new(),
        };
        Commit::by("notification").event("notice", notification_stored::Event::Due(due))
    }

    fn heard_by_operator() -> Fact {
        let receiver = OPERATOR.to_owned();
        Fact::Notified { receiver, event_id: EVENT.to_owned(), channel: OPERATOR.to_owned() }
    }

    fn known(account: &str) -> Commit {
        let (account_id, participant_id) = (account.to_owned(), format!("P-{account}"));
        let event = AccountOpened { account_id, participant_id, ..AccountOpened::default() };
        Commit::by("notification").event("account", notification_stored::Event::AccountOpened(event))
    }

    #[test]
    fn holds_when_reference_data_is_late_and_the_operator_hears() {
        let told = history![
            opened("B"),
            opened("S"),
            known("S"),
            settled("T-1"),
            due_to_operator(),
            due("S"),
            heard_by_operator(),
            heard("S")
        ];
        holds(NotifiedOnceAfterCommit::default(), told);
    }

    #[test]
    fn breaks_at_rest_when_the_operator_hears_of_a_known_party() {
        let told = history![opened("B"), known("B"), settled("T-1"), due_to_operator(), heard_by_operator()];
        breaks_at_rest(NotifiedOnceAfterCommit::default(), told, "P-B have not heard");
    }

    #[test]
    fn holds_when_a_receiver_says_that_it_failed_and_had_taken_it() {
        let mut told = world();
        told.extend(history![heard("B"), heard("S"), heard("B"), filed("S"), heard("B"), filed("B")]);
        holds(NotifiedOnceAfterCommit::default(), told);
    }

    #[test]
    fn breaks_when_the_notice_overtakes_the_commit() {
        breaks(
            NotifiedOnceAfterCommit::default(),
            history![due("B"), heard("B")],
            "no such outcome is committed",
        );
    }

    #[test]
    fn breaks_when_a_notice_is_filed_twice_or_unheard() {
        let mut told = world();
        told.extend(history![heard("B"), filed("B"), filed("B")]);
        breaks(NotifiedOnceAfterCommit::default(), told, "is filed as delivered twice");
        let mut told = world();
        told.push(filed("B").into());
        breaks(NotifiedOnceAfterCommit::default(), told, "and nobody got it");
    }

    #[test]
    fn breaks_at_rest_when_a_party_was_forgotten() {
        let mut told = world();
        told.extend(history![heard("B"), filed("B")]);
        breaks_at_rest(
            NotifiedOnceAfterCommit::default(),
            told,
            "P-S have not heard of settlement-completed/T-1",
        );
        breaks_at_rest(NotifiedOnceAfterCommit::default(), history![settled("T-1")], "nobody has heard of");
    }
}
