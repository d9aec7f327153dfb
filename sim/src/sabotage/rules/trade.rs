//! Trade's rules, done wrong.

use contracts::events::TradeState;
use contracts::events::trade_stored::Event;
use scenario::Sabotage;
use services::trade::{Command, Trades};

use super::{Sabotable, changed};
use crate::sabotage::Odds;
use crate::sabotage::service::{Decided, Rule, Sight};

impl Sabotable for Trades {
    fn rule(habit: &Sabotage, odds: &Odds) -> Option<Box<dyn Rule<Self>>> {
        match habit.habit.as_str() {
            "last-news-wins" => Some(Box::new(LastNewsWins(odds.of(habit)))),
            "late-news-reopens" => Some(Box::new(LateNewsReopens(odds.of(habit)))),
            _ => None,
        }
    }
}

/// Takes each step for the state, whenever it comes.
struct LastNewsWins(Odds);

impl Rule<Trades> for LastNewsWins {
    fn decides(&self, _: &Command, _: &Sight<Trades>, decided: Decided<Trades>) -> Decided<Trades> {
        changed::<Trades>(decided, |mut decision| {
            for (stream, event) in &mut decision.events {
                if let Event::Advanced(advanced) = event
                    && advanced.step() != TradeState::Unspecified
                    && self.0.strike(stream.as_str())
                {
                    advanced.state = advanced.step;
                }
            }
            decision
        })
    }
}

/// Takes a step for the state where the trade had ended, and nowhere else.
struct LateNewsReopens(Odds);

fn has_ended(state: TradeState) -> bool {
    matches!(state, TradeState::Settled | TradeState::Rejected | TradeState::Failed)
}

impl Rule<Trades> for LateNewsReopens {
    fn decides(&self, _: &Command, sight: &Sight<Trades>, decided: Decided<Trades>) -> Decided<Trades> {
        changed::<Trades>(decided, |mut decision| {
            for (stream, event) in &mut decision.events {
                let ended = sight.state(stream).record().is_some_and(|record| has_ended(record.state));
                if let Event::Advanced(advanced) = event
                    && ended
                    && self.0.strike(stream.as_str())
                {
                    advanced.state = advanced.step;
                }
            }
            decision
        })
    }
}
