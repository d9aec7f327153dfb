//! Runs pipelines: statement after statement until one has to wait, the pipeline ends, or an error ends it.

use std::mem::take;

use host::ports::store::{Isolation, Reply, Statement};
use model::Timestamp;

use super::Server;
use crate::database::Database;
use crate::error::{SqlError, sqlstate};
use crate::output::Output;
use crate::session::{Pipeline, Session, State, Step, Wait};
use crate::statement::{Actor, execute, writing_command};

impl Server {
    /// Lets every session go on whose wait has ended, until all of them wait or rest.
    pub(super) fn proceed(&mut self, now_ns: u64, out: &mut Vec<Output>) {
        while let Some(conn) = self.database.ready.pop_front() {
            let Some(session) = self.sessions.get_mut(&conn) else { continue };
            if let (Some(Wait::Lock(key)), Some(pipeline)) = (session.wait.take(), &mut session.pipeline) {
                session.transaction.locks.push(key);
                pipeline.progress.granted = true;
            }
            for (deadline, timer) in session.armed.drain(..) {
                self.timers.remove(&(deadline, conn, timer));
            }
            advance(&mut self.database, session, now_ns, conn, out);
            if let Some(sqlstate) = session.fatal {
                self.end_session(conn, sqlstate, out);
            } else {
                self.arm(now_ns, conn);
            }
            self.notify(out);
        }
        if self.database.panicked {
            return self.panic(now_ns, out);
        }
        // A commit whose client has gone lets nobody proceed, and may notify all the same.
        self.notify(out);
    }

    /// Tells the sessions that listen: at once if they are idle, else when they will be.
    fn notify(&mut self, out: &mut Vec<Output>) {
        for channel in take(&mut self.database.notices) {
            for (conn, session) in &mut self.sessions {
                if session.gone || !session.listening.contains(&channel) {
                } else if session.is_idle() {
                    out.push(Output::Notification { conn: *conn, channel });
                } else if !session.notified.contains(&channel) {
                    session.notified.push(channel);
                }
            }
        }
    }
}

/// Runs one session's pipelines as far as possible.
fn advance(database: &mut Database, session: &mut Session, now_ns: u64, conn: u64, out: &mut Vec<Output>) {
    while let Some(mut pipeline) = next_pipeline(session) {
        let call = pipeline.call;
        let result = match run_on(database, session, &mut pipeline, now_ns, conn, out) {
            Ok(None) => Ok(pipeline.replies),
            Ok(Some(wait)) => {
                pipeline.progress.began_ns.get_or_insert(now_ns);
                session.wait = Some(wait);
                session.pipeline = Some(pipeline);
                return;
            }
            Err(error) => {
                if session.state == State::Open {
                    let state = state_after_error(&pipeline);
                    database.end(conn, session, state);
                }
                if error.ends_session() {
                    session.fatal = Some(error.sqlstate);
                    if !error.is_silent() {
                        out.push(Output::Reply { conn, call, result: Err(error.at(pipeline.next)) });
                    }
                    return;
                }
                Err(error.at(pipeline.next))
            }
        };
        out.push(Output::Reply { conn, call, result });
    }
    if session.state == State::Idle {
        let channels = session.notified.drain(..);
        out.extend(channels.map(|channel| Output::Notification { conn, channel }));
    }
}

/// A COMMIT that fails has ended its transaction all the same: it is rolled back.
fn state_after_error(pipeline: &Pipeline) -> State {
    match pipeline.statements.get(pipeline.next) {
        Some(Statement::Commit) => State::Idle,
        _ => State::Failed,
    }
}

fn next_pipeline(session: &mut Session) -> Option<Pipeline> {
    session.pipeline.take().or_else(|| {
        let (call, statements) = session.later.pop_front()?;
        Some(Pipeline::new(call, statements))
    })
}

