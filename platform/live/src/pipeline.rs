//! What is sent for the statements of a call, and what their answers mean.

use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;

use bytes::BytesMut;
use host::ports::store::{Isolation, Reply, Row, Statement, Table};
use model::Timestamp;
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::{CommandCompleteBody, DataRowBody};
use postgres_protocol::message::frontend::{self, BindError};

use crate::bind::{Parameter, parameters, read_integers, read_row, unexpected, write};
use crate::catalogue::{Catalogue, Text};
use crate::ddl::quoted;
use crate::error::{SqlError, sqlstate};
use crate::shape;

/// The transaction's id, which gives it one, and its `now()` in microseconds. A standby gives no ids.
pub const ASK: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_snapshot_xmax(pg_current_snapshot()) \
     ELSE pg_current_xact_id() END::text::bigint, (extract(epoch FROM now()) * 1000000)::bigint";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Idle,
    Open,
    Failed,
    /// The port has refused a statement, and the server's transaction is rolled back: it wants a ROLLBACK.
    Refused,
}

/// What a server command's answer means.
#[derive(Clone, Debug)]
pub enum Meaning {
    /// The first of two commands of one statement.
    Nothing,
    Begun,
    /// Known without asking the server, or asked before.
    Known(Reply),
    Commit,
    Rollback,
    Rows(&'static Table),
    Count,
    Changed,
    Listening(&'static str),
    Notified,
}

/// A command that the server answers.
#[derive(Clone, Debug)]
pub struct Command {
    /// Position in the call.
    pub statement: usize,
    pub meaning: Meaning,
    /// The name of a statement that it prepares.
    pub prepares: Option<String>,
    /// False for what is not sent.
    pub sent: bool,
}

/// Commands in the order of sending, and their messages.
pub struct Plan<'a> {
    pub commands: Vec<Command>,
    pub catalogue: &'a Catalogue,
    /// Names of statements that the session knows.
    pub prepared: &'a BTreeSet<String>,
    pub messages: &'a mut BytesMut,
}

impl Plan<'_> {
    pub fn known(&mut self, statement: usize, reply: Reply) {
        let meaning = Meaning::Known(reply);
        self.commands.push(Command { statement, meaning, prepares: None, sent: false });
    }

    /// A fixed text without values.
    pub fn fixed(&mut self, statement: usize, sql: &str, meaning: Meaning) {
        let text = Text { name: sql.to_owned(), sql: sql.to_owned(), parameters: Vec::new() };
        self.command(statement, &text, Vec::new(), meaning);
    }

    pub fn begin(&mut self, statement: usize) {
        self.fixed(statement, begin_text(Isolation::ReadCommitted), Meaning::Nothing);
        self.fixed(statement, ASK, Meaning::Begun);
    }

    /// A statement on rows or channels.
    pub fn add(&mut self, number: usize, statement: &Statement) -> Result<(), SqlError> {
        match statement {
            Statement::Listen { channel } => {
                self.fixed(number, &format!("LISTEN {}", quoted(channel)), Meaning::Listening(channel));
            }
            Statement::Notify { channel } => {
                self.fixed(number, &format!("NOTIFY {}", quoted(channel)), Meaning::Notified);
            }
            statement => {
                let (table, shape) = shape::of(statement)?;
                let text: Rc<Text> = self.catalogue.text(table, shape);
                self.command(number, &text, parameters(statement), meaning(table, statement));
            }
        }
        Ok(())
    }

    fn command(&mut self, statement: usize, text: &Text, values: Vec<Parameter<'_>>, meaning: Meaning) {
        const FITS: &str = "texts have no NUL, messages are below 2 GiB";
        let name = text.name.as_str();
        let by_an_earlier = self.commands.iter().any(|command| command.prepares.as_deref() == Some(name));
        let prepares = (!self.prepared.contains(name) && !by_an_earlier).then(|| name.to_owned());
        if prepares.is_some() {
            frontend::parse(name, &text.sql, text.parameters.iter().copied(), self.messages).expect(FITS);
        }
        let bound = frontend::bind(
            "",
            name,
            [BINARY],
            values,
            |value, into| -> Result<IsNull, _> { write(value, into) },
            [BINARY],
            self.messages,
        );
        match bound {
            Ok(()) => {}
            Err(BindError::Conversion(error)) => panic!("{error}: {FITS}"),
            Err(BindError::Serialization(error)) => panic!("{error}: {FITS}"),
        }
        frontend::execute("", 0, self.messages).expect(FITS);
        self.commands.push(Command { statement, meaning, prepares, sent: true });
    }
}

