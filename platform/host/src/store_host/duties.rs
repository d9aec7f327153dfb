//! Duties: relay, timers and effects are done by one instance at a time, the holder of a lease.
//!
//! A lease is economy, not safety: two holders at once only send twice what consumers and guards drop. It is
//! a row on database time with an epoch; every duty renews it in its own transaction, and so also proves that
//! the database still commits before it acts on what it read.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use model::Timestamp;

use super::connection::{Connection, LEASE};
use super::replies::Replies;
use super::tables::{INBOX, LEASES};
use super::{StoreHost, effects, gaps, later, relay, timers};
use crate::ports::store::{Isolation, OnConflict, Role, Row, Scan, Statement, StoreError, Value};
use crate::service::Service;
use crate::signal::Signal;

/// The only lease of a service's database.
const NAME: &str = "duties";
/// How far the holder's clock may have run, or been put, ahead since it last heard of the database's.
const CLOCK_STEP: Duration = Duration::from_secs(10);
/// Tells the other instances that the lease is free before its end.
const GIVEN_BACK: &str = "lease";

/// What a transaction wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    Relay,
    Timers { due: Timestamp },
    Effects,
}

/// Notification channels, one for each set of duties that a transaction can wake.
const CHANNELS: [&str; 8] = [
    "",
    "relay",
    "timers",
    "relay+timers",
    "effects",
    "relay+effects",
    "timers+effects",
    "relay+timers+effects",
];

impl Wake {
    /// The channel that tells the holder of all of them; `None` for nothing.
    pub fn channel(wakes: &[Self]) -> Option<&'static str> {
        let bits = wakes.iter().fold(0, |bits, wake| {
            bits | match wake {
                Self::Relay => 1,
                Self::Timers { .. } => 2,
                Self::Effects => 4,
            }
        });
        (bits > 0).then(|| CHANNELS[bits])
    }
}

/// The wake-ups of the duties, and whether they are ours.
#[derive(Default)]
pub struct Duties {
    held: Cell<Option<Lease>>,
    pub relay: Signal,
    pub timers: Signal,
    pub effects: Signal,
    /// The next timer that the timers' task knows of.
    pub next_timer: Cell<Option<Timestamp>>,
    lost: RefCell<Vec<Rc<Signal>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub epoch: i64,
    /// On the database's clock.
    pub until: Timestamp,
}

impl Duties {
    pub fn is_holder(&self) -> bool {
        self.held.get().is_some()
    }

    /// Wakes what a committed transaction of this instance calls for.
    pub fn woken_by(&self, wakes: &[Wake]) {
        for wake in wakes {
            match wake {
                Wake::Relay => self.relay.send(),
                Wake::Effects => self.effects.send(),
                Wake::Timers { due } => {
                    if self.next_timer.get().is_none_or(|next| *due < next) {
                        self.timers.send();
                    }
                }
            }
        }
    }

    pub fn wake_all(&self) {
        self.woken_from_outside(CHANNELS[7]);
    }

    fn woken_from_outside(&self, channel: &str) {
        for duty in channel.split('+') {
            match duty {
                "relay" => self.relay.send(),
                "timers" => self.timers.send(),
                "effects" => self.effects.send(),
                _ => {}
            }
        }
    }

    fn lose(&self) {
        self.held.set(None);
        self.lost.borrow_mut().drain(..).for_each(|signal| signal.send());
    }
}

impl<S: Service> StoreHost<S> {
    /// Waits for the lease, does the duties while it lasts, and again.
    pub(crate) async fn hold_duties(self: Rc<Self>) {
        let mut connection = Connection::new(self.ports.clone(), Role::Primary);
        let mut failures = 0;
        while !self.shutdown.is_asked() {
            let acquired = self.try_acquire(&mut connection).await;
            failures = if acquired.is_ok() { 0 } else { failures + 1 };
            match acquired {
                Ok(Ok(lease)) => {
                    self.duties.held.set(Some(lease));
                    self.do_duties(&mut connection).await;
                    // Nobody reads the notifications of this session any more.
                    connection.forget();
                }
                Ok(Err(free_at)) => self.lease_may_be_free(&mut connection, free_at).await,
                Err(_) => connection.back_off_after(failures).await,
            }
        }
    }

    /// Waits until the lease runs out or is given back, or the process is to end.
    async fn lease_may_be_free(&self, connection: &mut Connection, free_at: Timestamp) {
        let node_time = later(self.database_clock.get().on_node(free_at), 1);
        let given_back = async {
            match connection.session() {
                Some(session) => drop(session.notified().await),
                None => std::future::pending().await,
            }
        };
        futures::select_biased! {
            () = self.shutdown.asked().fuse() => {}
            () = given_back.fuse() => {}
            () = self.ports.clock.sleep_until(node_time).fuse() => {}
        }
    }

