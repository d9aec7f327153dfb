//! Sessions and calls on a bench, in the order in which a behaviour tells them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{AbortHandle, abortable};
use futures::lock::Mutex;
use host::ports::store::{OnConflict, Reply, Row, Session, Statement, StoreError};

use crate::bench::{Bench, Deed, Node, SessionNumber};
use crate::tables::{COMMIT, account, begin, get, insert, rows};

pub type Answer = Result<Vec<Reply>, StoreError>;

type Slot = Rc<Mutex<Option<Box<dyn Session>>>>;
type Cell<T> = Rc<RefCell<Option<T>>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call(usize);

struct UnderWay {
    session: SessionNumber,
    answer: Cell<Answer>,
    abort: AbortHandle,
}

pub struct Stage<'a> {
    bench: &'a mut dyn Bench,
    sessions: Vec<Slot>,
    calls: Vec<UnderWay>,
}

impl<'a> Stage<'a> {
    pub fn new(bench: &'a mut dyn Bench) -> Self {
        Self { bench, sessions: Vec::new(), calls: Vec::new() }
    }

    /// Accounts 1 to `count`, each at version 0 with a balance of 100.
    pub fn accounts(&mut self, count: i64) {
        let session = self.session();
        let inserts = (1..=count).map(|id| insert(id, 0, 100, OnConflict::Error));
        let statements = [begin()].into_iter().chain(inserts).chain([COMMIT]).collect();
        self.ok(session, statements);
        self.vanish(session);
    }

    /// A session on the first node.
    #[track_caller]
    pub fn session(&mut self) -> SessionNumber {
        self.open(Node::First)
    }

    #[track_caller]
    pub fn open(&mut self, node: Node) -> SessionNumber {
        self.try_open(node).expect("a session")
    }

    #[track_caller]
    pub fn try_open(&mut self, node: Node) -> Result<SessionNumber, StoreError> {
        let number = SessionNumber(self.sessions.len());
        let opened = Cell::default();
        let (opening, result) = (self.bench.open(node, number), opened.clone());
        self.bench.spawn(Box::pin(async move { *result.borrow_mut() = Some(opening.await) }));
        assert!(self.bench.run_until(&|| opened.borrow().is_some()), "connecting takes for ever");
        let session = opened.take().expect("just seen")?;
        self.sessions.push(Rc::new(Mutex::new(Some(session))));
        Ok(number)
    }

    /// A session as soon as the node takes one. What it says until then has to be that it is down or starts.
    #[track_caller]
    pub fn open_when_up(&mut self, node: Node) -> SessionNumber {
        for _ in 0..2_000 {
            match self.try_open(node) {
                Ok(session) => return session,
                Err(StoreError::Refused | StoreError::Database { sqlstate: "57P03", .. }) => {}
                Err(other) => panic!("neither down nor starting: {other}"),
            }
            self.pass_ms(5);
        }
        panic!("the server does not come up");
    }

    /// The node starts: as soon as it listens, it says 57P03.
    #[track_caller]
    pub fn expect_starting(&mut self, node: Node) {
        for _ in 0..2_000 {
            match self.try_open(node) {
                Err(StoreError::Database { sqlstate: "57P03", .. }) => return,
                Err(StoreError::Refused) => self.pass_ms(5),
                other => panic!("does not start: {other:?}"),
            }
        }
        panic!("the server does not listen");
    }

    /// A call; it is answered, or not.
    #[track_caller]
    pub fn start(&mut self, session: SessionNumber, statements: Vec<Statement>) -> Call {
        let (slot, answer) = (self.sessions[session.0].clone(), Cell::default());
        let result: Cell<Answer> = answer.clone();
        let call = async move {
            let mut session = slot.lock().await;
            let session = session.as_mut().expect("a session that has not vanished");
            let answer = session.run(statements).await;
            *result.borrow_mut() = Some(answer);
        };
        let (call, abort) = abortable(call);
        self.bench.spawn(Box::pin(call.map(|_| ())));
        self.calls.push(UnderWay { session, answer, abort });
        Call(self.calls.len() - 1)
    }

    /// The call's answer, however long it takes.
    #[track_caller]
    pub fn answer(&mut self, call: Call) -> Answer {
        let answer = &self.calls[call.0].answer;
        let answered = self.bench.run_until(&|| answer.borrow().is_some());
        assert!(answered, "the call of {:?} is not answered", self.calls[call.0].session);
        self.calls[call.0].answer.borrow().clone().expect("just seen")
    }

