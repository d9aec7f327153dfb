//! Whatever crashes, fails over, lags or fills up: the commits told of, without those reported lost, are what the
//! database shows in the end, and nobody was answered before his commit was told of.

use std::collections::BTreeSet;

use host::ports::store::{Isolation, Reply, Statement};
use postgres::{CommittedTx, Server, Settings, SynchronousCommit};
use proptest::prelude::*;

use crate::harness::*;

#[derive(Clone, Copy, Debug)]
enum Event {
    Append,
    HoldLog,
    ReleaseLog,
    Advance(u64),
    RestartPrimary,
    RestartStandby,
    FailOver,
    Rewind,
    StandbyLeaves,
    StandbyJoins,
    SlowDisks(u64, u64),
    ReplayDelay(u64),
    FailFsync,
    Vacuum,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => Just(Event::Append),
        2 => Just(Event::HoldLog),
        2 => Just(Event::ReleaseLog),
        4 => (1_u64..300).prop_map(Event::Advance),
        1 => Just(Event::RestartPrimary),
        1 => Just(Event::RestartStandby),
        1 => Just(Event::FailOver),
        2 => Just(Event::Rewind),
        1 => Just(Event::StandbyLeaves),
        1 => Just(Event::StandbyJoins),
        1 => (0_u64..60, 0_u64..60).prop_map(|(primary, standby)| Event::SlowDisks(primary, standby)),
        1 => (0_u64..400).prop_map(Event::ReplayDelay),
        1 => Just(Event::FailFsync),
        1 => Just(Event::Vacuum),
    ]
}

fn level() -> impl Strategy<Value = SynchronousCommit> {
    prop_oneof![
        Just(SynchronousCommit::Off),
        Just(SynchronousCommit::Local),
        Just(SynchronousCommit::RemoteWrite),
        Just(SynchronousCommit::On),
        Just(SynchronousCommit::RemoteApply),
    ]
}

struct Cluster {
    world: World,
    appended: i64,
    calls: Vec<(u64, i64)>,
    /// The server in the standby's place is one, and of the primary's timeline.
    follows: bool,
}

fn restart(server: &mut Server, now_ns: u64, out: &mut Vec<postgres::Output>) {
    server.crash(out);
    server.start(now_ns);
    server.ready(now_ns, out);
}

fn version(committed: &CommittedTx) -> i64 {
    committed.changes[0].row[1].as_int()
}

impl Cluster {
    fn new(synchronous_commit: SynchronousCommit) -> Self {
        let settings = Settings { synchronous_commit, max_connections: 1_000, ..Settings::default() };
        Self { world: World::with(settings), appended: 0, calls: Vec::new(), follows: true }
    }

    fn happen(&mut self, event: Event) {
        let world = &mut self.world;
        match event {
            Event::Append => self.append(),
            Event::HoldLog => world.hold_log = true,
            Event::ReleaseLog => world.release_log(),
            Event::Advance(ms) => world.advance_ms(ms),
            Event::RestartPrimary => {
                world.primary(restart);
                self.link();
            }
            Event::RestartStandby if self.follows => {
                restart(&mut world.standby, world.now_ns, &mut Vec::new());
                self.link();
            }
            Event::FailOver if self.follows => {
                self.world.fail_over();
                self.follows = false;
            }
            Event::Rewind if !self.follows => {
                world.primary(|server, now_ns, out| server.set_synchronous_standby(now_ns, true, out));
                let held = std::mem::take(&mut world.hold_log);
                world.rewind_standby();
                world.hold_log = held;
                self.follows = true;
            }
            Event::StandbyLeaves | Event::StandbyJoins => {
                let present = matches!(event, Event::StandbyJoins);
                world.primary(|server, now_ns, out| server.set_synchronous_standby(now_ns, present, out));
            }
            Event::SlowDisks(primary_ms, standby_ms) => {
                world.primary.set_flush_delay(primary_ms * 1_000_000);
                world.standby.set_flush_delay(standby_ms * 1_000_000);
            }
            Event::ReplayDelay(ms) if self.follows => {
                let mut out = Vec::new();
                world.standby.set_replay_delay(world.now_ns, ms * 1_000_000, &mut out);
                world.deliver(out);
            }
            Event::FailFsync => world.primary.fail_fsync(),
            Event::Vacuum => world.primary(|server, now_ns, out| server.vacuum(now_ns, out)),
            Event::RestartStandby | Event::FailOver | Event::Rewind | Event::ReplayDelay(_) => {}
        }
        self.after_panic();
        self.check_answers();
    }

    /// A server that has panicked is back, and the link is broken.
    fn after_panic(&mut self) {
        if let Some(recovery_ns) = self.world.recovery_ns.take() {
            self.world.advance_ms(recovery_ns / 1_000_000 + 1);
            self.link();
        }
    }

    /// The log's connection is new: what was on its way is lost, and sent again.
    fn link(&mut self) {
        self.world.primary.standby_disconnected(self.world.now_ns);
        self.world.log.clear();
        if self.follows {
            self.world.reconnect_standby();
        }
    }

    fn append(&mut self) {
        self.appended += 1;
        let isolation = [Isolation::ReadCommitted, Isolation::Serializable][self.appended as usize % 2];
        let conn = self.world.session();
        let call =
            self.world.start(conn, vec![begin_at(isolation), event_row(self.appended), Statement::Commit]);
        self.calls.push((call, self.appended));
    }

    fn check_answers(&self) {
        for (call, appended) in &self.calls {
            if let Some(Ok(replies)) = self.world.answers.get(call) {
                assert_eq!(replies.last(), Some(&Reply::Committed));
                let told = self.world.committed.iter().any(|committed| version(committed) == *appended);
                assert!(told, "{appended} was answered and not told of");
            }
        }
    }

    fn heal(&mut self) {
        self.happen(Event::SlowDisks(0, 0));
        self.happen(Event::ReplayDelay(0));
        self.happen(Event::ReleaseLog);
        (0..10).for_each(|_| self.happen(Event::Advance(500)));
        self.happen(Event::Rewind);
        self.happen(Event::StandbyJoins);
        self.link();
        (0..10).for_each(|_| self.happen(Event::Advance(500)));
    }
}

fn event_row(version: i64) -> Statement {
    crate::harness::event("s", version)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn b27_b28_b34_told_and_not_lost_is_what_is_there(
        level in level(),
        events in proptest::collection::vec(event(), 0..60),
    ) {
        let mut cluster = Cluster::new(level);
        events.iter().for_each(|event| cluster.happen(*event));
        cluster.heal();
        let world = &cluster.world;
        world.at_rest();
        let lost: BTreeSet<u64> = world.lost.iter().map(|lost| lost.transaction).collect();
        prop_assert_eq!(lost.len(), world.lost.len(), "each is lost once");
        let told: BTreeSet<u64> = world.committed.iter().map(|committed| committed.transaction).collect();
        prop_assert_eq!(told.len(), world.committed.len(), "ids are unique");
        prop_assert!(lost.is_subset(&told), "lost only what was told of");
        let kept = world.committed.iter().filter(|committed| !lost.contains(&committed.transaction));
        let kept: BTreeSet<i64> = kept.map(version).collect();
        let there: BTreeSet<i64> = world.primary.rows("events").map(|row| row[1].as_int()).collect();
        prop_assert_eq!(kept, there);
        let careful = events.iter().all(|event| !matches!(event, Event::StandbyLeaves));
        if careful && level >= SynchronousCommit::On {
            prop_assert!(lost.is_empty(), "nothing acknowledged is lost");
        }
    }
}