    /// All duties side by side, until the lease is lost, or given back because the process is to end.
    async fn do_duties(self: &Rc<Self>, connection: &mut Connection) {
        let lost = Rc::new(Signal::default());
        self.duties.lost.borrow_mut().push(lost.clone());
        self.arm_standing_timers(connection).await;
        let relay = self.relay().boxed_local();
        let timers = self.fire_timers().boxed_local();
        let effects = self.run_effects().boxed_local();
        let listen = self.listen(connection).boxed_local();
        let scan = self.scan_for_forgotten_work().boxed_local();
        let work = futures::future::join3(relay, timers, effects);
        let watch = futures::future::join(listen, scan);
        futures::select_biased! {
            () = lost.received().fuse() => {}
            _ = work.fuse() => {}
            _ = watch.fuse() => {}
        }
        if self.shutdown.is_asked() {
            self.give_lease_back(connection).await;
        }
    }

    /// Lets another instance take over at once.
    async fn give_lease_back(&self, connection: &mut Connection) {
        let Some(lease) = self.duties.held.take() else { return };
        connection.forget();
        let free = Statement::UpdateIf {
            table: &LEASES,
            key: vec![NAME.into()],
            expected: vec![(1, self.instance.as_str().into()), (2, Value::Int(lease.epoch))],
            set: vec![(3, Value::Int(0))],
        };
        let begin = Statement::Begin(Isolation::ReadCommitted);
        let notify = Statement::Notify { channel: GIVEN_BACK };
        while connection
            .run(vec![begin.clone(), free.clone(), notify.clone(), Statement::Commit])
            .await
            .is_err()
        {
            connection.back_off().await;
        }
    }

    async fn try_acquire(&self, connection: &mut Connection) -> Result<Result<Lease, Timestamp>, StoreError> {
        // Before the lease is looked at: what is given back from now on is heard of.
        connection
            .run(vec![
                Statement::Begin(Isolation::ReadCommitted),
                Statement::Listen { channel: GIVEN_BACK },
                Statement::Commit,
            ])
            .await?;
        let sent = self.ports.clock.now();
        let free: Row = vec![NAME.into(), "".into(), Value::Int(0), Value::Int(0)];
        let mut replies = Replies(
            connection
                .run(vec![
                    Statement::Begin(Isolation::ReadCommitted),
                    Statement::Insert { table: &LEASES, row: free, on_conflict: OnConflict::DoNothing },
                    Statement::Get { table: &LEASES, keys: vec![vec![NAME.into()]] },
                ])
                .await?
                .into_iter(),
        );
        let (_, now) = replies.begun();
        self.observe_database_time(now, sent);
        replies.changed();
        let row = replies.rows().pop().expect("the lease was inserted just before where it was missing");
        let until = self.lease_end(&row, now);
        if row[1].as_text() != self.instance && now < until {
            connection.run(vec![Statement::Rollback]).await?;
            return Ok(Err(until));
        }
        let lease = Lease { epoch: row[2].as_int() + 1, until: later(now, LEASE.as_millis() as u64) };
        let claim = Statement::UpdateIf {
            table: &LEASES,
            key: vec![NAME.into()],
            expected: vec![(2, row[2].clone())],
            set: vec![
                (1, self.instance.as_str().into()),
                (2, Value::Int(lease.epoch)),
                (3, Value::Int(lease.until.as_millisecond())),
            ],
        };
        let mut replies = Replies(connection.run(vec![claim, Statement::Commit]).await?.into_iter());
        Ok(if replies.changed() == 1 { Ok(lease) } else { Err(later(now, LEASE.as_millis() as u64)) })
    }

    /// When the stored lease ends. One that claims to last longer than a lease can is void: the database's clock has
    /// been put back.
    fn lease_end(&self, row: &Row, now: Timestamp) -> Timestamp {
        let until = super::shifted(Timestamp::UNIX_EPOCH, row[3].as_int());
        let longest = later(now, (LEASE + CLOCK_STEP).as_millis() as u64);
        if until > longest { now } else { until }
    }

    /// The statement that renews the lease, the second of each duty's transaction, after its begin; and until when.
    /// By what the database's clock shows at least: whoever looks must not find it longer than a lease.
    fn renewal(&self) -> (Statement, Timestamp) {
        let epoch = self.duties.held.get().map_or(-1, |lease| lease.epoch);
        let now = self.database_clock.get().at_least(self.ports.clock.now());
        let until = later(now, LEASE.as_millis() as u64);
        let renewal = Statement::UpdateIf {
            table: &LEASES,
            key: vec![NAME.into()],
            expected: vec![(1, self.instance.as_str().into()), (2, Value::Int(epoch))],
            set: vec![(3, Value::Int(until.as_millisecond()))],
        };
        (renewal, until)
    }

