//! Where a partition's log begins and ends, asked of its leader when the host wants to know.

use kafka_protocol::messages::list_offsets_response::ListOffsetsResponse;

use super::Consumer;
use super::fetching::{list_offsets, offset_of};
use crate::broker::{EARLIEST_TIMESTAMP, LATEST_TIMESTAMP};
use crate::client::Link;
use crate::cluster::TopicPartition;

impl<L: Link + ?Sized + 'static> Consumer<L> {
    /// The offsets of the first record and of the end; `None` where the leader is not known or does not answer.
    /// Polling, which keeps the membership alive, waits meanwhile.
    pub async fn bounds(&mut self, partition: &TopicPartition) -> Option<(i64, i64)> {
        let leader = self.metadata.leader(partition)?;
        let mut bounds = [0; 2];
        for (bound, timestamp) in bounds.iter_mut().zip([EARLIEST_TIMESTAMP, LATEST_TIMESTAMP]) {
            let request = list_offsets(std::slice::from_ref(partition), timestamp);
            let timeout_ms = self.config.request_timeout_ms;
            let answer = self.caller.call::<ListOffsetsResponse>(leader, request, timeout_ms).await;
            *bound = offset_of(&answer, partition).ok()?;
        }
        Some((bounds[0], bounds[1]))
    }
}
