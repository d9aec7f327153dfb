//! Every message of every topic, the catalogue that lists them, and the headers that go with them.

use std::collections::BTreeSet;

use bytes::Bytes;
use contracts::events::settlement_failed::Outcome;
use contracts::events::*;
use contracts::message::DecodeError;
use contracts::{Headers, Message, StoredEvent, TOPICS, topics};

fn trade() -> Trade {
    Trade {
        trade_id: "T-1".into(),
        instrument_id: "ACME".into(),
        buyer_account_id: "A-1".into(),
        seller_account_id: "A-2".into(),
        quantity: u64::MAX,
        price: "10.25".into(),
        currency: "USD".into(),
        trade_date: "2026-03-06".into(),
    }
}

/// The message after this one in the order of the enum. A new variant does not compile before it has its place.
fn after(message: &Message) -> Option<Message> {
    let trade = Some(trade());
    Some(match message {
        Message::ReferenceData(_) => TradeSubmitted { trade }.into(),
        Message::TradeSubmitted(_) => TradeValidated { trade }.into(),
        Message::TradeValidated(_) => {
            let reason = RejectReason::Oversell.into();
            TradeRejected { trade, by: "position".into(), reason, detail: "7 < 9".into() }.into()
        }
        Message::TradeRejected(_) => {
            TradeDateSealed { venue_id: "XNYS".into(), trade_date: "2026-03-06".into(), accepted: 3 }.into()
        }
        Message::TradeDateSealed(_) => {
            let obligation = Obligation { obligation_id: "O-1".into(), quantity: 9, ..Obligation::default() };
            let obligations = vec![obligation, Obligation::default()];
            TradeNovated { trade, settlement_date: "2026-03-09".into(), obligations }.into()
        }
        Message::TradeNovated(_) => TradeDateCleared {
            trade_date: "2026-03-06".into(),
            settlement_date: "2026-03-09".into(),
            instructions: 2,
        }
        .into(),
        Message::TradeDateCleared(_) => {
            SettlementInstruction { trade, settlement_date: "2026-03-09".into(), amount: "92.25".into() }
                .into()
        }
        Message::SettlementInstruction(_) => {
            DeliveryRequest { action: DeliveryAction::Release.into(), trade, attempt: 2, r#final: true }
                .into()
        }
        Message::DeliveryRequest(_) => PositionUpdated {
            change: PositionChange::Delivered.into(),
            account_id: "A-2".into(),
            quantity: i64::MIN,
            ..PositionUpdated::default()
        }
        .into(),
        Message::PositionUpdated(_) => PaymentInstruction {
            leg_id: "T-1/buyer".into(),
            valid_until_ms: -1,
            ..PaymentInstruction::default()
        }
        .into(),
        Message::PaymentInstruction(_) => {
            let outcome = PaymentOutcome::Refused.into();
            PaymentEvent { outcome, reason: "AM04".into(), ..PaymentEvent::default() }.into()
        }
        Message::PaymentEvent(_) => {
            SettlementCompleted { trade, amount: "92.25".into(), settled_on: "2026-03-09".into() }.into()
        }
        Message::SettlementCompleted(_) => {
            let outcome = Some(Outcome::CarriedTo("2026-03-10".into()));
            SettlementFailed { trade, reason: "AM04".into(), outcome }.into()
        }
        Message::SettlementFailed(_) => {
            let leg = LedgerLeg { account_id: "A-1".into(), asset: "USD".into(), amount: "-92.25".into() };
            let action = LedgerAction::Posted.into();
            LedgerEvent { action, entry_id: "E-1".into(), legs: vec![leg], ..LedgerEvent::default() }.into()
        }
        Message::LedgerEvent(_) => {
            NotificationEvent { notice_id: "N-1".into(), channel: "webhook".into(), ..Default::default() }
                .into()
        }
        Message::NotificationEvent(_) => {
            CorporateActionEvent { action_id: "C-1".into(), instrument_id: "ACME".into() }.into()
        }
        Message::CorporateAction(_) => {
            let payload = Bytes::from_static(&[0xff, 0]);
            DeadLetter { partition: -1, offset: i64::MAX, payload, ..DeadLetter::default() }.into()
        }
        Message::DeadLetter(_) => return None,
    })
}

/// One message of each variant, none of them empty.
fn messages() -> Vec<Message> {
    let listed =
        InstrumentListed { instrument_id: "ACME".into(), currency: "USD".into(), tick: "0.01".into() };
    let kind = Some(reference_data_event::Kind::InstrumentListed(listed));
    std::iter::successors(Some(Message::from(ReferenceDataEvent { kind })), after).collect()
}

#[test]
fn every_message_comes_back_as_it_was() {
    for message in messages() {
        let payload = message.encode();
        assert!(!payload.is_empty(), "{message:?} says nothing");
        assert_eq!(Message::decode(message.topic(), payload), Ok(message));
    }
}

#[test]
fn every_message_has_its_topic_and_every_topic_its_message() {
    let carried: Vec<&str> = messages().iter().map(Message::topic).collect();
    let listed: Vec<&str> = TOPICS.iter().map(|topic| topic.name).collect();
    assert_eq!(carried, listed, "both are in the order of a trade's life");
    let distinct: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(distinct.len(), listed.len(), "a topic has one message");
}

#[test]
fn a_payload_that_is_none_of_the_topics_is_refused() {
    let garbage = Bytes::from_static(b"\xff\xff not protobuf");
    for topic in TOPICS {
        let decoded = Message::decode(topic.name, garbage.clone());
        assert!(matches!(decoded, Err(DecodeError::Malformed(_))), "{}: {decoded:?}", topic.name);
    }
    let unknown = Message::decode("trade-imagined", Bytes::new());
    assert_eq!(unknown, Err(DecodeError::Unknown("trade-imagined".into())));
}

#[test]
fn a_message_with_fields_of_a_later_build_is_read() {
    let submitted = Message::from(TradeSubmitted { trade: Some(trade()) });
    // Field 1000, a varint: as a later build would add one.
    let longer = [&submitted.encode()[..], &[0xc0, 0x3e, 0x07]].concat();
    assert_eq!(Message::decode(submitted.topic(), longer.into()), Ok(submitted));
}

/// Services that store events are those that the log knows: gateways have neither.
fn is_service(name: &str) -> bool {
    StoredEvent::decode(name, Bytes::new()) == Err(DecodeError::Incomplete("its event"))
}

#[test]
fn producers_and_consumers_are_services() {
    assert!(is_service("settlement") && !is_service("api-gateway"), "the judge of names judges");
    for topic in TOPICS {
        let named = topic.producers.iter().chain(topic.consumers);
        let strangers: Vec<&&str> = named.filter(|name| !is_service(name)).collect();
        assert!(strangers.is_empty(), "{}: {strangers:?}", topic.name);
        assert!(topic.consumers.is_empty() || !topic.producers.is_empty(), "{} never speaks", topic.name);
    }
}

#[test]
fn the_catalogue_is_found_by_name_and_by_consumer() {
    for topic in TOPICS {
        assert_eq!(topics::find(topic.name), Some(topic));
        assert!(topic.partitions > 0 && topic.retention_days > 0 && !topic.key.is_empty(), "{topic:?}");
        for consumer in topic.consumers {
            assert!(topics::consumed_by(consumer).contains(&topic.name), "{consumer} misses {}", topic.name);
        }
    }
    assert_eq!(topics::find("trade-imagined"), None);
    assert_eq!(topics::consumed_by("position"), [topics::TRADE_SUBMITTED, topics::DELIVERY_REQUESTS]);
}

fn headers() -> Headers {
    Headers {
        source: "trade/trade/T-1".into(),
        sequence: u64::MAX,
        event_id: "trade/trade/T-1@3".into(),
        cause: "request/P-1/K-1".into(),
        trade_date: "2026-03-06".into(),
        schema_version: 1,
    }
}

/// What is read of the headers after some were replaced (`Some`) or left out (`None`).
fn read(changes: &[(&str, Option<&[u8]>)]) -> Option<Headers> {
    let pairs = headers().to_pairs();
    let kept = pairs.iter().map(|(name, value)| (*name, &value[..]));
    let kept = kept.filter(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    let replaced = changes.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
    Headers::from_pairs(kept.chain(replaced))
}

#[test]
fn headers_come_back_as_they_were() {
    assert_eq!(read(&[]), Some(headers()));
    assert_eq!(read(&[("traceparent", Some(b"00-abc"))]), Some(headers()), "others are none of ours");
}

#[test]
fn headers_that_say_where_a_message_stands_are_required() {
    for required in ["source-stream", "sequence", "event-id"] {
        assert_eq!(read(&[(required, None)]), None, "{required} is missing");
        assert_eq!(read(&[(required, Some(b""))]), None, "{required} is empty");
        assert_eq!(read(&[(required, Some(b"\xff"))]), None, "{required} is not text");
    }
    for sequence in ["0", "-1", "1.0", "18446744073709551616"] {
        assert_eq!(read(&[("sequence", Some(sequence.as_bytes()))]), None, "sequence {sequence}");
    }
}

#[test]
fn headers_that_only_explain_may_be_missing() {
    let without = read(&[("cause", None), ("trade-date", None), ("schema-version", None)]);
    let expected =
        Headers { cause: String::new(), trade_date: String::new(), schema_version: 0, ..headers() };
    assert_eq!(without, Some(expected));
    assert_eq!(read(&[("schema-version", Some(b"one"))]), None, "but not nonsense");
}