const BINARY: i16 = 1;

fn meaning(table: &'static Table, statement: &Statement) -> Meaning {
    match statement {
        Statement::Get { .. } | Statement::Scan(_) | Statement::Lock { .. } => Meaning::Rows(table),
        Statement::Count { .. } => Meaning::Count,
        _ => Meaning::Changed,
    }
}

pub fn begin_text(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::ReadCommitted => "BEGIN ISOLATION LEVEL READ COMMITTED",
        Isolation::RepeatableRead => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        Isolation::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE",
    }
}

/// Which statements a session takes in which state. What the server would only warn of is refused here.
pub fn check_state(state: State, statement: &Statement) -> Result<(), SqlError> {
    match (state, statement) {
        (_, Statement::Rollback)
        | (State::Idle, Statement::Begin(_) | Statement::Listen { .. })
        | (State::Failed | State::Refused, Statement::Commit) => Ok(()),
        (State::Idle, _) => {
            let message = "there is no transaction in progress";
            Err(SqlError::new(sqlstate::NO_ACTIVE_SQL_TRANSACTION, message))
        }
        (State::Open, Statement::Begin(_)) => {
            let message = "there is already a transaction in progress";
            Err(SqlError::new(sqlstate::ACTIVE_SQL_TRANSACTION, message))
        }
        (State::Open, _) => Ok(()),
        (State::Failed | State::Refused, _) => {
            let message = "current transaction is aborted, commands ignored until end of transaction block";
            Err(SqlError::new(sqlstate::IN_FAILED_SQL_TRANSACTION, message))
        }
    }
}

/// What has arrived of the answer to one command.
#[derive(Default)]
pub struct Answer {
    rows: Vec<Row>,
    integers: Vec<i64>,
}

impl Answer {
    pub fn row(&mut self, meaning: &Meaning, body: &DataRowBody) -> io::Result<()> {
        match meaning {
            Meaning::Rows(table) => self.rows.push(read_row(table, body)?),
            Meaning::Begun | Meaning::Count => self.integers = read_integers(body)?,
            _ => return Err(unexpected("a row where none was asked for")),
        }
        Ok(())
    }

    /// The command is complete: what it gives to the caller.
    pub fn reply(self, meaning: Meaning, body: &CommandCompleteBody) -> io::Result<Option<Reply>> {
        let tag = body.tag()?;
        Ok(Some(match (meaning, &self.integers[..]) {
            (Meaning::Nothing, _) => return Ok(None),
            (Meaning::Known(reply), _) => reply,
            (Meaning::Begun, [id, now]) => begun(*id, *now)?,
            // COMMIT of a failed transaction is told as ROLLBACK.
            (Meaning::Commit, _) if tag == "COMMIT" => Reply::Committed,
            (Meaning::Commit | Meaning::Rollback, _) => Reply::RolledBack,
            (Meaning::Rows(_), _) => Reply::Rows(self.rows),
            (Meaning::Count, [count]) => Reply::Count(count.unsigned_abs()),
            (Meaning::Changed, _) => Reply::Changed(changed(tag)?),
            (Meaning::Listening(_), _) => Reply::Listening,
            (Meaning::Notified, _) => Reply::Notified,
            (Meaning::Begun | Meaning::Count, _) => return Err(unexpected("no row where one was asked for")),
        }))
    }
}

pub fn begun(id: i64, micros: i64) -> io::Result<Reply> {
    let now = Timestamp::from_microsecond(micros).map_err(|_| unexpected("a time beyond all calendars"))?;
    Ok(Reply::Begun { transaction: id.unsigned_abs(), now })
}

/// `INSERT 0 1`, `UPDATE 1`, `DELETE 1`.
fn changed(tag: &str) -> io::Result<u64> {
    let count = tag.rsplit(' ').next().and_then(|count| count.parse().ok());
    count.ok_or_else(|| unexpected("no count of rows"))
}
