//! Payment's rules, done wrong.

use host::NewEffect;
use scenario::Sabotage;
use serde_json::Value;
use services::payment::{Command, Payment};

use super::{Sabotable, changed};
use crate::sabotage::Odds;
use crate::sabotage::service::{Decided, Rule, Sight};

impl Sabotable for Payment {
    fn rule(habit: &Sabotage, odds: &Odds) -> Option<Box<dyn Rule<Self>>> {
        match habit.habit.as_str() {
            "ordered-twice" => Some(Box::new(OrderedTwice(odds.of(habit)))),
            _ => None,
        }
    }
}

/// Gives the bank each order under two UETRs, to be sure.
struct OrderedTwice(Odds);

impl OrderedTwice {
    /// The same order under another UETR; `None` for what is no order.
    fn again(effect: &NewEffect) -> Option<NewEffect> {
        let mut order: Value = serde_json::from_slice(&effect.payload).ok()?;
        let uetr = order.get_mut("terms")?.get_mut("uetr")?;
        *uetr = other_uetr(uetr.as_str()?).into();
        let payload = order.to_string().into();
        Some(NewEffect { id: format!("{}/again", effect.id), payload, ..effect.clone() })
    }
}

impl Rule<Payment> for OrderedTwice {
    fn decides(&self, _: &Command, _: &Sight<Payment>, decided: Decided<Payment>) -> Decided<Payment> {
        changed::<Payment>(decided, |mut decision| {
            let struck = decision.effects.iter().filter(|effect| self.0.strike(&effect.id));
            let again: Vec<NewEffect> = struck.filter_map(Self::again).collect();
            decision.effects.extend(again);
            decision
        })
    }
}

/// Another one of the same form.
pub fn other_uetr(uetr: &str) -> String {
    let digit = uetr.chars().next().and_then(|digit| digit.to_digit(16)).unwrap_or(0);
    let other = char::from_digit((digit + 1) % 16, 16).expect("below sixteen");
    std::iter::once(other).chain(uetr.chars().skip(1)).collect()
}
