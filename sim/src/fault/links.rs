//! Faults of links: partition, delay, loss, duplicate, reorder, bandwidth, clog.
//!
//! A link fault stands between its target and whom `with` names, or everybody else.

use scenario::read::{Between, Choice, Lasting, Number, Odds, OneTarget, Table, number};
use scenario::{Drawn as Between_, FaultAction, FromTable, Ppm, Target, TargetKind, TimeSpan};
use serde::Serialize;

use super::scene::{Drawn, Scene};
use super::{Kind, sides};
use crate::world::network::rules::{LinkEffect, Pairs};

/// How long a link fault lasts where the scenario does not say.
const DEFAULT: TimeSpan = TimeSpan::from_secs(30);

const PARTITION: &str = "Nothing passes between the sides: the target, or the part that its shape draws, and `with`, or \
                         everybody else. halves: these are dealt to the two halves; ring: each node of the target \
                         reaches its two neighbours, and two thirds of them or fewer.";

const ANYBODY: &[TargetKind] =
    &[TargetKind::Service, TargetKind::Broker, TargetKind::Database, TargetKind::Outside];

pub fn kinds() -> Vec<Kind> {
    vec![
        Kind {
            action: FaultAction::of::<Partition>("partition", ANYBODY, PARTITION).dividing(),
            draw: partition,
        },
        Kind {
            action: FaultAction::of::<Clog>("clog", ANYBODY, "Everything waits, and then arrives at once."),
            draw: |scene| between(scene, |_, _: Clog| LinkEffect::Clog),
        },
        Kind {
            action: FaultAction::of::<Delay>("delay", ANYBODY, "Messages take longer."),
            draw: |scene| between(scene, delay),
        },
        Kind {
            action: FaultAction::of::<Loss>("loss", ANYBODY, "Transmissions are lost, and made again."),
            draw: |scene| between(scene, |_, keys: Loss| LinkEffect::Loss { ppm: keys.ppm.0 }),
        },
        Kind {
            action: FaultAction::of::<Duplicate>("duplicate", ANYBODY, "A proxy repeats HTTP requests."),
            draw: |scene| between(scene, |_, keys: Duplicate| LinkEffect::Duplicate { ppm: keys.ppm.0 }),
        },
        Kind {
            action: FaultAction::of::<Reorder>(
                "reorder",
                ANYBODY,
                "Messages are overtaken by other connections'.",
            ),
            draw: |scene| between(scene, reorder),
        },
        Kind {
            action: FaultAction::of::<Bandwidth>(
                "bandwidth",
                ANYBODY,
                "Links carry so many messages a second.",
            ),
            draw: |scene| between(scene, bandwidth),
        },
    ]
}

/// The other side.
#[derive(Clone, Debug, Default, PartialEq)]
struct With(Option<Target>);

impl With {
    fn read(table: &mut Table<'_>) -> Self {
        Self(table.optional("with", "The other side; without it everybody else.", OneTarget))
    }
}

trait Sided {
    fn with(&self) -> Option<&Target>;
}

macro_rules! sided {
    ($($keys:ty),+) => {
        $(impl Sided for $keys {
            fn with(&self) -> Option<&Target> {
                self.with.0.as_ref()
            }
        })+
    };
}
sided!(Partition, Clog, Delay, Loss, Duplicate, Reorder, Bandwidth);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Manner {
    #[default]
    Silent,
    Reset,
}

struct Partition {
    with: With,
    manner: Manner,
}

impl FromTable for Partition {
    fn read(table: &mut Table<'_>) -> Self {
        const MANNERS: &[(&str, Manner)] = &[("silent", Manner::Silent), ("reset", Manner::Reset)];
        let with = With::read(table);
        let about = "Whether messages vanish silently or connections are reset.";
        Self { with, manner: table.or("manner", about, Choice(MANNERS), Manner::Silent) }
    }
}

struct Clog {
    with: With,
}

impl FromTable for Clog {
    fn read(table: &mut Table<'_>) -> Self {
        Self { with: With::read(table) }
    }
}

