//! Who a consumer is within its group, as a transaction tells the group's coordinator (KIP-447).

use kafka_protocol::protocol::StrBytes;

/// A member in a generation. [`ConsumerGroupMetadata::of_group`] names the group alone, which coordinators do not
/// check: a zombie's offsets pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerGroupMetadata {
    pub group_id: String,
    /// -1 outside of a generation.
    pub generation_id: i32,
    /// Empty outside of the group.
    pub member_id: StrBytes,
    pub group_instance_id: Option<String>,
}

impl ConsumerGroupMetadata {
    pub fn of_group(group_id: impl Into<String>) -> ConsumerGroupMetadata {
        ConsumerGroupMetadata {
            group_id: group_id.into(),
            generation_id: -1,
            member_id: StrBytes::default(),
            group_instance_id: None,
        }
    }
}
