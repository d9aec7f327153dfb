//! The producer id and its epoch: asked for once, and anew after an unknown outcome.

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::{Done, Identity, Producer, Profile, Slot};
use crate::client::{Link, LinkError};
use crate::records::BatchProducer;

impl<L: Link + ?Sized + 'static> Producer<L> {
    /// Asks for a producer id when there is none and something to send. A transactional one comes with
    /// `init_transactions`.
    pub(super) fn keep_identity(&mut self) {
        if !self.resolved.idempotent || self.transaction.is_some() || self.queued == 0 {
            return;
        }
        if self.is_draining && self.flights.is_empty() {
            self.is_draining = false;
            self.identity = None;
            self.start_batches_over();
        }
        let is_needed = self.identity.is_none() && !self.is_draining;
        if !is_needed || self.tasks.is_running(Slot::Identity) {
            return;
        }
        let (caller, config) = (self.caller.clone(), self.config.clone());
        let delay_ms = std::mem::take(&mut self.identity_delay_ms);
        self.tasks.start(Slot::Identity, async move {
            if delay_ms > 0 {
                caller.link.sleep_ms(delay_ms).await;
            }
            let request = InitProducerIdRequest::default()
                .with_transactional_id(None)
                .with_transaction_timeout_ms(i32::MAX)
                .with_producer_id(ProducerId(-1))
                .with_producer_epoch(-1);
            Done::Identity(
                caller.call_any(&config.bootstrap_servers, request, config.request_timeout_ms).await,
            )
        });
    }

    pub(super) fn identity_answered(&mut self, result: Result<InitProducerIdResponse, LinkError>) {
        match result {
            Ok(response) if response.error_code == 0 => {
                let (producer_id, producer_epoch) = (response.producer_id.0, response.producer_epoch);
                self.identity = Some(Identity { producer_id, producer_epoch });
                self.identity_backoff.reset();
            }
            _ => self.identity_delay_ms = self.identity_backoff.next(),
        }
    }

    /// A sequence has a gap, or its end is not known: what follows needs a new epoch. Leaders refuse what is still under
    /// way from the old one once they saw the new.
    pub(super) fn bump_epoch(&mut self) {
        if !self.resolved.idempotent {
            return;
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.needs_bump = true;
            return;
        }
        if self.config.profile == Profile::Librdkafka {
            self.is_draining = true;
            return;
        }
        self.identity = self.identity.and_then(|identity| {
            let producer_epoch = identity.producer_epoch.checked_add(1)?;
            Some(Identity { producer_epoch, ..identity })
        });
    }

    /// The batch was sent under the identity that counts now.
    pub(super) fn is_current(&self, batch: &super::lane::Batch) -> bool {
        let is_ours = |producer: BatchProducer| {
            self.identity.is_some_and(|identity| {
                identity.producer_id == producer.producer_id
                    && identity.producer_epoch == producer.producer_epoch
            })
        };
        batch.producer().is_some_and(is_ours)
    }

    /// What was certainly not written goes out under the next identity.
    pub(super) fn start_batches_over(&mut self) {
        let waiting = self.lanes.values_mut().flat_map(|lane| &mut lane.waiting);
        waiting.filter(|batch| !batch.maybe_written).for_each(super::lane::Batch::start_over);
    }
}
