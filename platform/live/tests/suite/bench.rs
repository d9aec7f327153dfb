//! A real PostgreSQL as a bench: a tokio runtime in this thread, and a superuser beside it who looks who waits.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::future::LocalBoxFuture;
use host::ports::store::{Role, Session, Store, StoreError};
use live::{Address, Postgres, Settings};
use store_suite::{Bench, Deed, Node, SessionNumber};
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

use crate::cluster::{CLIENT, signal};
use crate::place::Place;

/// Longer than anything takes, on a machine that has other work too.
const GIVE_UP: Duration = Duration::from_secs(40);
const TICK: Duration = Duration::from_millis(1);

pub struct RealBench {
    // Sessions, in tasks, end before the servers do.
    tasks: LocalSet,
    runtime: Runtime,
    stores: Vec<Rc<Postgres>>,
    muted: BTreeMap<SessionNumber, u32>,
    /// Commits wait for the standby in vain, instead of a moment only.
    standby_is_away: bool,
    place: Place,
}

impl RealBench {
    pub fn new(place: Place) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self {
            tasks: LocalSet::new(),
            runtime,
            stores: Vec::new(),
            muted: BTreeMap::new(),
            standby_is_away: false,
            place,
        }
    }

    /// Everything as at the beginning, but for the tables' contents before.
    pub fn clear(&mut self, tables: &str) -> Result<(), String> {
        self.stores.clear();
        self.place.clear(tables)
    }

    fn query(&mut self, node: Node, sql: &str) -> crate::control::Rows {
        self.place.cluster().query(node, sql).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Numbers of processes on the first node.
    fn processes(&mut self, sql: &str) -> Vec<u32> {
        let rows = self.query(Node::First, sql);
        let first = rows.into_iter().filter_map(|row| row.into_iter().next().flatten());
        first.map(|process| process.parse().expect("a process has a number")).collect()
    }

    fn backend(&mut self, number: SessionNumber) -> u32 {
        let name = self.place.session_name(number);
        let sql = format!("SELECT pid FROM pg_stat_activity WHERE application_name = '{name}'");
        let found = self.processes(&sql);
        assert_eq!(found.len(), 1, "one process for {number:?}");
        found[0]
    }

    /// How many of the sessions wait for a lock that nobody has granted, or for the standby.
    fn blocked(&mut self, sessions: &[SessionNumber]) -> usize {
        let names: Vec<String> =
            sessions.iter().map(|number| format!("'{}'", self.place.session_name(*number))).collect();
        let commits = if self.standby_is_away { "a.wait_event = 'SyncRep'" } else { "false" };
        let sql = format!(
            "SELECT a.pid FROM pg_stat_activity a WHERE a.application_name IN ({}) AND ({commits} \
             OR EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND NOT l.granted))",
            names.join(", ")
        );
        self.processes(&sql).len()
    }

    fn act_on(&mut self, deed: Deed) -> Result<(), String> {
        match deed {
            Deed::HoldLog | Deed::Crash(Node::Second) | Deed::Stop(Node::Second) => {
                self.standby_is_away = true
            }
            Deed::HoldReplay => self.standby_is_away |= self.place.cluster().waits_for_replay(),
            Deed::ReleaseLog | Deed::ReleaseReplay | Deed::Start(Node::Second) => {
                self.standby_is_away = false;
            }
            _ => {}
        }
        match deed {
            Deed::HoldLog => {
                let senders = self.processes("SELECT pid FROM pg_stat_replication");
                signal("STOP", &senders);
            }
            Deed::ReleaseLog if self.place.cluster().is_up(Node::First) => {
                let senders = self.processes("SELECT pid FROM pg_stat_replication");
                signal("CONT", &senders);
            }
            Deed::ReleaseLog => {}
            Deed::HoldReplay => {
                self.query(Node::Second, "SELECT pg_wal_replay_pause()");
                let state = "SELECT pg_get_wal_replay_pause_state()";
                self.place.cluster().wait_for(Node::Second, state, "paused")?;
            }
            Deed::ReleaseReplay => {
                self.query(Node::Second, "SELECT pg_wal_replay_resume()");
            }
            Deed::Terminate(number) => {
                let backend = self.backend(number);
                self.query(Node::First, &format!("SELECT pg_terminate_backend({backend})"));
            }
            Deed::Cancel(number) => {
                let backend = self.backend(number);
                self.query(Node::First, &format!("SELECT pg_cancel_backend({backend})"));
            }
            Deed::Mute(number) => {
                let backend = self.backend(number);
                signal("STOP", &[backend]);
                self.muted.insert(number, backend);
            }
            Deed::CrashBackend(number) => {
                let backend = self.backend(number);
                signal("KILL", &[backend]);
            }
            Deed::Crash(node) => self.place.cluster().crash(node),
            Deed::Stop(node) => self.place.cluster().stop(node)?,
            Deed::Start(node) => self.place.cluster().start(node, &[])?,
            Deed::HoldRecovery => self.place.cluster().hold_recovery()?,
            Deed::ReleaseRecovery => self.place.cluster().release_recovery()?,
            Deed::Promote => {
                self.query(Node::Second, "SELECT pg_promote(true, 60)");
            }
            Deed::Rewind => self.place.cluster().rewind()?,
            Deed::FillDisk => self.place.fill_disk()?,
            Deed::EmptyDisk => self.place.empty_disk()?,
            Deed::Vacuum => self.place.vacuum()?,
            Deed::FailFsync => return Err("there is no file system here that fails on demand".into()),
            Deed::HoldFlush | Deed::ReleaseFlush => {
                return Err("there is no disk here that can be held".into());
            }
        }
        Ok(())
    }
}

