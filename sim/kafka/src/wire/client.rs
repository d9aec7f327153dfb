//! The client's side of the wire: raw requests over a connection of its own, for tests against any broker.
//!
//! Nothing is translated: a request must have the shape of its version, and the response is what came. One thing is
//! adjusted: `Fetch` and `Produce` that name topics are sent in the last version in which topics have names. One request
//! at a time is answered; [`Connection::send`] does not wait, for what is never answered (`acks=0`) and for pipelining.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, ApiVersionsRequest};
use kafka_protocol::protocol::StrBytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::frame::{self, RequestHeader};
use super::{Malformed, codec};
use crate::protocol::{Request, RequestKind, Response};

/// A response larger than this is not read.
const MAX_RESPONSE: usize = 512 << 20;

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("{api:?} has fields that version {version} lacks")]
    Unencodable { api: ApiKey, version: i16 },
    #[error("the response of {bytes} bytes is too large")]
    TooLarge { bytes: usize },
    #[error("response {got} came, {wanted} was asked for")]
    Correlation { wanted: i32, got: i32 },
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the broker answered with error {code}")]
    Refused { code: i16 },
}

/// A connection to a broker.
pub struct Connection {
    stream: TcpStream,
    correlation: i32,
}

impl Connection {
    pub async fn connect(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, correlation: 0 })
    }

    /// Sends a request and waits for its response.
    pub async fn call(&mut self, request: Request) -> Result<Response, CallError> {
        let (api, version) = (request.kind.api(), spoken(&request));
        let wanted = self.send(request).await?;
        self.receive(wanted, api, version).await
    }

    /// Sends a request, in the version [`spoken`], and does not wait. Gives the correlation by which [`Connection::receive`] knows its answer.
    pub async fn send(&mut self, request: Request) -> Result<i32, CallError> {
        self.correlation += 1;
        let frame = encode_request(self.correlation, &request)?;
        self.stream.write_all(&frame).await?;
        Ok(self.correlation)
    }

    /// Waits for the next response, which must be the one of this correlation.
    pub async fn receive(&mut self, wanted: i32, api: ApiKey, version: i16) -> Result<Response, CallError> {
        let frame = self.receive_raw().await?;
        let (got, mut body) = frame::take_response_header(frame, api, version)?;
        if got != wanted {
            return Err(CallError::Correlation { wanted, got });
        }
        let response = codec::decode_response(api, version, &mut body);
        Ok(response.ok_or(Malformed::Undecodable { api })?)
    }

    /// Each API that the broker offers, by its number, with the lowest and the highest version.
    pub async fn api_versions(&mut self) -> Result<BTreeMap<i16, (i16, i16)>, CallError> {
        let kind = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("bellwether"))
            .with_client_software_version(StrBytes::from_static_str("1"));
        let request = Request { client_id: StrBytes::default(), version: 3, kind: kind.into() };
        match self.call(request).await? {
            Response::ApiVersions(answer) if answer.error_code == 0 => {
                let ranges = answer.api_keys.into_iter();
                Ok(ranges.map(|api| (api.api_key, (api.min_version, api.max_version))).collect())
            }
            Response::ApiVersions(answer) => Err(CallError::Refused { code: answer.error_code }),
            other => Err(Malformed::Undecodable { api: other.api() }.into()),
        }
    }

    /// Sends bytes as they are, frame size and all.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next frame, without its size. An end of the connection is `UnexpectedEof`.
    pub async fn receive_raw(&mut self) -> Result<Bytes, CallError> {
        let size = self.stream.read_i32().await?;
        let size = usize::try_from(size).map_err(|_| Malformed::NegativeLength)?;
        if size > MAX_RESPONSE {
            return Err(CallError::TooLarge { bytes: size });
        }
        let mut frame = BytesMut::zeroed(size);
        self.stream.read_exact(&mut frame).await?;
        Ok(frame.freeze())
    }
}

/// The version that a request is sent in.
pub fn spoken(request: &Request) -> i16 {
    /// The last version of `Fetch` and of `Produce` in which topics have names.
    const BY_NAME: i16 = 12;
    let is_by_name = match &request.kind {
        RequestKind::Fetch(fetch) => fetch.topics.iter().any(|topic| topic.topic_id.is_nil()),
        RequestKind::Produce(produce) => produce.topic_data.iter().any(|topic| topic.topic_id.is_nil()),
        _ => false,
    };
    if is_by_name { request.version.min(BY_NAME) } else { request.version }
}

/// A request as a frame, size and all.
pub fn encode_request(correlation: i32, request: &Request) -> Result<Bytes, CallError> {
    let (api, version) = (request.kind.api(), spoken(request));
    let header = RequestHeader { api, version, correlation, client_id: request.client_id.clone() };
    let frame = frame::framed(|out| {
        header.put(out);
        codec::encode_request(&request.kind, version, out)
    });
    frame.ok_or(CallError::Unencodable { api, version })
}
