//! Reading the texts of contract messages: dates, prices and amounts that another service has written.
//!
//! They were checked by whoever wrote them, so a text that does not read is a broken message: these
//! functions panic, and the host files what makes a service panic as a dead letter. Texts of the outside
//! world are read with [`super::Fields`] instead.

use contracts::events::Trade;
use model::{Currency, Date, Money, Price, Quantity, Timestamp};

/// An ISO 8601 local date.
pub fn date(text: &str) -> Date {
    text.parse().unwrap_or_else(|error| panic!("`{text}` in a contract message is not a date: {error}"))
}

/// A price per share.
pub fn price(text: &str) -> Price {
    text.parse().unwrap_or_else(|error| panic!("`{text}` in a contract message is not a price: {error}"))
}

pub fn currency(code: &str) -> Currency {
    code.parse().unwrap_or_else(|error| panic!("`{code}` in a contract message is not a currency: {error}"))
}

/// An amount in major units.
pub fn money(amount: &str, code: &str) -> Money {
    Money::parse(amount, currency(code))
        .unwrap_or_else(|error| panic!("`{amount} {code}` in a contract message is not an amount: {error}"))
}

/// The amount of money as contracts write it: major units with all decimals, without the currency.
pub fn amount_text(money: Money) -> String {
    money.amount().to_string()
}

/// What the shares of a trade cost.
pub fn value(trade: &Trade) -> Money {
    price(&trade.price)
        .value(Quantity::new(trade.quantity), currency(&trade.currency))
        .expect("trade accepts only prices on tick, whose products are whole minor units within range")
}

/// The trade inside a message. Every message about a trade carries it.
pub fn trade(trade: &Option<Trade>) -> &Trade {
    trade.as_ref().expect("a contract message about a trade carries the trade")
}

/// Milliseconds since the Unix epoch, as contracts write instants.
pub fn millis(instant: Timestamp) -> i64 {
    instant.as_millisecond()
}

/// The instant of milliseconds since the Unix epoch.
pub fn instant(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis)
        .unwrap_or_else(|error| panic!("{millis} in a contract message is not an instant: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_contracts_read_back_as_they_were_written() {
        assert_eq!(date("2026-03-06").to_string(), "2026-03-06");
        assert_eq!(amount_text(money("-1.5", "USD")), "-1.50");
        assert_eq!(millis(instant(1_772_807_400_123)), 1_772_807_400_123);
        let trade = Trade { quantity: 3, price: "10.01".into(), currency: "USD".into(), ..Trade::default() };
        assert_eq!(value(&trade).to_string(), "30.03 USD");
    }

    #[test]
    #[should_panic(expected = "`06/03/2026` in a contract message is not a date")]
    fn a_broken_text_is_a_broken_message() {
        date("06/03/2026");
    }
}
