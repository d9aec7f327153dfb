//! Notification: tells the participants of a trade how it ended, at least once each, never before it is so.
//!
//! Consumes trade-rejected, settlement-completed and settlement-failed (final ones), and whose accounts are
//! whose from reference-data-events. One stream per outcome, `notice/<topic>/<trade>`, holds the notices of
//! both parties; a channel gets one notice of it, so a participant on both sides is told once. Each notice is
//! an effect that is posted until a webhook answers 2xx; a receiver that is silent holds up nobody else's. An account that is not known here, as of a trade
//! that was rejected for it, is told to the operator.
//!
//! Left out: notices of payments, preferences, digests. Watched by `notified_once_after_commit`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use contracts::events::notification_stored::Event;
use contracts::events::{
    AccountOpened, NoticeDelivered, NoticeDue, NotificationEvent, Trade, reference_data_event,
    settlement_failed,
};
use contracts::{Message, topics};
use host::{
    Decision, Effect, EffectAnswer, EffectCall, EffectStep, HttpAction, NewEffect, Reject, Service, StreamId,
    StreamRef, View,
};
use http::{Request, Response};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::support::{contract, request};

/// Who takes all notices.
const PARTY: &str = "webhooks";
const TIMEOUT: Duration = Duration::from_secs(10);
/// Participant and channel of notices whose account is not known.
const OPERATOR: &str = "operator";

/// The service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notification;

#[derive(Clone, Debug)]
pub enum Command {
    KnowAccount(AccountOpened),
    Tell(Outcome),
    /// A webhook has taken a notice.
    Delivered(Notice),
}

/// How a trade ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// `<topic>/<trade>`
    event: String,
    /// `REJECTED`, `SETTLED`, `FAILED`.
    kind: &'static str,
    trade: Trade,
}

/// What an effect posts: its payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    event: String,
    channel: String,
    participant: String,
    trade: String,
    kind: String,
}

/// The state of a stream, by its kind.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// `account/<id>`
    account: Option<AccountOpened>,
    /// `notice/<event>`: whether each channel has taken its notice.
    channels: BTreeMap<String, bool>,
}

/// What the opening of a run records here of an account, besides the events of the reference data's own topic.
pub fn opening(account: &AccountOpened) -> (StreamId, Event) {
    (account_stream(&account.account_id), Event::AccountOpened(account.clone()))
}

impl Service for Notification {
    const NAME: &'static str = "notification";
    type Command = Command;
    type Event = Event;
    type State = State;

    fn streams(&self, command: &Command) -> Vec<StreamRef> {
        match command {
            Command::KnowAccount(opened) => vec![StreamRef::write("account", &opened.account_id)],
            Command::Tell(Outcome { event, trade, .. }) => vec![
                StreamRef::write("notice", event),
                StreamRef::read("account", &trade.buyer_account_id),
                StreamRef::read("account", &trade.seller_account_id),
            ],
            Command::Delivered(notice) => vec![StreamRef::write("notice", &notice.event)],
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
            Command::Tell(outcome) => tell(outcome, view),
            Command::Delivered(notice) => delivered(notice, view),
        })
    }

    fn apply(&self, state: &mut State, event: &Event) {
        match event {
            Event::AccountOpened(opened) => state.account = Some(opened.clone()),
            Event::Due(due) => {
                state.channels.insert(due.channel.clone(), false);
            }
            Event::Delivered(delivered) => {
                state.channels.insert(delivered.channel.clone(), true);
            }
        }
    }

    fn on_message(&self, message: &Message) -> Option<Command> {
        let (topic, kind, trade) = match message {
            Message::ReferenceData(event) => {
                return match &event.kind {
                    Some(reference_data_event::Kind::AccountOpened(opened)) => {
                        Some(Command::KnowAccount(opened.clone()))
                    }
                    _ => None,
                };
            }
            Message::TradeRejected(rejected) => (topics::TRADE_REJECTED, "REJECTED", &rejected.trade),
            Message::SettlementCompleted(completed) => {
                (topics::SETTLEMENT_COMPLETED, "SETTLED", &completed.trade)
            }
            Message::SettlementFailed(failed) => match failed.outcome {
                Some(settlement_failed::Outcome::Final(true)) => {
                    (topics::SETTLEMENT_FAILED, "FAILED", &failed.trade)
                }
                // Carried: it has not ended.
                _ => return None,
            },
            _ => return None,
        };
        let trade = contract::trade(trade).clone();
        Some(Command::Tell(Outcome { event: format!("{topic}/{}", trade.trade_id), kind, trade }))
    }

    fn on_request(&self, request: &Request<Bytes>) -> HttpAction<Command> {
        HttpAction::Answer(request::no_route(request).response())
    }

    fn effect_call(&self, effect: &Effect, _step: EffectStep) -> EffectCall {
        let notice = Notice::of(effect);
        let body = json!({
            "eventId": notice.event, "channel": notice.channel, "tradeId": notice.trade, "kind": notice.kind,
        });
        let request = Request::post(format!("/hooks/{}", notice.participant))
            .header("content-type", "application/json")
            .body(Bytes::from(body.to_string()))
            .expect("ids of participants are plain ASCII");
        EffectCall { party: PARTY, request, timeout: TIMEOUT }
    }

    /// A participant's receiver.
    fn effect_lane(&self, effect: &Effect) -> Option<String> {
        Some(Notice::of(effect).participant)
    }

    fn effect_answer(
        &self,
        effect: &Effect,
        _step: EffectStep,
        response: &Response<Bytes>,
    ) -> EffectAnswer<Command> {
        match response.status().is_success() {
            true => EffectAnswer::Definite(Command::Delivered(Notice::of(effect))),
            false => EffectAnswer::Again,
        }
    }
}

