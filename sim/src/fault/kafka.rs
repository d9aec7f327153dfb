//! Faults of Kafka: broker-down, coordinator-move, rebalance, request-error, slow-fetch, redeliver, retention.

use kafka::trouble::{error_name, error_named, errors_after, errors_before};
use kafka::{ApiKey, Moment, ResponseError, TopicPartition, Trouble};
use scenario::read::{Between, Choice, Lasting, Number, Odds, Table, number};
use scenario::{Drawn as Between_, FaultAction, FromTable, Ppm, Target, TargetKind, TargetSpec, TimeSpan};

use super::scene::{Drawn, Scene};
use super::{Kind, Stage, processes};
use crate::nodes::broker::BrokerSeat;
use crate::world::network::NodeIndex;

const DEFAULT: TimeSpan = TimeSpan::from_secs(60);
const BROKERS: &[TargetKind] = &[TargetKind::Broker];
/// A consumer group has its service's name.
const GROUPS: &[TargetKind] = &[TargetKind::Service];

pub fn kinds() -> Vec<Kind> {
    vec![
        Kind { action: processes::broker_down(BROKERS), draw: processes::kill },
        Kind {
            action: FaultAction::of::<Move>(
                "coordinator-move",
                GROUPS,
                "Another broker coordinates the group.",
            )
            .momentary(),
            draw: coordinator_move,
        },
        Kind {
            action: FaultAction::of::<Nothing>("rebalance", GROUPS, "The group's members must join again.")
                .momentary(),
            draw: rebalance,
        },
        Kind {
            action: FaultAction::of::<RequestError>(
                "request-error",
                BROKERS,
                "Requests of an API fail with an error.",
            ),
            draw: request_error,
        },
        Kind {
            action: FaultAction::of::<SlowFetch>("slow-fetch", BROKERS, "Fetches are answered late."),
            draw: slow_fetch,
        },
        Kind {
            action: FaultAction::of::<Redeliver>("redeliver", GROUPS, "Consumers get records again.")
                .momentary(),
            draw: redeliver,
        },
        Kind {
            action: FaultAction::of::<Topic>("poison", &[], "A record that nobody can decode is in a topic.")
                .momentary(),
            draw: poison,
        },
        Kind {
            action: FaultAction::of::<Topic>(
                "retention",
                &[],
                "Records of a topic are deleted, read or not.",
            )
            .momentary(),
            draw: retention,
        },
    ]
}

struct Nothing;

impl FromTable for Nothing {
    fn read(_: &mut Table<'_>) -> Self {
        Self
    }
}

struct Move {
    load: TimeSpan,
}

impl FromTable for Move {
    fn read(table: &mut Table<'_>) -> Self {
        let about = "How long the new coordinator loads the group.";
        Self { load: table.or("load", about, Lasting, TimeSpan::from_secs(2)) }
    }
}

struct RequestError {
    api: &'static str,
    error: &'static str,
    moment: &'static str,
    ppm: Ppm,
}

const APIS: &[(&str, &str)] = &[
    ("Produce", "Produce"),
    ("Fetch", "Fetch"),
    ("ListOffsets", "ListOffsets"),
    ("FindCoordinator", "FindCoordinator"),
    ("JoinGroup", "JoinGroup"),
    ("SyncGroup", "SyncGroup"),
    ("Heartbeat", "Heartbeat"),
    ("OffsetCommit", "OffsetCommit"),
    ("OffsetFetch", "OffsetFetch"),
    ("InitProducerId", "InitProducerId"),
];

