//! Money, prices and quantities against plain integers, and their text.

use std::cmp::Ordering;

use model::{AmountError, ArithmeticError, Currency, Decimal, Money, Price, Quantity, SignedQuantity};
use proptest::prelude::*;

/// The largest amount in minor units: 96 bits.
const MINOR_MAX: i128 = (1 << 96) - 1;

fn usd(text: &str) -> Money {
    Money::parse(text, Currency::USD).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn price(text: &str) -> Price {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// All sizes, with the ends of the range well represented.
fn minor_units() -> impl Strategy<Value = i128> {
    let end = prop_oneof![Just(MINOR_MAX), Just(-MINOR_MAX), Just(0), -200_i128..200];
    prop_oneof![end, -1_000_000_000_i128..1_000_000_000, -MINOR_MAX..=MINOR_MAX]
}

#[test]
fn money_has_one_text_per_amount() {
    for (text, shown) in [
        ("1000000.00", "1000000.00 USD"),
        ("1000000", "1000000.00 USD"),
        ("0.5", "0.50 USD"),
        ("-0.00", "0.00 USD"),
        ("-3.100", "-3.10 USD"),
    ] {
        assert_eq!(usd(text).to_string(), shown, "{text}");
        assert_eq!(shown.parse(), Ok(usd(text)));
        assert_eq!(serde_json::to_string(&usd(text)).expect("text"), format!("\"{shown}\""));
    }
    assert_eq!(usd("1"), Money::new(Decimal::new(1000, 3), Currency::USD).expect("one dollar"));
}

#[test]
fn each_reason_to_refuse_an_amount() {
    let parse = |text| Money::parse(text, Currency::USD);
    assert_eq!(parse("0.001"), Err(AmountError::TooManyDecimals { allowed: 2 }));
    assert_eq!(parse("1e3"), Err(AmountError::NotADecimal { text: "1e3".into() }));
    assert_eq!(parse("792281625142643375935439503.36"), Err(AmountError::TooLarge));
    // Fits a decimal, but not with its cents.
    assert_eq!(parse("792281625142643375935439504"), Err(AmountError::TooLarge));
    assert!(parse("792281625142643375935439503.35").is_ok());
    assert_eq!("1.00".parse::<Money>(), Err(AmountError::MissingCurrency { text: "1.00".into() }));
    assert_eq!("1.00 XXX".parse::<Money>(), Err(AmountError::UnknownCurrency { code: "XXX".into() }));
    assert!("1.00  USD".parse::<Money>().is_err());
    assert!(serde_json::from_str::<Money>("1.00").is_err(), "a number is not money");
}

/// A decimal sum beyond 96 bits rounds to fewer decimals; this is why money does not use it.
#[test]
fn a_sum_that_does_not_fit_is_refused_instead_of_losing_cents() {
    let largest = Money::from_minor(MINOR_MAX, Currency::USD).expect("the largest");
    assert_eq!(largest.checked_add(usd("0.01")), Err(ArithmeticError::Overflow));
    let rounded = largest.amount().checked_add(usd("0.01").amount()).expect("decimals give a sum");
    assert!(rounded.scale() < 2);
}

#[test]
fn price_times_quantity_is_exact_or_refused() {
    let value = |text, shares| price(text).value(Quantity::new(shares), Currency::USD);
    assert_eq!(value("10.25", 100), Ok(usd("1025.00")));
    assert_eq!(value("0.0001", 100), Ok(usd("0.01")));
    let fraction = ArithmeticError::FractionOfMinorUnit { currency: Currency::USD };
    assert_eq!(value("0.0001", 99), Err(fraction));
    assert_eq!(value("10.00", 0), Ok(Money::zero(Currency::USD)));
    assert_eq!(value("79228162514264337593543950.00", u64::MAX), Err(ArithmeticError::Overflow));
    assert_eq!(value("100000000000.00", u64::MAX), Err(ArithmeticError::Overflow));
}

#[test]
fn each_reason_to_refuse_a_price() {
    let parse = |text: &str| text.parse::<Price>();
    assert_eq!(parse("0"), Err(AmountError::NotPositive));
    assert_eq!(parse("-1.00"), Err(AmountError::NotPositive));
    assert_eq!(parse("0.0000000001"), Err(AmountError::TooManyDecimals { allowed: 9 }));
    assert_eq!(parse("79228162514264337593543950335"), Err(AmountError::TooLarge));
    assert_eq!(parse("10,5"), Err(AmountError::NotADecimal { text: "10,5".into() }));
    assert_eq!(price("10.500").to_string(), "10.50");
    assert_eq!(price("10.1234").to_string(), "10.1234");
    assert_eq!(serde_json::from_str::<Price>("\"10.5\"").expect("a price"), price("10.50"));
}

#[test]
fn a_tick_divides_the_price() {
    for (text, tick, on_tick) in [
        ("10.25", "0.01", true),
        ("10.255", "0.01", false),
        ("10.255", "0.005", true),
        ("10.25", "0.05", true),
        ("10.26", "0.05", false),
        ("0.0003", "0.0001", true),
        ("7.00", "2.00", false),
    ] {
        assert_eq!(price(text).on_tick(price(tick)), on_tick, "{text} on {tick}");
    }
}

#[test]
fn quantities_are_whole_numbers_in_text() {
    assert_eq!("100".parse(), Ok(Quantity::new(100)));
    assert_eq!("-100".parse(), Ok(SignedQuantity::new(-100)));
    for text in ["", "-1", "+1", "1.0", "18446744073709551616"] {
        let refused = text.parse::<Quantity>();
        assert_eq!(refused, Err(AmountError::NotAWholeNumber { text: text.into() }), "{text}");
    }
    assert_eq!(serde_json::to_string(&Quantity::new(7)).expect("a number"), "7");
}

proptest! {
    #[test]
    fn money_is_integer_arithmetic_on_minor_units(a in minor_units(), b in minor_units()) {
        let money = |minor| Money::from_minor(minor, Currency::USD);
        let (left, right) = (money(a).expect("in range"), money(b).expect("in range"));
        prop_assert_eq!(left.checked_add(right), money(a + b));
        prop_assert_eq!(left.checked_sub(right), money(a - b));
        prop_assert_eq!((-left).minor(), -a);
        prop_assert_eq!(left.abs().minor(), a.abs());
        prop_assert_eq!(left.checked_cmp(right), Ok(a.cmp(&b)));
        prop_assert_eq!(left == right, a == b);
        prop_assert_eq!(left.checked_cmp(left), Ok(Ordering::Equal));
        let signs = (left.is_negative(), left.is_zero(), left.is_positive());
        prop_assert_eq!(signs, (a < 0, a == 0, a > 0));
        prop_assert!(a + b <= MINOR_MAX && a + b >= -MINOR_MAX || left.checked_add(right).is_err());
    }

    #[test]
    fn money_survives_text_and_serde(minor in minor_units()) {
        let money = Money::from_minor(minor, Currency::USD).expect("in range");
        prop_assert_eq!(money.to_string().parse(), Ok(money));
        prop_assert_eq!(Money::new(money.amount(), Currency::USD), Ok(money));
        let stored = serde_json::to_string(&money).expect("text");
        prop_assert_eq!(serde_json::from_str::<Money>(&stored).expect("the same"), money);
        let cents = format!("{}.{:02} USD", minor.abs() / 100, minor.abs() % 100);
        prop_assert_eq!(money.abs().to_string(), cents);
    }

    /// Against integers in units of 1e-9, where a cent is 1e7 of them.
    #[test]
    fn values_are_exact(billionths in 1_i128..10_i128.pow(16), shares in 0_u64..10_u64.pow(9), cents in any::<bool>()) {
        let billionths = if cents { billionths / 10_000_000 * 10_000_000 + 10_000_000 } else { billionths };
        let price = Price::new(Decimal::from_i128_with_scale(billionths, 9)).expect("above zero");
        let value = price.value(Quantity::new(shares), Currency::USD);
        let product = billionths * i128::from(shares);
        if product % 10_000_000 == 0 {
            prop_assert_eq!(value.map(Money::minor), Ok(product / 10_000_000));
        } else {
            prop_assert_eq!(value, Err(ArithmeticError::FractionOfMinorUnit { currency: Currency::USD }));
        }
    }

    #[test]
    fn prices_order_as_numbers_and_survive_text(a in 1_i128..10_i128.pow(14), b in 1_i128..10_i128.pow(14)) {
        let price = |units| Price::new(Decimal::from_i128_with_scale(units, 9)).expect("above zero");
        prop_assert_eq!(price(a).cmp(&price(b)), a.cmp(&b));
        prop_assert_eq!(price(a).on_tick(price(b)), a % b == 0);
        prop_assert!(price(a).as_decimal().scale() >= 2);
        prop_assert_eq!(price(a).to_string().parse(), Ok(price(a)));
    }

    #[test]
    fn quantities_are_checked_integers(a: u64, b: u64, c: i64, d: i64) {
        let (x, y) = (Quantity::new(a), Quantity::new(b));
        prop_assert_eq!(x.checked_add(y).ok().map(Quantity::get), a.checked_add(b));
        prop_assert_eq!(x.checked_sub(y).ok().map(Quantity::get), a.checked_sub(b));
        prop_assert_eq!(x.checked_sub(y) == Err(ArithmeticError::Negative), b > a);
        let (m, n) = (SignedQuantity::new(c), SignedQuantity::new(d));
        prop_assert_eq!(m.checked_add(n).ok().map(SignedQuantity::get), c.checked_add(d));
        prop_assert_eq!(m.checked_sub(n).ok().map(SignedQuantity::get), c.checked_sub(d));
        prop_assert_eq!(x.checked_move(m).ok().map(Quantity::get), a.checked_add_signed(c));
        prop_assert_eq!(x.incoming().ok().map(SignedQuantity::get), i64::try_from(a).ok());
        prop_assert_eq!(m.magnitude().get(), c.unsigned_abs());
        if let Ok(out) = x.outgoing() {
            prop_assert_eq!(x.checked_move(out), Ok(Quantity::ZERO));
        }
    }
}

#[test]
fn sums_over_many_are_checked_too() {
    assert_eq!(Money::checked_sum(Currency::USD, []), Ok(Money::zero(Currency::USD)));
    assert_eq!(Money::checked_sum(Currency::USD, [usd("1.10"), usd("-0.20"), usd("5")]), Ok(usd("5.90")));
    assert_eq!(Quantity::checked_sum([1, 2, 3].map(Quantity::new)), Ok(Quantity::new(6)));
    let overflow = Quantity::checked_sum([u64::MAX, 1].map(Quantity::new));
    assert_eq!(overflow, Err(ArithmeticError::Overflow));
    assert_eq!(SignedQuantity::new(i64::MIN).checked_neg(), Err(ArithmeticError::Overflow));
}
