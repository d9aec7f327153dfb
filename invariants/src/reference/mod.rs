//! The reference model: what every account must hold, by one thread that takes one thing after the other.
//!
//! It starts from the opening facts, takes trades as trade received them, in the order in which position
//! answered, and knows one rule: a seller's free shares are those settled minus
//! those promised. Who won a race, and whether a settlement ended well, it observes; what that means for
//! shares and cash it computes. Unsettled purchases are left out: with that setting, a refusal in spite of
//! free shares is still wrong.

use std::collections::BTreeMap;

use contracts::events::{Trade, WithdrawalRequested};
use rust_decimal::Decimal;

use crate::Violation;
use crate::book::{Balances, amount};

#[derive(Clone, Default)]
pub struct Reference {
    /// Shares after all settlements so far.
    pub shares: Balances,
    /// Cash after all settlements, deposits and withdrawals so far.
    pub cash: Balances,
    /// Shares as position had moved them when it answered.
    held: Balances,
    promised: Balances,
    /// Trades that have not ended.
    trades: BTreeMap<String, Terms>,
    /// Withdrawals that the bank has not answered.
    withdrawals: BTreeMap<String, Withdrawal>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Terms {
    instrument: String,
    buyer: String,
    seller: String,
    quantity: Decimal,
    price: Decimal,
    /// Shares that the seller has promised.
    promised: bool,
    delivered: bool,
    since: u64,
}

#[derive(Clone)]
pub struct Withdrawal {
    pub account: String,
    pub amount: Decimal,
}

impl Terms {
    fn of(trade: &Trade, since: u64) -> Self {
        Self {
            instrument: trade.instrument_id.clone(),
            buyer: trade.buyer_account_id.clone(),
            seller: trade.seller_account_id.clone(),
            quantity: trade.quantity.into(),
            price: amount(&trade.price).unwrap_or_default(),
            promised: false,
            delivered: false,
            since,
        }
    }

    fn are_of(&self, trade: &Trade) -> bool {
        let given = Self::of(trade, self.since);
        Self { promised: false, delivered: false, ..self.clone() } == given
    }
}

impl Reference {
    pub fn open_shares(&mut self, account: &str, instrument: &str, shares: Decimal) {
        self.shares.add(account, instrument, shares);
        self.held.add(account, instrument, shares);
    }

    pub fn receives(&mut self, trade: &Trade, at: u64) {
        self.trades.insert(trade.trade_id.clone(), Terms::of(trade, at));
    }

    /// The terms on which position answers; they must be those that trade received.
    fn answered_terms(&mut self, trade: &Trade, at: u64) -> Result<&mut Terms, Violation> {
        let id = &trade.trade_id;
        let terms = self.trades.entry(id.clone()).or_insert_with(|| Terms::of(trade, at));
        if terms.are_of(trade) {
            return Ok(terms);
        }
        let why = format!("position answers {trade:?}, trade {id} was received as {terms:?}");
        Err(Violation::new(why).about([id]).seen_at([terms.since, at]))
    }

    pub fn reserves(&mut self, trade: &Trade, at: u64) -> Result<(), Violation> {
        let terms = self.answered_terms(trade, at)?;
        terms.promised = true;
        let (seller, instrument, quantity) = (terms.seller.clone(), terms.instrument.clone(), terms.quantity);
        self.promised.add(&seller, &instrument, quantity);
        Ok(())
    }

    pub fn refuses(&mut self, trade: &Trade, at: u64) -> Result<(), Violation> {
        let Terms { seller, instrument, quantity, since, .. } = self.answered_terms(trade, at)?.clone();
        let id = &trade.trade_id;
        let (settled, promised) =
            (self.held.of(&seller, &instrument), self.promised.of(&seller, &instrument));
        if settled - promised < quantity {
            self.trades.remove(id);
            return Ok(());
        }
        let why = format!(
            "position refused trade {id} of {quantity} {instrument}, but {seller} has {settled} settled and \
             {promised} promised"
        );
        let seen = [since, at].into_iter().filter(|record| *record < at).chain([at]);
        Err(Violation::new(why).about([id, &seller, &instrument]).seen_at(seen))
    }

    /// Position moved the shares of a trade, both legs at once.
    pub fn delivers(&mut self, id: &str) {
        let Some(terms) = self.trades.get_mut(id).filter(|terms| !terms.delivered) else { return };
        terms.delivered = true;
        self.held.add(&terms.seller, &terms.instrument, -terms.quantity);
        self.held.add(&terms.buyer, &terms.instrument, terms.quantity);
        self.unpromise(id);
    }

    /// The seller's promise ends.
    pub fn unpromise(&mut self, id: &str) {
        if let Some(terms) = self.trades.get_mut(id).filter(|terms| terms.promised) {
            terms.promised = false;
            self.promised.add(&terms.seller, &terms.instrument, -terms.quantity);
        }
    }

    /// The trade settled: shares and cash change hands.
    pub fn settles(&mut self, id: &str, currency_of: impl Fn(&str) -> String) {
        let Some(terms) = self.trades.remove(id) else { return };
        let Terms { instrument, buyer, seller, quantity, price, .. } = terms;
        let cash = quantity.checked_mul(price).expect("amounts of a run stay far below 96 bits");
        self.shares.add(&seller, &instrument, -quantity);
        self.shares.add(&buyer, &instrument, quantity);
        self.cash.add(&buyer, &currency_of(&buyer), -cash);
        self.cash.add(&seller, &currency_of(&seller), cash);
    }

    /// The trade failed or was refused: nothing changes hands.
    pub fn ends_without_effect(&mut self, id: &str) {
        self.unpromise(id);
        self.trades.remove(id);
    }

    pub fn wants_out(&mut self, asked: &WithdrawalRequested) {
        let (account, amount) = (asked.account_id.clone(), amount(&asked.amount).unwrap_or_default());
        self.withdrawals.insert(asked.withdrawal_id.clone(), Withdrawal { account, amount });
    }

    pub fn pays_out(&mut self, id: &str, currency_of: impl Fn(&str) -> String) {
        if let Some(Withdrawal { account, amount }) = self.withdrawals.remove(id) {
            self.cash.add(&account, &currency_of(&account), -amount);
        }
    }

    pub fn keeps(&mut self, id: &str) {
        self.withdrawals.remove(id);
    }

    /// Withdrawals that the bank has not answered.
    pub fn withdrawals(&self) -> &BTreeMap<String, Withdrawal> {
        &self.withdrawals
    }
}
