//! A trade's two obligations, which settle as one unit: its state, folded from the events of
//! `obligation/<trade>`.
//!
//! Called by the decisions in `steps`. What each answer of position and payment was is kept for ever, so
//! that a repeated answer and a contradictory one are told apart at any later time.

use std::collections::BTreeSet;

use contracts::events::settlement_stored::Event;
use contracts::events::{LegStep, SettlementInstruction, Trade};
use model::Date;

use crate::support::contract;

/// One of the payments of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leg {
    /// Buyer to CCP.
    Buyer,
    /// CCP to seller.
    Seller,
    /// CCP to buyer: the first payment comes back, for the trade has failed.
    Return,
}

/// Where a unit stands. The last two are final.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// For a batch to take it.
    #[default]
    Waiting,
    Blocking,
    /// The payment of a leg is under way, or is to be tried again.
    Paying(Leg),
    Delivering,
    Releasing,
    Settled,
    Failed,
}

/// What position or payment said of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    Blocked,
    BlockRefused,
    Released,
    /// To an account: both parties' are needed.
    Delivered(String),
    Paid(Leg),
    PaymentRefused(Leg),
}

#[derive(Clone, Debug, Default)]
pub struct Unit {
    pub trade: Trade,
    pub amount: String,
    /// The settlement date that clearing gave it.
    pub original_date: Date,
    /// The first settlement date whose batch may take it.
    pub due: Date,
    pub carries: u32,
    pub phase: Phase,
    /// Counts the batches that tried it.
    pub attempt: u32,
    /// The settlement date whose batch tries it.
    pub batch: Date,
    /// Why the present attempt fails, and whether the trade does.
    pub failing: Option<(String, bool)>,
    /// Attempts at payments that were instructed, seller's aside: they are in a stream of their own.
    instructed: BTreeSet<(Leg, u32)>,
    answers: BTreeSet<(Answer, u32)>,
    breaks: BTreeSet<String>,
}

impl Leg {
    pub fn name(self) -> &'static str {
        match self {
            Self::Buyer => "buyer",
            Self::Seller => "seller",
            Self::Return => "return",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        [Self::Buyer, Self::Seller, Self::Return].into_iter().find(|leg| leg.name() == name)
    }

    /// `<trade>/<leg>`, as contracts name it.
    pub fn id(self, trade: &str) -> String {
        format!("{trade}/{}", self.name())
    }

    /// Trade and leg of such an id.
    pub fn of_id(id: &str) -> Option<(&str, Self)> {
        let (trade, leg) = id.rsplit_once('/')?;
        Some((trade, Self::named(leg)?))
    }
}

impl Answer {
    /// As it is told in a reconciliation break.
    pub fn describe(&self) -> String {
        match self {
            Self::Blocked => "blocked".to_owned(),
            Self::BlockRefused => "block refused".to_owned(),
            Self::Released => "released".to_owned(),
            Self::Delivered(account) => format!("delivered {account}"),
            Self::Paid(leg) => format!("{} payment confirmed", leg.name()),
            Self::PaymentRefused(leg) => format!("{} payment refused", leg.name()),
        }
    }
}

