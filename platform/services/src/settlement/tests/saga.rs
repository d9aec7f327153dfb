//! Delivery versus payment, step by step; and what repeats, overtakes or contradicts.

use insta::assert_snapshot;

use super::*;

/// Every answer of an attempt that succeeds, in order.
fn success() -> Vec<Message> {
    vec![blocked(1), paid("buyer", 1), paid("seller", 1), delivered("A-2", 1), delivered("A-1", 1)]
}

#[test]
fn shares_are_blocked_cash_passes_through_the_ccp_and_both_sides_are_delivered() {
    let mut bench = started(&["T-1"]);
    assert_snapshot!(bench.message(blocked(1)), @r"
    event    obligation/T-1 SharesBlocked{attempt=1}
    event    obligation/T-1 PaymentInstructed{leg_id=T-1/buyer attempt=1}
    publish  payment-instructions #1 from obligation/T-1 key A-1 date 2026-03-06 PaymentInstruction{leg_id=T-1/buyer trade_id=T-1 debtor=A-1 creditor=CCP amount=1025.00 currency=USD settlement_date=2026-03-09 attempt=1 valid_until_ms=1773100800000 trade_date=2026-03-06}
    ");
    assert_snapshot!(bench.message(paid("buyer", 1)), @r"
    event    obligation/T-1 BuyerPaid{leg_id=T-1/buyer attempt=1 uetr=uetr-buyer-1}
    event    obligation-seller/T-1 PaymentInstructed{leg_id=T-1/seller attempt=1}
    publish  payment-instructions #1 from obligation-seller/T-1 key A-2 date 2026-03-06 PaymentInstruction{leg_id=T-1/seller trade_id=T-1 debtor=CCP creditor=A-2 amount=1025.00 currency=USD settlement_date=2026-03-09 attempt=1 valid_until_ms=1773100800000 trade_date=2026-03-06}
    ");
    assert_snapshot!(bench.message(paid("seller", 1)), @r"
    event    obligation/T-1 SellerPaid{leg_id=T-1/seller attempt=1 uetr=uetr-seller-1}
    event    obligation/T-1 DeliveryRequested{attempt=1}
    publish  delivery-requests #2 from obligation/T-1 key A-2 date 2026-03-06 DeliveryRequest{action=Deliver trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 attempt=1}
    ");
    assert_snapshot!(bench.message(delivered("A-2", 1)), @"event    obligation/T-1 AccountDelivered{attempt=1 account_id=A-2}");
    assert_snapshot!(bench.message(delivered("A-1", 1)), @r"
    event    obligation/T-1 AccountDelivered{attempt=1 account_id=A-1}
    event    obligation/T-1 Settled{batch=2026-03-09}
    publish  settlement-completed #1 from obligation/T-1 key T-1 date 2026-03-06 SettlementCompleted{trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 amount=1025.00 settled_on=2026-03-09}
    put      obligations T-1 | 1 | 2026-03-09 | 2026-03-09 | 2026-03-06 | A-1 | A-2 | IBM | 100 | 1025.00 | USD | 0 | -
    ");
    bench.at("2026-03-09T18:05:00-04:00");
    assert_snapshot!(bench.due_timers(), @r"
    fire     close/2026-03-09
    event    settlement/2026-03-09 BatchClosed{settlement_date=2026-03-09}
    put      batches 2026-03-09 | 1773093600000 | 1 | 1
    ");
    assert_eq!(bench.armed(), "");
}

#[test]
fn every_answer_can_come_twice_at_any_later_time() {
    let mut bench = started(&["T-1"]);
    let mut heard: Vec<Message> = Vec::new();
    for message in success() {
        assert_ne!(bench.message(message.clone()), "nothing\n");
        heard.push(message);
        for message in &heard {
            assert_eq!(bench.message(message.clone()), "nothing\n", "{message:?} again");
        }
    }
    for timer in ["attempt/2026-03-09/T-1", "pay-again/T-1"] {
        assert_eq!(bench.timer(timer), "nothing\n", "{timer}");
    }
}

#[test]
fn either_account_may_be_told_first_of_the_delivery() {
    let mut bench = started(&["T-1"]);
    feed(&mut bench, [blocked(1), paid("buyer", 1), paid("seller", 1)]);
    assert!(!bench.message(delivered("A-1", 1)).contains("Settled"));
    assert!(bench.message(delivered("A-2", 1)).contains("event    obligation/T-1 Settled{batch=2026-03-09}"));
}

#[test]
fn what_position_tells_of_the_buyers_account_is_no_answer_to_a_block() {
    let mut bench = started(&["T-1"]);
    for change in [PositionChange::Blocked, PositionChange::BlockRefused, PositionChange::Released] {
        assert_eq!(bench.message(position(change, "A-1", 1)), "nothing\n");
    }
}

#[test]
fn an_answer_that_overtakes_is_no_transition() {
    let mut bench = started(&["T-1"]);
    for message in [paid("buyer", 1), paid("seller", 1), delivered("A-2", 1), released(1), paid("return", 1)]
    {
        let outcome = bench.message(message.clone());
        assert!(outcome.starts_with("event    obligation/T-1 BreakOpened{"), "{message:?}: {outcome}");
        assert_eq!(outcome.lines().count(), 1, "{outcome}");
        assert_eq!(bench.message(message), "nothing\n", "a break is opened once");
    }
    // The unit goes on as if nothing had been said.
    let lines = feed(&mut bench, success());
    assert!(lines.contains("Settled{batch=2026-03-09}"), "{lines}");
}

#[test]
fn a_contradiction_of_what_is_settled_opens_a_break_and_changes_nothing() {
    let mut bench = started(&["T-1"]);
    feed(&mut bench, success());
    assert_snapshot!(bench.message(refused("buyer", 1)), @"event    obligation/T-1 BreakOpened{subject=buyer payment refused attempt 1 detail=heard while Settled in attempt 1}");
    for message in
        [block_refused(1), released(1), refused("seller", 1), paid("seller", 2), delivered("A-9", 1)]
    {
        let outcome = bench.message(message.clone());
        assert!(outcome.starts_with("event    obligation/T-1 BreakOpened{"), "{message:?}: {outcome}");
        assert_eq!(bench.message(message), "nothing\n");
    }
}

#[test]
fn an_answer_about_another_attempt_or_account_than_the_one_under_way_is_a_break() {
    let mut bench = started(&["T-1"]);
    let breaks = |bench: &mut Bench<Settlement>, message: Message| {
        let outcome = bench.message(message.clone());
        assert!(outcome.starts_with("event    obligation/T-1 BreakOpened{"), "{message:?}: {outcome}");
        assert_eq!(outcome.lines().count(), 1, "{outcome}");
    };
    breaks(&mut bench, blocked(2));
    breaks(&mut bench, block_refused(2));
    bench.message(blocked(1));
    breaks(&mut bench, paid("buyer", 2));
    feed(&mut bench, [paid("buyer", 1), refused("seller", 1)]);
    // Refused is refused, and the next attempt is not instructed yet.
    breaks(&mut bench, paid("seller", 1));
    breaks(&mut bench, paid("seller", 2));
    bench.timer("pay-again/T-1");
    bench.message(paid("seller", 2));
    breaks(&mut bench, delivered("A-9", 1));
    breaks(&mut bench, delivered("A-1", 2));
    assert!(feed(&mut bench, [delivered("A-1", 1), delivered("A-2", 1)]).contains("Settled{"));

    let mut bench = started(&["T-1"]);
    feed(&mut bench, [blocked(1), refused("buyer", 1)]);
    breaks(&mut bench, released(2));
    breaks(&mut bench, paid("buyer", 1));
    assert!(bench.message(released(1)).contains("Carried{"));
}

#[test]
fn messages_of_other_business_are_none_of_settlements() {
    let mut bench = started(&["T-1"]);
    assert_eq!(bench.message(PaymentEvent { leg_id: "W-1".into(), ..PaymentEvent::default() }), "ignored\n");
    assert_eq!(bench.message(payment("buyer", 1, PaymentOutcome::Deposited)), "ignored\n");
    let other = PositionUpdated { change: PositionChange::Blocked.into(), ..PositionUpdated::default() };
    assert_eq!(bench.message(other), "nothing\n", "a trade that is not known here");
}
