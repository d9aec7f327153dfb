//! Attempts that fail: carried, tried again, failed for good.

use insta::assert_snapshot;

use super::*;

/// Lets the buyer's payment be refused in the batch that is running.
fn fail_attempt(bench: &mut Bench<Settlement>, attempt: u32) -> String {
    feed(bench, [blocked(attempt), refused("buyer", attempt), released(attempt)])
}

/// Attempts in the batches of Monday to Wednesday that fail, and the one of Thursday, the last.
fn at_the_last_attempt() -> Bench<Settlement> {
    let mut bench = started(&["T-1"]);
    for (attempt, trade_date, next) in
        [(1, MONDAY, TUESDAY), (2, TUESDAY, "2026-03-11"), (3, "2026-03-11", "2026-03-12")]
    {
        fail_attempt(&mut bench, attempt);
        bench.message(seal(trade_date, next, 0));
        bench.at(&format!("{next}T18:00:00-04:00"));
        bench.due_timers();
    }
    bench
}

#[test]
fn a_refused_payment_gives_the_shares_back_and_carries_the_obligation() {
    let mut bench = started(&["T-1"]);
    bench.message(blocked(1));
    assert_snapshot!(bench.message(refused("buyer", 1)), @r"
    event    obligation/T-1 PaymentRefused{leg_id=T-1/buyer attempt=1 uetr=uetr-buyer-1 reason=AM04}
    event    obligation/T-1 ReleaseRequested{attempt=1 reason=AM04}
    publish  delivery-requests #2 from obligation/T-1 key A-2 date 2026-03-06 DeliveryRequest{action=Release trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 attempt=1}
    ");
    assert_eq!(bench.message(refused("buyer", 1)), "nothing\n");
    assert_snapshot!(bench.message(released(1)), @r"
    event    obligation/T-1 Released{attempt=1}
    event    obligation/T-1 Carried{from=2026-03-09 to=2026-03-10 reason=AM04 carries=1}
    publish  settlement-failed #1 from obligation/T-1 key T-1 date 2026-03-06 SettlementFailed{trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 reason=AM04 outcome=CarriedTo(2026-03-10)}
    put      obligations T-1 | 0 | 2026-03-10 | 2026-03-09 | 2026-03-06 | A-1 | A-2 | IBM | 100 | 1025.00 | USD | 1 | AM04
    arm      batch/2026-03-10 no later than 2026-03-10T22:00:00Z
    ");
    for message in [blocked(1), refused("buyer", 1), released(1)] {
        assert_eq!(bench.message(message), "nothing\n", "a late duplicate");
    }
    assert_eq!(bench.timer("attempt/2026-03-09/T-1"), "nothing\n", "it is not due in this batch any more");
    bench.at("2026-03-09T18:05:00-04:00");
    assert!(
        bench.timer("close/2026-03-09").contains("BatchClosed"),
        "a carried obligation holds up no batch"
    );
}

#[test]
fn the_next_batch_tries_it_anew_with_a_new_payment() {
    let mut bench = started(&["T-1"]);
    fail_attempt(&mut bench, 1);
    start_tuesday(&mut bench);
    assert_snapshot!(bench.message(blocked(2)), @r"
    event    obligation/T-1 SharesBlocked{attempt=2}
    event    obligation/T-1 PaymentInstructed{leg_id=T-1/buyer attempt=2}
    publish  payment-instructions #2 from obligation/T-1 key A-1 date 2026-03-06 PaymentInstruction{leg_id=T-1/buyer trade_id=T-1 debtor=A-1 creditor=CCP amount=1025.00 currency=USD settlement_date=2026-03-10 attempt=2 valid_until_ms=1773187200000 trade_date=2026-03-06}
    ");
    let lines =
        feed(&mut bench, [paid("buyer", 2), paid("seller", 1), delivered("A-1", 2), delivered("A-2", 2)]);
    assert!(lines.contains("Settled{batch=2026-03-10}"), "{lines}");
    // The bank changes its mind about the first attempt.
    assert!(bench.message(paid("buyer", 1)).contains("BreakOpened"));
}

#[test]
fn a_carried_obligation_has_its_batch_on_a_date_without_instructions() {
    let mut bench = started(&["T-1"]);
    fail_attempt(&mut bench, 1);
    assert!(bench.armed().contains("batch/2026-03-10 at 2026-03-10T22:00:00Z"));
    bench.at(TUESDAY_1800);
    let lines = bench.due_timers();
    assert!(!lines.contains("BatchStarted"), "Monday has not told how many instructions it gave: {lines}");
    bench.message(seal(MONDAY, TUESDAY, 0));
    assert!(bench.due_timers().contains("AttemptStarted{attempt=2 batch=2026-03-10}"));
}

#[test]
fn a_refused_block_is_carried_at_once() {
    let mut bench = started(&["T-1"]);
    assert_snapshot!(bench.message(block_refused(1)), @r"
    event    obligation/T-1 BlockRefused{attempt=1 reason=shares missing}
    event    obligation/T-1 Carried{from=2026-03-09 to=2026-03-10 reason=shares missing carries=1}
    publish  settlement-failed #1 from obligation/T-1 key T-1 date 2026-03-06 SettlementFailed{trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 reason=shares missing outcome=CarriedTo(2026-03-10)}
    put      obligations T-1 | 0 | 2026-03-10 | 2026-03-09 | 2026-03-06 | A-1 | A-2 | IBM | 100 | 1025.00 | USD | 1 | shares missing
    arm      batch/2026-03-10 no later than 2026-03-10T22:00:00Z
    ");
    assert_eq!(bench.message(block_refused(1)), "nothing\n");
    assert!(bench.message(blocked(1)).contains("BreakOpened"));
}

#[test]
fn after_three_carries_a_refused_payment_fails_the_trade() {
    let mut bench = at_the_last_attempt();
    bench.message(blocked(4));
    assert_snapshot!(bench.message(refused("buyer", 4)), @r"
    event    obligation/T-1 PaymentRefused{leg_id=T-1/buyer attempt=4 uetr=uetr-buyer-4 reason=AM04}
    event    obligation/T-1 ReleaseRequested{attempt=4 reason=AM04 final=true}
    publish  delivery-requests #8 from obligation/T-1 key A-2 date 2026-03-06 DeliveryRequest{action=Release trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 attempt=4 final=true}
    ");
    assert_snapshot!(bench.message(released(4)), @r"
    event    obligation/T-1 Released{attempt=4}
    event    obligation/T-1 Failed{batch=2026-03-12 reason=AM04}
    publish  settlement-failed #4 from obligation/T-1 key T-1 date 2026-03-06 SettlementFailed{trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 reason=AM04 outcome=Final(true)}
    put      obligations T-1 | 2 | 2026-03-12 | 2026-03-09 | 2026-03-06 | A-1 | A-2 | IBM | 100 | 1025.00 | USD | 3 | AM04
    ");
    for message in [blocked(4), refused("buyer", 4), released(4)] {
        assert_eq!(bench.message(message), "nothing\n");
    }
    assert!(bench.message(paid("buyer", 4)).contains("BreakOpened"), "a trade that failed stays failed");
}

#[test]
fn after_three_carries_a_refused_block_ends_the_reservation_before_the_trade_fails() {
    let mut bench = at_the_last_attempt();
    assert_snapshot!(bench.message(block_refused(4)), @r"
    event    obligation/T-1 BlockRefused{attempt=4 reason=shares missing}
    event    obligation/T-1 ReleaseRequested{attempt=4 reason=shares missing final=true}
    publish  delivery-requests #8 from obligation/T-1 key A-2 date 2026-03-06 DeliveryRequest{action=Release trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 attempt=4 final=true}
    ");
    assert!(bench.message(released(4)).contains("SettlementFailed{trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 reason=shares missing outcome=Final(true)}"));
}

#[test]
fn a_refused_payout_leaves_the_unit_open_and_is_tried_again() {
    let mut bench = started(&["T-1"]);
    feed(&mut bench, [blocked(1), paid("buyer", 1)]);
    assert_snapshot!(bench.message(refused("seller", 1)), @r"
    event    obligation/T-1 PaymentRefused{leg_id=T-1/seller attempt=1 uetr=uetr-seller-1 reason=AM04}
    arm      pay-again/T-1 at 2026-03-09T22:05:00Z
    ");
    assert_eq!(bench.message(refused("seller", 1)), "nothing\n");
    bench.at("2026-03-09T18:05:00-04:00");
    assert!(bench.timer("close/2026-03-09").contains("arm      close/2026-03-09"), "the batch waits for it");
    assert_snapshot!(bench.timer("pay-again/T-1"), @r"
    event    obligation-seller/T-1 PaymentInstructed{leg_id=T-1/seller attempt=2}
    publish  payment-instructions #2 from obligation-seller/T-1 key A-2 date 2026-03-06 PaymentInstruction{leg_id=T-1/seller trade_id=T-1 debtor=CCP creditor=A-2 amount=1025.00 currency=USD settlement_date=2026-03-09 attempt=2 valid_until_ms=1773101100000 trade_date=2026-03-06}
    ");
    assert_eq!(bench.timer("pay-again/T-1"), "nothing\n", "not before this attempt is refused too");
    assert_eq!(bench.message(refused("seller", 1)), "nothing\n", "a late duplicate of the first refusal");
    let lines = feed(&mut bench, [paid("seller", 2), delivered("A-1", 1), delivered("A-2", 1)]);
    assert!(lines.contains("Settled{batch=2026-03-09}"), "{lines}");
}

#[test]
fn a_later_batch_leaves_a_unit_with_cash_at_the_ccp_alone() {
    let mut bench = started(&["T-1"]);
    feed(&mut bench, [blocked(1), paid("buyer", 1), refused("seller", 1)]);
    bench.message(seal(MONDAY, TUESDAY, 0));
    bench.at(TUESDAY_1800);
    assert!(!bench.due_timers().contains("AttemptStarted"));
    assert!(bench.message(paid("seller", 2)).contains("DeliveryRequested"), "the old attempt goes on");
}

#[test]
fn after_too_many_refused_payouts_the_buyer_gets_the_cash_back() {
    let mut bench = started(&["T-1"]);
    bench.service.max_payouts = 2;
    feed(&mut bench, [blocked(1), paid("buyer", 1), refused("seller", 1)]);
    bench.timer("pay-again/T-1");
    assert_snapshot!(bench.message(refused("seller", 2)), @r"
    event    obligation/T-1 PaymentRefused{leg_id=T-1/seller attempt=2 uetr=uetr-seller-2 reason=AM04}
    event    obligation/T-1 ReleaseRequested{attempt=1 reason=AM04 final=true}
    publish  delivery-requests #2 from obligation/T-1 key A-2 date 2026-03-06 DeliveryRequest{action=Release trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 attempt=1 final=true}
    ");
    assert_eq!(bench.timer("pay-again/T-1"), "nothing\n");
    assert_snapshot!(bench.message(released(1)), @r"
    event    obligation/T-1 Released{attempt=1}
    event    obligation/T-1 PaymentInstructed{leg_id=T-1/return attempt=1}
    publish  payment-instructions #2 from obligation/T-1 key A-1 date 2026-03-06 PaymentInstruction{leg_id=T-1/return trade_id=T-1 debtor=CCP creditor=A-1 amount=1025.00 currency=USD settlement_date=2026-03-09 attempt=1 valid_until_ms=1773100800000 trade_date=2026-03-06}
    ");
    assert_snapshot!(bench.message(refused("return", 1)), @r"
    event    obligation/T-1 PaymentRefused{leg_id=T-1/return attempt=1 uetr=uetr-return-1 reason=AM04}
    arm      pay-again/T-1 at 2026-03-09T22:05:00Z
    ");
    assert!(bench.timer("pay-again/T-1").contains("PaymentInstruction{leg_id=T-1/return"));
    assert_snapshot!(bench.message(paid("return", 2)), @r"
    event    obligation/T-1 Returned{leg_id=T-1/return attempt=2 uetr=uetr-return-2}
    event    obligation/T-1 Failed{batch=2026-03-09 reason=AM04}
    publish  settlement-failed #1 from obligation/T-1 key T-1 date 2026-03-06 SettlementFailed{trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 reason=AM04 outcome=Final(true)}
    put      obligations T-1 | 2 | 2026-03-09 | 2026-03-09 | 2026-03-06 | A-1 | A-2 | IBM | 100 | 1025.00 | USD | 0 | AM04
    ");
    assert_eq!(bench.message(paid("return", 2)), "nothing\n");
}
