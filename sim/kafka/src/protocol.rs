//! Requests and responses as the brokers of this crate take and give them.
//!
//! The payloads are `kafka-protocol`'s own structs. There is no version negotiation on a call: every kind is spoken in
//! the newest meaning (`JoinGroup` answers `MEMBER_ID_REQUIRED`, `FindCoordinator` and `OffsetFetch` name several
//! groups), and `Fetch` and `Produce` name topics by name, not by id. [`SUPPORTED`] is what clients on a real wire may
//! speak, which translates.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    AllocateProducerIdsRequest, AllocateProducerIdsResponse, AlterPartitionRequest, AlterPartitionResponse,
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, BrokerHeartbeatRequest, BrokerHeartbeatResponse,
    BrokerRegistrationRequest, BrokerRegistrationResponse, CreatePartitionsRequest, CreatePartitionsResponse,
    CreateTopicsRequest, CreateTopicsResponse, DeleteGroupsRequest, DeleteGroupsResponse,
    DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    DescribeClusterRequest, DescribeClusterResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    DescribeGroupsRequest, DescribeGroupsResponse, DescribeProducersRequest, DescribeProducersResponse,
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, DescribeTransactionsRequest,
    DescribeTransactionsResponse, ElectLeadersRequest, ElectLeadersResponse, EndTxnRequest, EndTxnResponse,
    FetchRequest, FetchResponse, FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest,
    HeartbeatResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    InitProducerIdRequest, InitProducerIdResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListTransactionsRequest, ListTransactionsResponse, MetadataRequest, MetadataResponse,
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    OffsetFetchResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, ProduceRequest,
    ProduceResponse, SyncGroupRequest, SyncGroupResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
    WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use kafka_protocol::protocol::StrBytes;

/// A request with the fields of Kafka's request header that a broker looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub client_id: StrBytes,
    /// The version the client speaks: what decides where versions differ in meaning, not only in shape.
    pub version: i16,
    pub kind: RequestKind,
}

impl Request {
    /// In the highest version that the brokers speak.
    pub fn new(client_id: StrBytes, kind: impl Into<RequestKind>) -> Request {
        let kind = kind.into();
        Request { client_id, version: kind.highest_version(), kind }
    }
}

macro_rules! kinds {
    ($($kind:ident: $request:ident => $response:ident, $min:literal..=$max:literal;)*) => {
        /// One variant per supported API.
        #[derive(Debug, Clone, PartialEq)]
        pub enum RequestKind { $($kind($request),)* }

        /// The answer to the [`RequestKind`] of the same name.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Response { $($kind($response),)* }

        /// Each supported API with its lowest and highest version, as `ApiVersions` reports them.
        pub const SUPPORTED: &[(ApiKey, i16, i16)] = &[$((ApiKey::$kind, $min, $max),)*];

        impl RequestKind {
            /// The API's name, for logs.
            pub fn name(&self) -> &'static str {
                match self { $(RequestKind::$kind(_) => stringify!($kind),)* }
            }

            pub fn api(&self) -> ApiKey {
                match self { $(RequestKind::$kind(_) => ApiKey::$kind,)* }
            }

            /// The highest version in which brokers speak this API.
            pub fn highest_version(&self) -> i16 {
                match self { $(RequestKind::$kind(_) => $max,)* }
            }
        }

        impl Response {
            pub fn api(&self) -> ApiKey {
                match self { $(Response::$kind(_) => ApiKey::$kind,)* }
            }
        }

        /// The supported API of this name, as in `OffsetCommit`.
        pub fn api_named(name: &str) -> Option<ApiKey> {
            match name { $(stringify!($kind) => Some(ApiKey::$kind),)* _ => None }
        }

        $(impl From<$request> for RequestKind {
            fn from(request: $request) -> RequestKind { RequestKind::$kind(request) }
        }
        impl From<$response> for Response {
            fn from(response: $response) -> Response { Response::$kind(response) }
        }
        impl TryFrom<Response> for $response {
            type Error = Response;
            /// Gives the response back where it answers another kind of request.
            fn try_from(response: Response) -> Result<$response, Response> {
                match response { Response::$kind(response) => Ok(response), other => Err(other) }
            }
        })*
    };
}

