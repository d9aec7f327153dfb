//! Trades whose reference data has not arrived.

use super::*;

#[test]
fn a_trade_waits_for_its_reference_data() {
    let mut bench = empty();
    assert_snapshot!(bench.post("/api/v1/trades", "k-1", GOOD), @r#"
    command  client-1 POST /trades / k-1
    event    trade/6f7078… Received{trade=6f7078… A-1<-A-2 100 IBM @ 10.00 client=client-1 waits_until_ms=1772807700000}
    put      trades 6f7078… | - | A-1 | A-2 | IBM | 100 | 10.00 | - | SUBMITTED | - | -
    put      waiting instrument/IBM | 6f7078… | IBM | A-1 | A-2
    put      waiting account/A-1 | 6f7078… | IBM | A-1 | A-2
    put      waiting account/A-2 | 6f7078… | IBM | A-1 | A-2
    arm      reference_wait/6f7078…/IBM/A-1/A-2 at 2026-03-06T14:35:00Z
    answer   202 {"status":"SUBMITTED","tradeId":"6f7078…"}
    "#);
    assert_snapshot!(bench.message(ibm()), @r"
    event    instrument/IBM InstrumentListed{instrument_id=IBM currency=USD tick=0.01}
    delete   waiting instrument/IBM | 6f7078…
    arm      reconsider/6f7078…/IBM/A-1/A-2 at 2026-03-06T14:30:00Z
    ");
    assert_snapshot!(bench.due_timers(), @r"
    fire     reconsider/6f7078…/IBM/A-1/A-2
    nothing
    ");
    bench.message(account("A-1"));
    bench.due_timers();
    bench.message(account("A-2"));
    assert_snapshot!(bench.due_timers(), @r"
    fire     reconsider/6f7078…/IBM/A-1/A-2
    event    trade/6f7078… Accepted{trade_date=2026-03-06 currency=USD}
    publish  trade-submitted #1 from trade/6f7078… key A-2 date 2026-03-06 TradeSubmitted{trade=6f7078… A-1<-A-2 100 IBM @ 10.00 USD of 2026-03-06}
    put      trades 6f7078… | 2026-03-06 | A-1 | A-2 | IBM | 100 | 10.00 | USD | SUBMITTED | - | -
    put      accepted 6f7078… | 2026-03-06
    cancel   reference_wait/6f7078…/IBM/A-1/A-2
    ");
    assert_eq!((bench.rows(&WAITING), bench.armed()), (String::new(), String::new()));
}

/// The trade date is that of its acceptance, not of its submission.
#[test]
fn a_waiting_trade_takes_the_date_that_is_open_when_its_data_arrives() {
    let mut bench = empty();
    bench.message(account("A-1"));
    bench.message(account("A-2"));
    bench.post("/api/v1/trades", "k-1", GOOD);
    end_of_day(&mut bench, "2026-03-06");
    bench.message(ibm());
    bench.due_timers();
    assert_eq!(accepted(&bench).map(|trade| trade.trade_date).as_deref(), Some("2026-03-09"));
}

#[test]
fn a_wait_that_is_over_is_a_refusal() {
    let mut bench = empty();
    bench.message(ibm());
    bench.post("/api/v1/trades", "k-1", GOOD);
    bench.at("2026-03-06T09:35:00-05:00");
    assert_snapshot!(bench.due_timers(), @r"
    fire     reference_wait/6f7078…/IBM/A-1/A-2
    event    trade/6f7078… Refused{by=trade reason=UnknownAccount detail=unknown: account/A-1, account/A-2}
    publish  trade-rejected #1 from trade/6f7078… key A-2 date - TradeRejected{trade=6f7078… A-1<-A-2 100 IBM @ 10.00 by=trade reason=UnknownAccount detail=unknown: account/A-1, account/A-2}
    put      trades 6f7078… | - | A-1 | A-2 | IBM | 100 | 10.00 | - | REJECTED | - | unknown-account: unknown: account/A-1, account/A-2
    delete   waiting instrument/IBM | 6f7078…
    delete   waiting account/A-1 | 6f7078…
    delete   waiting account/A-2 | 6f7078…
    ");
    assert_eq!(bench.rows(&WAITING), "");
    // Its answer was a 202, and stays one.
    assert_snapshot!(bench.post("/api/v1/trades", "k-1", GOOD), @r#"
    command  client-1 POST /trades / k-1
    answer   202 {"status":"SUBMITTED","tradeId":"6f7078…"}
    "#);
    // The data comes too late.
    bench.message(account("A-1"));
    bench.message(account("A-2"));
    assert_eq!(bench.due_timers(), "");
}

#[test]
fn a_waiting_trade_is_judged_when_its_data_arrives() {
    let mut bench = empty();
    bench.message(account("A-1"));
    bench.message(account("A-2"));
    bench.post("/api/v1/trades", "k-1", &GOOD.replace("10.00", "10.001"));
    bench.message(ibm());
    assert_snapshot!(bench.due_timers(), @r"
    fire     reconsider/6f7078…/IBM/A-1/A-2
    event    trade/6f7078… Refused{by=trade reason=PriceOffTick detail=10.001 is no multiple of 0.01}
    publish  trade-rejected #1 from trade/6f7078… key A-2 date - TradeRejected{trade=6f7078… A-1<-A-2 100 IBM @ 10.001 by=trade reason=PriceOffTick detail=10.001 is no multiple of 0.01}
    put      trades 6f7078… | - | A-1 | A-2 | IBM | 100 | 10.001 | - | REJECTED | - | price-off-tick: 10.001 is no multiple of 0.01
    cancel   reference_wait/6f7078…/IBM/A-1/A-2
    ");
}

/// Timers fire more than once, and in any order.
#[test]
fn firing_again_changes_nothing() {
    let mut bench = empty();
    bench.post("/api/v1/trades", "k-1", GOOD);
    let parties = format!("{T1}/IBM/A-1/A-2");
    assert_eq!(bench.timer(&format!("reconsider/{parties}")), "nothing\n");
    bench.message(ibm());
    bench.message(account("A-1"));
    bench.message(account("A-2"));
    // The wait is over, but everything has come: it is accepted.
    assert!(bench.timer(&format!("reference_wait/{parties}")).contains("Accepted{trade_date=2026-03-06"));
    assert_eq!(bench.timer(&format!("reconsider/{parties}")), "nothing\n");
    assert_eq!(bench.timer(&format!("reference_wait/{parties}")), "nothing\n");
    assert_eq!(bench.timer("reference_wait/half"), "ignored\n");
}

/// More trades than one decision takes: the rest is woken by a timer.
#[test]
fn an_arrival_wakes_all_that_wait_for_it() {
    let mut bench = empty();
    bench.message(account("A-1"));
    bench.message(account("A-2"));
    for at in 0..450 {
        bench.post("/api/v1/trades", &format!("key-{at}"), GOOD);
    }
    bench.message(ibm());
    bench.due_timers();
    assert_eq!(bench.rows(&ACCEPTED).lines().count(), 450);
    assert_eq!(bench.rows(&WAITING), "");
}
