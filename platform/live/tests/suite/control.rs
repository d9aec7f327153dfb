//! A superuser's connection for what is not behind the port, over the simple query protocol; blocking.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

pub struct Control {
    socket: UnixStream,
    received: BytesMut,
}

pub type Rows = Vec<Vec<Option<String>>>;

impl Control {
    pub fn connect(socket: &Path, user: &str, database: &str) -> io::Result<Self> {
        let socket = UnixStream::connect(socket)?;
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut control = Self { socket, received: BytesMut::new() };
        let parameters = BTreeMap::from([("user", user), ("database", database)]);
        let mut startup = BytesMut::new();
        frontend::startup_message(parameters, &mut startup)?;
        control.socket.write_all(&startup)?;
        control.until_ready()?;
        Ok(control)
    }

    /// Rows of the last statement, as texts.
    pub fn query(&mut self, sql: &str) -> io::Result<Rows> {
        let mut message = BytesMut::new();
        frontend::query(sql, &mut message)?;
        self.socket.write_all(&message)?;
        self.until_ready()
    }

    fn until_ready(&mut self) -> io::Result<Rows> {
        let (mut rows, mut error) = (Rows::new(), None);
        loop {
            match self.receive()? {
                Message::DataRow(body) => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let columns =
                        body.ranges().map(|range| Ok(range.map(|range| text(&body.buffer()[range]))));
                    rows.push(columns.collect()?);
                }
                Message::RowDescription(_) => rows.clear(),
                Message::ErrorResponse(body) => {
                    let fields = body
                        .fields()
                        .map(|field| Ok(format!("{} ", String::from_utf8_lossy(field.value_bytes()))));
                    error = Some(io::Error::other(fields.collect::<Vec<_>>()?.concat()));
                }
                Message::ReadyForQuery(_) => return error.map_or(Ok(rows), Err),
                _ => {}
            }
        }
    }

    fn receive(&mut self) -> io::Result<Message> {
        let mut chunk = [0; 4_096];
        loop {
            if let Some(message) = Message::parse(&mut self.received)? {
                return Ok(message);
            }
            match self.socket.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.received.extend_from_slice(&chunk[..length]),
            }
        }
    }
}
