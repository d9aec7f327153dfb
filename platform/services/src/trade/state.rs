//! What the streams of the trade service add up to.

use std::collections::BTreeSet;

use contracts::events::trade_stored::Event;
use contracts::events::{RejectReason, Trade, TradeAdvanced, TradeRefused, TradeState, VenueSealed};
use model::{Currency, Date, Price};

use crate::support::contract;

/// The state of any stream of this service.
#[derive(Clone, Debug, Default)]
pub enum State {
    #[default]
    Absent,
    /// `trade/<id>`
    Trade(Box<Record>),
    /// `venue/<v>`
    Venue(Venue),
    /// `instrument/<id>`
    Instrument { tick: Price, currency: Currency },
    /// `account/<id>`
    Account,
}

/// A trade's life.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub trade: Trade,
    pub requested_trade_date: String,
    /// Reference data was missing when it was submitted, so it has its 202.
    pub waited: bool,
    pub accepted: bool,
    pub refused: Option<TradeRefused>,
    pub state: TradeState,
    pub settlement_date: String,
    /// Why it was rejected, carried or failed.
    pub reason: String,
    /// Steps that were filed, with their settlement dates: a carried trade is instructed more than once.
    filed: BTreeSet<(i32, String)>,
}

/// A venue's trade dates. The open one takes the trades.
#[derive(Clone, Debug, Default)]
pub struct Venue {
    pub open_trade_date: Option<Date>,
    /// Dates, from the open one on, that the venue has opened or closed.
    opened: BTreeSet<Date>,
    closed: BTreeSet<Date>,
}

impl State {
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Trade(record) => Some(record),
            _ => None,
        }
    }

    /// The venue; one without a trade date where nothing is known of it.
    pub fn venue(&self) -> Venue {
        match self {
            Self::Venue(venue) => venue.clone(),
            _ => Venue::default(),
        }
    }

    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::InstrumentListed(listed) => {
                *self = Self::Instrument {
                    tick: contract::price(&listed.tick),
                    currency: contract::currency(&listed.currency),
                };
            }
            Event::AccountOpened(_) => *self = Self::Account,
            Event::VenueOpened(_) | Event::VenueClosed(_) | Event::VenueSealed(_) => {
                let mut venue = self.venue();
                venue.apply(event);
                *self = Self::Venue(venue);
            }
            Event::Received(_) | Event::Accepted(_) | Event::Refused(_) | Event::Advanced(_) => {
                if self.is_absent() {
                    *self = Self::Trade(Box::default());
                }
                if let Self::Trade(record) = self {
                    record.apply(event);
                }
            }
        }
    }
}

impl Record {
    /// Accepted or refused: no longer waiting.
    pub fn is_decided(&self) -> bool {
        self.accepted || self.refused.is_some()
    }

    pub fn has_filed(&self, advanced: &TradeAdvanced) -> bool {
        self.filed.contains(&(advanced.step, advanced.settlement_date.clone()))
    }

    /// The furthest of all steps, terminal ones being final.
    pub fn state_after(&self, step: TradeState) -> TradeState {
        if is_terminal(self.state) { self.state } else { self.state.max(step) }
    }

    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Received(received) => {
                self.trade = contract::trade(&received.trade).clone();
                self.requested_trade_date.clone_from(&received.requested_trade_date);
                self.waited = received.waits_until_ms != 0;
                self.state = TradeState::Submitted;
            }
            Event::Accepted(accepted) => {
                self.accepted = true;
                self.trade.trade_date.clone_from(&accepted.trade_date);
                self.trade.currency.clone_from(&accepted.currency);
            }
            Event::Refused(refused) => {
                self.refused = Some(refused.clone());
                self.state = self.state_after(TradeState::Rejected);
                self.reason = format!("{}: {}", super::tables::reason_text(refused.reason()), refused.detail);
            }
            Event::Advanced(advanced) => {
                self.state = advanced.state();
                // A carried trade has a later date, and news of the earlier one may come after it.
                if advanced.settlement_date > self.settlement_date {
                    self.settlement_date.clone_from(&advanced.settlement_date);
                }
                if !advanced.reason.is_empty() {
                    self.reason.clone_from(&advanced.reason);
                }
                self.filed.insert((advanced.step, advanced.settlement_date.clone()));
            }
            _ => {}
        }
    }

    /// Whether a second submission under the same id says the same.
    pub fn is_same_submission(&self, trade: &Trade, requested_trade_date: &str) -> bool {
        let as_submitted = Trade { trade_date: String::new(), currency: String::new(), ..self.trade.clone() };
        as_submitted == *trade && self.requested_trade_date == requested_trade_date
    }

    /// The reason of a refusal that was the answer to its submission.
    pub fn refused_at_once(&self) -> Option<(RejectReason, &str)> {
        let refused = self.refused.as_ref().filter(|_| !self.waited)?;
        Some((refused.reason(), &refused.detail))
    }
}

impl Venue {
    pub fn has_opened(&self, date: Date) -> bool {
        self.opened.contains(&date)
    }

    pub fn has_closed(&self, date: Date) -> bool {
        self.closed.contains(&date)
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::VenueOpened(day) => {
                self.opened.insert(contract::date(&day.trade_date));
            }
            Event::VenueClosed(day) => {
                self.closed.insert(contract::date(&day.trade_date));
            }
            Event::VenueSealed(VenueSealed { next_trade_date, .. }) => {
                let next = contract::date(next_trade_date);
                self.open_trade_date = Some(next);
                self.opened.retain(|date| *date >= next);
                self.closed.retain(|date| *date >= next);
            }
            _ => {}
        }
    }
}

fn is_terminal(state: TradeState) -> bool {
    matches!(state, TradeState::Settled | TradeState::Rejected | TradeState::Failed)
}
