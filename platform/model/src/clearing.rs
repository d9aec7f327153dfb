//! Clearing: what a trade must look like, novation, and from trades to obligations.
//!
//! Called by the trade service (form of a trade), by clearing (novation) and settlement (obligations).
//! Novation puts the central counterparty between the parties: a trade of buyer and seller becomes one
//! obligation of each with the CCP, and the parties no longer depend on each other.
//!
//! Left out: reference data, sessions and holdings, which are other services' reasons to refuse; and
//! partial deliveries.

use jiff::civil::Date;
use thiserror::Error;

use crate::arithmetic::ArithmeticError;
use crate::currency::Currency;
use crate::ids::{AccountId, InstrumentId, TradeId};
use crate::money::Money;
use crate::price::Price;
use crate::quantity::Quantity;

/// Why terms are not a trade.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TradeError {
    /// Nothing was traded.
    #[error("the quantity is zero")]
    ZeroQuantity,
    /// One account on both sides: no change of ownership.
    #[error("account {account} is both buyer and seller")]
    SameAccount {
        /// The account.
        account: AccountId,
    },
    /// A house account does not trade.
    #[error("{account} is a house account and cannot trade")]
    HouseAccount {
        /// The account.
        account: AccountId,
    },
    /// A trade cannot settle on or before the day it is made.
    #[error("settlement date {settlement_date} is not after trade date {trade_date}")]
    SettlesTooEarly {
        /// The trade date.
        trade_date: Date,
        /// The settlement date.
        settlement_date: Date,
    },
    /// More shares than a movement into or out of an account can express.
    #[error("the quantity is too large to be delivered")]
    QuantityTooLarge,
    /// The value is not an amount that can be paid.
    #[error("the trade has no payable value: {0}")]
    Value(#[from] ArithmeticError),
}

/// What two accounts agreed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TradeTerms {
    /// The trade.
    pub id: TradeId,
    /// The security.
    pub instrument: InstrumentId,
    /// Who receives the shares and pays.
    pub buyer: AccountId,
    /// Who delivers the shares and is paid.
    pub seller: AccountId,
    /// How many shares.
    pub quantity: Quantity,
    /// The price per share, in units of `currency`.
    pub price: Price,
    /// The currency of the price.
    pub currency: Currency,
    /// The venue's trade date.
    pub trade_date: Date,
    /// The date on which it settles.
    pub settlement_date: Date,
}

/// Terms whose form was checked, with their value: what follows from a trade cannot fail any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trade {
    terms: TradeTerms,
    value: Money,
}

impl Trade {
    /// Checks the form of terms.
    ///
    /// # Errors
    /// A variant of [`TradeError`] per reason.
    pub fn new(terms: TradeTerms) -> Result<Self, TradeError> {
        if terms.quantity.is_zero() {
            return Err(TradeError::ZeroQuantity);
        }
        if terms.buyer == terms.seller {
            return Err(TradeError::SameAccount { account: terms.buyer });
        }
        if let Some(house) = [&terms.buyer, &terms.seller].into_iter().find(|account| account.is_house()) {
            return Err(TradeError::HouseAccount { account: house.clone() });
        }
        if terms.settlement_date <= terms.trade_date {
            let TradeTerms { trade_date, settlement_date, .. } = terms;
            return Err(TradeError::SettlesTooEarly { trade_date, settlement_date });
        }
        terms.quantity.incoming().map_err(|_| TradeError::QuantityTooLarge)?;
        let value = terms.price.value(terms.quantity, terms.currency)?;
        Ok(Self { terms, value })
    }

    /// What was agreed.
    pub const fn terms(&self) -> &TradeTerms {
        &self.terms
    }

    /// Price times quantity, exactly.
    pub const fn value(&self) -> Money {
        self.value
    }
}

/// What an obligation comes from. A netting that merges trades adds its own variant here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The novation of one trade.
    Trade(TradeId),
}

/// The duty to exchange shares for cash on a date. One of the two accounts is the CCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obligation {
    /// What it comes from.
    pub origin: Origin,
    /// Delivers the shares and is paid.
    pub deliverer: AccountId,
    /// Receives the shares and pays.
    pub receiver: AccountId,
    /// The security.
    pub instrument: InstrumentId,
    /// How many shares, above zero.
    pub quantity: Quantity,
    /// What the receiver pays, above zero.
    pub cash: Money,
    /// The first date on which it may settle.
    pub settlement_date: Date,
}

/// A trade after novation: two obligations that settle as one unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Novated {
    /// The CCP delivers to the buyer, who pays the CCP.
    pub buyer: Obligation,
    /// The seller delivers to the CCP, which pays the seller.
    pub seller: Obligation,
}

/// Replaces a trade by an obligation of each party with the CCP (CPSS, recommendations for central
/// counterparties, 2004: novation). The CCP's own shares and cash cancel out.
pub fn novate(trade: &Trade) -> Novated {
    let TradeTerms { id, instrument, buyer, seller, quantity, settlement_date, .. } = trade.terms();
    let obligation = |deliverer: AccountId, receiver: AccountId| Obligation {
        origin: Origin::Trade(id.clone()),
        deliverer,
        receiver,
        instrument: instrument.clone(),
        quantity: *quantity,
        cash: trade.value(),
        settlement_date: *settlement_date,
    };
    Novated {
        buyer: obligation(AccountId::ccp(), buyer.clone()),
        seller: obligation(seller.clone(), AccountId::ccp()),
    }
}

/// How trades become obligations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Netting {
    /// Trade by trade: no netting.
    Gross,
}

impl Netting {
    /// The obligations of trades that were cleared together.
    ///
    /// [`Netting::Gross`] gives the two of each trade, buyer's first, in the order of the trades.
    ///
    /// # Errors
    /// An [`ArithmeticError`] if netted sums are too large; gross never fails.
    pub fn obligations(self, trades: &[Trade]) -> Result<Vec<Obligation>, ArithmeticError> {
        match self {
            Self::Gross => {
                let novated = trades.iter().map(novate);
                Ok(novated.flat_map(|Novated { buyer, seller }| [buyer, seller]).collect())
            }
        }
    }
}
