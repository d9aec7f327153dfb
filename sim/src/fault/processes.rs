//! Faults of processes: kill, pause, stop, rolling-restart, slow-start, crash-loop.

use scenario::read::{Between, Flag, Lasting, Table};
use scenario::{Drawn as Between_, FaultAction, FromTable, TargetKind, TimeSpan};

use super::scene::{Drawn, Scene, later};
use super::{Kind, brokers};
use crate::world::life::End;
use crate::world::network::NodeIndex;

/// How long a process is away where the scenario does not say.
const AWAY: TimeSpan = TimeSpan::from_secs(5);
/// How long a process has to finish what it does when it is asked to stop.
const GRACE: TimeSpan = TimeSpan::from_secs(30);

const PROCESSES: &[TargetKind] =
    &[TargetKind::Service, TargetKind::Broker, TargetKind::Database, TargetKind::Outside];

pub fn kinds() -> Vec<Kind> {
    vec![
        Kind {
            action: FaultAction::of::<Kill>(
                "kill",
                PROCESSES,
                "The process dies at once, and starts again at the end.",
            ),
            draw: kill,
        },
        Kind {
            action: FaultAction::of::<Nothing>(
                "pause",
                PROCESSES,
                "The process stands still and does not notice.",
            ),
            draw: pause,
        },
        Kind {
            action: FaultAction::of::<Stop>(
                "stop",
                PROCESSES,
                "The process is asked to finish and end; starts again.",
            ),
            draw: stop,
        },
        Kind {
            action: FaultAction::of::<Rolling>(
                "rolling-restart",
                PROCESSES,
                "One process after the other stops and starts.",
            ),
            draw: rolling_restart,
        },
        Kind {
            action: FaultAction::of::<SlowStart>(
                "slow-start",
                PROCESSES,
                "The process dies; the new one listens, and answers nothing for a while.",
            ),
            draw: slow_start,
        },
        Kind {
            action: FaultAction::of::<CrashLoop>(
                "crash-loop",
                PROCESSES,
                "The process dies again and again.",
            ),
            draw: crash_loop,
        },
    ]
}

/// `kill`, by the name that it has for brokers.
pub fn broker_down(brokers: &'static [TargetKind]) -> FaultAction {
    FaultAction::of::<Kill>("broker-down", brokers, "The broker dies at once, and starts again at the end.")
}

/// A broker that stands still and comes back: what it led is led by others, and it does not know.
pub fn broker_pause(brokers: &'static [TargetKind]) -> FaultAction {
    FaultAction::of::<Nothing>(
        "broker-pause",
        brokers,
        "The broker's process stands still, and goes on at the end.",
    )
}

struct Nothing;

impl FromTable for Nothing {
    fn read(_: &mut Table<'_>) -> Self {
        Self
    }
}

struct Kill {
    machine: bool,
    stays_dead: bool,
}

impl FromTable for Kill {
    fn read(table: &mut Table<'_>) -> Self {
        let machine = "The machine loses its power too: peers hear nothing, where else they see resets.";
        Self {
            machine: table.or("machine", machine, Flag, false),
            stays_dead: table.or("stays_dead", "It never starts again.", Flag, false),
        }
    }
}

struct Stop {
    grace: TimeSpan,
}

impl FromTable for Stop {
    fn read(table: &mut Table<'_>) -> Self {
        Self { grace: table.or("grace", "After so long it is killed.", Lasting, GRACE) }
    }
}

struct Rolling {
    grace: TimeSpan,
    away: Between_<TimeSpan>,
    gap: Between_<TimeSpan>,
}

impl FromTable for Rolling {
    fn read(table: &mut Table<'_>) -> Self {
        let seconds = |seconds| Between_::Fixed(TimeSpan::from_secs(seconds));
        Self {
            grace: table.or("grace", "After so long each is killed.", Lasting, GRACE),
            away: table.or("away", "How long after its stop each starts.", Between(Lasting), seconds(40)),
            gap: table.or("gap", "Between a start and the next stop.", Between(Lasting), seconds(20)),
        }
    }
}

struct SlowStart {
    away: Between_<TimeSpan>,
}

impl FromTable for SlowStart {
    fn read(table: &mut Table<'_>) -> Self {
        let about = "How long after its death the new process listens.";
        Self { away: table.or("away", about, Between(Lasting), Between_::Fixed(TimeSpan::from_secs(1))) }
    }
}

struct CrashLoop {
    again: Between_<TimeSpan>,
    away: Between_<TimeSpan>,
}

impl FromTable for CrashLoop {
    fn read(table: &mut Table<'_>) -> Self {
        let seconds = |seconds| Between_::Fixed(TimeSpan::from_secs(seconds));
        Self {
            again: table.or("again", "How long each process lives.", Between(Lasting), seconds(3)),
            away: table.or(
                "away",
                "How long after each death the next one starts.",
                Between(Lasting),
                seconds(1),
            ),
        }
    }
}