/// Runs the statements that are left. Gives what the session has to wait for, if anything.
fn run_on(
    database: &mut Database,
    session: &mut Session,
    pipeline: &mut Pipeline,
    now_ns: u64,
    conn: u64,
    out: &mut Vec<Output>,
) -> Result<Option<Wait>, SqlError> {
    while let Some(statement) = pipeline.statements.get_mut(pipeline.next) {
        check_state(session.state, statement)?;
        if pipeline.progress.began_ns.is_none()
            && let Some(error) = database.error_rules.iter_mut().find_map(|rule| rule.on_statement(statement))
        {
            return Err(error);
        }
        let step = match statement {
            Statement::Begin(isolation) => Step::Done(begin(database, session, *isolation, now_ns)?),
            Statement::Commit => database.commit(now_ns, conn, session, out)?,
            Statement::Rollback => {
                database.end(conn, session, State::Idle);
                Step::Done(Reply::RolledBack)
            }
            Statement::Listen { .. } | Statement::Notify { .. } => {
                Step::Done(about_channels(database, session, statement)?)
            }
            statement => {
                let progress = &mut pipeline.progress;
                let Session { transaction, sequences, .. } = session;
                execute(database, &mut Actor { conn, transaction, sequences, progress }, statement)?
            }
        };
        match step {
            Step::Done(reply) => pipeline.done(reply),
            Step::Wait(wait) => return Ok(Some(wait)),
        }
    }
    Ok(None)
}

/// Which statements a session takes in which state. A COMMIT of a failed transaction rolls it back, and a
/// ROLLBACK without one does nothing; PostgreSQL only warns of a COMMIT without one and of a second BEGIN.
fn check_state(state: State, statement: &Statement) -> Result<(), SqlError> {
    match (state, statement) {
        (_, Statement::Rollback)
        | (State::Idle, Statement::Begin(_) | Statement::Listen { .. })
        | (State::Failed, Statement::Commit) => Ok(()),
        (State::Idle, _) => {
            let message = "there is no transaction in progress";
            Err(SqlError::new(sqlstate::NO_ACTIVE_SQL_TRANSACTION, message))
        }
        (State::Open, Statement::Begin(_)) => {
            let message = "there is already a transaction in progress";
            Err(SqlError::new(sqlstate::ACTIVE_SQL_TRANSACTION, message))
        }
        (State::Open, _) => Ok(()),
        (State::Failed, _) => {
            let message = "current transaction is aborted, commands ignored until end of transaction block";
            Err(SqlError::new(sqlstate::IN_FAILED_SQL_TRANSACTION, message))
        }
    }
}

fn begin(
    database: &mut Database,
    session: &mut Session,
    isolation: Isolation,
    now_ns: u64,
) -> Result<Reply, SqlError> {
    if isolation == Isolation::Serializable && database.read_only {
        let message = "cannot use serializable mode in a hot standby";
        return Err(SqlError::new(sqlstate::FEATURE_NOT_SUPPORTED, message));
    }
    database.last_transaction += 1;
    session.state = State::Open;
    session.transaction.id = database.last_transaction;
    let clock_ns = now_ns.saturating_add_signed(database.clock_ahead_ns);
    session.transaction.began_ns = clock_ns;
    session.transaction.read_only = database.read_only;
    session.transaction.isolation = isolation;
    Ok(Reply::Begun { transaction: database.last_transaction, now: timestamp(clock_ns) })
}

/// PostgreSQL's clock counts microseconds.
fn timestamp(clock_ns: u64) -> Timestamp {
    let micros = i64::try_from(clock_ns / 1_000).expect("64 bits of nanoseconds are fewer microseconds");
    Timestamp::from_microsecond(micros).expect("within the years that a timestamp knows")
}

/// LISTEN and NOTIFY take effect with the transaction (manual, part VI).
fn about_channels(
    database: &Database,
    session: &mut Session,
    statement: &Statement,
) -> Result<Reply, SqlError> {
    let read_only = match session.state {
        State::Idle => database.read_only,
        State::Open | State::Failed => session.transaction.read_only,
    };
    if read_only && let Some(command) = writing_command(statement) {
        return Err(SqlError::read_only(command));
    }
    let (channels, channel, reply) = match statement {
        Statement::Notify { channel } => (&mut session.transaction.notifies, *channel, Reply::Notified),
        Statement::Listen { channel } if session.state == State::Idle => {
            (&mut session.listening, *channel, Reply::Listening)
        }
        Statement::Listen { channel } => (&mut session.transaction.listens, *channel, Reply::Listening),
        other => unreachable!("{other:?} is not about channels"),
    };
    if !channels.contains(&channel) {
        channels.push(channel);
    }
    Ok(reply)
}