impl Notice {
    fn of(effect: &Effect) -> Self {
        serde_json::from_slice(&effect.payload).expect("this service wrote the payloads of its effects")
    }

    fn effect(&self) -> NewEffect {
        let payload = serde_json::to_vec(self).expect("notices are plain data, which always serialises");
        NewEffect {
            id: format!("{}/{}", self.event, self.channel),
            valid_until: None,
            payload: payload.into(),
        }
    }
}

fn know_account(opened: &AccountOpened, view: &View<'_, State>) -> Decision<Event> {
    let (stream, event) = opening(opened);
    match view.state(&stream).account {
        Some(_) => Decision::none(),
        None => Decision::none().event(stream, event),
    }
}

fn tell(outcome: &Outcome, view: &View<'_, State>) -> Decision<Event> {
    let Outcome { event, kind, trade } = outcome;
    let stream = StreamId::new("notice", event);
    if !view.state(&stream).channels.is_empty() {
        return Decision::none();
    }
    let parties = [&trade.buyer_account_id, &trade.seller_account_id].map(|account| addressee(account, view));
    let mut channels = BTreeSet::new();
    parties.into_iter().fold(Decision::none(), |decision, (participant, channel)| {
        if !channels.insert(channel.clone()) {
            return decision;
        }
        let due = NoticeDue {
            event_id: event.clone(),
            channel: channel.clone(),
            participant_id: participant.clone(),
            text: (*kind).to_owned(),
        };
        let notice = Notice {
            event: event.clone(),
            channel,
            participant,
            trade: trade.trade_id.clone(),
            kind: (*kind).to_owned(),
        };
        decision.event(stream.clone(), Event::Due(due)).effect(notice.effect())
    })
}

fn delivered(notice: &Notice, view: &View<'_, State>) -> Decision<Event> {
    let stream = StreamId::new("notice", &notice.event);
    if view.state(&stream).channels.get(&notice.channel) != Some(&false) {
        return Decision::none();
    }
    let delivered = NoticeDelivered { event_id: notice.event.clone(), channel: notice.channel.clone() };
    let told = NotificationEvent {
        notice_id: format!("{}/{}", notice.event, notice.channel),
        event_id: notice.event.clone(),
        channel: notice.channel.clone(),
        participant_id: notice.participant.clone(),
    };
    Decision::none().event(stream.clone(), Event::Delivered(delivered)).publish(
        stream,
        &notice.event,
        "",
        told,
    )
}

