//! Raw requests over TCP, in the version that they name.

use std::net::SocketAddr;

use bytes::{Buf, Bytes, BytesMut};
use kafka::client::LinkError;
use kafka::{Request, RequestKind, Response};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection with one request under way.
pub struct Connection(TcpStream);

impl Connection {
    pub async fn open(address: SocketAddr) -> Result<Connection, LinkError> {
        TcpStream::connect(address).await.map(Connection).map_err(|_| LinkError::Refused)
    }

    pub async fn call(&mut self, request: &Request) -> Result<Response, LinkError> {
        let api = request.kind.api();
        let header = RequestHeader::default()
            .with_request_api_key(api as i16)
            .with_request_api_version(request.version)
            .with_correlation_id(1)
            .with_client_id(Some(StrBytes::from_string(request.client_id.to_string())));
        let mut bytes = BytesMut::new();
        header.encode(&mut bytes, api.request_header_version(request.version)).expect("a header");
        encode(&request.kind, &mut bytes, request.version);
        let size = u32::try_from(bytes.len()).expect("requests are small");
        let sent = async {
            self.0.write_all(&size.to_be_bytes()).await?;
            self.0.write_all(&bytes).await?;
            let size = self.0.read_u32().await?;
            let mut answer = vec![0; usize::try_from(size).expect("32 bits")];
            self.0.read_exact(&mut answer).await?;
            Ok::<_, std::io::Error>(Bytes::from(answer))
        };
        let mut answer = sent.await.map_err(|_| LinkError::Reset)?;
        ResponseHeader::decode(&mut answer, api.response_header_version(request.version)).expect("a header");
        let response = decode(&request.kind, &mut answer, request.version);
        assert_eq!(answer.remaining(), 0, "{api:?} is read to its end");
        Ok(response)
    }
}

macro_rules! kinds {
    ($($kind:ident)*) => {
        fn encode(kind: &RequestKind, bytes: &mut BytesMut, version: i16) {
            match kind {
                $(RequestKind::$kind(request) => request.encode(bytes, version).unwrap_or_else(|error| {
                    panic!("{} v{version} cannot be encoded: {error}", stringify!($kind))
                }),)*
                other => panic!("{} is not spoken here", other.name()),
            }
        }

        fn decode(kind: &RequestKind, bytes: &mut Bytes, version: i16) -> Response {
            match kind {
                $(RequestKind::$kind(_) => Response::$kind(Decodable::decode(bytes, version).unwrap_or_else(
                    |error| panic!("{} v{version} cannot be decoded: {error}", stringify!($kind)),
                )),)*
                other => panic!("{} is not spoken here", other.name()),
            }
        }
    };
}

kinds! {
    Produce Fetch ListOffsets Metadata OffsetCommit OffsetFetch FindCoordinator JoinGroup Heartbeat LeaveGroup SyncGroup
    ApiVersions CreateTopics InitProducerId AddPartitionsToTxn AddOffsetsToTxn EndTxn TxnOffsetCommit WriteTxnMarkers
    DeleteTopics DeleteRecords CreatePartitions DescribeConfigs IncrementalAlterConfigs OffsetForLeaderEpoch
    DescribeCluster DescribeGroups ListGroups DeleteGroups OffsetDelete ElectLeaders DescribeProducers
    DescribeTransactions ListTransactions
}
