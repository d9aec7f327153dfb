//! Settlement's rules, done wrong.

use std::time::Duration;

use contracts::Message;
use contracts::events::settlement_stored::Event;
use contracts::events::{
    AttemptStep, DeliveryAction, DeliveryRequest, Failed, PaymentOutcome, Settled, SettlementCompleted, Trade,
};
use host::{LookupResult, StreamId, TimerChange};
use model::{Calendar, Date, Time, Timestamp};
use scenario::Sabotage;
use scenario::habits::AtHour;
use services::settlement::{BATCH_TIME, Command, Settlement, State};

use super::{Sabotable, changed};
use crate::sabotage::Odds;
use crate::sabotage::service::{Decided, Rule, Sight, earlier};

impl Sabotable for Settlement {
    fn rule(habit: &Sabotage, odds: &Odds) -> Option<Box<dyn Rule<Self>>> {
        let odds = |habit| odds.of(habit);
        Some(match habit.habit.as_str() {
            "delivered-before-paid" => Box::new(DeliveredBeforePaid(odds(habit))),
            "settled-when-paid" => Box::new(SettledWhenPaid(odds(habit))),
            "settled-per-account" => Box::new(SettledPerAccount(odds(habit))),
            "batch-by-utc" => Box::new(BatchEarly::AtHourOfUtc(habit.params::<AtHour>().hour)),
            "batch-day-after-day" => Box::new(BatchEarly::DayAfterDay),
            "batch-timer-per-arming" => Box::new(TimerPerArming),
            "batch-begun-again" => Box::new(BatchBegunAgain),
            "batch-closed-again" => Box::new(BatchClosedAgain),
            "carries-to-tomorrow" => Box::new(CarriesToTomorrow),
            "refusal-taken-for-payment" => Box::new(RefusalTakenForPayment(odds(habit))),
            "cash-kept" => Box::new(CashKept(odds(habit))),
            "seal-ignored" => Box::new(SealIgnored),
            _ => return None,
        })
    }
}

const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn is_obligation(stream: &StreamId) -> bool {
    stream.kind() == "obligation"
}

/// Has the shares delivered while the buyer's payment is on its way.
struct DeliveredBeforePaid(Odds);

impl Rule<Settlement> for DeliveredBeforePaid {
    fn decides(
        &self,
        _: &Command,
        sight: &Sight<Settlement>,
        decided: Decided<Settlement>,
    ) -> Decided<Settlement> {
        changed::<Settlement>(decided, |decision| {
            let blocked = decision.events.iter().find(|(_, event)| matches!(event, Event::SharesBlocked(_)));
            let Some((stream, State::Unit(unit))) =
                blocked.map(|(stream, _)| (stream.clone(), sight.state(stream)))
            else {
                return decision;
            };
            let trade = unit.trade.clone();
            if !self.0.strike(&trade.trade_id) {
                return decision;
            }
            let (seller, date) = (trade.seller_account_id.clone(), trade.trade_date.clone());
            let request = DeliveryRequest {
                action: DeliveryAction::Deliver.into(),
                trade: Some(trade),
                attempt: unit.attempt,
                r#final: false,
            };
            decision.publish(stream, seller, date, request)
        })
    }
}

/// Calls a trade settled once its seller is paid.
struct SettledWhenPaid(Odds);

impl Rule<Settlement> for SettledWhenPaid {
    fn decides(
        &self,
        _: &Command,
        sight: &Sight<Settlement>,
        decided: Decided<Settlement>,
    ) -> Decided<Settlement> {
        changed::<Settlement>(decided, |decision| {
            let paid = decision.events.iter().find(|(_, event)| matches!(event, Event::SellerPaid(_)));
            let Some((stream, State::Unit(unit))) =
                paid.map(|(stream, _)| (stream.clone(), sight.state(stream)))
            else {
                return decision;
            };
            if !self.0.strike(&unit.trade.trade_id) {
                return decision;
            }
            let batch = unit.batch.to_string();
            let completed = SettlementCompleted {
                trade: Some(unit.trade.clone()),
                amount: unit.amount.clone(),
                settled_on: batch.clone(),
            };
            let Trade { trade_id, trade_date, .. } = unit.trade.clone();
            decision
                .event(stream.clone(), Event::Settled(Settled { batch }))
                .publish(stream, trade_id, trade_date, completed)
        })
    }
}

/// Calls a trade settled at each account's delivery, so twice.
struct SettledPerAccount(Odds);

impl Rule<Settlement> for SettledPerAccount {
    /// A trade that was called settled still waits for the other account.
    fn sees(&self, _: &Command, sight: &mut Sight<Settlement>) {
        let units = sight.states.iter_mut().filter(|(stream, _)| is_obligation(stream));
        for (_, state) in units {
            if let State::Unit(unit) = state
                && unit.is_over()
                && unit.deliveries() == 1
            {
                unit.apply(&Event::DeliveryRequested(AttemptStep::default()));
            }
        }
    }

