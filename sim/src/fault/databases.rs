//! Faults of databases: failover, replica-lag, db-error, commit-unknown, connection-exhaustion, fsync-fails. Processes and
//! machines of servers are killed by the actions of processes.

use std::cell::RefCell;
use std::rc::Rc;

use model::Timestamp;
use postgres::{Server, StatementKind};
use scenario::read::{Between, Choice, Flag, Lasting, List, Number, Odds, Table, number};
use scenario::{Drawn as Between_, FaultAction, FromTable, Ppm, Target, TargetKind, TargetSpec, TimeSpan};
use serde::Serialize;

use super::scene::{Drawn, Scene, later};
use super::{Kind, Stage};
use crate::nodes::database::troubles::{CommitUnknown, DbErrors, Strain};
use crate::nodes::database::{Database, Seat, steady_ns};
use crate::world::life::End;
use crate::world::network::NodeIndex;
use crate::world::network::rules::{LinkEffect, Pairs};

const DEFAULT: TimeSpan = TimeSpan::from_secs(60);
const DATABASES: &[TargetKind] = &[TargetKind::Database];
/// What a server allows when nothing is wrong.
const MAX_CONNECTIONS: usize = 100;

pub fn kinds() -> Vec<Kind> {
    let action = FaultAction::of::<Nothing>;
    vec![
        Kind {
            action: FaultAction::of::<Failover>("failover", DATABASES, "The standby becomes the primary."),
            draw: failover,
        },
        Kind {
            action: FaultAction::of::<Lag>(
                "replica-lag",
                DATABASES,
                "What standbys show is older than it could be.",
            ),
            draw: replica_lag,
        },
        Kind {
            action: FaultAction::of::<DbError>("db-error", DATABASES, "Statements fail with a SQLSTATE."),
            draw: db_error,
        },
        Kind {
            action: FaultAction::of::<Cut>("commit-unknown", DATABASES, "Connections break around a COMMIT."),
            draw: commit_unknown,
        },
        Kind {
            action: FaultAction::of::<Exhaustion>(
                "connection-exhaustion",
                DATABASES,
                "Others take the connections.",
            ),
            draw: connection_exhaustion,
        },
        Kind {
            action: action("fsync-fails", DATABASES, "The next flush fails: PANIC, and recovery.")
                .momentary(),
            draw: fsync_fails,
        },
    ]
}

struct Nothing;

impl FromTable for Nothing {
    fn read(_: &mut Table<'_>) -> Self {
        Self
    }
}

/// How the primary is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Manner {
    #[default]
    Crash,
    Partition,
    Switchover,
}

struct Failover {
    manner: Manner,
    detect: Between_<TimeSpan>,
    linger: Between_<TimeSpan>,
    force: bool,
}

impl FromTable for Failover {
    fn read(table: &mut Table<'_>) -> Self {
        const MANNERS: &[(&str, Manner)] =
            &[("crash", Manner::Crash), ("partition", Manner::Partition), ("switchover", Manner::Switchover)];
        let between =
            |min, max| Between_::Between { min: TimeSpan::from_secs(min), max: TimeSpan::from_secs(max) };
        let manner = "crash: its machine dies; partition: it is cut off from its standby and goes on answering; \
                      switchover: it is asked to stop.";
        Self {
            manner: table.or("manner", manner, Choice(MANNERS), Manner::Crash),
            detect: table.or("detect", "Until the standby is promoted.", Between(Lasting), between(2, 8)),
            linger: table.or(
                "linger",
                "After a partition: how long the old primary goes on answering, until it is fenced.",
                Between(Lasting),
                between(5, 40),
            ),
            force: table.or("force", "Also where the standby may lack commits.", Flag, false),
        }
    }
}

struct Lag {
    by: Between_<TimeSpan>,
}

impl FromTable for Lag {
    fn read(table: &mut Table<'_>) -> Self {
        Self { by: table.required("by", "How far standbys are behind.", Between(Lasting)) }
    }
}

struct DbError {
    sqlstate: &'static str,
    statements: Vec<&'static str>,
    ppm: Ppm,
}

/// SQLSTATEs that a server can give of its own accord (manual, appendix A).
const SQLSTATES: &[(&str, &str)] = &[
    ("40001", "40001"),
    ("40P01", "40P01"),
    ("53100", "53100"),
    ("53200", "53200"),
    ("53300", "53300"),
    ("55P03", "55P03"),
    ("57014", "57014"),
    ("57P01", "57P01"),
    ("57P02", "57P02"),
    ("57P03", "57P03"),
    ("58030", "58030"),
    ("08006", "08006"),
    ("XX000", "XX000"),
];

const STATEMENTS: &[(&str, &str)] = &[
    ("connect", "connect"),
    ("begin", "begin"),
    ("commit", "commit"),
    ("get", "get"),
    ("scan", "scan"),
    ("count", "count"),
    ("lock", "lock"),
    ("insert", "insert"),
    ("update", "update"),
    ("delete", "delete"),
];

