//! Notification's rules, done wrong.

use contracts::Message;
use contracts::events::NoticeDelivered;
use contracts::events::notification_stored::Event;
use contracts::events::settlement_failed::Outcome;
use scenario::Sabotage;
use services::notification::{Command, Notification};

use super::{Sabotable, changed};
use crate::sabotage::Odds;
use crate::sabotage::service::{Decided, Rule, Sight};

impl Sabotable for Notification {
    fn rule(habit: &Sabotage, odds: &Odds) -> Option<Box<dyn Rule<Self>>> {
        Some(match habit.habit.as_str() {
            "carried-told-as-failed" => Box::new(CarriedToldAsFailed(odds.of(habit))),
            "notice-filed-unsent" => Box::new(NoticeFiledUnsent(odds.of(habit))),
            _ => return None,
        })
    }
}

/// Tells of every failed attempt as if it were the last one.
struct CarriedToldAsFailed(Odds);

impl Rule<Notification> for CarriedToldAsFailed {
    fn hears(&self, message: Message) -> Option<Message> {
        Some(match message {
            Message::SettlementFailed(mut failed)
                if failed.trade.as_ref().is_some_and(|trade| self.0.strike(&trade.trade_id)) =>
            {
                failed.outcome = Some(Outcome::Final(true));
                failed.into()
            }
            other => other,
        })
    }
}

/// Files a notice as delivered when it is due.
struct NoticeFiledUnsent(Odds);

impl Rule<Notification> for NoticeFiledUnsent {
    fn decides(
        &self,
        _: &Command,
        _: &Sight<Notification>,
        decided: Decided<Notification>,
    ) -> Decided<Notification> {
        changed::<Notification>(decided, |mut decision| {
            let filed = decision.events.iter().filter_map(|(stream, event)| match event {
                Event::Due(due) if self.0.strike(&due.event_id) => {
                    let (event_id, channel) = (due.event_id.clone(), due.channel.clone());
                    Some((stream.clone(), Event::Delivered(NoticeDelivered { event_id, channel })))
                }
                _ => None,
            });
            let filed: Vec<_> = filed.collect();
            decision.events.extend(filed);
            decision
        })
    }
}
