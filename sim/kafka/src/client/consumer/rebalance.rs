//! What a rebalance means for the partitions: given up all at once or one by one, lost, or taken on.

use super::membership::Committed;
use super::partition::Partition;
use super::{AutoOffsetReset, Consumer, ConsumerError, ConsumerEvent, Failure, Phase, Slot};
use crate::client::Link;
use crate::cluster::TopicPartition;
use kafka_protocol::ResponseError;

impl<L: Link + ?Sized + 'static> Consumer<L> {
    /// Joins the next generation. An eager member gives everything up first, and the host sees that; a cooperative one
    /// keeps what it has. On the way in it tries again after a pause, where Java would do so at once.
    pub(super) fn rejoin(&mut self) {
        if self.phase != Phase::Stable {
            return self.enter_again();
        }
        self.commit_before_rejoin();
        self.tasks.cancel(Slot::Membership);
        self.tasks.cancel(Slot::Heartbeat);
        if !self.is_cooperative {
            let revoked = self.drop_all();
            if !revoked.is_empty() {
                self.events.push_back(ConsumerEvent::Revoked(revoked));
            }
        }
        self.phase = Phase::Rejoining;
    }

    /// The group knows this member no more: its partitions are somebody else's.
    pub(super) fn rejoin_after_loss(&mut self) {
        let was_stable = self.phase == Phase::Stable;
        self.lose_all();
        if !was_stable {
            return self.enter_again();
        }
        self.tasks.cancel(Slot::Membership);
        self.tasks.cancel(Slot::Heartbeat);
        self.phase = Phase::Rejoining;
    }

    pub(super) fn lose_all(&mut self) {
        self.generation = -1;
        self.last_share.clear();
        self.must_rejoin = false;
        let lost = self.drop_all();
        if !lost.is_empty() {
            self.events.push_back(ConsumerEvent::Lost(lost));
        }
    }

    /// Partitions go, and with them everything fetched.
    pub(super) fn drop_all(&mut self) -> Vec<TopicPartition> {
        let dropped = std::mem::take(&mut self.partitions);
        self.ready.clear();
        self.shunned.clear();
        self.failing.clear();
        self.forget_reports();
        self.auto_commit.forget(|_| true);
        self.tasks.retain(|slot| !matches!(slot, Slot::Fetch(_)));
        self.sessions.values_mut().for_each(super::Session::start_over);
        for slot in [Slot::Reset, Slot::Validation, Slot::Metadata, Slot::MetadataAge, Slot::AutoCommit] {
            self.tasks.cancel(slot);
        }
        dropped.into_keys().collect()
    }

    /// The generation's share of this member.
    pub(super) fn given(&mut self, share: Vec<TopicPartition>) {
        self.last_share.clone_from(&share);
        if self.is_cooperative {
            let owned = self.partitions.keys();
            let revoked: Vec<TopicPartition> = owned.filter(|name| !share.contains(name)).cloned().collect();
            self.must_rejoin = !revoked.is_empty();
            self.revoke(revoked);
        }
        self.entering = share.into_iter().filter(|name| !self.partitions.contains_key(name)).collect();
        self.fetch_positions(0);
    }

    fn revoke(&mut self, revoked: Vec<TopicPartition>) {
        if revoked.is_empty() {
            return;
        }
        for name in &revoked {
            self.partitions.remove(name);
            self.restart_fetch(name);
            self.reported.remove(name);
            self.reporting.remove(name);
        }
        self.ready.retain(|name| !revoked.contains(name));
        self.auto_commit.forget(|name| revoked.contains(name));
        self.events.push_back(ConsumerEvent::IncrementallyRevoked(revoked));
    }

    /// The last step: the partitions are this member's.
    pub(super) fn positions(&mut self, result: Result<Committed, Failure>) {
        let committed = match result {
            Ok(committed) => committed,
            // A transaction of the owner before is not decided (KIP-447): its offsets are waited for.
            Err(Failure::Broker(ResponseError::UnstableOffsetCommit)) => {
                let delay_ms = self.group_backoff.next();
                return self.fetch_positions(delay_ms);
            }
            Err(Failure::Unanswered) => {
                self.coordinator = None;
                return self.enter_again();
            }
            Err(Failure::Broker(error)) => return self.refused(error),
        };
        self.phase = Phase::Stable;
        self.group_backoff.reset();
        self.entering.clear();
        let names: Vec<TopicPartition> = committed.keys().cloned().collect();
        if !self.is_cooperative {
            self.events.push_back(ConsumerEvent::Assigned(names));
        } else if !names.is_empty() {
            self.events.push_back(ConsumerEvent::IncrementallyAssigned(names));
        }
        for (name, (offset, epoch)) in committed {
            self.partitions.insert(name.clone(), Partition::at((offset >= 0).then_some(offset), epoch));
            if offset < 0 {
                self.begin_without_offset(name);
            }
        }
        if std::mem::take(&mut self.must_rejoin) {
            self.rejoin();
        }
    }

    fn begin_without_offset(&mut self, name: TopicPartition) {
        match self.config.auto_offset_reset {
            AutoOffsetReset::None => {
                let error = ConsumerError::NoOffsetForPartition(name);
                self.events.push_back(ConsumerEvent::Error(error));
            }
            AutoOffsetReset::Earliest | AutoOffsetReset::Latest => {
                if let Some(partition) = self.partitions.get_mut(&name) {
                    partition.needs_reset = true;
                }
            }
        }
    }
}