fn statement(word: &str) -> StatementKind {
    match word {
        "connect" => StatementKind::Connect,
        "begin" => StatementKind::Begin,
        "commit" => StatementKind::Commit,
        "get" => StatementKind::Get,
        "scan" => StatementKind::Scan,
        "count" => StatementKind::Count,
        "lock" => StatementKind::Lock,
        "insert" => StatementKind::Insert,
        "update" => StatementKind::Update,
        "delete" => StatementKind::Delete,
        other => unreachable!("the loader knows every statement, and let {other} pass"),
    }
}

impl FromTable for DbError {
    fn read(table: &mut Table<'_>) -> Self {
        let statements = "Which statements; without it all but connecting and rolling back.";
        Self {
            sqlstate: table.required("sqlstate", "The error.", Choice(SQLSTATES)),
            statements: table.or("statements", statements, List(Choice(STATEMENTS)), Vec::new()),
            ppm: table.required("ppm", "Odds of each statement to fail.", Odds),
        }
    }
}

struct Cut {
    ppm: Ppm,
}

impl FromTable for Cut {
    fn read(table: &mut Table<'_>) -> Self {
        Self { ppm: table.required("ppm", "Odds of each COMMIT to lose its connection.", Odds) }
    }
}

struct Exhaustion {
    left: u64,
}

impl FromTable for Exhaustion {
    fn read(table: &mut Table<'_>) -> Self {
        let field: Number<u64> = number(0..=100);
        Self { left: table.or("left", "How many connections are left.", field, 0) }
    }
}

pub(super) fn ns(span: TimeSpan) -> u64 {
    u64::try_from(span.0.as_nanos()).unwrap_or(u64::MAX)
}

/// The database that the target names.
fn named(scene: &Scene<'_>) -> String {
    match scene.spec.target.as_ref().map(TargetSpec::target) {
        Some(Target::Database { name, .. }) => name.clone(),
        other => unreachable!("the loader lets only databases be hit, and not {other:?}"),
    }
}

fn database<'a>(stage: &'a Stage, name: &str) -> &'a Database {
    &stage.platform.databases[name]
}

/// The seats on these nodes.
fn each_seat(stage: &Stage, nodes: &[NodeIndex], mut does: impl FnMut(&Seat)) {
    for database in stage.platform.databases.values() {
        nodes.iter().filter_map(|node| database.seat_on(*node)).for_each(&mut does);
    }
}

/// Something done to the servers hit, and undone at the end.
fn held(
    scene: &mut Scene<'_>,
    says: &str,
    begins: impl Fn(&Stage, u32, &[NodeIndex]) + 'static,
    ends: impl Fn(&Stage, u32, &[NodeIndex]) + 'static,
) -> Drawn {
    let victims = scene.victims();
    let names = scene.names(&victims);
    let again = victims.clone();
    Drawn::new(names.clone())
        .step(scene.from(), format!("{says}: {names}"), move |stage, fault| begins(stage, fault, &victims))
        .step(scene.until_or(DEFAULT), format!("as before: {names}"), move |stage, fault| {
            ends(stage, fault, &again)
        })
}

/// A strain on the servers hit.
pub(super) fn strained(scene: &mut Scene<'_>, says: &str, strain: Strain) -> Drawn {
    held(
        scene,
        says,
        move |stage, fault, nodes| {
            each_seat(stage, nodes, |seat| {
                seat.troubles.borrow_mut().strain(fault, strain);
                put_under_strain(stage, seat);
                if matches!(strain, Strain::ConnectionsLeft(_)) {
                    seat.end_sessions(steady_ns(&stage.world));
                }
            });
        },
        |stage, fault, nodes| {
            each_seat(stage, nodes, |seat| {
                seat.troubles.borrow_mut().end(fault);
                put_under_strain(stage, seat);
            });
        },
    )
}

/// Tells the server what all faults on it come to.
fn put_under_strain(stage: &Stage, seat: &Seat) {
    let strained = seat.troubles.borrow().strained();
    let now = steady_ns(&stage.world);
    // What becomes due is acknowledged by the server's node.
    let mut out = Vec::new();
    seat.stir(|server| {
        server.set_disk_full(strained.disk_full);
        server.set_flush_delay(strained.flush_delay_ns);
        server.set_max_connections(strained.connections_left.unwrap_or(MAX_CONNECTIONS));
        server.set_replay_delay(now, strained.replay_delay_ns, &mut out);
    });
    seat.leave_to_process(out);
}

fn failover(scene: &mut Scene<'_>) -> Drawn {
    let keys: Failover = scene.params();
    let name = named(scene);
    let promoted = later(scene.from(), scene.draw(&keys.detect));
    let fenced = later(promoted, scene.draw(&keys.linger));
    let until = scene.until_or(DEFAULT).max(later(fenced, TimeSpan::from_secs(1)));
    let (lost, stands_by, comes_back) = (name.clone(), name.clone(), name.clone());
    let drawn = Drawn::new(format!("postgres/{name}"));
    let drawn = match keys.manner {
        Manner::Crash => {
            drawn.step(scene.from(), format!("no power for the primary of {name}"), move |stage, fault| {
                stage.world.kill(database(stage, &lost).leader().node, fault, End::Machine);
            })
        }
        Manner::Switchover => {
            drawn.step(scene.from(), format!("stop the primary of {name}"), move |stage, fault| {
                stage.world.ask_to_stop(database(stage, &lost).leader().node, fault);
            })
        }
        Manner::Partition => isolated(drawn, scene.from(), fenced, &name),
    };
    let force = keys.force;
    drawn
        .step(promoted, format!("promote the standby of {name}"), move |stage, _| {
            promote(stage, &stands_by, force);
        })
        .step(until, format!("the old primary of {name} comes back"), move |stage, fault| {
            let seats = &database(stage, &comes_back).seats;
            seats.iter().for_each(|seat| stage.world.start(seat.node, fault));
        })
}

