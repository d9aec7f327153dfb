//! Position's rules, done wrong.

use std::cell::RefCell;
use std::collections::BTreeMap;

use contracts::events::position_stored::Event;
use contracts::events::{PositionOpened, RejectReason, TradeRejected};
use host::{Service, StreamId};
use model::Timestamp;
use scenario::habits::Cached;
use scenario::{Sabotage, TimeSpan};
use services::position::{Account, Command, Position};

use super::{Sabotable, changed};
use crate::sabotage::Odds;
use crate::sabotage::service::{Decided, Rule, Sight, earlier};

impl Sabotable for Position {
    fn rule(habit: &Sabotage, odds: &Odds) -> Option<Box<dyn Rule<Self>>> {
        let odds = |habit| odds.of(habit);
        Some(match habit.habit.as_str() {
            "oversell-unchecked" => Box::new(OversellUnchecked(odds(habit))),
            "balance-from-cache" => Box::new(BalanceFromCache::living(habit.params::<Cached>().ttl)),
            "validated-then-refused" => Box::new(ValidatedThenRefused(odds(habit))),
            "buyers-leg-forgotten" => Box::new(BuyersLegForgotten(odds(habit))),
            "receipt-forgotten" => Box::new(ReceiptForgotten(odds(habit))),
            "purchases-counted" => Box::new(PurchasesCounted),
            "account-opened-again" => Box::new(OpenedAgain(odds(habit))),
            "seller-forgotten" => Box::new(SellerForgotten(odds(habit))),
            "half-delivered" => Box::new(HalfDelivered(odds(habit))),
            _ => return None,
        })
    }
}

fn account(id: &str) -> StreamId {
    StreamId::new("account", id)
}

/// Sees as many free shares as are asked for.
struct OversellUnchecked(Odds);

impl Rule<Position> for OversellUnchecked {
    fn sees(&self, command: &Command, sight: &mut Sight<Position>) {
        let Command::Validate(trade) = command else { return };
        if !self.0.strike(&trade.trade_id) {
            return;
        }
        let Some(seller) = sight.states.get_mut(&account(&trade.seller_account_id)) else { return };
        let holding = seller.holding(&trade.instrument_id);
        let quantity = holding.reserved + holding.blocked + trade.quantity;
        seller.apply(&Event::Opened(PositionOpened { instrument_id: trade.instrument_id.clone(), quantity }));
    }
}

/// Knows nothing of the seller, and refuses what it could sell.
struct SellerForgotten(Odds);

impl Rule<Position> for SellerForgotten {
    fn sees(&self, command: &Command, sight: &mut Sight<Position>) {
        if let Command::Validate(trade) = command
            && self.0.strike(&trade.trade_id)
        {
            sight.states.remove(&account(&trade.seller_account_id));
        }
    }
}

/// Sells what was bought and has not been received.
struct PurchasesCounted;

impl Rule<Position> for PurchasesCounted {
    fn sees(&self, command: &Command, sight: &mut Sight<Position>) {
        let Command::Validate(trade) = command else { return };
        let Some(seller) = sight.states.get_mut(&account(&trade.seller_account_id)) else { return };
        let quantity = seller.holding(&trade.instrument_id).pending;
        seller.apply(&Event::Opened(PositionOpened { instrument_id: trade.instrument_id.clone(), quantity }));
    }
}

/// Opens an account that it should know, with the shares that are traded.
struct OpenedAgain(Odds);

impl Rule<Position> for OpenedAgain {
    fn decides(
        &self,
        command: &Command,
        _: &Sight<Position>,
        decided: Decided<Position>,
    ) -> Decided<Position> {
        let Command::Validate(trade) = command else { return decided };
        if !self.0.strike(&trade.trade_id) {
            return decided;
        }
        let (instrument_id, quantity) = (trade.instrument_id.clone(), trade.quantity);
        let opened = Event::Opened(PositionOpened { instrument_id, quantity });
        changed::<Position>(decided, |decision| decision.event(account(&trade.seller_account_id), opened))
    }
}

/// Looks a seller's shares up in a cache that nobody invalidates.
struct BalanceFromCache {
    ttl: TimeSpan,
    kept: RefCell<BTreeMap<StreamId, (Timestamp, Account)>>,
}

impl BalanceFromCache {
    fn living(ttl: TimeSpan) -> Self {
        Self { ttl, kept: RefCell::default() }
    }
}

impl Rule<Position> for BalanceFromCache {
    fn sees(&self, command: &Command, sight: &mut Sight<Position>) {
        let Command::Validate(trade) = command else { return };
        let stream = account(&trade.seller_account_id);
        let (now, mut kept) = (sight.database_time, self.kept.borrow_mut());
        match kept.get(&stream) {
            Some((since, balance)) if *since > earlier(now, self.ttl.0) => {
                sight.states.insert(stream, balance.clone());
            }
            _ => {
                kept.insert(stream.clone(), (now, sight.state(&stream).clone()));
            }
        }
    }
}

/// Validates first and counts shares later: what is short gets both answers.
struct ValidatedThenRefused(Odds);

impl Rule<Position> for ValidatedThenRefused {
    fn decides(
        &self,
        command: &Command,
        _: &Sight<Position>,
        decided: Decided<Position>,
    ) -> Decided<Position> {
        let Command::Validate(trade) = command else { return decided };
        if !self.0.strike(&trade.trade_id) {
            return decided;
        }
        changed::<Position>(decided, |decision| {
            let late = TradeRejected {
                trade: Some(trade.clone()),
                by: Position::NAME.to_owned(),
                reason: RejectReason::Oversell.into(),
                detail: "counted later".to_owned(),
            };
            let has_answer = !decision.messages.is_empty();
            let seller = &trade.seller_account_id;
            if has_answer {
                decision.publish(account(seller), seller, &trade.trade_date, late)
            } else {
                decision
            }
        })
    }
}

/// Takes events of some kind out of a decision about a trade that is struck.
fn without(odds: Odds, decided: Decided<Position>, gone: fn(&Event) -> Option<&str>) -> Decided<Position> {
    changed::<Position>(decided, |mut decision| {
        decision.events.retain(|(_, event)| !gone(event).is_some_and(|trade| odds.strike(trade)));
        decision
    })
}

struct BuyersLegForgotten(Odds);

impl Rule<Position> for BuyersLegForgotten {
    fn decides(&self, _: &Command, _: &Sight<Position>, decided: Decided<Position>) -> Decided<Position> {
        without(self.0, decided, |event| match event {
            Event::Expected(leg) => leg.trade.as_ref().map(|trade| trade.trade_id.as_str()),
            _ => None,
        })
    }
}

/// Takes the shares from the seller, and gives them to nobody.
struct ReceiptForgotten(Odds);

impl Rule<Position> for ReceiptForgotten {
    fn decides(&self, _: &Command, _: &Sight<Position>, decided: Decided<Position>) -> Decided<Position> {
        without(self.0, decided, |event| match event {
            Event::Received(step) => Some(&step.trade_id),
            _ => None,
        })
    }
}

/// Delivers half of the shares, which were paid in full.
struct HalfDelivered(Odds);

impl Rule<Position> for HalfDelivered {
    fn decides(&self, _: &Command, _: &Sight<Position>, decided: Decided<Position>) -> Decided<Position> {
        changed::<Position>(decided, |mut decision| {
            for (_, event) in &mut decision.events {
                if let Event::Delivered(step) | Event::Received(step) = event
                    && self.0.strike(&step.trade_id)
                {
                    step.quantity /= 2;
                }
            }
            decision
        })
    }
}