const ERRORS: &[(&str, &str)] = &[
    ("drawn", "drawn"),
    ("NOT_LEADER_OR_FOLLOWER", "NOT_LEADER_OR_FOLLOWER"),
    ("LEADER_NOT_AVAILABLE", "LEADER_NOT_AVAILABLE"),
    ("NOT_ENOUGH_REPLICAS", "NOT_ENOUGH_REPLICAS"),
    ("NOT_ENOUGH_REPLICAS_AFTER_APPEND", "NOT_ENOUGH_REPLICAS_AFTER_APPEND"),
    ("REQUEST_TIMED_OUT", "REQUEST_TIMED_OUT"),
    ("KAFKA_STORAGE_ERROR", "KAFKA_STORAGE_ERROR"),
    ("UNKNOWN_SERVER_ERROR", "UNKNOWN_SERVER_ERROR"),
    ("UNKNOWN_TOPIC_OR_PARTITION", "UNKNOWN_TOPIC_OR_PARTITION"),
    ("OFFSET_NOT_AVAILABLE", "OFFSET_NOT_AVAILABLE"),
    ("NOT_COORDINATOR", "NOT_COORDINATOR"),
    ("COORDINATOR_NOT_AVAILABLE", "COORDINATOR_NOT_AVAILABLE"),
    ("COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_LOAD_IN_PROGRESS"),
    ("REBALANCE_IN_PROGRESS", "REBALANCE_IN_PROGRESS"),
    ("UNKNOWN_MEMBER_ID", "UNKNOWN_MEMBER_ID"),
    ("ILLEGAL_GENERATION", "ILLEGAL_GENERATION"),
    ("OFFSET_OUT_OF_RANGE", "OFFSET_OUT_OF_RANGE"),
    ("NETWORK_EXCEPTION", "NETWORK_EXCEPTION"),
];

impl FromTable for RequestError {
    fn read(table: &mut Table<'_>) -> Self {
        const MOMENTS: &[(&str, &str)] = &[("before", "before"), ("after", "after")];
        let keys = Self {
            api: table.required("api", "Which requests.", Choice(APIS)),
            error: table.or("error", "Kafka's name of the error, or drawn.", Choice(ERRORS), "drawn"),
            moment: table.or(
                "moment",
                "before: not carried out; after: carried out.",
                Choice(MOMENTS),
                "before",
            ),
            ppm: table.required("ppm", "Odds of each request to fail.", Odds),
        };
        keys.check(table);
        keys
    }
}

impl RequestError {
    fn moment(&self) -> Moment {
        if self.moment == "after" { Moment::After } else { Moment::Before }
    }

    /// What a broker answers requests of this API with. Empty where the API is not known.
    fn possible(&self) -> &'static [ResponseError] {
        match (kafka::api_named(self.api), self.moment()) {
            (None, _) => &[],
            (Some(api), Moment::Before) => errors_before(api),
            (Some(api), Moment::After) => errors_after(api),
        }
    }

    /// Refuses an error that a broker does not give to requests of this API.
    fn check(&self, table: &Table<'_>) {
        let (api, moment) = (self.api, self.moment);
        if kafka::api_named(api).is_none() {
            return;
        }
        let possible = self.possible();
        if possible.is_empty() {
            let message = format!("{api} is answered with no error after it was carried out");
            return table.refuse("moment", message, Some("moment = \"before\"".to_owned()));
        }
        let is_known = ERRORS.iter().any(|(name, _)| *name == self.error);
        let is_possible = || error_named(self.error).is_some_and(|error| possible.contains(&error));
        if is_known && self.error != "drawn" && !is_possible() {
            let message = format!("{api} is not answered with {} {moment} it was carried out", self.error);
            let names: Vec<String> = possible.iter().map(|error| error_name(*error)).collect();
            table.refuse("error", message, Some(format!("drawn, or {}", names.join(", "))));
        }
    }
}

struct SlowFetch {
    by: Between_<TimeSpan>,
    ppm: Ppm,
}

impl FromTable for SlowFetch {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            by: table.required("by", "How much later.", Between(Lasting)),
            ppm: table.or("ppm", "Odds of each fetch.", Odds, Ppm(Ppm::MILLION)),
        }
    }
}

struct Redeliver {
    records: Between_<u64>,
}

impl FromTable for Redeliver {
    fn read(table: &mut Table<'_>) -> Self {
        let field: Between<Number<u64>> = Between(number(1..=100_000));
        let about = "How many records of each partition come again.";
        Self { records: table.or("records", about, field, Between_::Between { min: 1, max: 50 }) }
    }
}