/// Participant and channel of an account. Without a webhook of its own a participant is its own channel.
fn addressee(account: &str, view: &View<'_, State>) -> (String, String) {
    match &view.state(&account_stream(account)).account {
        None => (OPERATOR.to_owned(), OPERATOR.to_owned()),
        Some(opened) if opened.webhook.is_empty() => {
            (opened.participant_id.clone(), opened.participant_id.clone())
        }
        Some(opened) => (opened.participant_id.clone(), opened.webhook.clone()),
    }
}

fn account_stream(account: &str) -> StreamId {
    StreamId::new("account", account)
}

#[cfg(test)]
mod tests {
    use contracts::events::{ReferenceDataEvent, SettlementCompleted, SettlementFailed, TradeRejected};
    use host::EffectStep::Send;
    use insta::assert_snapshot;

    use super::*;
    use crate::testing::Bench;

    /// A-1 is of P-1, A-2 of P-2; A-3 is of P-1 too; A-4's participant has no webhook.
    fn bench() -> Bench<Notification> {
        let mut bench = Bench::new(Notification, "2026-03-09T18:00:10-04:00");
        for (account, participant, webhook) in
            [("A-1", "P-1", "/w/1"), ("A-2", "P-2", "/w/2"), ("A-3", "P-1", "/w/1"), ("A-4", "P-4", "")]
        {
            let (stream, event) = opening(&opened(account, participant, webhook));
            bench.seed(stream.as_str(), event);
        }
        bench
    }

    fn opened(account: &str, participant: &str, webhook: &str) -> AccountOpened {
        AccountOpened {
            account_id: account.into(),
            participant_id: participant.into(),
            bank_account: account.into(),
            webhook: webhook.into(),
        }
    }

    fn trade(buyer: &str, seller: &str) -> Option<Trade> {
        Some(Trade {
            trade_id: "T-1".into(),
            buyer_account_id: buyer.into(),
            seller_account_id: seller.into(),
            ..Trade::default()
        })
    }

    fn settled(buyer: &str, seller: &str) -> SettlementCompleted {
        SettlementCompleted { trade: trade(buyer, seller), ..SettlementCompleted::default() }
    }

    fn rejected(buyer: &str, seller: &str) -> TradeRejected {
        TradeRejected { trade: trade(buyer, seller), ..TradeRejected::default() }
    }

    fn failed(outcome: settlement_failed::Outcome) -> SettlementFailed {
        let trade = trade("A-1", "A-2");
        SettlementFailed { trade, outcome: Some(outcome), ..SettlementFailed::default() }
    }

