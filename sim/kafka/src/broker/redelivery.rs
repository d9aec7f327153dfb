//! Records that a consumer gets again: what a truncated log, or a rebalance with an old committed position, does.
//!
//! Called by the simulator's faults. Fakes the answer of a leader that sees a client's position diverge from its log
//! (KIP-320, KIP-595): the next `Fetch` of the client names a diverging epoch that ends earlier, and no records; the client
//! reads from there. Nothing is truncated: the same records come again.

use std::collections::BTreeMap;

use kafka_protocol::messages::FetchResponse;
use kafka_protocol::messages::fetch_response::{EpochEndOffset, FetchableTopicResponse, PartitionData};
use kafka_protocol::protocol::StrBytes;

use super::fetch::ParkedFetch;
use super::{Broker, Output};

/// Clients that are to read again, and from how far back.
#[derive(Default)]
pub(super) struct Redeliveries {
    wanted: BTreeMap<StrBytes, i64>,
    /// Partitions that were read again so far.
    met: BTreeMap<StrBytes, u64>,
}

impl Broker {
    /// Sends a client back by so many offsets (never below the log's start) in every partition that it reads here: once,
    /// with its fetch that is parked here or else with its next one. 0 takes it back.
    pub fn redeliver(&mut self, client_id: &str, back: u32) -> Vec<Output> {
        let client_id = StrBytes::from_string(client_id.to_owned());
        if back == 0 {
            self.redeliveries.wanted.remove(&client_id);
            return Vec::new();
        }
        self.redeliveries.wanted.insert(client_id.clone(), back.into());
        let mut outputs = Vec::new();
        for id in self.fetches.of_client(&client_id) {
            let Some(fetch) = self.fetches.take(id) else { continue };
            match self.read_again(&fetch) {
                Some(response) => outputs.push(fetch.reply.respond(response)),
                None => self.park(fetch),
            }
        }
        outputs
    }

    /// How many partitions a client was sent back in so far.
    pub fn redelivered(&self, client_id: &str) -> u64 {
        self.redeliveries.met.get(client_id.as_bytes()).copied().unwrap_or(0)
    }

    /// The answer that sends a client back, if one is due and there is a partition for it.
    pub(super) fn read_again(&mut self, fetch: &ParkedFetch) -> Option<FetchResponse> {
        if self.redeliveries.wanted.is_empty() {
            return None;
        }
        let back = *self.redeliveries.wanted.get(&fetch.client_id)?;
        let mut response = FetchResponse::default().with_session_id(fetch.session.unwrap_or(0));
        let mut sent_back = 0;
        for (topic, wanted) in self.wanted_by(fetch) {
            let Ok((_, replica)) = self.led(&topic, wanted.partition) else { continue };
            let start_offset = replica.log.start_offset();
            if wanted.fetch_offset <= start_offset {
                continue;
            }
            let end_offset = (wanted.fetch_offset - back).max(start_offset);
            let diverging =
                EpochEndOffset::default().with_epoch(replica.leader_epoch).with_end_offset(end_offset);
            let data = PartitionData::default()
                .with_partition_index(wanted.partition)
                .with_high_watermark(replica.high_watermark)
                .with_last_stable_offset(replica.last_stable_offset())
                .with_log_start_offset(start_offset)
                .with_diverging_epoch(diverging);
            sent_back += 1;
            match response.responses.last_mut().filter(|last| last.topic == topic) {
                Some(last) => last.partitions.push(data),
                None => response
                    .responses
                    .push(FetchableTopicResponse::default().with_topic(topic).with_partitions(vec![data])),
            }
        }
        if sent_back == 0 {
            return None;
        }
        self.redeliveries.wanted.remove(&fetch.client_id);
        *self.redeliveries.met.entry(fetch.client_id.clone()).or_default() += sent_back;
        Some(response)
    }
}
