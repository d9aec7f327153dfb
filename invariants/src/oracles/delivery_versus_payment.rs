//! Shares and cash change hands together, in full: no delivery before both payments, no payment kept without a
//! delivery, all the shares for all the cash.
//!
//! Why it can break: the shares are at position and the cash is at the bank, so no transaction holds both. A
//! request to deliver that outruns the second payment, or a final failure that forgets to return the first
//! one, leaves one side with both; a partial delivery is paid in full. Executions are the bank's; whose they are is known from payment's
//! confirmations.

use std::collections::BTreeMap;

use contracts::events::{Trade, payment_stored, position_stored, settlement_stored};
use rust_decimal::Decimal;

use crate::book::{amount, entry};
use crate::fact::BankKind;
use crate::read::{payment, position, settlement, subject};
use crate::{Fact, FactKind, Invariant, Record, Verdict, Violation};

#[derive(Clone, Default)]
pub struct DeliveryVersusPayment {
    /// Never forgotten: a return may come late.
    trades: BTreeMap<String, Exchange>,
    /// Executed by the bank, for a leg that nobody has named yet.
    executed: BTreeMap<String, Execution>,
}

#[derive(Clone, Copy)]
struct Execution {
    amount: Decimal,
    at: u64,
}

/// What was agreed.
#[derive(Clone, Copy)]
struct Terms {
    shares: u64,
    cash: Decimal,
}

impl Terms {
    fn of(trade: &Trade) -> Option<Self> {
        let cash = amount(&trade.price)?.checked_mul(trade.quantity.into())?;
        Some(Self { shares: trade.quantity, cash })
    }
}

/// Where each of these happened to a trade.
#[derive(Clone, Default)]
struct Exchange {
    buyer_paid: Option<u64>,
    seller_paid: Option<u64>,
    returned: Option<u64>,
    delivered: Option<u64>,
    failed: Option<u64>,
    /// As position has reserved; known before anything moves.
    terms: Option<Terms>,
}

impl Exchange {
    fn violation(&self, trade: &str, why: &str) -> Violation {
        let ends = [self.buyer_paid, self.seller_paid, self.returned, self.delivered, self.failed];
        let mut seen: Vec<u64> = ends.into_iter().flatten().collect();
        seen.sort_unstable();
        seen.dedup();
        Violation::new(format!("trade {trade} {why}")).about([trade]).seen_at(seen)
    }

    /// What must hold at every moment.
    fn so_far(&self) -> Result<(), &'static str> {
        let paid = self.buyer_paid.is_some() && self.seller_paid.is_some();
        if self.delivered.is_some() && self.returned.is_some() {
            Err("has delivered its shares and got its cash back")
        } else if self.delivered.is_some() && !paid {
            Err("delivered its shares before both payments were executed")
        } else if self.failed.is_some() && self.delivered.is_some() {
            Err("failed after it had delivered its shares")
        } else if self.failed.is_some() && self.seller_paid.is_some() {
            Err("failed after its seller had been paid")
        } else if self.failed.is_some() && self.buyer_paid.is_some() && self.returned.is_none() {
            Err("failed without returning the buyer's cash")
        } else {
            Ok(())
        }
    }

    /// What must hold in the end.
    fn at_rest(&self) -> Result<(), &'static str> {
        let kept = self.buyer_paid.is_some() && self.returned.is_none();
        if self.delivered.is_none() && (kept || self.seller_paid.is_some()) {
            return Err("was paid for and never delivered");
        }
        if self.returned.is_some() && self.buyer_paid.is_none() {
            return Err("had cash returned that nobody had paid");
        }
        self.so_far()
    }
}

impl DeliveryVersusPayment {
    fn happened(
        &mut self,
        trade: &str,
        at: u64,
        what: fn(&mut Exchange) -> &mut Option<u64>,
    ) -> Result<(), Violation> {
        let exchange = entry(&mut self.trades, trade);
        what(exchange).get_or_insert(at);
        exchange.so_far().map_err(|why| exchange.violation(trade, why))
    }

    fn confirmed(&mut self, leg: &str, uetr: &str, at: u64) -> Result<(), Violation> {
        let Some(Execution { amount, at: executed_at }) = self.executed.remove(uetr) else { return Ok(()) };
        let Some((trade, side)) = leg.rsplit_once('/') else { return Ok(()) };
        let agreed = self.trades.get(trade).and_then(|exchange| exchange.terms);
        if let Some(Terms { cash, .. }) = agreed
            && cash != amount
        {
            let why = format!("trade {trade} is about {cash}, its {side} payment was {amount}");
            return Err(Violation::new(why).about([trade, uetr]).seen_at([executed_at, at]));
        }
        match side {
            "buyer" => self.happened(trade, executed_at, |exchange| &mut exchange.buyer_paid),
            "seller" => self.happened(trade, executed_at, |exchange| &mut exchange.seller_paid),
            "return" => self.happened(trade, executed_at, |exchange| &mut exchange.returned),
            _ => Ok(()),
        }
    }

    fn in_full(&self, trade: &str, shares: u64, at: u64) -> Result<(), Violation> {
        let exchange = self.trades.get(trade);
        match exchange.and_then(|exchange| exchange.terms) {
            Some(terms) if terms.shares != shares => {
                let why = format!("trade {trade} delivers {shares} of {} shares, paid in full", terms.shares);
                let paid = exchange.and_then(|exchange| exchange.seller_paid);
                Err(Violation::new(why).about([trade]).seen_at(paid.into_iter().chain([at])))
            }
            _ => Ok(()),
        }
    }