    #[test]
    fn both_parties_get_a_notice_once() {
        let mut bench = bench();
        assert_snapshot!(bench.message(settled("A-1", "A-2")), @r"
        event    notice/settlement-completed/T-1 Due{event_id=settlement-completed/T-1 channel=/w/1 participant_id=P-1 text=SETTLED}
        event    notice/settlement-completed/T-1 Due{event_id=settlement-completed/T-1 channel=/w/2 participant_id=P-2 text=SETTLED}
        effect   settlement-completed/T-1//w/1
        effect   settlement-completed/T-1//w/2
        ");
        assert_eq!(bench.message(settled("A-1", "A-2")), "nothing\n");
        let lanes = ["settlement-completed/T-1//w/1", "settlement-completed/T-1//w/2"];
        assert_eq!(lanes.map(|id| bench.lane(id)), ["P-1", "P-2"].map(|lane| Some(lane.to_owned())));
        assert_snapshot!(bench.effect_calls(Send), @r#"
        settlement-completed/T-1//w/1: webhooks POST /hooks/P-1 {"channel":"/w/1","eventId":"settlement-completed/T-1","kind":"SETTLED","tradeId":"T-1"}
        settlement-completed/T-1//w/2: webhooks POST /hooks/P-2 {"channel":"/w/2","eventId":"settlement-completed/T-1","kind":"SETTLED","tradeId":"T-1"}
        "#);
    }

    #[test]
    fn a_notice_is_filed_as_delivered_once_it_is_taken() {
        let mut bench = bench();
        bench.message(settled("A-1", "A-2"));
        let effect = "settlement-completed/T-1//w/1";
        for status in [500, 404, 429] {
            assert_eq!(bench.effect_answer(effect, Send, status, ""), "again\n");
        }
        assert!(
            !bench.queries(effect),
            "after silence it is posted again: the receiver knows its event and channel"
        );
        assert_snapshot!(bench.effect_answer(effect, Send, 200, "{}"), @r"
        event    notice/settlement-completed/T-1 Delivered{event_id=settlement-completed/T-1 channel=/w/1}
        publish  notification-events #1 from notice/settlement-completed/T-1 key settlement-completed/T-1 date - NotificationEvent{notice_id=settlement-completed/T-1//w/1 event_id=settlement-completed/T-1 channel=/w/1 participant_id=P-1}
        ");
        assert_snapshot!(bench.effect_answer("settlement-completed/T-1//w/2", Send, 204, ""), @r"
        event    notice/settlement-completed/T-1 Delivered{event_id=settlement-completed/T-1 channel=/w/2}
        publish  notification-events #2 from notice/settlement-completed/T-1 key settlement-completed/T-1 date - NotificationEvent{notice_id=settlement-completed/T-1//w/2 event_id=settlement-completed/T-1 channel=/w/2 participant_id=P-2}
        ");
        assert_eq!(bench.message(settled("A-1", "A-2")), "nothing\n", "a late duplicate");
        let again = Notice {
            event: "settlement-completed/T-1".into(),
            channel: "/w/1".into(),
            participant: "P-1".into(),
            trade: "T-1".into(),
            kind: "SETTLED".into(),
        };
        assert_eq!(bench.command(&Command::Delivered(again)), "nothing\n");
    }

    #[test]
    fn a_participant_on_both_sides_is_told_once() {
        let lines = bench().message(settled("A-1", "A-3"));
        assert_eq!(lines.matches("Due{").count(), 1, "{lines}");
    }

    #[test]
    fn a_participant_without_a_webhook_is_its_own_channel() {
        let lines = bench().message(settled("A-1", "A-4"));
        assert!(lines.contains("channel=P-4 participant_id=P-4"), "{lines}");
    }

    #[test]
    fn who_is_not_known_is_told_to_the_operator() {
        let mut bench = bench();
        assert_snapshot!(bench.message(rejected("A-1", "A-9")), @r"
        event    notice/trade-rejected/T-1 Due{event_id=trade-rejected/T-1 channel=/w/1 participant_id=P-1 text=REJECTED}
        event    notice/trade-rejected/T-1 Due{event_id=trade-rejected/T-1 channel=operator participant_id=operator text=REJECTED}
        effect   trade-rejected/T-1//w/1
        effect   trade-rejected/T-1/operator
        ");
        let known = reference_data_event::Kind::AccountOpened(opened("A-9", "P-9", "/w/9"));
        assert_snapshot!(bench.message(ReferenceDataEvent { kind: Some(known.clone()) }), @"event    account/A-9 AccountOpened{account_id=A-9 participant_id=P-9 bank_account=A-9 webhook=/w/9}");
        assert_eq!(bench.message(ReferenceDataEvent { kind: Some(known) }), "nothing\n");
        assert_eq!(bench.message(rejected("A-1", "A-9")), "nothing\n", "it was told");
    }

    #[test]
    fn only_ends_are_told() {
        let mut bench = bench();
        let carried = settlement_failed::Outcome::CarriedTo("2026-03-10".into());
        assert_eq!(bench.message(failed(carried)), "ignored\n");
        assert_snapshot!(bench.message(failed(settlement_failed::Outcome::Final(true))), @r"
        event    notice/settlement-failed/T-1 Due{event_id=settlement-failed/T-1 channel=/w/1 participant_id=P-1 text=FAILED}
        event    notice/settlement-failed/T-1 Due{event_id=settlement-failed/T-1 channel=/w/2 participant_id=P-2 text=FAILED}
        effect   settlement-failed/T-1//w/1
        effect   settlement-failed/T-1//w/2
        ");
    }

    #[test]
    fn each_outcome_of_a_trade_has_its_own_notices() {
        let mut bench = bench();
        bench.message(rejected("A-1", "A-2"));
        assert!(bench.message(settled("A-1", "A-2")).contains("settlement-completed/T-1"));
    }
}
