//! Clearing's rules, done wrong.

use std::cell::RefCell;
use std::collections::BTreeMap;

use contracts::Message;
use contracts::events::TradeValidated;
use contracts::events::clearing_stored::Event;
use host::ports::store::Value;
use host::{LookupResult, RowChange};
use model::{Calendar, Date};
use scenario::Sabotage;
use services::clearing::{ANSWERS, Clearing, Command};

use super::{Sabotable, changed};
use crate::sabotage::Odds;
use crate::sabotage::service::{Decided, Rule, Sight};

impl Sabotable for Clearing {
    fn rule(habit: &Sabotage, odds: &Odds) -> Option<Box<dyn Rule<Self>>> {
        Some(match habit.habit.as_str() {
            "settles-on-calendar-days" => Box::new(SettlesOn(next_day)),
            "settles-on-exchange-days" => Box::new(SettlesOn(next_session)),
            "rejections-cleared" => Box::new(RejectionsCleared(odds.of(habit))),
            "seal-uncounted" => Box::new(SealUncounted::default()),
            _ => return None,
        })
    }
}

fn next_day(trade_date: Date) -> Date {
    trade_date.tomorrow().expect("a run ends before time does")
}

/// The exchange is open on days on which nothing settles.
fn next_session(trade_date: Date) -> Date {
    Calendar::xnys().next_session_after(trade_date).expect("a run ends before the calendar does")
}

/// Has a settlement date of its own for each trade date.
struct SettlesOn(fn(Date) -> Date);

impl SettlesOn {
    fn of(&self, trade_date: &str) -> String {
        (self.0)(trade_date.parse().expect("dates are stored as ISO 8601")).to_string()
    }

    fn event(&self, event: &mut Event) {
        match event {
            Event::Novated(novated) => {
                let trade_date = novated.trade.as_ref().map(|trade| trade.trade_date.clone());
                novated.settlement_date = self.of(&trade_date.unwrap_or_default());
            }
            Event::DateCleared(cleared) => cleared.settlement_date = self.of(&cleared.trade_date),
            Event::AnsweredRejected(_) | Event::DateSealed(_) => {}
        }
    }

    fn message(&self, message: &mut Message, trade_date: &str) {
        match message {
            Message::TradeNovated(told) => told.settlement_date = self.of(trade_date),
            Message::SettlementInstruction(told) => told.settlement_date = self.of(trade_date),
            Message::TradeDateCleared(told) => told.settlement_date = self.of(trade_date),
            _ => {}
        }
    }
}

impl Rule<Clearing> for SettlesOn {
    fn decides(&self, _: &Command, _: &Sight<Clearing>, decided: Decided<Clearing>) -> Decided<Clearing> {
        changed::<Clearing>(decided, |mut decision| {
            decision.events.iter_mut().for_each(|(_, event)| self.event(event));
            for told in &mut decision.messages {
                self.message(&mut told.message, &told.trade_date);
            }
            for change in &mut decision.rows {
                let (date, settles) = (ANSWERS.column("trade_date"), ANSWERS.column("settlement_date"));
                if let RowChange::Put { row, .. } = change
                    && row[settles] != Value::Null
                {
                    row[settles] = self.of(row[date].as_text()).as_str().into();
                }
            }
            decision
        })
    }
}

/// Takes a refusal for any other answer of position.
struct RejectionsCleared(Odds);

impl Rule<Clearing> for RejectionsCleared {
    fn hears(&self, message: Message) -> Option<Message> {
        Some(match message {
            Message::TradeRejected(rejected)
                if rejected.by == "position"
                    && rejected.trade.as_ref().is_some_and(|trade| self.0.strike(&trade.trade_id)) =>
            {
                TradeValidated { trade: rejected.trade }.into()
            }
            other => other,
        })
    }
}

/// Says that a trade date is cleared as soon as it is sealed, whatever is still unanswered.
#[derive(Default)]
struct SealUncounted {
    accepted: RefCell<BTreeMap<Date, u64>>,
}

impl Rule<Clearing> for SealUncounted {
    fn sees(&self, command: &Command, sight: &mut Sight<Clearing>) {
        if let Command::Clear(date) = command
            && let Some(accepted) = self.accepted.borrow().get(date)
        {
            sight.lookups[0] = LookupResult::Count(*accepted);
        }
    }

    fn decides(
        &self,
        command: &Command,
        _: &Sight<Clearing>,
        decided: Decided<Clearing>,
    ) -> Decided<Clearing> {
        if let Command::Seal(sealed) = command {
            let date = sealed.trade_date.parse().expect("dates are written as ISO 8601");
            self.accepted.borrow_mut().insert(date, sealed.accepted);
        }
        decided
    }
}
