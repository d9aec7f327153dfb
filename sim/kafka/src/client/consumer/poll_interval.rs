//! `max.poll.interval.ms`: a member that heartbeats but is not polled gives its partitions up.
//!
//! Heartbeats go on while the host works only if it drives the consumer meanwhile. So the interval ends in two
//! ways: while driven, at its time; otherwise at the next poll, when the group has let it go already.

use kafka_protocol::messages::leave_group_response::LeaveGroupResponse;

use super::{Consumer, ConsumerError, ConsumerEvent, Done, Phase, Slot};
use crate::client::Link;

impl<L: Link + ?Sized + 'static> Consumer<L> {
    /// Keeps membership and fetches going without taking anything over: for a host that is busy with what it was
    /// given. Never ends. Cancel-safe. Does not count as a poll.
    pub async fn drive(&mut self) {
        loop {
            self.advance();
            self.keep_poll_timer();
            let done = self.tasks.next().await;
            self.conclude(done);
        }
    }

    /// In a generation, or to join the next one once the host has seen what it gives up.
    fn is_member(&self) -> bool {
        matches!(self.phase, Phase::Stable | Phase::Rejoining) && self.generation >= 0
    }

    fn keep_poll_timer(&mut self) {
        let Some(polled_at) = self.polled_at.filter(|_| self.is_member()) else { return };
        if self.tasks.is_running(Slot::PollInterval) {
            return;
        }
        let due = polled_at + i64::from(self.config.max_poll_interval_ms);
        let (caller, ms) = (self.caller.clone(), (due - self.caller.link.now_ms()).max(0));
        self.tasks.start(Slot::PollInterval, async move {
            caller.link.sleep_ms(ms).await;
            Done::PollIntervalOver
        });
    }

    /// The host polls, or is still waiting in its poll.
    pub(super) fn polled(&mut self) {
        self.tasks.cancel(Slot::PollInterval);
        let now = self.caller.link.now_ms();
        let is_over = self.polled_at.is_some_and(|at| now - at > i64::from(self.config.max_poll_interval_ms));
        if is_over {
            self.poll_interval_over();
        }
        self.polled_at = Some(now);
        self.is_away = false;
    }

    pub(super) fn still_polling(&mut self) {
        self.polled_at = Some(self.caller.link.now_ms());
    }

    /// Leaves the group, unless as a static member, which stays until its session ends.
    pub(super) fn poll_interval_over(&mut self) {
        if !self.is_member() {
            return;
        }
        self.events.push_back(ConsumerEvent::Error(ConsumerError::MaxPollExceeded));
        let goodbye = self.goodbye();
        self.lose_all();
        self.tasks.cancel(Slot::Membership);
        self.tasks.cancel(Slot::Heartbeat);
        self.phase = Phase::Outside;
        self.is_away = true;
        if let Some((coordinator, request)) = goodbye {
            let (caller, timeout_ms) = (self.caller.clone(), self.config.request_timeout_ms);
            self.tasks.start(Slot::Leave, async move {
                // Without an answer the session ends by itself.
                let _ = caller.call::<LeaveGroupResponse>(coordinator, request, timeout_ms).await;
                Done::Left
            });
        }
    }
}
