//! Coordinators and members: one key or many, one member or many, joining without an id.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_groups_response::DescribeGroupsResponse;
use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::find_coordinator_response::FindCoordinatorResponse;
use kafka_protocol::messages::join_group_request::JoinGroupRequest;
use kafka_protocol::messages::join_group_response::JoinGroupResponse;
use kafka_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use kafka_protocol::messages::leave_group_response::LeaveGroupResponse;
use kafka_protocol::protocol::StrBytes;

use super::Memory;

/// Up to version 3 one key is looked for.
pub(super) fn raise_find(version: i16, request: &mut FindCoordinatorRequest) -> Memory {
    if version < 4 {
        request.coordinator_keys = vec![std::mem::take(&mut request.key)];
    }
    Memory::Nothing
}

pub(super) fn lower_find(version: i16, response: &mut FindCoordinatorResponse) {
    if version < 4
        && let Some(found) = std::mem::take(&mut response.coordinators).into_iter().next()
    {
        response.error_code = found.error_code;
        response.error_message = found.error_message;
        response.node_id = found.node_id;
        response.host = found.host;
        response.port = found.port;
    }
}

/// Version 0 has one time-out for both, and up to version 3 a member need not bring an id.
pub(super) fn raise_join(version: i16, request: &mut JoinGroupRequest) -> Memory {
    if version < 1 {
        request.rebalance_timeout_ms = request.session_timeout_ms;
    }
    if version < 4 && request.member_id.is_empty() {
        return Memory::Join(Box::new(request.clone()));
    }
    Memory::Nothing
}

pub(super) fn is_member_id_required(response: &JoinGroupResponse) -> bool {
    response.error_code == ResponseError::MemberIdRequired.code()
}

/// Up to version 6 the protocol's name is never null, and up to 8 every leader assigns (KIP-814).
pub(super) fn lower_join(version: i16, response: &mut JoinGroupResponse) {
    if version < 7 && response.protocol_name.is_none() {
        response.protocol_name = Some(StrBytes::default());
    }
    if version < 9 {
        response.skip_assignment = false;
    }
}

/// Up to version 2 one member leaves.
pub(super) fn raise_leave(version: i16, request: &mut LeaveGroupRequest) -> Memory {
    if version < 3 {
        let member_id = std::mem::take(&mut request.member_id);
        request.members = vec![MemberIdentity::default().with_member_id(member_id)];
    }
    Memory::Nothing
}

pub(super) fn lower_leave(version: i16, response: &mut LeaveGroupResponse) {
    if version < 3
        && let Some(member) = std::mem::take(&mut response.members).into_iter().next()
        && response.error_code == 0
    {
        response.error_code = member.error_code;
    }
}

/// Up to version 5 a group that nobody knows is described, as dead.
pub(super) fn lower_describe(version: i16, response: &mut DescribeGroupsResponse) {
    for group in &mut response.groups {
        if version < 6 {
            group.error_message = None;
            if group.error_code == ResponseError::GroupIdNotFound.code() {
                group.error_code = 0;
                group.group_state = StrBytes::from_static_str("Dead");
            }
        }
        if version < 3 {
            group.authorized_operations = i32::MIN;
        }
    }
}
