//! Records by producers that are none of ours: what a foreign program, or a mistaken hand, puts into a topic.

use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};

use super::verification::Clearance;
use super::{Broker, Output};
use crate::cluster::{TimestampMs, TopicPartition};
use crate::records::{RecordView, encode_batch};
use crate::trouble::NOBODY;

impl Broker {
    /// Appends one record without headers, as with `acks=0`. Nothing where this broker does not lead the partition.
    pub fn append_foreign(
        &mut self,
        now: TimestampMs,
        at: &TopicPartition,
        key: &[u8],
        value: &[u8],
    ) -> Vec<Output> {
        let record =
            RecordView { timestamp: self.clock(now), key: Some(key), value: Some(value), headers: &[] };
        let data = PartitionProduceData::default()
            .with_index(at.partition)
            .with_records(Some(encode_batch(&[record], None)));
        let topic = TopicProduceData::default().with_name(at.topic.clone()).with_partition_data(vec![data]);
        let request = ProduceRequest::default().with_acks(0).with_topic_data(vec![topic]);
        let mut outputs = Vec::new();
        self.append_produced(now, NOBODY, request, &Clearance::default(), &mut outputs);
        self.settle(now, &mut outputs);
        outputs.retain(|output| !matches!(output, Output::Close { .. }));
        outputs
    }
}
