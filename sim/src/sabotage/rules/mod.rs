//! Wrong business rules: those that any service can have are in `any`, the others in one file for each service.

mod any;
mod clearing;
mod ledger;
mod notification;
mod payment;
mod position;
mod settlement;
mod trade;

use host::{Decision, Service};
use scenario::Sabotage;
use services::reference_data::ReferenceData;

use super::Odds;
use super::service::{Decided, Rule};

/// A service that habits can be planted in.
pub trait Sabotable: Service + Sized {
    /// The rule of a habit that only this service can have; `None` where the habit is something else.
    fn rule(_habit: &Sabotage, _odds: &Odds) -> Option<Box<dyn Rule<Self>>> {
        None
    }
}

impl Sabotable for ReferenceData {}

/// The rule of a habit; `None` where the habit is no business rule.
pub fn planted<S: Sabotable>(habit: &Sabotage, odds: &Odds) -> Option<Box<dyn Rule<S>>> {
    any::rule(habit, odds).or_else(|| S::rule(habit, odds))
}

/// Changes what was decided, be it a refusal or not.
fn changed<S: Service>(
    decided: Decided<S>,
    change: impl FnOnce(Decision<S::Event>) -> Decision<S::Event>,
) -> Decided<S> {
    match decided {
        Ok(decision) => Ok(change(decision)),
        Err(mut reject) => {
            reject.decision = change(reject.decision);
            Err(reject)
        }
    }
}