    fn decides(
        &self,
        _: &Command,
        sight: &Sight<Settlement>,
        decided: Decided<Settlement>,
    ) -> Decided<Settlement> {
        changed::<Settlement>(decided, |decision| {
            let is = |wanted: fn(&Event) -> bool| decision.events.iter().find(|(_, event)| wanted(event));
            let delivered = is(|event| matches!(event, Event::AccountDelivered(_)));
            if is(|event| matches!(event, Event::Settled(_))).is_some() {
                return decision;
            }
            let Some((stream, State::Unit(unit))) =
                delivered.map(|(stream, _)| (stream.clone(), sight.state(stream)))
            else {
                return decision;
            };
            let settled = Event::Settled(Settled { batch: unit.batch.to_string() });
            if self.0.strike(&unit.trade.trade_id) { decision.event(stream, settled) } else { decision }
        })
    }
}

/// Starts a batch when it should not: at another instant than 18:00 where the venue is.
enum BatchEarly {
    AtHourOfUtc(i8),
    /// As many times 24 hours after the last batch as there are days in between.
    DayAfterDay,
}

fn opens_at(date: Date) -> Timestamp {
    Calendar::xnys().local_instant(date, BATCH_TIME).expect("a date of the calendar")
}

fn settlement_day_before(date: Date) -> Date {
    let mut earlier = std::iter::successors(date.yesterday().ok(), |date| date.yesterday().ok());
    earlier.find(|date| Calendar::xnys().is_settlement_day(*date)).expect("a run starts within the calendar")
}

impl BatchEarly {
    fn starts_at(&self, date: Date) -> Timestamp {
        match self {
            Self::AtHourOfUtc(hour) => {
                let starts = date.to_datetime(Time::constant(*hour, 0, 0, 0)).to_string() + "Z";
                starts.parse().expect("a date, a time and a zone make an instant")
            }
            Self::DayAfterDay => {
                let last = settlement_day_before(date);
                let days = last.until(date).expect("dates of one calendar").get_days();
                opens_at(last) + A_DAY * u32::try_from(days).expect("the last one is before")
            }
        }
    }

    /// How much earlier than it should the batch of a date starts.
    fn ahead(&self, date: Date) -> Duration {
        let ahead = opens_at(date).duration_since(self.starts_at(date));
        Duration::from_secs(u64::try_from(ahead.as_secs()).unwrap_or(0))
    }

    fn brings_forward(&self, timer: &mut TimerChange, now: Timestamp) {
        if let TimerChange::Arm { id, due } | TimerChange::ArmNoLater { id, due } = timer
            && let Some(date) = id.strip_prefix("batch/").and_then(|date| date.parse().ok())
        {
            *due = earlier(*due, self.ahead(date)).max(now);
        }
    }
}

impl Rule<Settlement> for BatchEarly {
    fn sees(&self, command: &Command, sight: &mut Sight<Settlement>) {
        if let Command::Start(date) = command {
            sight.database_time += self.ahead(*date);
        }
    }

    fn decides(
        &self,
        command: &Command,
        sight: &Sight<Settlement>,
        decided: Decided<Settlement>,
    ) -> Decided<Settlement> {
        changed::<Settlement>(decided, |mut decision| {
            let Command::Start(date) = command else {
                let now = sight.database_time;
                decision.timers.iter_mut().for_each(|timer| self.brings_forward(timer, now));
                return decision;
            };
            // It was decided at a time that is not yet.
            let ahead = self.ahead(*date);
            for timer in &mut decision.timers {
                if let TimerChange::Arm { due, .. } | TimerChange::ArmNoLater { due, .. } = timer {
                    *due = earlier(*due, ahead);
                }
            }
            for (_, event) in &mut decision.events {
                if let Event::BatchStarted(started) | Event::DateOpened(started) = event {
                    started.at_ms = earlier(sight.database_time, ahead).as_millisecond();
                }
            }
            decision
        })
    }
}

/// Gives each arming of a batch's timer an id of its own, and asks nothing but whether that timer has fired.
struct TimerPerArming;

impl Rule<Settlement> for TimerPerArming {
    fn fires<'a>(&self, id: &'a str) -> &'a str {
        id.split_once('#').map_or(id, |(id, _)| id)
    }

    fn sees(&self, command: &Command, sight: &mut Sight<Settlement>) {
        forget_batch(command, sight);
    }

    fn decides(
        &self,
        _: &Command,
        sight: &Sight<Settlement>,
        decided: Decided<Settlement>,
    ) -> Decided<Settlement> {
        changed::<Settlement>(decided, |mut decision| {
            for timer in &mut decision.timers {
                if let TimerChange::Arm { id, .. } | TimerChange::ArmNoLater { id, .. } = timer
                    && id.starts_with("batch/")
                {
                    *id = format!("{id}#{}", sight.database_time.as_millisecond());
                }
            }
            decision
        })
    }
}

