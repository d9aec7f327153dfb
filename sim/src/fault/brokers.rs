//! Faults of brokers' machines and of what clients send them: power-loss, delayed-request, repeated-request.

use kafka::{ApiKey, Trouble};
use scenario::read::{Between, Choice, Lasting, Odds, Table};
use scenario::{Drawn as Between_, FaultAction, FromTable, Ppm, TargetKind, TimeSpan};

use super::kafka::in_trouble;
use super::scene::{Drawn, Scene};
use super::{Kind, Stage};
use crate::world::life::End;
use crate::world::network::NodeIndex;

const BROKERS: &[TargetKind] = &[TargetKind::Broker];
/// How long a machine is without power where the scenario does not say.
const AWAY: TimeSpan = TimeSpan::from_secs(30);
/// When Linux has written a dirty page back at the latest (`vm.dirty_expire_centisecs`).
pub const WRITEBACK: TimeSpan = TimeSpan::from_secs(30);

pub fn kinds() -> Vec<Kind> {
    vec![
        Kind {
            action: FaultAction::of::<PowerLoss>(
                "power-loss",
                BROKERS,
                "The broker's machine loses its power, and the end of its logs that was not written back to the disk.",
            ),
            draw: power_loss,
        },
        Kind {
            action: FaultAction::of::<Requests>(
                "delayed-request",
                BROKERS,
                "Requests of an API are carried out late, though their client may have given up.",
            ),
            draw: |scene| {
                requests(scene, |api, min_ms, max_ms, odds_ppm| Trouble::DelayedRequest {
                    api,
                    min_ms,
                    max_ms,
                    odds_ppm,
                })
            },
        },
        Kind {
            action: FaultAction::of::<Requests>(
                "repeated-request",
                BROKERS,
                "Requests of an API are carried out a second time, later.",
            ),
            draw: |scene| {
                requests(scene, |api, min_ms, max_ms, odds_ppm| Trouble::RepeatedRequest {
                    api,
                    min_ms,
                    max_ms,
                    odds_ppm,
                })
            },
        },
    ]
}

struct PowerLoss {
    writeback: TimeSpan,
}

impl FromTable for PowerLoss {
    fn read(table: &mut Table<'_>) -> Self {
        let about = "What is older than this is on the disk.";
        Self { writeback: table.or("writeback", about, Lasting, WRITEBACK) }
    }
}

/// What a broker's machine had not written back is gone. Databases flush what they acknowledge.
pub fn lose_power(stage: &Stage, node: NodeIndex, writeback: TimeSpan) {
    let writeback_ms = i64::try_from(writeback.0.as_millis()).unwrap_or(i64::MAX);
    let seats = stage.platform.cluster.iter().filter(|seat| seat.node == node);
    seats.for_each(|seat| seat.lose_power(&stage.world, writeback_ms));
}

fn power_loss(scene: &mut Scene<'_>) -> Drawn {
    let keys: PowerLoss = scene.params();
    let victims = scene.victims();
    let names = scene.names(&victims);
    let again = victims.clone();
    Drawn::new(names.clone())
        .step(scene.from(), format!("no power for {names}"), move |stage, fault| {
            for node in &victims {
                stage.world.kill(*node, fault, End::Machine);
                lose_power(stage, *node, keys.writeback);
            }
        })
        .step(scene.until_or(AWAY), format!("start {names}"), move |stage, fault| {
            again.iter().for_each(|node| stage.world.start(*node, fault));
        })
}

/// Requests of the platform's clients that change a log.
const APIS: &[(&str, &str)] = &[
    ("Produce", "Produce"),
    ("OffsetCommit", "OffsetCommit"),
    ("JoinGroup", "JoinGroup"),
    ("SyncGroup", "SyncGroup"),
    ("LeaveGroup", "LeaveGroup"),
    ("InitProducerId", "InitProducerId"),
];

struct Requests {
    api: &'static str,
    by: Between_<TimeSpan>,
    ppm: Ppm,
}

impl FromTable for Requests {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            api: table.required("api", "Which requests.", Choice(APIS)),
            by: table.required("by", "How much later.", Between(Lasting)),
            ppm: table.required("ppm", "Odds of each request.", Odds),
        }
    }
}

fn requests(scene: &mut Scene<'_>, trouble: fn(ApiKey, u64, u64, u32) -> Trouble) -> Drawn {
    let keys: Requests = scene.params();
    let api = kafka::api_named(keys.api).expect("the loader knows every API");
    let ms = |span: TimeSpan| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX);
    in_trouble(scene, trouble(api, ms(keys.by.min()), ms(keys.by.max()), keys.ppm.0))
}