impl Bench for RealBench {
    fn open(
        &mut self,
        node: Node,
        number: SessionNumber,
    ) -> LocalBoxFuture<'static, Result<Box<dyn Session>, StoreError>> {
        let address = Address::Unix(self.place.cluster().socket(node));
        let mut settings = Settings::new(address, CLIENT, self.place.database());
        settings.parameters = vec![("application_name".into(), self.place.session_name(number))];
        let store = Rc::new(Postgres::new(settings));
        self.stores.push(store.clone());
        Box::pin(async move { store.connect(Role::Primary).await })
    }

    fn spawn(&mut self, task: LocalBoxFuture<'static, ()>) {
        self.tasks.spawn_local(task);
    }

    fn run_until(&mut self, is_done: &dyn Fn() -> bool) -> bool {
        let until = Instant::now() + GIVE_UP;
        self.tasks.block_on(&self.runtime, async {
            while !is_done() {
                if Instant::now() > until {
                    return false;
                }
                tokio::time::sleep(TICK).await;
            }
            true
        })
    }

    fn settle(&mut self, under_way: &dyn Fn() -> Vec<SessionNumber>) {
        let until = Instant::now() + GIVE_UP;
        loop {
            self.pass(TICK);
            let mut waiting = under_way();
            waiting.retain(|number| !self.muted.contains_key(number));
            if waiting.is_empty() || self.blocked(&waiting) == waiting.len() {
                return;
            }
            assert!(Instant::now() < until, "{waiting:?} neither wait nor end");
        }
    }

    fn pass(&mut self, time: Duration) {
        self.tasks.block_on(&self.runtime, async { tokio::time::sleep(time).await });
    }

    fn act(&mut self, deed: Deed) {
        self.act_on(deed).unwrap_or_else(|error| panic!("{deed:?}: {error}"));
    }

    fn catch_up(&mut self) {
        if !self.place.cluster().has_standby() {
            return;
        }
        let end = self.query(Node::First, "SELECT pg_current_wal_lsn()").remove(0).remove(0);
        let end = end.expect("a position");
        let sql = format!("SELECT pg_last_wal_replay_lsn() >= '{end}'::pg_lsn");
        let caught_up = self.place.cluster().wait_for(Node::Second, &sql, "t");
        caught_up.unwrap_or_else(|error| panic!("{error}"));
    }

    fn last_closing(&self) -> Option<&'static str> {
        self.stores.iter().rev().find_map(|store| store.last_closing())
    }
}
