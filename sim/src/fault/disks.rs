//! Faults of disks, a database server's or a broker's: disk-full, slow-disk.

use kafka::Trouble;
use scenario::read::{Between, Lasting, Table};
use scenario::{Drawn as Between_, FaultAction, FromTable, TargetKind, TargetSpec, TimeSpan};

use super::scene::{Drawn, Scene};
use super::{Kind, databases, kafka as brokers};
use crate::nodes::database::troubles::Strain;

const DISKS: &[TargetKind] = &[TargetKind::Database, TargetKind::Broker];
const FULL: &str = "A database's writes fail with 53100, reads go on; a broker halts at its next write, as it has no other \
                    log directory, and again after each start.";

pub fn kinds() -> Vec<Kind> {
    vec![
        Kind { action: FaultAction::of::<Nothing>("disk-full", DISKS, FULL), draw: disk_full },
        Kind {
            action: FaultAction::of::<SlowDisk>(
                "slow-disk",
                DISKS,
                "Each flush of a database takes longer, and each write of a broker.",
            ),
            draw: slow_disk,
        },
    ]
}

struct Nothing;

impl FromTable for Nothing {
    fn read(_: &mut Table<'_>) -> Self {
        Self
    }
}

struct SlowDisk {
    by: Between_<TimeSpan>,
}

impl FromTable for SlowDisk {
    fn read(table: &mut Table<'_>) -> Self {
        Self { by: table.required("by", "How much longer it takes.", Between(Lasting)) }
    }
}

fn is_of_broker(scene: &Scene<'_>) -> bool {
    scene.spec.target.as_ref().map(|spec: &TargetSpec| spec.target().kind()) == Some(TargetKind::Broker)
}

fn disk_full(scene: &mut Scene<'_>) -> Drawn {
    if is_of_broker(scene) {
        return brokers::in_trouble(scene, Trouble::DiskFull);
    }
    databases::strained(scene, "disk full", Strain::DiskFull)
}

fn slow_disk(scene: &mut Scene<'_>) -> Drawn {
    let keys: SlowDisk = scene.params();
    let by = scene.draw(&keys.by);
    if is_of_broker(scene) {
        let ms = u64::try_from(by.0.as_millis()).unwrap_or(u64::MAX);
        return brokers::in_trouble(scene, Trouble::SlowDisk { min_ms: ms, max_ms: ms });
    }
    databases::strained(
        scene,
        &format!("each flush takes {by} longer"),
        Strain::SlowDisk { by_ns: databases::ns(by) },
    )
}