/// The primary loses its standby, goes on for its clients, and is fenced in the end.
fn isolated(drawn: Drawn, from: Timestamp, fenced: Timestamp, name: &str) -> Drawn {
    let (cut_off, fence) = (name.to_owned(), name.to_owned());
    drawn
        .step(from, format!("cut the primary of {name} off from its standby"), move |stage, fault| {
            let seats = &database(stage, &cut_off).seats;
            let nodes: Vec<NodeIndex> = seats.iter().map(|seat| seat.node).collect();
            let pairs: Pairs = nodes.iter().flat_map(|a| nodes.iter().map(move |b| (*a, *b))).collect();
            stage.world.network.begin(fault, pairs, LinkEffect::Silence);
        })
        .step(fenced, format!("fence the old primary of {name}"), move |stage, fault| {
            let database = database(stage, &fence);
            // Nobody was promoted: then it is still the leader, and is left alone.
            if let Some(old) = database.follower().filter(|seat| !seat.disk.borrow().is_in_recovery()) {
                stage.world.kill(old.node, fault, End::Process);
            }
            stage.world.network.end(fault);
        })
}

fn promote(stage: &Stage, name: &str, force: bool) {
    let database = database(stage, name);
    let runs = database.follower().is_some_and(|seat| {
        stage.world.is_running(seat.node)
            && seat.disk.borrow().is_running()
            && seat.disk.borrow().is_in_recovery()
    });
    if let Err(why) = database.fail_over(runs, force) {
        tracing::info!(database = name, why, "no failover");
    }
}

fn replica_lag(scene: &mut Scene<'_>) -> Drawn {
    let keys: Lag = scene.params();
    let by = scene.draw(&keys.by);
    strained(scene, &format!("standbys lag by {by}"), Strain::Lag { by_ns: ns(by) })
}

fn db_error(scene: &mut Scene<'_>) -> Drawn {
    let DbError { sqlstate, statements, ppm: Ppm(ppm) } = scene.params();
    let statements: Vec<StatementKind> = statements.iter().map(|word| statement(word)).collect();
    held(
        scene,
        &format!("SQLSTATE {sqlstate} at {ppm} in a million"),
        move |stage, fault, nodes| {
            each_seat(stage, nodes, |seat| {
                let chance = Rc::new(RefCell::new(chance(stage, seat, fault)));
                let errors = DbErrors { sqlstate, statements: statements.clone(), ppm, chance };
                seat.troubles.borrow_mut().give_errors(fault, errors);
                give_rules(seat);
            });
        },
        |stage, fault, nodes| {
            each_seat(stage, nodes, |seat| {
                seat.troubles.borrow_mut().end(fault);
                give_rules(seat);
            });
        },
    )
}

fn give_rules(seat: &Seat) {
    let rules = seat.troubles.borrow().error_rules();
    seat.stir(|server| server.set_error_rules(rules));
}

/// A stream of random numbers of one fault on one server.
fn chance(stage: &Stage, seat: &Seat, fault: u32) -> Box<dyn FnMut(u64) -> u64> {
    let mut rng = stage.world.rng(&format!("fault/{fault}/on/{}", seat.node));
    Box::new(move |bound| rng.below(bound))
}

fn commit_unknown(scene: &mut Scene<'_>) -> Drawn {
    let keys: Cut = scene.params();
    let ppm = keys.ppm.0;
    held(
        scene,
        &format!("connections break around COMMIT at {ppm} in a million"),
        move |stage, fault, nodes| {
            each_seat(stage, nodes, |seat| {
                let trouble = CommitUnknown { ppm, chance: chance(stage, seat, fault) };
                seat.troubles.borrow_mut().cut_commits(fault, trouble);
            });
        },
        |stage, fault, nodes| each_seat(stage, nodes, |seat| seat.troubles.borrow_mut().end(fault)),
    )
}

fn connection_exhaustion(scene: &mut Scene<'_>) -> Drawn {
    let keys: Exhaustion = scene.params();
    let left = usize::try_from(keys.left).unwrap_or(MAX_CONNECTIONS);
    strained(scene, &format!("{left} connections are left"), Strain::ConnectionsLeft(left))
}

fn fsync_fails(scene: &mut Scene<'_>) -> Drawn {
    let victims = scene.victims();
    let names = scene.names(&victims);
    Drawn::new(names.clone()).step(scene.from(), format!("the next flush fails: {names}"), move |stage, _| {
        each_seat(stage, &victims, |seat| seat.stir(Server::fail_fsync));
    })
}