fn batch_stream(date: Date) -> StreamId {
    StreamId::new("settlement", date.to_string())
}

/// A start that does not ask whether the batch has started.
fn forget_batch(command: &Command, sight: &mut Sight<Settlement>) {
    if let Command::Start(date) = command {
        sight.states.remove(&batch_stream(*date));
    }
}

/// How much later the scheduler fires again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Arms the timer that led to a decision once more.
fn fires_again(
    decided: Decided<Settlement>,
    sight: &Sight<Settlement>,
    timer: String,
) -> Decided<Settlement> {
    changed::<Settlement>(decided, |decision| match decision.events.is_empty() {
        true => decision,
        false => decision.arm(timer, sight.database_time + AGAIN_AFTER),
    })
}

/// A scheduler that fires twice, and a start that does not ask.
struct BatchBegunAgain;

impl Rule<Settlement> for BatchBegunAgain {
    fn sees(&self, command: &Command, sight: &mut Sight<Settlement>) {
        forget_batch(command, sight);
    }

    fn decides(
        &self,
        command: &Command,
        sight: &Sight<Settlement>,
        decided: Decided<Settlement>,
    ) -> Decided<Settlement> {
        let Command::Start(date) = command else { return decided };
        fires_again(decided, sight, format!("batch/{date}"))
    }
}

/// Closes a batch that is closed.
struct BatchClosedAgain;

impl Rule<Settlement> for BatchClosedAgain {
    fn sees(&self, command: &Command, sight: &mut Sight<Settlement>) {
        if let Command::Close(date) = command
            && let Some(State::Batch { closed, .. }) = sight.states.get_mut(&batch_stream(*date))
        {
            *closed = false;
        }
    }

    fn decides(
        &self,
        command: &Command,
        sight: &Sight<Settlement>,
        decided: Decided<Settlement>,
    ) -> Decided<Settlement> {
        let Command::Close(date) = command else { return decided };
        fires_again(decided, sight, format!("close/{date}"))
    }
}

/// Carries what has failed to the next day, open or not.
struct CarriesToTomorrow;

impl Rule<Settlement> for CarriesToTomorrow {
    fn decides(
        &self,
        _: &Command,
        _: &Sight<Settlement>,
        decided: Decided<Settlement>,
    ) -> Decided<Settlement> {
        changed::<Settlement>(decided, |mut decision| {
            for (_, event) in &mut decision.events {
                if let Event::Carried(carried) = event {
                    let from: Date = carried.from.parse().expect("dates are stored as ISO 8601");
                    carried.to = from.tomorrow().expect("a run ends before time does").to_string();
                }
            }
            decision
        })
    }
}

/// Takes the bank's refusal of a payment for its execution.
struct RefusalTakenForPayment(Odds);

impl Rule<Settlement> for RefusalTakenForPayment {
    fn hears(&self, message: Message) -> Option<Message> {
        Some(match message {
            Message::PaymentEvent(mut told)
                if told.outcome() == PaymentOutcome::Refused && self.0.strike(&told.leg_id) =>
            {
                told.outcome = PaymentOutcome::Confirmed.into();
                told.into()
            }
            other => other,
        })
    }
}

/// Lets a trade fail without returning what its buyer has paid.
struct CashKept(Odds);

impl Rule<Settlement> for CashKept {
    fn decides(
        &self,
        _: &Command,
        sight: &Sight<Settlement>,
        decided: Decided<Settlement>,
    ) -> Decided<Settlement> {
        changed::<Settlement>(decided, |mut decision| {
            let returns = |event: &Event| matches!(event, Event::PaymentInstructed(leg) if leg.leg_id.ends_with("/return"));
            let found = decision.events.iter().find(|(_, event)| returns(event));
            let Some((stream, State::Unit(unit))) =
                found.map(|(stream, _)| (stream.clone(), sight.state(stream)))
            else {
                return decision;
            };
            if !self.0.strike(&unit.trade.trade_id) {
                return decision;
            }
            let (batch, reason) = (unit.batch.to_string(), "the seller could not be paid".to_owned());
            decision.events.retain(|(_, event)| !returns(event));
            decision.messages.retain(|told| !matches!(told.message, Message::PaymentInstruction(_)));
            decision.event(stream, Event::Failed(Failed { batch, reason }))
        })
    }
}

/// Starts a batch with the instructions that are there, however many the trade dates have given.
struct SealIgnored;

impl Rule<Settlement> for SealIgnored {
    fn sees(&self, command: &Command, sight: &mut Sight<Settlement>) {
        let Command::Start(date) = command else { return };
        let Some(LookupResult::Count(here)) = sight.lookups.first() else { return };
        let trade_dates = Calendar::xnys().trade_dates_settling_on(*date);
        let mut left = *here;
        let seals = trade_dates.iter().map(|trade_date| (*trade_date, std::mem::take(&mut left))).collect();
        sight.states.insert(StreamId::new("seals", date.to_string()), State::Seals(seals));
    }
}
