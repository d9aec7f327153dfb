//! A socket that speaks PostgreSQL's protocol: framing, and the beginning of a session (manual 55.2.1).
//!
//! Leaves out TLS, GSSAPI and cancel requests.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use host::ports::store::StoreError;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{AuthenticationSaslBody, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::bind::unexpected;
use crate::error::Report;
use crate::settings::{Address, Settings};

trait Socket: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Socket for S {}

pub struct Connection {
    socket: Box<dyn Socket>,
    received: BytesMut,
    pub to_send: BytesMut,
    /// SQLSTATE with which a server last closed a session of this store.
    closing: Rc<Cell<Option<&'static str>>>,
}

/// Why a session did not begin.
enum Failure {
    Io,
    Server(Report),
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Io
    }
}

impl Connection {
    /// A session with the server, ready for statements.
    pub async fn open(
        settings: &Settings,
        address: &Address,
        closing: Rc<Cell<Option<&'static str>>>,
    ) -> Result<Self, StoreError> {
        let open = async {
            let socket = connect(address).await?;
            let (received, to_send) = (BytesMut::new(), BytesMut::new());
            let mut connection = Self { socket, received, to_send, closing };
            connection.start(settings).await?;
            Ok(connection)
        };
        match timeout(settings.connect_timeout, open).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(Failure::Server(report))) => Err(report.error.at(0)),
            Ok(Err(Failure::Io)) | Err(_) => Err(StoreError::Refused),
        }
    }

    async fn start(&mut self, settings: &Settings) -> Result<(), Failure> {
        let fixed = [
            ("client_encoding", "UTF8"),
            ("user", settings.user.as_str()),
            ("database", settings.database.as_str()),
        ];
        let more = settings.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        frontend::startup_message(fixed.into_iter().chain(more), &mut self.to_send)?;
        self.flush().await?;
        loop {
            match self.receive().await? {
                Message::AuthenticationOk => {}
                Message::AuthenticationCleartextPassword => {
                    frontend::password_message(password(settings)?, &mut self.to_send)?;
                }
                Message::AuthenticationMd5Password(body) => {
                    let hash = md5_hash(settings.user.as_bytes(), password(settings)?, body.salt());
                    frontend::password_message(hash.as_bytes(), &mut self.to_send)?;
                }
                Message::AuthenticationSasl(body) => self.scram(settings, &body).await?,
                Message::ErrorResponse(body) => return Err(Failure::Server(Report::read(body.fields())?)),
                Message::ReadyForQuery(_) => return Ok(()),
                Message::BackendKeyData(_) | Message::ParameterStatus(_) | Message::NoticeResponse(_) => {}
                _ => return Err(unexpected("no answer to the beginning of a session").into()),
            }
            self.flush().await?;
        }
    }

    /// SCRAM-SHA-256 (manual 55.3). Channel binding needs TLS.
    async fn scram(&mut self, settings: &Settings, body: &AuthenticationSaslBody) -> Result<(), Failure> {
        if !body.mechanisms().any(|mechanism| Ok(mechanism == SCRAM_SHA_256))? {
            return Err(unexpected("no mechanism for authentication that is known here").into());
        }
        let mut scram = ScramSha256::new(password(settings)?, ChannelBinding::unsupported());
        frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), &mut self.to_send)?;
        self.flush().await?;
        match self.receive().await? {
            Message::AuthenticationSaslContinue(body) => scram.update(body.data())?,
            Message::ErrorResponse(body) => return Err(Failure::Server(Report::read(body.fields())?)),
            _ => return Err(unexpected("no challenge").into()),
        }
        frontend::sasl_response(scram.message(), &mut self.to_send)?;
        self.flush().await?;
        match self.receive().await? {
            Message::AuthenticationSaslFinal(body) => Ok(scram.finish(body.data())?),
            Message::ErrorResponse(body) => Err(Failure::Server(Report::read(body.fields())?)),
            _ => Err(unexpected("no outcome of authentication").into()),
        }
    }

    pub async fn flush(&mut self) -> io::Result<()> {
        self.socket.write_all_buf(&mut self.to_send).await?;
        self.socket.flush().await
    }

    /// The next message. Cancel-safe: what has arrived stays for the next call.
    pub async fn receive(&mut self) -> io::Result<Message> {
        loop {
            if let Some(message) = Message::parse(&mut self.received)? {
                return Ok(message);
            }
            if self.socket.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// A message that is there already, without waiting for one.
    pub async fn received(&mut self) -> io::Result<Option<Message>> {
        // Lets the runtime look at its sockets.
        yield_now().await;
        let mut next = pin!(self.receive());
        poll_fn(|context| {
            Poll::Ready(match next.as_mut().poll(context) {
                Poll::Ready(message) => message.map(Some),
                Poll::Pending => Ok(None),
            })
        })
        .await
    }

    /// What the server says of its end, or of the session's: class 57 and FATAL errors.
    pub fn note(&self, report: &Report) {
        let sqlstate = report.error.sqlstate;
        if report.closes || sqlstate.starts_with("57P") {
            self.closing.set(Some(sqlstate));
        }
    }
}

async fn connect(address: &Address) -> io::Result<Box<dyn Socket>> {
    Ok(match address {
        Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
    })
}

fn password(settings: &Settings) -> io::Result<&[u8]> {
    let password = settings.password.as_ref().map(|password| password.as_bytes());
    password.ok_or_else(|| unexpected("a question for a password, and there is none"))
}
