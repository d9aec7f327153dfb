//! What has come below the high watermark: facts about what can be read, and ends of transactions that a coordinator hears of.

use std::collections::BTreeSet;

use super::leading::marker_of;
use super::state_topics::{CoordinatorOf, Outcome};
use super::{Broker, Output};
use crate::cluster::TopicPartition;
use crate::records::BatchHeader;
use crate::replica::Role;

impl Broker {
    /// Tells what `read_committed` readers may read since the last time: no markers, nothing that was aborted. The
    /// coordinators' own topics are nobody's business.
    pub(super) fn tell_visible(&mut self, at: &TopicPartition, outputs: &mut Vec<Output>) {
        if CoordinatorOf::of_topic(&at.topic).is_some() {
            return;
        }
        let Ok((_, replica)) = self.led_mut(&at.topic, at.partition) else { return };
        let stable = replica.last_stable_offset();
        let Role::Leader(leading) = &mut replica.role else { return };
        let told = leading.told;
        if stable <= told {
            return;
        }
        leading.told = stable;
        let mut aborted = replica.producers.aborted(told, stable);
        let mut aborting = BTreeSet::new();
        for batch in replica.log.batches_from(told).take_while(|batch| batch.last_offset < stable) {
            let header = BatchHeader::read(&batch.bytes).expect("stored batches were validated");
            if header.is_control() {
                aborting.remove(&header.producer_id);
                continue;
            }
            if header.is_transactional() {
                aborted.retain(|(producer_id, first_offset)| {
                    let begun = *first_offset <= batch.base_offset;
                    if begun {
                        aborting.insert(*producer_id);
                    }
                    !begun
                });
                if aborting.contains(&header.producer_id) {
                    continue;
                }
            }
            outputs.push(Output::Visible {
                partition: at.clone(),
                base_offset: batch.base_offset,
                leader_epoch: header.leader_epoch,
                records: batch.bytes.clone(),
            });
        }
    }

    /// Transactions that have ended in a partition of the group coordinator, which has not heard of it: the markers between
    /// what it was told, or has read for itself, and the high watermark, with their offsets.
    pub(super) fn passed_markers(&mut self, at: &TopicPartition) -> Vec<(i64, Outcome)> {
        let Ok((_, replica)) = self.led_mut(&at.topic, at.partition) else { return Vec::new() };
        let high_watermark = replica.high_watermark;
        let Role::Leader(leading) = &mut replica.role else { return Vec::new() };
        let told = leading.told;
        leading.told = told.max(high_watermark);
        let mut markers = Vec::new();
        for batch in replica.log.batches_from(told).take_while(|batch| batch.last_offset < high_watermark) {
            let header = BatchHeader::read(&batch.bytes).expect("stored batches were validated");
            let Some(marker) = marker_of(&header, &batch.bytes) else { continue };
            let outcome = Outcome::Marker {
                partition: at.partition,
                producer_id: header.producer_id,
                producer_epoch: header.producer_epoch,
                commit: marker.commit,
            };
            markers.push((batch.base_offset, outcome));
        }
        markers
    }
}
