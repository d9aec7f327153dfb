//! Faults of Kafka's replication: broker-pause, leader-move, isr-shrink, unclean-election.

use kafka::TopicPartition;
use scenario::read::{Choice, Table};
use scenario::{FaultAction, FromTable, TargetKind};

use super::kafka::{TOPICS, now_ms, partitions};
use super::scene::{Drawn, Scene};
use super::{Kind, Stage, processes};

const BROKERS: &[TargetKind] = &[TargetKind::Broker];

pub fn kinds() -> Vec<Kind> {
    vec![
        Kind { action: processes::broker_pause(BROKERS), draw: processes::pause },
        Kind {
            action: FaultAction::of::<Topic>(
                "leader-move",
                &[],
                "Another in-sync replica leads each partition of a topic, or of all topics.",
            )
            .momentary(),
            draw: leader_move,
        },
        Kind {
            action: FaultAction::of::<Topic>(
                "isr-shrink",
                BROKERS,
                "A broker is taken for out of sync, whatever it has, until it has caught up.",
            )
            .momentary(),
            draw: isr_shrink,
        },
        Kind {
            action: FaultAction::of::<Topic>(
                "unclean-election",
                BROKERS,
                "A broker leads all that it has of a topic, or of all topics, in sync or not.",
            )
            .momentary(),
            draw: unclean_election,
        },
    ]
}

struct Topic {
    topic: Option<&'static str>,
}

impl FromTable for Topic {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            topic: table.optional(
                "topic",
                "Which topic; all of them where it is not named.",
                Choice(&TOPICS),
            ),
        }
    }
}

impl Topic {
    fn partitions(&self) -> Vec<TopicPartition> {
        let named = contracts::TOPICS.iter().filter(|topic| self.topic.is_none_or(|name| name == topic.name));
        named
            .flat_map(|topic| {
                (0..partitions(topic.name)).map(|number| TopicPartition::new(topic.name, number))
            })
            .collect()
    }

    fn name(&self) -> String {
        self.topic.unwrap_or("every topic").to_owned()
    }
}

fn leader_move(scene: &mut Scene<'_>) -> Drawn {
    let keys: Topic = scene.params();
    let brokers = scene.layout.brokers().len() as u64;
    let steps = 1 + scene.rng.below((brokers - 1).max(1));
    let says = format!("{} is led {steps} brokers on", keys.name());
    let partitions = keys.partitions();
    Drawn::new(keys.name()).step(scene.from(), says, move |stage, _| {
        partitions.iter().for_each(|at| move_leader(stage, at, steps));
    })
}

/// The broker so many places after the present leader leads, if it is in sync.
fn move_leader(stage: &Stage, at: &TopicPartition, steps: u64) {
    let cluster = &stage.platform.cluster;
    let brokers = i32::try_from(cluster.len()).expect("clusters are small");
    let outputs = {
        let mut controller = cluster.controller.controller.borrow_mut();
        let Some(from) = controller.leader_of(at) else { return };
        let to = (from + i32::try_from(steps).unwrap_or(1)) % brokers;
        controller.move_leader(now_ms(stage), at, to).1
    };
    cluster.controller.stir(outputs);
}

fn isr_shrink(scene: &mut Scene<'_>) -> Drawn {
    let keys: Topic = scene.params();
    let victims = scene.victims();
    let names = scene.names(&victims);
    let says = format!("{names} out of sync for {}", keys.name());
    let partitions = keys.partitions();
    Drawn::new(names).step(scene.from(), says, move |stage, _| {
        let cluster = &stage.platform.cluster;
        for victim in cluster.iter().filter(|seat| victims.contains(&seat.node)) {
            let follower = victim.broker.borrow().id();
            for leader in cluster.iter().filter(|seat| stage.world.is_running(seat.node)) {
                for at in &partitions {
                    let (_, outputs) = leader.broker.borrow_mut().shrink_isr(now_ms(stage), at, follower);
                    leader.stir(outputs);
                }
            }
        }
    })
}

/// As an operator does it who has lost the brokers that were in sync (`kafka-leader-election.sh --election-type unclean`).
fn unclean_election(scene: &mut Scene<'_>) -> Drawn {
    let keys: Topic = scene.params();
    let victims = scene.victims();
    let names = scene.names(&victims);
    let says = format!("{names} leads {}, in sync or not", keys.name());
    let partitions = keys.partitions();
    Drawn::new(names).step(scene.from(), says, move |stage, _| {
        let cluster = &stage.platform.cluster;
        for seat in cluster.iter().filter(|seat| victims.contains(&seat.node)) {
            let to = seat.broker.borrow().id();
            for at in &partitions {
                let mut controller = cluster.controller.controller.borrow_mut();
                let (_, outputs) = controller.elect_uncleanly(now_ms(stage), at, to);
                drop(controller);
                cluster.controller.stir(outputs);
            }
        }
    })
}
