//! Clearing: what it makes of what it hears.

use contracts::events::{RejectReason, TradeRejected, TradeValidated};
use insta::assert_snapshot;

use super::*;
use crate::testing::{Bench, trade};

fn bench() -> Bench<Clearing> {
    Bench::new(Clearing::gross(Calendar::xnys()), "2026-03-06T10:00:00-05:00")
}

fn validated(id: &str) -> TradeValidated {
    TradeValidated { trade: Some(trade(id, "2026-03-06")) }
}

fn rejected(id: &str, by: &str) -> TradeRejected {
    let (trade, by) = (Some(trade(id, "2026-03-06")), by.into());
    TradeRejected { trade, by, reason: RejectReason::Oversell.into(), detail: String::new() }
}

fn sealed(accepted: u64) -> TradeDateSealed {
    TradeDateSealed { venue_id: "XNYS".into(), trade_date: "2026-03-06".into(), accepted }
}

#[test]
fn a_validated_trade_is_novated_and_instructed_once() {
    let mut bench = bench();
    assert_snapshot!(bench.message(validated("T-1")), @r"
    event    trade/T-1 Novated{trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 settlement_date=2026-03-09 obligations=[Obligation{obligation_id=T-1/buyer deliverer=CCP receiver=A-1 instrument_id=IBM quantity=100 amount=1025.00 currency=USD}, Obligation{obligation_id=T-1/seller deliverer=A-2 receiver=CCP instrument_id=IBM quantity=100 amount=1025.00 currency=USD}]}
    publish  clearing-events #1 from trade/T-1 key T-1 date 2026-03-06 TradeNovated{trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 settlement_date=2026-03-09 obligations=[Obligation{obligation_id=T-1/buyer deliverer=CCP receiver=A-1 instrument_id=IBM quantity=100 amount=1025.00 currency=USD}, Obligation{obligation_id=T-1/seller deliverer=A-2 receiver=CCP instrument_id=IBM quantity=100 amount=1025.00 currency=USD}]}
    publish  settlement-instructions #1 from trade/T-1 key T-1 date 2026-03-06 SettlementInstruction{trade=T-1 A-1<-A-2 100 IBM @ 10.25 USD of 2026-03-06 settlement_date=2026-03-09 amount=1025.00}
    put      answers T-1 | 2026-03-06 | 2026-03-09 | 1
    ");
    assert_eq!(bench.message(validated("T-1")), "nothing\n");
    assert_eq!(bench.message(rejected("T-1", "position")), "nothing\n");
    assert_eq!(bench.armed(), "", "an unsealed date has nothing to wait for");
}

#[test]
fn a_date_is_cleared_when_every_accepted_trade_is_answered() {
    let mut bench = bench();
    bench.message(validated("T-1"));
    assert_snapshot!(bench.message(rejected("T-2", "position")), @r"
    event    trade/T-2 AnsweredRejected{trade_id=T-2 trade_date=2026-03-06}
    put      answers T-2 | 2026-03-06 | null | 0
    ");
    assert_snapshot!(bench.message(sealed(3)), @r"
    event    trade-date/2026-03-06 DateSealed{venue_id=XNYS trade_date=2026-03-06 accepted=3}
    arm      seal/2026-03-06 no later than 2026-03-06T15:00:00Z
    ");
    assert_snapshot!(bench.due_timers(), @r"
    fire     seal/2026-03-06
    arm      seal/2026-03-06 no later than 2026-03-06T15:01:00Z
    ");
    // The last answer wakes the date, which would look by itself a minute after the last time.
    assert!(
        bench
            .message(validated("T-3"))
            .contains("arm      seal/2026-03-06 no later than 2026-03-06T15:00:00Z")
    );
    assert_snapshot!(bench.due_timers(), @r"
    fire     seal/2026-03-06
    event    trade-date/2026-03-06 DateCleared{trade_date=2026-03-06 settlement_date=2026-03-09 instructions=2}
    publish  settlement-dates #1 from trade-date/2026-03-06 key 2026-03-09 date 2026-03-06 TradeDateCleared{trade_date=2026-03-06 settlement_date=2026-03-09 instructions=2}
    ");
    assert_eq!(bench.armed(), "");
}

#[test]
fn a_seal_that_comes_last_finds_all_answers() {
    let mut bench = bench();
    for id in ["T-1", "T-2"] {
        bench.message(validated(id));
    }
    bench.message(sealed(2));
    assert!(
        bench
            .due_timers()
            .contains("DateCleared{trade_date=2026-03-06 settlement_date=2026-03-09 instructions=2}")
    );
}

#[test]
fn duplicates_change_nothing_and_are_not_counted() {
    let mut bench = bench();
    for _ in 0..2 {
        bench.message(validated("T-1"));
        bench.message(rejected("T-2", "position"));
    }
    bench.message(sealed(3));
    assert_eq!(bench.message(sealed(3)), "nothing\n");
    assert!(!bench.due_timers().contains("DateCleared"), "two of three are answered");
    bench.message(validated("T-3"));
    assert!(bench.due_timers().contains("DateCleared"));
    assert_eq!(bench.message(validated("T-3")), "nothing\n");
    assert_eq!(bench.timer("seal/2026-03-06"), "nothing\n");
}

#[test]
fn trades_own_refusals_were_never_accepted() {
    assert_eq!(bench().message(rejected("T-1", "trade")), "ignored\n");
}

#[test]
fn a_day_without_trades_is_cleared_with_no_instructions() {
    let mut bench = bench();
    bench.message(sealed(0));
    assert_snapshot!(bench.due_timers(), @r"
    fire     seal/2026-03-06
    event    trade-date/2026-03-06 DateCleared{trade_date=2026-03-06 settlement_date=2026-03-09}
    publish  settlement-dates #1 from trade-date/2026-03-06 key 2026-03-09 date 2026-03-06 TradeDateCleared{trade_date=2026-03-06 settlement_date=2026-03-09}
    ");
}

#[test]
fn a_timer_without_a_seal_does_nothing() {
    assert_eq!(bench().timer("seal/2026-03-06"), "nothing\n");
}

#[test]
fn settlement_dates_come_from_the_settlement_calendar() {
    let mut bench = bench();
    for (trade_date, settles) in [
        // Columbus Day trades and does not settle.
        ("2025-10-10", "2025-10-14"),
        ("2025-10-13", "2025-10-14"),
        // Over Good Friday.
        ("2026-04-02", "2026-04-06"),
    ] {
        let outcome = bench.message(TradeValidated { trade: Some(trade(trade_date, trade_date)) });
        assert!(outcome.contains(&format!("settlement_date={settles} ")), "{outcome}");
    }
}

#[test]
fn the_opening_clears_the_dates_that_settle_in_the_run() {
    let opened = |first: &str| -> String {
        let events = opening(Calendar::xnys(), contract::date(first));
        events.iter().map(|(stream, event)| format!("{stream} {event:?}\n")).collect()
    };
    assert_snapshot!(opened("2026-03-06"), @r#"
    trade-date/2026-03-05 DateSealed(TradeDateSealed { venue_id: "XNYS", trade_date: "2026-03-05", accepted: 0 })
    trade-date/2026-03-05 DateCleared(TradeDateCleared { trade_date: "2026-03-05", settlement_date: "2026-03-06", instructions: 0 })
    "#);
    // The Friday before Columbus Day settles with it.
    assert_snapshot!(opened("2025-10-13"), @r#"
    trade-date/2025-10-10 DateSealed(TradeDateSealed { venue_id: "XNYS", trade_date: "2025-10-10", accepted: 0 })
    trade-date/2025-10-10 DateCleared(TradeDateCleared { trade_date: "2025-10-10", settlement_date: "2025-10-14", instructions: 0 })
    "#);
    // Two days' cycle around an ad-hoc closure.
    assert_snapshot!(opened("2018-12-07"), @r#"
    trade-date/2018-12-06 DateSealed(TradeDateSealed { venue_id: "XNYS", trade_date: "2018-12-06", accepted: 0 })
    trade-date/2018-12-06 DateCleared(TradeDateCleared { trade_date: "2018-12-06", settlement_date: "2018-12-10", instructions: 0 })
    "#);
}
