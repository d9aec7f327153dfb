//! What becomes of the shares of an account.

use contracts::events::*;
use insta::assert_snapshot;

use super::*;
use crate::testing::Bench;

fn trade(id: &str, quantity: u64) -> Trade {
    Trade {
        trade_id: id.into(),
        instrument_id: "IBM".into(),
        buyer_account_id: "A-1".into(),
        seller_account_id: "A-2".into(),
        quantity,
        price: "10.00".into(),
        currency: "USD".into(),
        trade_date: "2026-03-06".into(),
    }
}

fn submitted(id: &str, quantity: u64) -> TradeSubmitted {
    TradeSubmitted { trade: Some(trade(id, quantity)) }
}

fn request(action: DeliveryAction, id: &str, quantity: u64, attempt: u32) -> DeliveryRequest {
    DeliveryRequest { action: action.into(), trade: Some(trade(id, quantity)), attempt, r#final: false }
}

fn block(id: &str, quantity: u64, attempt: u32) -> DeliveryRequest {
    request(DeliveryAction::Block, id, quantity, attempt)
}

fn deliver(id: &str, quantity: u64, attempt: u32) -> DeliveryRequest {
    request(DeliveryAction::Deliver, id, quantity, attempt)
}

fn release(id: &str, quantity: u64, attempt: u32) -> DeliveryRequest {
    request(DeliveryAction::Release, id, quantity, attempt)
}

fn end(id: &str, quantity: u64, attempt: u32) -> DeliveryRequest {
    DeliveryRequest { r#final: true, ..release(id, quantity, attempt) }
}

/// A-2 holds 100 IBM.
fn bench() -> Bench<Position> {
    bench_of(Position::default())
}

fn bench_of(service: Position) -> Bench<Position> {
    let mut bench = Bench::new(service, "2026-03-06T09:30:00-05:00");
    bench.seed("account/A-2", Event::Opened(PositionOpened { instrument_id: "IBM".into(), quantity: 100 }));
    let (table, row) = opening_row("A-2", "IBM", 100);
    bench.seed_row(table, row);
    bench
}

#[test]
fn a_valid_trade_promises_the_sellers_shares() {
    let mut bench = bench();
    assert_snapshot!(bench.message(submitted("T-1", 60)), @r"
    event    account/A-2 Reserved{trade=T-1 A-1<-A-2 60 IBM @ 10.00 USD of 2026-03-06}
    event    account/A-1 Expected{trade=T-1 A-1<-A-2 60 IBM @ 10.00 USD of 2026-03-06}
    publish  trade-validated #1 from account/A-2 key A-2 date 2026-03-06 TradeValidated{trade=T-1 A-1<-A-2 60 IBM @ 10.00 USD of 2026-03-06}
    put      positions A-2 | IBM | 100 | 60 | 0 | 0
    put      positions A-1 | IBM | 0 | 0 | 0 | 60
    ");
    assert_snapshot!(bench.get("/api/v1/positions/A-2"), @r#"answer   200 {"accountId":"A-2","positions":[{"blocked":0,"instrumentId":"IBM","pending":0,"reserved":60,"settled":100}]}"#);
    assert_snapshot!(bench.get("/api/v1/positions/A-9"), @r#"answer   200 {"accountId":"A-9","positions":[]}"#);
}

#[test]
fn nobody_promises_more_than_there_is() {
    let mut bench = bench();
    bench.message(submitted("T-1", 60));
    assert_snapshot!(bench.message(submitted("T-2", 41)), @r"
    event    account/A-2 Refused{trade=T-2 A-1<-A-2 41 IBM @ 10.00 USD of 2026-03-06 free=40}
    publish  trade-rejected #1 from account/A-2 key A-2 date 2026-03-06 TradeRejected{trade=T-2 A-1<-A-2 41 IBM @ 10.00 USD of 2026-03-06 by=position reason=Oversell detail=free 40, wanted 41}
    reject   422 oversell [T-2] free 40, wanted 41
    ");
    assert!(bench.message(submitted("T-3", 40)).contains("Reserved"));
    assert!(bench.message(submitted("T-4", 1)).contains("Refused"));
}

/// The inbox removes most duplicates; this is what holds when one gets through.
#[test]
fn a_duplicate_never_promises_again() {
    let mut bench = bench();
    bench.message(submitted("T-1", 60));
    assert_eq!(bench.message(submitted("T-1", 60)), "nothing\n");
    bench.message(submitted("T-2", 60));
    assert_eq!(bench.message(submitted("T-2", 60)), "nothing\n");
    bench.message(block("T-1", 60, 1));
    bench.message(deliver("T-1", 60, 1));
    assert_eq!(bench.message(submitted("T-1", 60)), "nothing\n");
    // A refusal stands, though there would be shares again.
    bench.message(submitted("T-3", 40));
    bench.message(end("T-3", 40, 1));
    assert_eq!(bench.message(submitted("T-2", 60)), "nothing\n");
    assert_eq!(bench.message(submitted("T-3", 40)), "nothing\n");
    assert_eq!(bench.state("account/A-2").holding("IBM"), Holding { settled: 40, ..Holding::default() });
}

#[test]
fn unsettled_purchases_count_where_the_setting_says_so() {
    for (counts, outcome) in [(false, "reject   422 oversell [T-2] free 0, wanted 60"), (true, "Reserved")] {
        let mut bench = bench_of(Position { unsettled_purchases_count: counts });
        bench.message(submitted("T-1", 60));
        let back =
            Trade { buyer_account_id: "A-2".into(), seller_account_id: "A-1".into(), ..trade("T-2", 60) };
        let lines = bench.message(TradeSubmitted { trade: Some(back) });
        assert!(lines.contains(outcome), "{counts}: {lines}");
    }
}

#[test]
fn an_attempt_blocks_and_delivers_both_legs_in_one_decision() {
    let mut bench = bench();
    bench.message(submitted("T-1", 60));
    assert_snapshot!(bench.message(block("T-1", 60, 1)), @r"
    event    account/A-2 Blocked{trade_id=T-1 instrument_id=IBM quantity=60 attempt=1}
    publish  position-updated #1 from account/A-2 key A-2 date 2026-03-06 PositionUpdated{change=Blocked account_id=A-2 instrument_id=IBM trade_id=T-1 attempt=1}
    put      positions A-2 | IBM | 100 | 0 | 60 | 0
    ");
    assert_snapshot!(bench.message(deliver("T-1", 60, 1)), @r"
    event    account/A-2 Delivered{trade_id=T-1 instrument_id=IBM quantity=60 attempt=1}
    event    account/A-1 Received{trade_id=T-1 instrument_id=IBM quantity=60 attempt=1}
    publish  position-updated #2 from account/A-2 key A-2 date 2026-03-06 PositionUpdated{change=Delivered account_id=A-2 instrument_id=IBM trade_id=T-1 quantity=-60 attempt=1}
    publish  position-updated #1 from account/A-1 key A-1 date 2026-03-06 PositionUpdated{change=Delivered account_id=A-1 instrument_id=IBM trade_id=T-1 quantity=60 attempt=1}
    put      positions A-2 | IBM | 40 | 0 | 0 | 0
    put      positions A-1 | IBM | 60 | 0 | 0 | 0
    ");
}

#[test]
fn an_attempt_that_fails_releases_and_the_next_one_blocks_again() {
    let mut bench = bench();
    bench.message(submitted("T-1", 60));
    bench.message(block("T-1", 60, 1));
    assert_snapshot!(bench.message(release("T-1", 60, 1)), @r"
    event    account/A-2 Released{trade_id=T-1 instrument_id=IBM quantity=60 attempt=1}
    publish  position-updated #2 from account/A-2 key A-2 date 2026-03-06 PositionUpdated{change=Released account_id=A-2 instrument_id=IBM trade_id=T-1 attempt=1}
    put      positions A-2 | IBM | 100 | 60 | 0 | 0
    ");
    assert!(bench.message(submitted("T-2", 41)).contains("free 40"), "the promise stays");
    assert!(bench.message(block("T-1", 60, 2)).contains("Blocked"));
    assert!(bench.message(deliver("T-1", 60, 2)).contains("Delivered"));
}

#[test]
fn a_failed_trade_gives_everything_back() {
    let mut bench = bench();
    bench.message(submitted("T-1", 60));
    bench.message(block("T-1", 60, 1));
    assert_snapshot!(bench.message(end("T-1", 60, 1)), @r"
    event    account/A-2 Released{trade_id=T-1 instrument_id=IBM quantity=60 attempt=1 final=true}
    event    account/A-1 ReceiptCancelled{trade_id=T-1 instrument_id=IBM quantity=60 attempt=1 final=true}
    publish  position-updated #2 from account/A-2 key A-2 date 2026-03-06 PositionUpdated{change=Released account_id=A-2 instrument_id=IBM trade_id=T-1 attempt=1}
    put      positions A-2 | IBM | 100 | 0 | 0 | 0
    put      positions A-1 | IBM | 0 | 0 | 0 | 0
    ");
    bench.message(submitted("T-2", 60));
    bench.message(block("T-2", 60, 1));
    bench.message(release("T-2", 60, 1));
    assert!(bench.message(end("T-2", 60, 1)).contains("ReceiptCancelled"), "also after a release");
    assert_eq!(bench.state("account/A-2").holding("IBM"), Holding { settled: 100, ..Holding::default() });
    assert_eq!(bench.state("account/A-1").holding("IBM"), Holding::default());
}

#[test]
fn duplicates_and_old_attempts_answer_nothing_new() {
    let mut bench = bench();
    bench.message(submitted("T-1", 60));
    assert_eq!(bench.message(deliver("T-1", 60, 1)), "nothing\n", "nothing is blocked");
    bench.message(block("T-1", 60, 1));
    assert_eq!(bench.message(block("T-1", 60, 1)), "nothing\n", "blocked already");
    bench.message(release("T-1", 60, 1));
    assert_eq!(bench.message(release("T-1", 60, 1)), "nothing\n", "released already");
    assert_eq!(bench.message(block("T-1", 60, 1)), "nothing\n", "the attempt is over");
    assert_eq!(bench.message(deliver("T-1", 60, 1)), "nothing\n", "the attempt is over");
    bench.message(block("T-1", 60, 2));
    assert_eq!(bench.message(release("T-1", 60, 1)), "nothing\n", "a newer attempt has the shares");
    assert_eq!(bench.message(end("T-1", 60, 1)), "nothing\n", "a newer attempt has the shares");
    assert_eq!(bench.message(deliver("T-1", 60, 1)), "nothing\n", "a newer attempt has the shares");
    bench.message(deliver("T-1", 60, 2));
    for request in [
        block("T-1", 60, 2),
        deliver("T-1", 60, 2),
        release("T-1", 60, 2),
        end("T-1", 60, 2),
        block("T-1", 60, 3),
    ] {
        assert_eq!(bench.message(request), "nothing\n", "delivered is final");
    }
}

/// Shares that were sold before they were received may not have come.
#[test]
fn a_block_without_settled_shares_is_refused() {
    let mut bench = bench_of(Position { unsettled_purchases_count: true });
    bench.message(submitted("T-1", 60));
    let back = Trade { buyer_account_id: "A-2".into(), seller_account_id: "A-1".into(), ..trade("T-2", 60) };
    bench.message(TradeSubmitted { trade: Some(back.clone()) });
    let block_back = |attempt| DeliveryRequest { trade: Some(back.clone()), ..block("T-2", 60, attempt) };
    assert_snapshot!(bench.message(block_back(1)), @r"
    event    account/A-1 BlockRefused{trade_id=T-2 instrument_id=IBM attempt=1 reason=SHARES_NOT_SETTLED}
    publish  position-updated #1 from account/A-1 key A-1 date 2026-03-06 PositionUpdated{change=BlockRefused account_id=A-1 instrument_id=IBM trade_id=T-2 attempt=1 reason=SHARES_NOT_SETTLED}
    put      positions A-1 | IBM | 0 | 60 | 0 | 60
    ");
    assert_eq!(bench.message(block_back(1)), "nothing\n");
    bench.message(block("T-1", 60, 1));
    bench.message(deliver("T-1", 60, 1));
    assert!(bench.message(block_back(2)).contains("Blocked"), "now they have come");
}

#[test]
fn shares_that_were_never_promised_are_neither_blocked_nor_missed() {
    let mut bench = bench();
    assert_snapshot!(bench.message(block("T-9", 60, 1)), @r"
    event    account/A-2 BlockRefused{trade_id=T-9 instrument_id=IBM attempt=1 reason=NOT_RESERVED}
    publish  position-updated #1 from account/A-2 key A-2 date 2026-03-06 PositionUpdated{change=BlockRefused account_id=A-2 instrument_id=IBM trade_id=T-9 attempt=1 reason=NOT_RESERVED}
    put      positions A-2 | IBM | 100 | 0 | 0 | 0
    ");
    assert_snapshot!(bench.message(end("T-9", 60, 1)), @r"
    event    account/A-2 Released{trade_id=T-9 instrument_id=IBM attempt=1 final=true reason=NOT_RESERVED}
    publish  position-updated #2 from account/A-2 key A-2 date 2026-03-06 PositionUpdated{change=Released account_id=A-2 instrument_id=IBM trade_id=T-9 attempt=1 reason=NOT_RESERVED}
    put      positions A-2 | IBM | 100 | 0 | 0 | 0
    ");
    assert_eq!(bench.message(end("T-9", 60, 1)), "nothing\n");
}

/// Whatever arrives, in whatever order and number: no share is made or lost, and none is promised twice.
#[test]
fn shares_are_conserved_under_any_order_of_requests() {
    for seed in 0..200_u64 {
        let mut bench = bench();
        let mut state = seed;
        for _ in 0..120 {
            // A small linear congruential generator (Knuth, MMIX): the order is all that matters.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let draw = state >> 33;
            let (id, quantity) = [("T-1", 60), ("T-2", 40), ("T-3", 30)][(draw % 3) as usize];
            let attempt = 1 + (draw / 3 % 3) as u32;
            match draw / 9 % 6 {
                0 | 1 => bench.message(submitted(id, quantity)),
                2 => bench.message(block(id, quantity, attempt)),
                3 => bench.message(deliver(id, quantity, attempt)),
                4 => bench.message(release(id, quantity, attempt)),
                _ => bench.message(end(id, quantity, attempt)),
            };
            let seller = bench.state("account/A-2").holding("IBM");
            let buyer = bench.state("account/A-1").holding("IBM");
            assert_eq!(seller.settled + buyer.settled, 100, "seed {seed}");
            assert!(seller.reserved + seller.blocked <= seller.settled, "seed {seed}: {seller:?}");
            assert_eq!(seller.reserved + seller.blocked, buyer.pending, "seed {seed}");
            let row = format!(
                "A-2 | IBM | {} | {} | {} | {}\n",
                seller.settled, seller.reserved, seller.blocked, seller.pending
            );
            assert!(bench.rows(&POSITIONS).ends_with(&row), "seed {seed}: {row}");
        }
    }
}
