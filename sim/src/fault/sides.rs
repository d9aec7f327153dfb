//! Who cannot talk to whom in a partition: Jepsen's shapes, over the target and the world around it.
//!
//! Instances of one service hardly speak to each other, so a shape divides those whom they speak to as well: whom `with`
//! names, or everybody else.
//!
//! - No shape, `one`, `minority`: the target, or that part of it, on one side, and all others on the other.
//! - `one-way`: the same for one node, with all messages from it, or all to it, drawn.
//! - `halves`: two sides; each has half of the target, and the others are dealt to them. Nothing passes between the
//!   sides, whoever it is from.
//! - `ring`: the target's nodes stand in a circle and reach only their neighbours. The others are dealt to the places
//!   of the circle; a node reaches those of its own place and of the next one. Others reach each other.
//!
//! Others are dealt party by party, in turns from a drawn side: each side has some of each party that has nodes enough.

use std::collections::BTreeMap;

use scenario::{Shape, Target, TargetSpec};

use super::scene::Scene;
use crate::world::network::NodeIndex;
use crate::world::network::rules::Pairs;
use crate::world::rng::Rng;

/// The sides in words, and the links between them.
pub fn divide(scene: &mut Scene<'_>, with: Option<&Target>) -> (String, Pairs) {
    let shaped = match &scene.spec.target {
        Some(TargetSpec::Shaped { shape, of }) => Some((*shape, scene.nodes(of))),
        _ => None,
    };
    let victims = scene.victims();
    let whom = with.map_or("everybody else".to_owned(), ToString::to_string);
    match shaped {
        Some((Shape::Halves, nodes)) => {
            let (half, rest): (Vec<_>, Vec<_>) = nodes.iter().partition(|node| victims.contains(node));
            let others = others(scene, &nodes, with);
            let dealt = deal(parties(scene, &others), 2, scene.rng);
            let sides = [[half.as_slice(), &dealt[0]].concat(), [rest.as_slice(), &dealt[1]].concat()];
            let target =
                format!("{} | {}, each with a half of {whom}", scene.names(&half), scene.names(&rest));
            (target, cut(&sides[0], &sides[1]))
        }
        Some((Shape::Ring, nodes)) => {
            let others = others(scene, &nodes, with);
            let dealt = deal(parties(scene, &others), nodes.len(), scene.rng);
            (format!("ring of {}, each with a part of {whom}", scene.names(&nodes)), ring(&nodes, &dealt))
        }
        Some((Shape::OneWay, _)) => {
            let others = others(scene, &victims, with);
            let outwards = scene.rng.below(2) == 0;
            let way = if outwards { "from" } else { "to" };
            let pairs = cut(&victims, &others).into_iter();
            let pairs = pairs.filter(|(sender, _)| victims.contains(sender) == outwards).collect();
            (format!("{} one way: all {way} it", scene.names(&victims)), pairs)
        }
        _ => {
            let others = others(scene, &victims, with);
            (text(scene, &victims, with), cut(&victims, &others))
        }
    }
}

pub fn text(scene: &Scene<'_>, victims: &[NodeIndex], with: Option<&Target>) -> String {
    let others = with.map_or("the rest".to_owned(), ToString::to_string);
    format!("{} | {others}", scene.names(victims))
}

/// Whom `with` names, or everybody, without these.
pub fn others(scene: &Scene<'_>, without: &[NodeIndex], with: Option<&Target>) -> Vec<NodeIndex> {
    let all = match with {
        Some(with) => scene.nodes(with),
        None => (0..scene.layout.names().len()).collect(),
    };
    all.into_iter().filter(|node| !without.contains(node)).collect()
}

/// Every link between the sides, both ways.
pub fn cut(one: &[NodeIndex], other: &[NodeIndex]) -> Pairs {
    one.iter().flat_map(|a| other.iter().flat_map(move |b| [(*a, *b), (*b, *a)])).collect()
}

/// The nodes by whose they are: `postgres/trade/primary` and its standby are one party's.
fn parties(scene: &Scene<'_>, nodes: &[NodeIndex]) -> Vec<Vec<NodeIndex>> {
    let mut parties: BTreeMap<String, Vec<NodeIndex>> = BTreeMap::new();
    for node in nodes {
        let name = scene.name(*node);
        let party = name.rsplit_once('/').map_or(name.as_str(), |(party, _)| party);
        parties.entry(party.to_owned()).or_default().push(*node);
    }
    parties.into_values().collect()
}

/// Deals the nodes of each party to the sides, in a drawn order.
fn deal(parties: Vec<Vec<NodeIndex>>, sides: usize, rng: &mut Rng) -> Vec<Vec<NodeIndex>> {
    let mut dealt = vec![Vec::new(); sides];
    for mut party in parties {
        let mut side = rng.below(sides as u64) as usize;
        while !party.is_empty() {
            let next = rng.below(party.len() as u64) as usize;
            dealt[side].push(party.swap_remove(next));
            side = (side + 1) % sides;
        }
    }
    dealt
}

/// Each node reaches only its neighbours, and those dealt to its own place and to the next one.
fn ring(nodes: &[NodeIndex], dealt: &[Vec<NodeIndex>]) -> Pairs {
    let mut pairs = Pairs::new();
    for (place, node) in nodes.iter().enumerate() {
        let next = (place + 1) % nodes.len();
        for (other, neighbour) in nodes.iter().enumerate() {
            let distance = place.abs_diff(other);
            if distance > 1 && distance + 1 < nodes.len() {
                pairs.extend(cut(&[*node], &[*neighbour]));
            }
        }
        for (_, unseen) in dealt.iter().enumerate().filter(|(at, _)| *at != place && *at != next) {
            pairs.extend(cut(&[*node], unseen));
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_both_ways() {
        assert_eq!(cut(&[1], &[2, 3]), Pairs::from([(1, 2), (2, 1), (1, 3), (3, 1)]));
    }

    #[test]
    fn in_a_ring_everybody_has_two_neighbours() {
        let pairs = ring(&[10, 11, 12, 13, 14], &vec![Vec::new(); 5]);
        let reaches = |a| (10..15).filter(|b| *b != a && !pairs.contains(&(a, *b))).count();
        assert_eq!((10..15).map(reaches).collect::<Vec<_>>(), [2; 5]);
    }

    #[test]
    fn in_a_ring_of_three_each_reaches_two_parts_of_the_world() {
        let pairs = ring(&[10, 11, 12], &[vec![0], vec![1], vec![2]]);
        let reached = |a| (0..3).filter(|b| !pairs.contains(&(a, *b))).collect::<Vec<_>>();
        assert_eq!([10, 11, 12].map(reached), [vec![0, 1], vec![1, 2], vec![0, 2]]);
        assert!(pairs.iter().all(|(a, b)| pairs.contains(&(*b, *a)) && (a.min(b) < &3) != (a.max(b) < &3)));
    }

    #[test]
    fn both_halves_get_some_of_each_party() {
        for seed in 0..50 {
            let parties = vec![vec![1, 2, 3], vec![4, 5], vec![6]];
            let dealt = deal(parties, 2, &mut Rng::labelled(seed, "deal"));
            let all: Vec<NodeIndex> = dealt.concat();
            assert_eq!((all.len(), all.iter().sum::<usize>()), (6, 21), "everybody once");
            for side in &dealt {
                assert!(side.iter().any(|node| *node <= 3) && side.iter().any(|node| (4..=5).contains(node)));
            }
        }
    }
}