struct Delay {
    with: With,
    by: Between_<TimeSpan>,
    jitter: TimeSpan,
}

impl FromTable for Delay {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            with: With::read(table),
            by: table.required("by", "How much longer each message takes.", Between(Lasting)),
            jitter: table.or(
                "spread",
                "Up to so much more, drawn per message.",
                Lasting,
                TimeSpan::default(),
            ),
        }
    }
}

struct Loss {
    with: With,
    ppm: Ppm,
}

impl FromTable for Loss {
    fn read(table: &mut Table<'_>) -> Self {
        let with = With::read(table);
        Self { with, ppm: table.required("ppm", "Odds of each transmission to be lost.", Odds) }
    }
}

struct Duplicate {
    with: With,
    ppm: Ppm,
}

impl FromTable for Duplicate {
    fn read(table: &mut Table<'_>) -> Self {
        let with = With::read(table);
        Self { with, ppm: table.required("ppm", "Odds of each request to arrive twice.", Odds) }
    }
}

struct Reorder {
    with: With,
    ppm: Ppm,
    by: Between_<TimeSpan>,
}

impl FromTable for Reorder {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            with: With::read(table),
            ppm: table.required("ppm", "Odds of each message to be overtaken.", Odds),
            by: table.required("by", "How far it can fall behind.", Between(Lasting)),
        }
    }
}

struct Bandwidth {
    with: With,
    per_second: Between_<u64>,
}

impl FromTable for Bandwidth {
    fn read(table: &mut Table<'_>) -> Self {
        let field: Between<Number<u64>> = Between(number(1..=1_000_000));
        Self {
            with: With::read(table),
            per_second: table.required("messages_per_second", "How many messages a link carries.", field),
        }
    }
}

fn nanoseconds(span: TimeSpan) -> u64 {
    u64::try_from(span.0.as_nanos()).unwrap_or(u64::MAX)
}

fn delay(scene: &mut Scene<'_>, keys: Delay) -> LinkEffect {
    LinkEffect::Delay { by_ns: nanoseconds(scene.draw(&keys.by)), jitter_ns: nanoseconds(keys.jitter) }
}

fn reorder(scene: &mut Scene<'_>, keys: Reorder) -> LinkEffect {
    LinkEffect::Reorder { ppm: keys.ppm.0, by_ns: nanoseconds(scene.draw(&keys.by)) }
}

fn bandwidth(scene: &mut Scene<'_>, keys: Bandwidth) -> LinkEffect {
    LinkEffect::Bandwidth { message_ns: 1_000_000_000 / scene.draw(&keys.per_second).max(1) }
}

/// A fault on every link between the victims and the other side.
fn between<P: FromTable + Sided>(
    scene: &mut Scene<'_>,
    effect: fn(&mut Scene<'_>, P) -> LinkEffect,
) -> Drawn {
    let keys: P = scene.params();
    let victims = scene.victims();
    let others = sides::others(scene, &victims, keys.with());
    let target = sides::text(scene, &victims, keys.with());
    let effect = effect(scene, keys);
    hold(scene, target, sides::cut(&victims, &others), effect)
}

fn partition(scene: &mut Scene<'_>) -> Drawn {
    let keys: Partition = scene.params();
    let effect = match keys.manner {
        Manner::Silent => LinkEffect::Silence,
        Manner::Reset => LinkEffect::Reject,
    };
    let (target, pairs) = sides::divide(scene, keys.with.0.as_ref());
    hold(scene, target, pairs, effect)
}

fn hold(scene: &Scene<'_>, target: String, pairs: Pairs, effect: LinkEffect) -> Drawn {
    assert!(!pairs.is_empty(), "the loader lets no fault through that is on no link: {target}");
    let begins = format!("{effect:?} on {} links", pairs.len());
    Drawn::new(target)
        .step(scene.from(), begins, move |stage, fault| {
            stage.world.network.begin(fault, pairs.clone(), effect)
        })
        .step(scene.until_or(DEFAULT), "links as before".to_owned(), |stage, fault| {
            stage.world.network.end(fault)
        })
}
