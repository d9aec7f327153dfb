//! Between what a version says and what brokers understand: the newest meaning, with topics by name.
//!
//! [`raise`] takes a request there, and [`Origin::lower`] takes its response back. Most differences between versions are
//! of shape and are the decoder's; here are those of meaning. Sources: the comments in Kafka's message definitions,
//! and `KafkaApis`. Left to brokers: what [`Request::version`] decides there (transactions).
//! Left out: the retention time of `OffsetCommit` 2 to 4, and refusing zstd in `Produce` before 7.

use bytes::Bytes;
use kafka_protocol::messages::{ApiKey, JoinGroupRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Malformed, codec, frame};
use crate::image::Image;
use crate::protocol::{Request, RequestKind, Response};

mod errors;
mod groups;
mod offsets;
mod topics;

/// The ids of topics, for versions that name topics by them.
pub trait TopicIds {
    fn name_of(&self, id: Uuid) -> Option<TopicName>;

    fn id_of(&self, name: &TopicName) -> Option<Uuid>;
}

/// No topic has an id.
pub struct NoTopicIds;

impl TopicIds for NoTopicIds {
    fn name_of(&self, _: Uuid) -> Option<TopicName> {
        None
    }

    fn id_of(&self, _: &TopicName) -> Option<Uuid> {
        None
    }
}

impl TopicIds for Image {
    fn name_of(&self, id: Uuid) -> Option<TopicName> {
        self.topic_of_id(id).cloned()
    }

    fn id_of(&self, name: &TopicName) -> Option<Uuid> {
        self.topics.get(name).map(|topic| topic.id)
    }
}

/// Where a request came from: what its response must look like.
#[derive(Debug, Clone)]
pub struct Origin {
    pub api: ApiKey,
    pub version: i16,
    pub correlation: i32,
    client_id: StrBytes,
    memory: Memory,
}

/// What of a request its response needs.
#[derive(Debug, Clone)]
enum Memory {
    Nothing,
    /// `OffsetFetch` of one group, up to version 7: its partitions, where it names them.
    Offsets(Vec<(TopicName, Vec<i32>)>),
    /// `JoinGroup` up to version 3, of a member without an id.
    Join(Box<JoinGroupRequest>),
    /// `Fetch` and `Produce` from version 13: which id each name stands for. In a fetch session a response has topics that
    /// its request does not name.
    Ids(Vec<(TopicName, Uuid)>),
}

/// What becomes of a response.
#[expect(clippy::large_enum_variant, reason = "made once per request, and taken apart at once")]
#[derive(Debug)]
pub enum Lowered {
    /// A frame, to be sent.
    Frame(Bytes),
    /// The version does not know what the broker said: the broker is asked again, this.
    Again(Request),
}

/// A request's newest meaning.
pub(super) fn raise(
    version: i16,
    correlation: i32,
    client_id: StrBytes,
    mut kind: RequestKind,
    ids: &impl TopicIds,
) -> (RequestKind, Origin) {
    let api = kind.api();
    let memory = match &mut kind {
        RequestKind::Metadata(request) => topics::raise_metadata(version, request),
        RequestKind::DeleteTopics(request) => topics::raise_delete(version, request),
        RequestKind::Fetch(request) => topics::raise_fetch(version, request, ids),
        RequestKind::Produce(request) => topics::raise_produce(version, request, ids),
        RequestKind::FindCoordinator(request) => groups::raise_find(version, request),
        RequestKind::JoinGroup(request) => groups::raise_join(version, request),
        RequestKind::LeaveGroup(request) => groups::raise_leave(version, request),
        RequestKind::OffsetFetch(request) => offsets::raise_fetch(version, request),
        _ => Memory::Nothing,
    };
    (kind, Origin { api, version, correlation, client_id, memory })
}

impl Origin {
    /// The response to the request that came from here, as its version says it.
    pub fn lower(&self, mut response: Response, ids: &impl TopicIds) -> Result<Lowered, Malformed> {
        if let Some(again) = self.again(&response) {
            return Ok(Lowered::Again(again));
        }
        let version = self.version;
        match (&mut response, &self.memory) {
            (Response::ApiVersions(response), _) => topics::lower_api_versions(version, response),
            (Response::Metadata(response), _) => topics::lower_metadata(version, response),
            (Response::Fetch(response), memory) => topics::lower_fetch(version, response, memory, ids),
            (Response::Produce(response), memory) => topics::lower_produce(version, response, memory, ids),
            (Response::FindCoordinator(response), _) => groups::lower_find(version, response),
            (Response::JoinGroup(response), _) => groups::lower_join(version, response),
            (Response::LeaveGroup(response), _) => groups::lower_leave(version, response),
            (Response::DescribeGroups(response), _) => groups::lower_describe(version, response),
            (Response::OffsetFetch(response), memory) => offsets::lower_fetch(version, response, memory),
            (Response::ListOffsets(response), _) => offsets::lower_list(version, response),
            _ => {}
        }
        errors::lower(version, &mut response);
        let frame = frame::framed(|out| {
            frame::put_response_header(out, self.api, version, self.correlation);
            codec::encode_response(&response, version, out)
        });
        frame.map(Lowered::Frame).ok_or(Malformed::Undecodable { api: self.api })
    }

    /// Before version 4, a member joined without being told its id first (KIP-394).
    fn again(&self, response: &Response) -> Option<Request> {
        match (&self.memory, response) {
            (Memory::Join(join), Response::JoinGroup(response))
                if groups::is_member_id_required(response) =>
            {
                let kind = JoinGroupRequest::clone(join).with_member_id(response.member_id.clone());
                Some(Request { client_id: self.client_id.clone(), version: self.version, kind: kind.into() })
            }
            _ => None,
        }
    }
}