struct Topic {
    topic: &'static str,
}

/// Every topic of the platform's catalogue.
pub(super) const TOPICS: [(&str, &str); contracts::TOPICS.len()] = {
    let mut names = [("", ""); contracts::TOPICS.len()];
    let mut place = 0;
    while place < names.len() {
        let name = contracts::TOPICS[place].name;
        names[place] = (name, name);
        place += 1;
    }
    names
};

impl FromTable for Topic {
    fn read(table: &mut Table<'_>) -> Self {
        Self { topic: table.required("topic", "Which topic.", Choice(&TOPICS)) }
    }
}

fn group(scene: &Scene<'_>) -> String {
    match scene.spec.target.as_ref().map(TargetSpec::target) {
        Some(Target::Service { name, .. }) => name.clone(),
        other => unreachable!("the loader lets only services be hit, and not {other:?}"),
    }
}

/// The time that brokers wait by, in milliseconds.
pub(super) fn now_ms(stage: &Stage) -> i64 {
    stage.world.now_ns().div_euclid(1_000_000)
}

fn coordinator_move(scene: &mut Scene<'_>) -> Drawn {
    let keys: Move = scene.params();
    let group = group(scene);
    let brokers = scene.layout.brokers().len() as u64;
    let steps = 1 + scene.rng.below((brokers - 1).max(1));
    let load_ms = i64::try_from(keys.load.0.as_millis()).unwrap_or(i64::MAX);
    Drawn::new(group.clone()).step(
        scene.from(),
        format!("group {group} moves {steps} brokers on"),
        move |stage, _| {
            move_on(stage, &group, steps, load_ms);
        },
    )
}

/// The group's coordinator is the broker so many places after the present one, if that is in sync.
fn move_on(stage: &Stage, group: &str, steps: u64, load_ms: i64) {
    let cluster = &stage.platform.cluster;
    let brokers = i32::try_from(cluster.len()).expect("clusters are small");
    let (at, outputs) = {
        let mut controller = cluster.controller.controller.borrow_mut();
        let at = controller.coordinator_partition(group);
        let Some(from) = controller.leader_of(&at) else { return };
        let to = (from + i32::try_from(steps).unwrap_or(1)) % brokers;
        let (moved, outputs) = controller.move_leader(now_ms(stage), &at, to);
        if !moved {
            return;
        }
        (at, outputs)
    };
    if let Some(seat) = cluster.leader_of(&at) {
        seat.broker.borrow_mut().slow_load(group, load_ms);
    }
    cluster.controller.stir(outputs);
}

fn rebalance(scene: &mut Scene<'_>) -> Drawn {
    let group = group(scene);
    Drawn::new(group.clone()).step(scene.from(), format!("group {group} rebalances"), move |stage, _| {
        for seat in stage.platform.cluster.iter().filter(|seat| stage.world.is_running(seat.node)) {
            let forced = seat.broker.borrow_mut().rebalance(now_ms(stage), &group);
            // Only its coordinator knows the group.
            seat.stir(forced.unwrap_or_default());
        }
    })
}

fn request_error(scene: &mut Scene<'_>) -> Drawn {
    let keys: RequestError = scene.params();
    let api = kafka::api_named(keys.api).expect("the loader knows every API");
    let error = error_named(keys.error).unwrap_or_else(|| {
        // A consumer that is told so starts again at the end of the log: that is for who asks for it by name.
        let harmless = |error: &&ResponseError| **error != ResponseError::OffsetOutOfRange;
        let possible: Vec<&ResponseError> = keys.possible().iter().filter(harmless).collect();
        *possible[scene.rng.below(possible.len() as u64) as usize]
    });
    in_trouble(scene, Trouble::RequestError { api, error, moment: keys.moment(), odds_ppm: keys.ppm.0 })
}

