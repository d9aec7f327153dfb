//! A client's connection: reads a request, has it answered, writes the answer, and reads the next.
//!
//! Kafka does the same (it mutes a channel while its request is under way), and it bounds what a client can hold: one
//! request and one answer. Whatever goes wrong ends this connection and nothing else.

use std::io;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use super::host::{Answer, Host, REQUEST_UNIT};
use crate::broker::ConnectionId;
use crate::protocol::{Request, RequestKind};
use crate::wire::{Incoming, Lowered, Malformed, Origin, decode_request};

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("a request of {0} bytes")]
    Size(i32),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("nothing came, or went, for too long")]
    Idle,
    #[error("the broker closed it")]
    Broker,
}

pub(super) async fn serve(host: Rc<Host>, broker: i32, conn: ConnectionId, stream: TcpStream) {
    // A client is told nothing but the end of its connection, as by Kafka.
    let _ = Served { host: &host, broker, conn, stream, correlation: 0 }.run().await;
    host.disconnected(broker, conn);
}

struct Served<'a> {
    host: &'a Host,
    broker: i32,
    conn: ConnectionId,
    stream: TcpStream,
    correlation: u64,
}

impl<'a> Served<'a> {
    async fn run(&mut self) -> Result<(), End> {
        self.stream.set_nodelay(true)?;
        loop {
            let (frame, memory) = self.read().await?;
            self.host.until_running(self.broker).await;
            let incoming = decode_request(frame, &*self.host.image(self.broker))?;
            drop(memory);
            let answer = match incoming {
                Incoming::Answered(answer) => Some(answer),
                Incoming::Request { request, origin } => self.ask(request, &origin).await?,
            };
            if let Some(answer) = answer {
                self.host.until_running(self.broker).await;
                self.write(&answer).await?;
            }
        }
    }

    /// Reads a frame. Memory is taken as bytes come, not as they are promised.
    async fn read(&mut self) -> Result<(Bytes, Vec<SemaphorePermit<'a>>), End> {
        let host = self.host;
        let idle = host.limits.connections_max_idle;
        let size = timeout(idle, self.stream.read_i32()).await.map_err(|_| End::Idle)??;
        let wanted = usize::try_from(size).map_err(|_| End::Size(size))?;
        if wanted > host.limits.socket_request_max_bytes {
            return Err(End::Size(size));
        }
        let body = read_body(&mut self.stream, host, wanted);
        timeout(host.limits.request_read, body).await.map_err(|_| End::Idle)?
    }

    /// The answer's frame. `None` where none will come.
    async fn ask(&mut self, request: Request, origin: &Origin) -> Result<Option<Bytes>, End> {
        let is_answered = !matches!(&request.kind, RequestKind::Produce(produce) if produce.acks == 0);
        let mut request = request;
        loop {
            self.correlation += 1;
            let answer = self.host.submit(self.broker, self.conn, self.correlation, request);
            if !is_answered {
                return Ok(None);
            }
            // Cancelled: the broker died, and this task with it.
            match answer.await.map_err(|_| End::Broker)? {
                Answer::Close => return Err(End::Broker),
                Answer::Response(response) => match origin.lower(response, &*self.host.image(self.broker))? {
                    Lowered::Frame(frame) => return Ok(Some(frame)),
                    Lowered::Again(again) => request = again,
                },
            }
        }
    }

    async fn write(&mut self, answer: &[u8]) -> Result<(), End> {
        let idle = self.host.limits.connections_max_idle;
        timeout(idle, self.stream.write_all(answer)).await.map_err(|_| End::Idle)??;
        Ok(())
    }
}

async fn read_body<'a>(
    stream: &mut TcpStream,
    host: &'a Host,
    wanted: usize,
) -> Result<(Bytes, Vec<SemaphorePermit<'a>>), End> {
    let mut frame = BytesMut::new();
    let mut memory = Vec::new();
    while frame.len() < wanted {
        let step = (wanted - frame.len()).min(frame.len().max(REQUEST_UNIT));
        let units = u32::try_from(step.div_ceil(REQUEST_UNIT)).expect("a request is far below 2^32 units");
        memory.push(host.request_memory.acquire_many(units).await.expect("it is never closed"));
        frame.reserve(step);
        let full = frame.len() + step;
        while frame.len() < full {
            if (&mut *stream).take((full - frame.len()) as u64).read_buf(&mut frame).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
    Ok((frame.freeze(), memory))
}
