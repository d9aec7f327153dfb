//! Faults of links: partition, delay, loss, duplicate, reorder, bandwidth, clog.
//!
//! A link fault stands between its target and whom `with` names, or everybody else.

use scenario::read::{Between, Choice, Lasting, Number, Odds, OneTarget, Table, number};
use scenario::{
    Drawn as Between_, FaultAction, FromTable, Ppm, Shape, Target, TargetKind, TargetSpec, TimeSpan,
};
use serde::Serialize;

use super::Kind;
use super::scene::{Drawn, Scene};
use crate::world::network::NodeIndex;
use crate::world::network::rules::{LinkEffect, Pairs};

/// How long a link fault lasts where the scenario does not say.
const DEFAULT: TimeSpan = TimeSpan::from_secs(30);

const ANYBODY: &[TargetKind] =
    &[TargetKind::Service, TargetKind::Broker, TargetKind::Database, TargetKind::Outside];

pub fn kinds() -> Vec<Kind> {
    vec![
        Kind {
            action: FaultAction::of::<Partition>("partition", ANYBODY, "Nothing passes between the sides."),
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
    let others = others(scene, &victims, keys.with());
    let target = sides_text(scene, &victims, keys.with());
    let effect = effect(scene, keys);
    hold(scene, target, cut(&victims, &others), effect)
}

fn partition(scene: &mut Scene<'_>) -> Drawn {
    let keys: Partition = scene.params();
    let effect = match keys.manner {
        Manner::Silent => LinkEffect::Silence,
        Manner::Reset => LinkEffect::Reject,
    };
    let shape = match &scene.spec.target {
        Some(TargetSpec::Shaped { shape, of }) => Some((*shape, scene.nodes(of))),
        _ => None,
    };
    let victims = scene.victims();
    let others = others(scene, &victims, keys.with.0.as_ref());
    let (target, pairs) = match shape {
        Some((Shape::Halves, nodes)) if keys.with.0.is_none() => {
            let (half, rest): (Vec<_>, Vec<_>) = nodes.iter().partition(|node| victims.contains(node));
            (format!("{} | {}", scene.names(&half), scene.names(&rest)), cut(&half, &rest))
        }
        Some((Shape::Ring, nodes)) => (format!("ring of {}", scene.names(&nodes)), ring(&nodes)),
        Some((Shape::OneWay, _)) => {
            let outwards = scene.rng.below(2) == 0;
            let way = if outwards { "from" } else { "to" };
            let pairs = cut(&victims, &others).into_iter();
            let pairs = pairs.filter(|(sender, _)| victims.contains(sender) == outwards).collect();
            (format!("{} one way: all {way} it", scene.names(&victims)), pairs)
        }
        _ => (sides_text(scene, &victims, keys.with.0.as_ref()), cut(&victims, &others)),
    };
    hold(scene, target, pairs, effect)
}

fn sides_text(scene: &Scene<'_>, victims: &[NodeIndex], with: Option<&Target>) -> String {
    let others = with.map_or("the rest".to_owned(), ToString::to_string);
    format!("{} | {others}", scene.names(victims))
}

fn others(scene: &Scene<'_>, victims: &[NodeIndex], with: Option<&Target>) -> Vec<NodeIndex> {
    let all = match with {
        Some(with) => scene.nodes(with),
        None => (0..scene.layout.names().len()).collect(),
    };
    all.into_iter().filter(|node| !victims.contains(node)).collect()
}

/// Every link between the sides, both ways.
fn cut(one: &[NodeIndex], other: &[NodeIndex]) -> Pairs {
    one.iter().flat_map(|a| other.iter().flat_map(move |b| [(*a, *b), (*b, *a)])).collect()
}

/// Each node reaches only its neighbours.
fn ring(nodes: &[NodeIndex]) -> Pairs {
    let places = || 0..nodes.len();
    let apart = |a: usize, b: usize| {
        let distance = a.abs_diff(b);
        distance > 1 && distance + 1 < nodes.len()
    };
    let pairs = places().flat_map(|a| places().map(move |b| (a, b)));
    pairs.filter(|(a, b)| apart(*a, *b)).map(|(a, b)| (nodes[a], nodes[b])).collect()
}

fn hold(scene: &Scene<'_>, target: String, pairs: Pairs, effect: LinkEffect) -> Drawn {
    let begins = format!("{effect:?} on {} links", pairs.len());
    Drawn::new(target)
        .step(scene.from(), begins, move |stage, fault| {
            stage.world.network.begin(fault, pairs.clone(), effect)
        })
        .step(scene.until_or(DEFAULT), "links as before".to_owned(), |stage, fault| {
            stage.world.network.end(fault)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_ring_everybody_has_two_neighbours() {
        let pairs = ring(&[10, 11, 12, 13, 14]);
        let reaches = |a| (10..15).filter(|b| *b != a && !pairs.contains(&(a, *b))).count();
        assert_eq!((10..15).map(reaches).collect::<Vec<_>>(), [2; 5]);
        assert!(ring(&[1, 2, 3]).is_empty(), "three nodes are neighbours of each other");
    }

    #[test]
    fn a_cut_is_both_ways() {
        assert_eq!(cut(&[1], &[2, 3]), Pairs::from([(1, 2), (2, 1), (1, 3), (3, 1)]));
    }
}