    /// Runs a duty's transaction: begin, renewal, `statements`, commit. `None` once the lease is lost.
    /// Errors are waited out.
    pub(crate) async fn on_duty(
        &self,
        connection: &mut Connection,
        statements: &[Statement],
    ) -> Option<Replies> {
        loop {
            let (renewal, until) = self.renewal();
            let mut pipeline = vec![Statement::Begin(Isolation::ReadCommitted), renewal];
            pipeline.extend(statements.iter().cloned());
            pipeline.push(Statement::Commit);
            let sent = self.ports.clock.now();
            match connection.run(pipeline).await {
                Ok(replies) => {
                    let mut replies = Replies(replies.into_iter());
                    let (_, now) = replies.begun();
                    self.observe_database_time(now, sent);
                    if replies.changed() == 0 {
                        self.duties.lose();
                        return None;
                    }
                    let epoch = self.duties.held.get()?.epoch;
                    self.duties.held.set(Some(Lease { epoch, until }));
                    return Some(replies);
                }
                Err(_) => connection.back_off().await,
            }
        }
    }

    /// Whether the lease still stands by the database's clock as we know it.
    pub(crate) fn lease_stands(&self) -> bool {
        self.duties.held.get().is_some_and(|lease| self.database_now() < lease.until)
    }

    /// Passes on what other instances commit.
    async fn listen(&self, connection: &mut Connection) {
        loop {
            let mut pipeline = vec![Statement::Begin(Isolation::ReadCommitted)];
            pipeline.extend(CHANNELS[1..].iter().map(|channel| Statement::Listen { channel }));
            pipeline.push(Statement::Commit);
            if connection.run(pipeline).await.is_ok() {
                // What was committed between the claim and this moment woke nobody.
                self.duties.wake_all();
                while let Some(session) = connection.session() {
                    match session.notified().await {
                        Ok(channel) => self.duties.woken_from_outside(channel),
                        Err(_) => connection.forget(),
                    }
                }
            }
            connection.back_off().await;
        }
    }

    /// Looks each minute, in one transaction, for work that no wake-up told of; renews the lease by the way.
    async fn scan_for_forgotten_work(self: &Rc<Self>) {
        let mut connection = Connection::new(self.ports.clone(), Role::Primary);
        loop {
            let scan_at = later(self.ports.clock.now(), self.settings.scan_every_ms);
            self.ports.clock.sleep_until(scan_at).await;
            let now = self.database_now();
            let statements = [
                relay::unsent(None, 1),
                timers::due_timers(Some(now), 1),
                effects::due_effects(Some(now), 1),
                gaps::parked(gaps::patience_ends_ms(now.as_millisecond()), None, 1),
                expired_requests(now, self.settings.page_size),
            ];
            let Some(mut replies) = self.on_duty(&mut connection, &statements).await else { return };
            for signal in [&self.duties.relay, &self.duties.timers, &self.duties.effects] {
                if !replies.rows().is_empty() {
                    signal.send();
                }
            }
            let (gaps, expired) = (replies.rows(), replies.rows());
            if !expired.is_empty() {
                let deletes: Vec<Statement> = expired.iter().map(forget_request).collect();
                if self.on_duty(&mut connection, &deletes).await.is_none() {
                    return;
                }
            }
            if !gaps.is_empty() && !self.ask_for_missing(&mut connection).await {
                return;
            }
        }
    }

    /// Waits for a signal, or until the database's clock shows `due`, or the process is to end.
    pub(crate) async fn woken_or_due(&self, signal: &Signal, due: Option<Timestamp>) {
        let due = async {
            match due {
                Some(due) => self.ports.clock.sleep_until(self.database_clock.get().on_node(due)).await,
                None => std::future::pending().await,
            }
        };
        futures::select_biased! {
            () = signal.received().fuse() => {}
            () = due.fuse() => {}
            () = self.shutdown.asked().fuse() => {}
        }
    }
}

/// Inbox rows whose time is over: their keys may be used anew.
fn expired_requests(now: Timestamp, limit: usize) -> Statement {
    Statement::Scan(Scan {
        table: &INBOX,
        index: Some("expires"),
        prefix: Vec::new(),
        after: None,
        up_to: Some(Value::Int(now.as_millisecond())),
        limit,
    })
}

fn forget_request(row: &Row) -> Statement {
    Statement::DeleteIf { table: &INBOX, key: row[..2].to_vec(), expected: vec![(5, row[5].clone())] }
}
