//! One connection as a session of the port.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use host::ports::store::{Isolation, Reply, Session, Statement, StoreError};
use postgres_protocol::message::backend::{ErrorFields, Message, NotificationResponseBody};
use postgres_protocol::message::frontend;
use tokio::time::timeout;

use crate::bind::unexpected;
use crate::catalogue::Catalogue;
use crate::connection::Connection;
use crate::error::{Report, SqlError};
use crate::pipeline::{ASK, Answer, Command, Meaning, Plan, State, begin_text, check_state};

pub struct PostgresSession {
    connection: Connection,
    catalogue: Rc<Catalogue>,
    prepared: BTreeSet<String>,
    state: State,
    listening: Vec<&'static str>,
    /// Each channel once: a notification says that something has changed, not how often.
    notified: VecDeque<&'static str>,
    answer_timeout: Duration,
    /// The server has said so.
    is_closed: bool,
    /// From the sending of a call until the whole answer has come; for good if it does not.
    is_broken: bool,
}

/// What is to be sent, and how it ends.
struct Planned {
    commands: Vec<Command>,
    /// Why the next statement is not among them.
    refusal: Option<SqlError>,
    /// The session's state if all goes well.
    state: State,
}

/// Why the commands of a plan were not all executed.
enum Failure {
    Error {
        command: usize,
        error: SqlError,
    },
    /// The connection broke. Which commands may have been executed without an answer.
    Broken {
        unanswered: Range<usize>,
    },
}

impl PostgresSession {
    pub fn new(connection: Connection, catalogue: Rc<Catalogue>, answer_timeout: Duration) -> Self {
        Self {
            connection,
            catalogue,
            prepared: BTreeSet::new(),
            state: State::Idle,
            listening: Vec::new(),
            notified: VecDeque::new(),
            answer_timeout,
            is_closed: false,
            is_broken: false,
        }
    }

    /// Reads what has come while the session was idle. Error: it has ended meanwhile.
    async fn look_for_the_end(&mut self) -> Result<(), StoreError> {
        while let Some(message) = self.connection.received().await.map_err(|_| StoreError::Lost)? {
            match message {
                Message::ErrorResponse(body) => {
                    self.note_report(body.fields());
                    return Err(StoreError::Lost);
                }
                message => self.aside(&message),
            }
        }
        Ok(())
    }

    async fn run_all(&mut self, statements: &[Statement]) -> Result<Vec<Reply>, StoreError> {
        let mut replies = Vec::with_capacity(statements.len());
        let mut next = 0;
        while next < statements.len() {
            let asked = match &statements[next] {
                Statement::Begin(isolation) if self.state == State::Idle => self.ask(*isolation).await?,
                _ => None,
            };
            let planned = self.plan(statements, next, asked);
            next = planned.commands.last().map_or(next, |last| last.statement + 1);
            self.exchange(planned.commands, planned.state, &mut replies).await?;
            if let Some(error) = planned.refusal {
                self.abort().await?;
                return Err(error.at(next));
            }
        }
        Ok(replies)
    }

    /// What BEGIN tells of the transaction, where asking within it would take its snapshot.
    async fn ask(&mut self, isolation: Isolation) -> Result<Option<Reply>, StoreError> {
        if isolation == Isolation::ReadCommitted {
            return Ok(None);
        }
        let mut plan = self.new_plan();
        plan.fixed(0, ASK, Meaning::Begun);
        let commands = plan.commands;
        let mut replies = Vec::new();
        self.exchange(commands, State::Idle, &mut replies).await?;
        Ok(replies.pop())
    }

    /// Ends the server's transaction after a refusal. The caller's is aborted by it.
    async fn abort(&mut self) -> Result<(), StoreError> {
        if self.state != State::Open {
            return Ok(());
        }
        let mut plan = self.new_plan();
        plan.fixed(0, "ROLLBACK", Meaning::Rollback);
        let commands = plan.commands;
        self.exchange(commands, State::Idle, &mut Vec::new()).await?;
        self.state = State::Refused;
        Ok(())
    }