    /// The SQLSTATE with which the call fails.
    #[track_caller]
    pub fn sqlstate(&mut self, call: Call) -> &'static str {
        match self.answer(call) {
            Err(StoreError::Database { sqlstate, .. }) => sqlstate,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// A call without error.
    #[track_caller]
    pub fn ok(&mut self, session: SessionNumber, statements: Vec<Statement>) -> Vec<Reply> {
        let call = self.start(session, statements);
        self.answer(call).expect("no error")
    }

    /// A call that fails with this SQLSTATE.
    #[track_caller]
    pub fn err(&mut self, session: SessionNumber, statements: Vec<Statement>, expected: &str) {
        let call = self.start(session, statements);
        assert_eq!(self.sqlstate(call), expected);
    }

    /// A call that has to wait.
    #[track_caller]
    pub fn waits(&mut self, session: SessionNumber, statements: Vec<Statement>) -> Call {
        let call = self.start(session, statements);
        assert!(self.is_waiting(call), "answered: {:?}", self.calls[call.0].answer.borrow());
        call
    }

    /// Until each call under way waits inside the server.
    pub fn settle(&mut self) {
        let calls = &self.calls;
        self.bench.settle(&|| {
            let waiting = calls.iter().filter(|call| call.answer.borrow().is_none());
            waiting.filter(|call| !call.abort.is_aborted()).map(|call| call.session).collect()
        });
    }

    /// The call's answer, if it has come.
    pub fn outcome(&self, call: Call) -> Option<Answer> {
        self.calls[call.0].answer.borrow().clone()
    }

    /// Whether the call still waits when nothing else moves.
    pub fn is_waiting(&mut self, call: Call) -> bool {
        self.settle();
        self.outcome(call).is_none()
    }

    /// The client is gone, and its connection with it.
    pub fn vanish(&mut self, session: SessionNumber) {
        for call in self.calls.iter().filter(|call| call.session == session) {
            call.abort.abort();
        }
        let slot = self.sessions[session.0].clone();
        let gone = Cell::default();
        let result = gone.clone();
        self.bench.spawn(Box::pin(async move {
            drop(slot.lock().await.take());
            *result.borrow_mut() = Some(());
        }));
        assert!(self.bench.run_until(&|| gone.borrow().is_some()), "a session does not end");
    }

    /// The channel that the session is told of, if it is told of one soon.
    pub fn hears(&mut self, session: SessionNumber) -> Option<&'static str> {
        let (slot, heard) = (self.sessions[session.0].clone(), Cell::default());
        let result: Cell<&'static str> = heard.clone();
        let (listening, abort) = abortable(async move {
            let mut session = slot.lock().await;
            let session = session.as_mut().expect("a session that has not vanished");
            *result.borrow_mut() = session.notified().await.ok();
        });
        self.bench.spawn(Box::pin(listening.map(|_| ())));
        for _ in 0..20 {
            self.pass_ms(10);
            if heard.borrow().is_some() {
                break;
            }
        }
        abort.abort();
        self.pass_ms(0);
        heard.take()
    }

    pub fn pass_ms(&mut self, ms: u64) {
        self.bench.pass(Duration::from_millis(ms));
    }

    pub fn act(&mut self, deed: Deed) {
        self.bench.act(deed);
    }

    pub fn catch_up(&mut self) {
        self.bench.catch_up();
    }

    pub fn last_closing(&self) -> Option<&'static str> {
        self.bench.last_closing()
    }

    /// What a fresh transaction on this node sees of an account.
    #[track_caller]
    pub fn account_on(&mut self, node: Node, id: i64) -> Option<Row> {
        let session = self.open(node);
        let replies = self.ok(session, vec![begin(), get(id), COMMIT]);
        self.vanish(session);
        rows(&replies[1]).first().cloned()
    }

    #[track_caller]
    pub fn balance(&mut self, id: i64) -> Option<i64> {
        self.account_on(Node::First, id).map(|row| row[2].as_int())
    }

    /// The account is as given, for who looks now.
    #[track_caller]
    pub fn expect_account(&mut self, id: i64, version: i64, balance: i64) {
        assert_eq!(self.account_on(Node::First, id), Some(account(id, version, balance)));
    }
}