type Deaths = Vec<NodeIndex>;

fn dies(drawn: Drawn, scene: &Scene<'_>, at: model::Timestamp, nodes: Deaths, end: End) -> Drawn {
    let says = match end {
        End::Process => format!("kill {}", scene.names(&nodes)),
        End::Machine => format!("no power for {}", scene.names(&nodes)),
    };
    drawn.step(at, says, move |stage, fault| {
        for node in &nodes {
            stage.world.kill(*node, fault, end);
            if end == End::Machine {
                brokers::lose_power(stage, *node, brokers::WRITEBACK);
            }
        }
    })
}

fn starts(drawn: Drawn, scene: &Scene<'_>, at: model::Timestamp, nodes: Deaths) -> Drawn {
    let says = format!("start {}", scene.names(&nodes));
    drawn.step(at, says, move |stage, fault| nodes.iter().for_each(|node| stage.world.start(*node, fault)))
}

pub fn kill(scene: &mut Scene<'_>) -> Drawn {
    let keys: Kill = scene.params();
    let victims = scene.victims();
    let end = if keys.machine { End::Machine } else { End::Process };
    let mut drawn = dies(Drawn::new(scene.names(&victims)), scene, scene.from(), victims.clone(), end);
    drawn.is_for_ever = keys.stays_dead;
    if keys.stays_dead { drawn } else { starts(drawn, scene, scene.until_or(AWAY), victims) }
}

pub fn pause(scene: &mut Scene<'_>) -> Drawn {
    let victims = scene.victims();
    let names = scene.names(&victims);
    let resumed = victims.clone();
    Drawn::new(names.clone())
        .step(scene.from(), format!("pause {names}"), move |stage, fault| {
            victims.iter().for_each(|node| stage.world.pause(*node, fault));
        })
        .step(scene.until_or(AWAY), format!("resume {names}"), move |stage, fault| {
            resumed.iter().for_each(|node| stage.world.resume(*node, fault));
        })
}

/// Asks, kills who has not ended in time, and starts again.
fn stops(
    drawn: Drawn,
    scene: &Scene<'_>,
    nodes: Deaths,
    at: model::Timestamp,
    keys: (TimeSpan, model::Timestamp),
) -> Drawn {
    let (grace, until) = keys;
    let asked = nodes.clone();
    let drawn = drawn.step(at, format!("stop {}", scene.names(&nodes)), move |stage, fault| {
        asked.iter().for_each(|node| stage.world.ask_to_stop(*node, fault));
    });
    let drawn = dies(drawn, scene, later(at, grace).min(until), nodes.clone(), End::Process);
    starts(drawn, scene, until, nodes)
}

fn stop(scene: &mut Scene<'_>) -> Drawn {
    let keys: Stop = scene.params();
    let victims = scene.victims();
    let until = scene.until_or(TimeSpan(keys.grace.0 + AWAY.0));
    stops(Drawn::new(scene.names(&victims)), scene, victims, scene.from(), (keys.grace, until))
}

fn rolling_restart(scene: &mut Scene<'_>) -> Drawn {
    let keys: Rolling = scene.params();
    let victims = scene.victims();
    let mut drawn = Drawn::new(scene.names(&victims));
    let mut at = scene.from();
    for victim in victims {
        let until = later(at, scene.draw(&keys.away));
        drawn = stops(drawn, scene, vec![victim], at, (keys.grace, until));
        at = later(until, scene.draw(&keys.gap));
    }
    drawn
}

fn slow_start(scene: &mut Scene<'_>) -> Drawn {
    let keys: SlowStart = scene.params();
    let victims = scene.victims();
    let names = scene.names(&victims);
    let listens = later(scene.from(), scene.draw(&keys.away));
    let drawn = dies(Drawn::new(names.clone()), scene, scene.from(), victims.clone(), End::Process);
    let (paused, resumed) = (victims.clone(), victims.clone());
    let drawn = drawn.step(listens, format!("{names} listen and stand still"), move |stage, fault| {
        paused.iter().for_each(|node| stage.world.pause(*node, fault));
        paused.iter().for_each(|node| stage.world.start(*node, fault));
    });
    let until = scene.until_or(AWAY).max(later(listens, TimeSpan::from_secs(1)));
    drawn.step(until, format!("{names} go on"), move |stage, fault| {
        resumed.iter().for_each(|node| stage.world.resume(*node, fault));
    })
}

fn crash_loop(scene: &mut Scene<'_>) -> Drawn {
    let keys: CrashLoop = scene.params();
    let victims = scene.victims();
    let mut drawn = Drawn::new(scene.names(&victims));
    let until = scene.until_or(TimeSpan::from_secs(30));
    let mut at = scene.from();
    while at < until {
        let back = later(at, scene.draw(&keys.away));
        drawn = dies(drawn, scene, at, victims.clone(), End::Process);
        drawn = starts(drawn, scene, back, victims.clone());
        at = later(back, scene.draw(&keys.again));
    }
    drawn
}