    fn new_plan(&mut self) -> Plan<'_> {
        Plan {
            commands: Vec::new(),
            catalogue: &self.catalogue,
            prepared: &self.prepared,
            messages: &mut self.connection.to_send,
        }
    }

    /// Plans statements until one needs a round trip of its own, or is refused.
    fn plan(&mut self, statements: &[Statement], first: usize, mut asked: Option<Reply>) -> Planned {
        let mut state = self.state;
        let mut plan = self.new_plan();
        let mut refusal = None;
        for (number, statement) in statements.iter().enumerate().skip(first) {
            refusal = check_state(state, statement).err();
            if refusal.is_some() {
                break;
            }
            match statement {
                Statement::Rollback | Statement::Commit if matches!(state, State::Idle | State::Refused) => {
                    plan.known(number, Reply::RolledBack);
                    state = State::Idle;
                }
                Statement::Rollback => {
                    plan.fixed(number, "ROLLBACK", Meaning::Rollback);
                    state = State::Idle;
                }
                Statement::Commit => {
                    plan.fixed(number, "COMMIT", Meaning::Commit);
                    state = State::Idle;
                }
                Statement::Begin(Isolation::ReadCommitted) => {
                    plan.begin(number);
                    state = State::Open;
                }
                Statement::Begin(isolation) => {
                    let Some(begun) = asked.take() else { break };
                    plan.fixed(number, begin_text(*isolation), Meaning::Known(begun));
                    state = State::Open;
                }
                statement => {
                    refusal = plan.add(number, statement).err();
                    // LISTEN outside a transaction ends its own, instead of joining the next one.
                    if refusal.is_some() || state == State::Idle {
                        break;
                    }
                }
            }
        }
        Planned { commands: plan.commands, refusal, state }
    }

    /// Sends what is planned, and takes the answers.
    async fn exchange(
        &mut self,
        commands: Vec<Command>,
        state: State,
        replies: &mut Vec<Reply>,
    ) -> Result<(), StoreError> {
        if commands.iter().any(|command| command.sent) {
            frontend::sync(&mut self.connection.to_send);
        } else {
            self.state = state;
        }
        self.carry_out(&commands, replies).await.map_err(|failure| match failure {
            Failure::Error { command, error } => error.at(commands[command].statement),
            Failure::Broken { unanswered } => {
                let mut unanswered = commands[unanswered].iter();
                let commits = unanswered.any(|command| matches!(command.meaning, Meaning::Commit));
                if commits { StoreError::UnknownCommit } else { StoreError::Lost }
            }
        })
    }

    async fn carry_out(&mut self, commands: &[Command], replies: &mut Vec<Reply>) -> Result<(), Failure> {
        let broken_from = |answered: usize| move |_| Failure::Broken { unanswered: answered..commands.len() };
        timeout(self.answer_timeout, self.connection.flush())
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(broken_from(0))?;
        for (number, command) in commands.iter().enumerate() {
            match &command.meaning {
                Meaning::Known(reply) if !command.sent => replies.push(reply.clone()),
                _ => match self.answer(command).await.map_err(broken_from(number))? {
                    Ok(reply) => replies.extend(reply),
                    Err(report) if report.closes => {
                        self.connection.note(&report);
                        self.is_closed = true;
                        // Those behind it were not looked at. Of a COMMIT nobody knows.
                        return Err(match command.meaning {
                            Meaning::Commit => Failure::Broken { unanswered: number..number + 1 },
                            _ => Failure::Error { command: number, error: report.error },
                        });
                    }
                    Err(report) => {
                        let ready = self.ready().await;
                        ready.map_err(|_| Failure::Broken { unanswered: 0..0 })?.ok();
                        return Err(Failure::Error { command: number, error: report.error });
                    }
                },
            }
        }
        if commands.iter().any(|command| command.sent) {
            let end = commands.len();
            // LISTEN outside a transaction commits here.
            let ready = self.ready().await.map_err(broken_from(end))?;
            ready.map_err(|report| Failure::Error { command: end - 1, error: report.error })?;
        }
        Ok(())
    }

    /// The answer to one command.
    async fn answer(&mut self, command: &Command) -> io::Result<Result<Option<Reply>, Report>> {
        let mut answer = Answer::default();
        loop {
            match self.receive().await? {
                Message::ParseComplete => self.prepared.extend(command.prepares.clone()),
                Message::DataRow(body) => answer.row(&command.meaning, &body)?,
                Message::BindComplete => {}
                Message::CommandComplete(body) => {
                    if let Meaning::Listening(channel) = command.meaning
                        && !self.listening.contains(&channel)
                    {
                        self.listening.push(channel);
                    }
                    return Ok(Ok(answer.reply(command.meaning.clone(), &body)?));
                }
                Message::ErrorResponse(body) => return Ok(Err(Report::read(body.fields())?)),
                _ => return Err(unexpected("no answer to a command")),
            }
        }
    }

    /// Reads up to where the server is ready for the next pipeline.
    async fn ready(&mut self) -> io::Result<Result<(), Report>> {
        let mut error = Ok(());
        loop {
            match self.receive().await? {
                Message::ReadyForQuery(body) => {
                    self.state = match body.status() {
                        b'I' => State::Idle,
                        b'T' => State::Open,
                        _ => State::Failed,
                    };
                    return Ok(error);
                }
                Message::ErrorResponse(body) => error = Err(Report::read(body.fields())?),
                _ => return Err(unexpected("no end of a pipeline")),
            }
        }
    }

    /// The next message that is about commands.
    async fn receive(&mut self) -> io::Result<Message> {
        loop {
            let message = timeout(self.answer_timeout, self.connection.receive()).await;
            let message = message.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
            match message {
                Message::NotificationResponse(_)
                | Message::NoticeResponse(_)
                | Message::ParameterStatus(_) => {
                    self.aside(&message);
                }
                message => return Ok(message),
            }
        }
    }

    /// A message that is about no command.
    fn aside(&mut self, message: &Message) {
        match message {
            Message::NotificationResponse(body) => self.note(body),
            Message::NoticeResponse(body) => self.note_report(body.fields()),
            _ => {}
        }
    }

    fn note_report(&self, fields: ErrorFields<'_>) {
        if let Ok(report) = Report::read(fields) {
            self.connection.note(&report);
        }
    }

    fn note(&mut self, notification: &NotificationResponseBody) {
        let Ok(name) = notification.channel() else { return };
        let channel = self.listening.iter().find(|channel| **channel == name);
        if let Some(channel) = channel.filter(|channel| !self.notified.contains(channel)) {
            self.notified.push_back(channel);
        }
    }
}

#[async_trait(?Send)]
impl Session for PostgresSession {
    async fn run(&mut self, statements: Vec<Statement>) -> Result<Vec<Reply>, StoreError> {
        if std::mem::replace(&mut self.is_broken, true) {
            return Err(StoreError::Lost);
        }
        self.look_for_the_end().await?;
        let result = self.run_all(&statements).await;
        self.is_broken = self.is_closed || !matches!(result, Ok(_) | Err(StoreError::Database { .. }));
        result
    }

    async fn notified(&mut self) -> Result<&'static str, StoreError> {
        if self.is_broken {
            return Err(StoreError::Lost);
        }
        loop {
            if let Some(channel) = self.notified.pop_front() {
                return Ok(channel);
            }
            match self.connection.receive().await {
                Ok(Message::ErrorResponse(body)) => self.note_report(body.fields()),
                Ok(message) => {
                    self.aside(&message);
                    continue;
                }
                Err(_) => {}
            }
            self.is_broken = true;
            return Err(StoreError::Lost);
        }
    }
}