fn slow_fetch(scene: &mut Scene<'_>) -> Drawn {
    let keys: SlowFetch = scene.params();
    let ms = |span: TimeSpan| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX);
    let (min_ms, max_ms) = (ms(keys.by.min()), ms(keys.by.max()));
    in_trouble(scene, Trouble::SlowAnswer { api: ApiKey::Fetch, min_ms, max_ms, odds_ppm: keys.ppm.0 })
}

/// The brokers hit are in trouble until the end.
pub(super) fn in_trouble(scene: &mut Scene<'_>, trouble: Trouble) -> Drawn {
    let victims = scene.victims();
    let names = scene.names(&victims);
    let ended = victims.clone();
    Drawn::new(names.clone())
        .step(scene.from(), format!("{trouble:?} at {names}"), move |stage, fault| {
            each_broker(stage, &victims, |seat| {
                let mut rng = stage.world.rng(&format!("fault/{fault}/on/{}", seat.node));
                let draw = Box::new(move |bound| rng.below(bound));
                seat.broker.borrow_mut().begin_trouble(fault, trouble.clone(), draw);
            });
        })
        .step(scene.until_or(DEFAULT), format!("as before: {names}"), move |stage, fault| {
            each_broker(stage, &ended, |seat| seat.broker.borrow_mut().end_trouble(fault));
        })
}

fn each_broker(stage: &Stage, nodes: &[NodeIndex], does: impl FnMut(&BrokerSeat)) {
    stage.platform.cluster.iter().filter(|seat| nodes.contains(&seat.node)).for_each(does);
}

fn redeliver(scene: &mut Scene<'_>) -> Drawn {
    let keys: Redeliver = scene.params();
    let victims = scene.victims();
    let names: Vec<String> = victims.iter().map(|node| scene.name(*node)).collect();
    let back = u32::try_from(scene.draw(&keys.records)).unwrap_or(u32::MAX);
    let says = format!("{} get {back} records again", names.join(", "));
    Drawn::new(names.join(", ")).step(scene.from(), says, move |stage, _| {
        for seat in stage.platform.cluster.iter().filter(|seat| stage.world.is_running(seat.node)) {
            for client in &names {
                let outputs = seat.broker.borrow_mut().redeliver(client, back);
                seat.stir(outputs);
            }
        }
    })
}

fn retention(scene: &mut Scene<'_>) -> Drawn {
    let keys: Topic = scene.params();
    let topic = keys.topic;
    Drawn::new(topic.to_owned()).step(
        scene.from(),
        format!("all records of {topic} are deleted"),
        move |stage, _| {
            for seat in stage.platform.cluster.iter() {
                for partition in 0..partitions(topic) {
                    // A broker that does not lead the partition says so.
                    let deleted =
                        seat.broker.borrow_mut().delete_records(&TopicPartition::new(topic, partition), -1);
                    seat.stir(deleted.unwrap_or_default());
                }
            }
        },
    )
}

/// Partitions of a topic.
pub(super) fn partitions(topic: &str) -> i32 {
    contracts::TOPICS.iter().find(|known| known.name == topic).map_or(0, |known| known.partitions)
}

fn poison(scene: &mut Scene<'_>) -> Drawn {
    let keys: Topic = scene.params();
    let topic = keys.topic;
    let partition = i32::try_from(scene.rng.below(partitions(topic).unsigned_abs().into())).unwrap_or(0);
    let mut garbage = [0; 64];
    garbage.chunks_exact_mut(8).for_each(|chunk| chunk.copy_from_slice(&scene.rng.next_u64().to_le_bytes()));
    let at = TopicPartition::new(topic, partition);
    let says = format!("64 bytes of garbage in {topic} {partition}");
    Drawn::new(topic.to_owned()).step(scene.from(), says, move |stage, _| {
        for seat in stage.platform.cluster.iter().filter(|seat| stage.world.is_running(seat.node)) {
            let now = now_ms(stage);
            let outputs = seat.broker.borrow_mut().append_foreign(now, &at, b"nobody", &garbage);
            seat.stir(outputs);
        }
    })
}
