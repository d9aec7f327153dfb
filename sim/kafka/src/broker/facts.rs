//! Facts about what can be read.

use std::collections::BTreeSet;

use super::leading::marker_of;
use super::state_topics::Outcome;
use super::{Broker, Output};
use crate::cluster::{CONSUMER_OFFSETS, TRANSACTION_STATE, TopicPartition};
use crate::records::BatchHeader;
use crate::replica::Role;

impl Broker {
    /// Tells what `read_committed` readers may read since the last time: no markers, nothing that was aborted. The
    /// coordinators' own topics are nobody's business.
    pub(super) fn tell_visible(&mut self, at: &TopicPartition, outputs: &mut Vec<Output>) {
        match at.topic.as_str() {
            CONSUMER_OFFSETS => return self.note_markers(at),
            TRANSACTION_STATE => return,
            _ => {}
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

    /// The group coordinator hears of transactions that have ended in its topic.
    fn note_markers(&mut self, at: &TopicPartition) {
        let Ok((_, replica)) = self.led_mut(&at.topic, at.partition) else { return };
        let high_watermark = replica.high_watermark;
        let Role::Leader(leading) = &mut replica.role else { return };
        let told = std::mem::replace(&mut leading.told, high_watermark);
        let mut markers = Vec::new();
        for batch in replica.log.batches_from(told).take_while(|batch| batch.last_offset < high_watermark) {
            let header = BatchHeader::read(&batch.bytes).expect("stored batches were validated");
            let Some(marker) = marker_of(&header, &batch.bytes) else { continue };
            markers.push(Outcome::Marker {
                partition: at.partition,
                producer_id: header.producer_id,
                producer_epoch: header.producer_epoch,
                commit: marker.commit,
            });
        }
        markers.into_iter().for_each(|marker| self.state_topics.push(marker));
    }
}