/// Calls a macro with the table of all APIs, the one list of what is spoken and in which versions.
macro_rules! with_every_kind {
    ($macro:ident) => {
        $macro! {
        Produce: ProduceRequest => ProduceResponse, 3..=13;
        Fetch: FetchRequest => FetchResponse, 4..=15;
        ListOffsets: ListOffsetsRequest => ListOffsetsResponse, 1..=7;
        Metadata: MetadataRequest => MetadataResponse, 0..=13;
        OffsetCommit: OffsetCommitRequest => OffsetCommitResponse, 2..=9;
        OffsetFetch: OffsetFetchRequest => OffsetFetchResponse, 1..=9;
        FindCoordinator: FindCoordinatorRequest => FindCoordinatorResponse, 0..=5;
        JoinGroup: JoinGroupRequest => JoinGroupResponse, 0..=9;
        Heartbeat: HeartbeatRequest => HeartbeatResponse, 0..=4;
        LeaveGroup: LeaveGroupRequest => LeaveGroupResponse, 0..=5;
        SyncGroup: SyncGroupRequest => SyncGroupResponse, 0..=5;
        ApiVersions: ApiVersionsRequest => ApiVersionsResponse, 0..=4;
        CreateTopics: CreateTopicsRequest => CreateTopicsResponse, 2..=7;
        InitProducerId: InitProducerIdRequest => InitProducerIdResponse, 0..=5;
        AddPartitionsToTxn: AddPartitionsToTxnRequest => AddPartitionsToTxnResponse, 0..=5;
        AddOffsetsToTxn: AddOffsetsToTxnRequest => AddOffsetsToTxnResponse, 0..=4;
        EndTxn: EndTxnRequest => EndTxnResponse, 0..=5;
        TxnOffsetCommit: TxnOffsetCommitRequest => TxnOffsetCommitResponse, 0..=5;
        WriteTxnMarkers: WriteTxnMarkersRequest => WriteTxnMarkersResponse, 1..=1;
        DeleteTopics: DeleteTopicsRequest => DeleteTopicsResponse, 1..=6;
        DeleteRecords: DeleteRecordsRequest => DeleteRecordsResponse, 0..=2;
        CreatePartitions: CreatePartitionsRequest => CreatePartitionsResponse, 0..=3;
        DescribeConfigs: DescribeConfigsRequest => DescribeConfigsResponse, 1..=4;
        IncrementalAlterConfigs: IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse, 0..=1;
        OffsetForLeaderEpoch: OffsetForLeaderEpochRequest => OffsetForLeaderEpochResponse, 2..=4;
        DescribeCluster: DescribeClusterRequest => DescribeClusterResponse, 0..=1;
        DescribeGroups: DescribeGroupsRequest => DescribeGroupsResponse, 0..=6;
        ListGroups: ListGroupsRequest => ListGroupsResponse, 0..=5;
        DeleteGroups: DeleteGroupsRequest => DeleteGroupsResponse, 0..=2;
        OffsetDelete: OffsetDeleteRequest => OffsetDeleteResponse, 0..=0;
        ElectLeaders: ElectLeadersRequest => ElectLeadersResponse, 0..=2;
        DescribeProducers: DescribeProducersRequest => DescribeProducersResponse, 0..=0;
        DescribeTransactions: DescribeTransactionsRequest => DescribeTransactionsResponse, 0..=0;
        ListTransactions: ListTransactionsRequest => ListTransactionsResponse, 0..=1;
        DescribeTopicPartitions: DescribeTopicPartitionsRequest => DescribeTopicPartitionsResponse, 0..=0;
        AlterPartition: AlterPartitionRequest => AlterPartitionResponse, 2..=3;
        BrokerHeartbeat: BrokerHeartbeatRequest => BrokerHeartbeatResponse, 0..=0;
        BrokerRegistration: BrokerRegistrationRequest => BrokerRegistrationResponse, 0..=0;
        AllocateProducerIds: AllocateProducerIdsRequest => AllocateProducerIdsResponse, 0..=0;
            }
    };
}
#[cfg(feature = "tcp")]
pub(crate) use with_every_kind;

with_every_kind!(kinds);

/// Kafka's code for an outcome: 0 is success.
pub(crate) fn code(outcome: Result<(), ResponseError>) -> i16 {
    match outcome {
        Ok(()) => 0,
        Err(error) => error.code(),
    }
}

/// The opposite of [`code`].
pub(crate) fn check(code: i16) -> Result<(), ResponseError> {
    match ResponseError::try_from_code(code) {
        None => Ok(()),
        Some(error) => Err(error),
    }
}