    fn told(&mut self, fact: &Fact, at: u64) -> Result<(), Violation> {
        for (row, event) in payment(fact) {
            if let payment_stored::Event::Confirmed(answer) = event {
                self.confirmed(subject(&row.stream), &answer.uetr, at)?;
            }
        }
        for (_, event) in position(fact) {
            use position_stored::Event::{Delivered, Received, Reserved};
            match event {
                Reserved(reserved) => {
                    if let Some(trade) = &reserved.trade {
                        entry(&mut self.trades, &trade.trade_id).terms = Terms::of(trade);
                    }
                }
                Delivered(step) | Received(step) => {
                    self.happened(&step.trade_id, at, |exchange| &mut exchange.delivered)?;
                    self.in_full(&step.trade_id, step.quantity, at)?;
                }
                _ => {}
            }
        }
        for (row, event) in settlement(fact) {
            if matches!(event, settlement_stored::Event::Failed(_)) {
                self.happened(subject(&row.stream), at, |exchange| &mut exchange.failed)?;
            }
        }
        Ok(())
    }
}

impl Invariant for DeliveryVersusPayment {
    fn name(&self) -> &'static str {
        "delivery_versus_payment"
    }

    fn about(&self) -> &'static str {
        "Shares are delivered, all of them, only after the bank has executed both payments, in full, and a \
         trade that fails has its cash returned. It breaks when a delivery outruns the second payment, or a final failure keeps \
         the first one."
    }

    fn needs(&self) -> &'static [FactKind] {
        &[FactKind::Bank, FactKind::Committed]
    }

    fn fork(&self) -> Option<Box<dyn Invariant>> {
        Some(Box::new(self.clone()))
    }

    fn observe(&mut self, record: &Record<'_>) -> Verdict {
        match record.fact {
            Fact::Bank(moved) if moved.kind == BankKind::Executed => {
                let amount = amount(&moved.amount).unwrap_or_default();
                self.executed.insert(moved.uetr.clone(), Execution { amount, at: record.sequence });
                Verdict::Holds
            }
            fact => self.told(fact, record.sequence).into(),
        }
    }

    fn at_rest(&mut self) -> Verdict {
        let judged = self.trades.iter().try_for_each(|(trade, exchange)| {
            exchange.at_rest().map_err(|why| exchange.violation(trade, why))
        });
        judged.into()
    }
}

#[cfg(test)]
mod tests {
    use contracts::events::PositionStep;

    use super::*;
    use crate::testing::{
        Commit, answer, bank, breaks, breaks_at_rest, confirmed, delivered, executed, failed, history, holds,
        paid, pays, step, validated,
    };

    fn buyer_paid() -> Vec<crate::testing::Told> {
        history![executed("U-1", "B", "CCP"), confirmed("T-1/buyer", "U-1")]
    }

    #[test]
    fn holds_when_both_or_none_are_final() {
        let mut told = paid("T-0");
        told.push(delivered("T-0").into());
        told.extend(buyer_paid());
        told.extend(history![executed("U-2", "CCP", "B"), confirmed("T-1/return", "U-2"), failed("T-1")]);
        holds(DeliveryVersusPayment::default(), told);
    }

    #[test]
    fn breaks_when_shares_move_before_the_second_payment() {
        let mut told = buyer_paid();
        told.push(delivered("T-1").into());
        breaks(DeliveryVersusPayment::default(), told, "before both payments were executed");
    }

    #[test]
    fn breaks_when_a_confirmation_is_made_up() {
        let mut told = buyer_paid();
        told.extend(history![confirmed("T-1/seller", "U-2"), delivered("T-1")]);
        breaks(DeliveryVersusPayment::default(), told, "before both payments were executed");
    }

    #[test]
    fn breaks_when_a_failure_keeps_the_cash() {
        let mut told = buyer_paid();
        told.push(failed("T-1").into());
        breaks(DeliveryVersusPayment::default(), told, "without returning the buyer's cash");
    }

    #[test]
    fn holds_when_a_payment_is_refused_and_made_again() {
        let refused = payment_stored::Event::Refused(answer("U-0"));
        let mut told = history![
            validated("T-1"),
            pays("T-1/buyer", "B", "CCP"),
            Commit::by("payment").event("payment/T-1/buyer", refused)
        ];
        told.extend(paid("T-1"));
        told.push(delivered("T-1").into());
        holds(DeliveryVersusPayment::default(), told);
    }

    #[test]
    fn breaks_when_a_partial_delivery_is_paid_in_full() {
        let nine = |event: fn(PositionStep) -> position_stored::Event| {
            event(PositionStep { quantity: 9, ..step("T-1") })
        };
        let mut told = history![validated("T-1")];
        told.extend(paid("T-1"));
        let partial = Commit::by("position")
            .event("account/S", nine(position_stored::Event::Delivered))
            .event("account/B", nine(position_stored::Event::Received));
        told.push(partial.into());
        breaks(DeliveryVersusPayment::default(), told, "delivers 9 of 10 shares, paid in full");
    }

    #[test]
    fn breaks_when_less_is_paid() {
        let less = bank(BankKind::Executed, "U-1", "B", "CCP", "24.00", "R-1");
        let told = history![validated("T-1"), less, confirmed("T-1/buyer", "U-1")];
        breaks(DeliveryVersusPayment::default(), told, "is about 25.00, its buyer payment was 24.00");
    }

    #[test]
    fn breaks_at_rest_when_shares_never_came() {
        breaks_at_rest(DeliveryVersusPayment::default(), paid("T-1"), "was paid for and never delivered");
    }
}
