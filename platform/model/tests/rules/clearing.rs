//! Novation and what follows from it: the CCP stays flat, the parties get what they agreed.

use jiff::civil::date;
use model::dvp::{delivery_legs, payment_legs};
use model::{
    AccountId, Asset, Balances, Currency, Entry, EntryId, InstrumentId, Journal, Money, Netting, Novated,
    Obligation, Origin, Price, Quantity, Trade, TradeError, TradeId, TradeTerms, novate,
};
use proptest::prelude::*;

fn account(text: &str) -> AccountId {
    AccountId::new(text).expect("a valid id")
}

fn terms() -> TradeTerms {
    TradeTerms {
        id: TradeId::new("T-1").expect("a valid id"),
        instrument: InstrumentId::new("ACME").expect("a valid id"),
        buyer: account("ACC-B"),
        seller: account("ACC-S"),
        quantity: Quantity::new(100),
        price: "10.25".parse().expect("a price"),
        currency: Currency::USD,
        trade_date: date(2026, 3, 6),
        settlement_date: date(2026, 3, 9),
    }
}

fn usd(text: &str) -> Money {
    Money::parse(text, Currency::USD).expect("an amount")
}

#[test]
fn each_reason_to_refuse_terms() {
    let refused = |change: fn(&mut TradeTerms)| {
        let mut terms = terms();
        change(&mut terms);
        Trade::new(terms).expect_err("terms that are no trade")
    };
    assert_eq!(refused(|t| t.quantity = Quantity::ZERO), TradeError::ZeroQuantity);
    let same = TradeError::SameAccount { account: account("ACC-S") };
    assert_eq!(refused(|t| t.buyer = t.seller.clone()), same);
    let house = TradeError::HouseAccount { account: AccountId::ccp() };
    assert_eq!(refused(|t| t.seller = AccountId::ccp()), house);
    let house = TradeError::HouseAccount { account: AccountId::world() };
    assert_eq!(refused(|t| t.buyer = AccountId::world()), house);
    let (trade_date, settlement_date) = (date(2026, 3, 6), date(2026, 3, 6));
    let early = TradeError::SettlesTooEarly { trade_date, settlement_date };
    assert_eq!(refused(|t| t.settlement_date = t.trade_date), early);
    assert_eq!(refused(|t| t.quantity = Quantity::new(u64::MAX)), TradeError::QuantityTooLarge);
    assert!(matches!(refused(|t| t.price = "10.25005".parse().expect("a price")), TradeError::Value(_)));
}

#[test]
fn the_ccp_steps_between_the_parties() {
    let trade = Trade::new(terms()).expect("a trade");
    assert_eq!(trade.value(), usd("1025.00"));
    let to_ccp = Obligation {
        origin: Origin::Trade(terms().id),
        deliverer: account("ACC-S"),
        receiver: AccountId::ccp(),
        instrument: terms().instrument,
        quantity: Quantity::new(100),
        cash: usd("1025.00"),
        settlement_date: date(2026, 3, 9),
    };
    let from_ccp = Obligation { deliverer: AccountId::ccp(), receiver: account("ACC-B"), ..to_ccp.clone() };
    assert_eq!(novate(&trade), Novated { buyer: from_ccp, seller: to_ccp });
}

/// A market day: sizes, prices in cents, and who trades with whom among five accounts.
fn trades() -> impl Strategy<Value = Vec<Trade>> {
    let trade = (0_u8..5, 1_u8..5, 1_u64..10_000, 1_i64..100_000, 0_u8..3);
    proptest::collection::vec(trade, 1..40).prop_map(|drawn| {
        let build = |(number, (buyer, step, shares, cents, instrument))| {
            let price = Price::new(model::Decimal::new(cents, 2)).expect("above zero");
            Trade::new(TradeTerms {
                id: TradeId::new(&format!("T-{number}")).expect("a valid id"),
                instrument: InstrumentId::new(&format!("I-{instrument}")).expect("a valid id"),
                buyer: account(&format!("ACC-{buyer}")),
                seller: account(&format!("ACC-{}", (buyer + step) % 5)),
                quantity: Quantity::new(shares),
                price,
                ..terms()
            })
            .expect("a trade")
        };
        drawn.into_iter().enumerate().map(build).collect()
    })
}

proptest! {
    #[test]
    fn gross_is_two_obligations_per_trade_and_a_flat_ccp(trades in trades()) {
        let obligations = Netting::Gross.obligations(&trades).expect("gross does not sum");
        prop_assert_eq!(obligations.len(), 2 * trades.len());
        for (pair, trade) in obligations.chunks(2).zip(&trades) {
            let Novated { buyer, seller } = novate(trade);
            prop_assert_eq!(pair, [buyer, seller]);
        }

        let mut journal = Journal::default();
        for (number, obligation) in obligations.iter().enumerate() {
            let legs = [payment_legs(obligation), delivery_legs(obligation).expect("deliverable")].concat();
            let id = EntryId::new(&format!("E-{number}")).expect("a valid id");
            journal.post(Entry::new(id, legs).expect("balanced")).expect("booked");
        }
        prop_assert!(journal.trial_balance().is_zero());

        let cash = Asset::Currency(Currency::USD);
        prop_assert!(journal.posted(&AccountId::ccp(), &cash).is_zero());
        for number in 0..5 {
            let party = account(&format!("ACC-{number}"));
            let owed: i128 = trades.iter().map(|trade| side(trade, &party) * trade.value().minor()).sum();
            prop_assert_eq!(journal.posted(&party, &cash).units(), -owed);
            for number in 0..3 {
                let instrument = InstrumentId::new(&format!("I-{number}")).expect("a valid id");
                let asset = Asset::Instrument(instrument.clone());
                let of_it = trades.iter().filter(|trade| trade.terms().instrument == instrument);
                let shares = of_it.map(|t| side(t, &party) * i128::from(t.terms().quantity.get()));
                prop_assert_eq!(journal.posted(&party, &asset).units(), shares.sum::<i128>());
                prop_assert!(journal.posted(&AccountId::ccp(), &asset).is_zero());
            }
        }
    }
}

/// +1 for the buyer, -1 for the seller, 0 for others.
fn side(trade: &Trade, party: &AccountId) -> i128 {
    i128::from(trade.terms().buyer == *party) - i128::from(trade.terms().seller == *party)
}

/// Payment without delivery leaves the cash at the CCP: the balance that settlement must bring back to zero.
#[test]
fn between_its_two_payments_the_cash_is_at_the_ccp() {
    let Novated { buyer, seller } = novate(&Trade::new(terms()).expect("a trade"));
    let cash = Asset::Currency(Currency::USD);
    let mut balances = Balances::default();
    balances.book(&payment_legs(&buyer)).expect("booked");
    assert_eq!(balances.of(&AccountId::ccp(), &cash).units(), 102_500);
    balances.book(&payment_legs(&seller)).expect("booked");
    assert!(balances.of(&AccountId::ccp(), &cash).is_zero());
    assert_eq!(balances.of(&account("ACC-S"), &cash).units(), 102_500);
    assert_eq!(balances.of(&account("ACC-B"), &cash).units(), -102_500);
}
