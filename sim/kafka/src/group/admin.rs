//! `DescribeGroups` and `ListGroups`.
//!
//! Real: `GroupMetadataManager.describeGroups`, `listGroups`, for classic groups. Tells of what is in memory, as Kafka
//! does of classic groups. Clients have no hosts here.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::GroupId;
use kafka_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use kafka_protocol::messages::describe_groups_response::{
    DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use kafka_protocol::messages::list_groups_request::ListGroupsRequest;
use kafka_protocol::messages::list_groups_response::{ListGroupsResponse, ListedGroup};
use kafka_protocol::protocol::StrBytes;

use super::Coordinator;
use super::state::{Group, State};

/// The first version of `DescribeGroups` that says that a group is not there, instead of calling it dead.
const UNKNOWN_GROUP_VERSION: i16 = 6;
/// `READ`, `DELETE`, `DESCRIBE`, `DESCRIBE_CONFIGS` and `ALTER_CONFIGS` as bits: without ACLs everything is allowed.
const AUTHORIZED_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;
const TYPE: &str = "classic";

impl Coordinator {
    pub(super) fn describe_groups(
        &self,
        request: DescribeGroupsRequest,
        version: i16,
    ) -> DescribeGroupsResponse {
        let groups = request.groups.into_iter().map(|group_id| {
            let described = match self.check_group(&group_id) {
                Err(error) => {
                    return DescribedGroup::default().with_error_code(error.code()).with_group_id(group_id);
                }
                Ok(_) => self.describe_group(&group_id, version),
            };
            let described = described.with_group_id(group_id);
            if request.include_authorized_operations && described.error_code == 0 {
                described.with_authorized_operations(AUTHORIZED_OPERATIONS)
            } else {
                described
            }
        });
        DescribeGroupsResponse::default().with_groups(groups.collect())
    }

    fn describe_group(&self, group_id: &GroupId, version: i16) -> DescribedGroup {
        match self.groups.get(group_id).filter(|group| group.state != State::Dead) {
            Some(group) => group.describe(),
            None => {
                let dead = DescribedGroup::default().with_group_state(text(State::Dead.name()));
                if version < UNKNOWN_GROUP_VERSION {
                    return dead;
                }
                let message = format!("Group {} not found.", group_id.as_str());
                dead.with_error_code(ResponseError::GroupIdNotFound.code())
                    .with_error_message(Some(StrBytes::from_string(message)))
            }
        }
    }

    /// Of all groups that are coordinated here, those in these states and of these types (all, where none are named).
    pub(super) fn list_groups(&self, request: &ListGroupsRequest) -> ListGroupsResponse {
        if self.led.values().any(|led| led.is_loading()) {
            let loading = ResponseError::CoordinatorLoadInProgress;
            return ListGroupsResponse::default().with_error_code(loading.code());
        }
        let wanted = |filter: &[StrBytes], name: &str| {
            filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
        };
        let groups = self.groups.values().filter(|group| {
            group.state != State::Dead
                && wanted(&request.states_filter, group.state.name())
                && wanted(&request.types_filter, TYPE)
        });
        let groups = groups.map(|group| {
            ListedGroup::default()
                .with_group_id(group.id.clone())
                .with_protocol_type(group.protocol_type.clone().unwrap_or_default())
                .with_group_state(text(group.state.name()))
                .with_group_type(text(TYPE))
        });
        ListGroupsResponse::default().with_groups(groups.collect())
    }
}

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

impl Group {
    /// What members bring and get is told of a stable group only.
    fn describe(&self) -> DescribedGroup {
        let is_stable = self.state == State::Stable;
        let protocol = self.protocol_name.clone().filter(|_| is_stable).unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| {
            let described = DescribedGroupMember::default()
                .with_member_id(id.clone())
                .with_group_instance_id(member.group_instance_id.clone())
                .with_client_id(member.client_id.clone());
            if is_stable {
                described
                    .with_member_metadata(member.metadata(&protocol))
                    .with_member_assignment(member.assignment.clone())
            } else {
                described
            }
        });
        let members = members.collect();
        DescribedGroup::default()
            .with_group_state(text(self.state.name()))
            .with_protocol_type(self.protocol_type.clone().unwrap_or_default())
            .with_protocol_data(protocol)
            .with_members(members)
    }
}