impl Unit {
    pub fn instructed(instruction: &SettlementInstruction) -> Self {
        let date = contract::date(&instruction.settlement_date);
        Self {
            trade: contract::trade(&instruction.trade).clone(),
            amount: instruction.amount.clone(),
            original_date: date,
            due: date,
            ..Self::default()
        }
    }

    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Settled | Phase::Failed)
    }

    /// Whether this very answer was heard before.
    pub fn knows(&self, answer: &Answer, attempt: u32) -> bool {
        self.answers.contains(&(answer.clone(), attempt))
    }

    pub fn knows_break(&self, subject: &str) -> bool {
        self.breaks.contains(subject)
    }

    /// Whether the unit waits for this answer. `payouts` counts the instructed attempts to pay the seller.
    pub fn expects(&self, answer: &Answer, attempt: u32, payouts: u32) -> bool {
        match answer {
            Answer::Blocked | Answer::BlockRefused => {
                self.phase == Phase::Blocking && attempt == self.attempt
            }
            Answer::Released => self.phase == Phase::Releasing && attempt == self.attempt,
            Answer::Delivered(account) => {
                let party = [&self.trade.buyer_account_id, &self.trade.seller_account_id].contains(&account);
                self.phase == Phase::Delivering && attempt == self.attempt && party
            }
            Answer::Paid(leg) | Answer::PaymentRefused(leg) => {
                self.phase == Phase::Paying(*leg)
                    && attempt == self.refusals(*leg) + 1
                    && attempt == self.instructions(*leg, payouts)
            }
        }
    }

    /// How many attempts at a payment were instructed.
    pub fn instructions(&self, leg: Leg, payouts: u32) -> u32 {
        match leg {
            Leg::Seller => payouts,
            _ => count(self.instructed.iter().filter(|(instructed, _)| *instructed == leg)),
        }
    }

    /// How many of them were refused.
    pub fn refusals(&self, leg: Leg) -> u32 {
        count(self.answers.iter().filter(|(answer, _)| *answer == Answer::PaymentRefused(leg)))
    }

    /// Whether the buyer's cash is at the CCP.
    pub fn holds_cash(&self) -> bool {
        let paid = |leg| self.answers.iter().any(|(answer, _)| *answer == Answer::Paid(leg));
        paid(Leg::Buyer) && !paid(Leg::Return)
    }

    /// How many of the two parties have their side of this attempt's delivery.
    pub fn deliveries(&self) -> usize {
        let delivered = |(answer, _): &&(Answer, u32)| matches!(answer, Answer::Delivered(_));
        self.answers.iter().filter(delivered).count()
    }

    /// The unit once the event has happened.
    pub fn after(&self, event: &Event) -> Self {
        let mut after = self.clone();
        after.apply(event);
        after
    }

    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::AttemptStarted(started) => {
                self.phase = Phase::Blocking;
                self.attempt = started.attempt;
                self.batch = contract::date(&started.batch);
                self.failing = None;
            }
            Event::SharesBlocked(step) => self.heard(Answer::Blocked, step.attempt),
            Event::BlockRefused(step) => self.heard(Answer::BlockRefused, step.attempt),
            Event::PaymentInstructed(step) => {
                let leg = leg_of(step);
                self.phase = Phase::Paying(leg);
                self.instructed.insert((leg, step.attempt));
            }
            Event::BuyerPaid(step) => {
                self.heard(Answer::Paid(Leg::Buyer), step.attempt);
                self.phase = Phase::Paying(Leg::Seller);
            }
            Event::SellerPaid(step) => self.heard(Answer::Paid(Leg::Seller), step.attempt),
            Event::Returned(step) => self.heard(Answer::Paid(Leg::Return), step.attempt),
            Event::PaymentRefused(step) => self.heard(Answer::PaymentRefused(leg_of(step)), step.attempt),
            Event::DeliveryRequested(_) => self.phase = Phase::Delivering,
            Event::AccountDelivered(step) => {
                self.heard(Answer::Delivered(step.account_id.clone()), step.attempt);
            }
            Event::ReleaseRequested(step) => {
                self.phase = Phase::Releasing;
                self.failing = Some((step.reason.clone(), step.r#final));
            }
            Event::Released(step) => self.heard(Answer::Released, step.attempt),
            Event::Carried(carried) => {
                self.phase = Phase::Waiting;
                self.due = contract::date(&carried.to);
                self.carries = carried.carries;
            }
            Event::Settled(_) => self.phase = Phase::Settled,
            Event::Failed(_) => self.phase = Phase::Failed,
            Event::BreakOpened(opened) => {
                self.breaks.insert(opened.subject.clone());
            }
            Event::Instructed(_)
            | Event::SealReceived(_)
            | Event::BatchStarted(_)
            | Event::BatchClosed(_)
            | Event::DateOpened(_) => panic!("not an event of a unit: {event:?}"),
        }
    }

    fn heard(&mut self, answer: Answer, attempt: u32) {
        self.answers.insert((answer, attempt));
    }
}

fn leg_of(step: &LegStep) -> Leg {
    let (_, leg) = Leg::of_id(&step.leg_id).expect("this service names the legs it stores");
    leg
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).expect("attempts take minutes: no unit has 2^32 of them")
}
