//! Faults of clocks, named after Jepsen's: clock-bump, clock-strobe, clock-drift.

use scenario::read::{Between, Lasting, Number, Signed, Table, number};
use scenario::{Drawn as Between_, FaultAction, FromTable, SignedSpan, TargetKind, TimeSpan};

use super::Kind;
use super::scene::{Drawn, Scene, later};
use crate::world::network::NodeIndex;

const DEFAULT: TimeSpan = TimeSpan::from_secs(60);

const CLOCKS: &[TargetKind] = &[TargetKind::Service, TargetKind::Broker, TargetKind::Database];

pub fn kinds() -> Vec<Kind> {
    vec![
        Kind {
            action: FaultAction::of::<Bump>("clock-bump", CLOCKS, "Clocks are set, and set back at the end."),
            draw: bump,
        },
        Kind {
            action: FaultAction::of::<Strobe>("clock-strobe", CLOCKS, "Clocks jump to and fro."),
            draw: strobe,
        },
        Kind {
            action: FaultAction::of::<Drift>(
                "clock-drift",
                CLOCKS,
                "Clocks run fast or slow; what they gained stays until the end.",
            ),
            draw: drift,
        },
    ]
}

struct Bump {
    by: Between_<SignedSpan>,
}

impl FromTable for Bump {
    fn read(table: &mut Table<'_>) -> Self {
        Self { by: table.required("by", "How far: \"1h\", or \"-1m\" to go back.", Between(Signed)) }
    }
}

struct Strobe {
    by: Between_<SignedSpan>,
    period: TimeSpan,
}

impl FromTable for Strobe {
    fn read(table: &mut Table<'_>) -> Self {
        Self {
            by: table.required("by", "How far: \"200ms\", or \"-2s\" to go back.", Between(Signed)),
            period: table.or("period", "From one jump to the next.", Lasting, TimeSpan::from_secs(1)),
        }
    }
}

struct Drift {
    ppm: Between_<i64>,
}

impl FromTable for Drift {
    fn read(table: &mut Table<'_>) -> Self {
        let field: Between<Number<i64>> = Between(number(-500_000..=500_000));
        let about = "Microseconds that a clock gains each second; negative where it loses.";
        Self { ppm: table.required("ppm", about, field) }
    }
}

fn set(drawn: Drawn, at: model::Timestamp, names: &str, nodes: &[NodeIndex], by: SignedSpan) -> Drawn {
    let nodes = nodes.to_vec();
    drawn.step(at, format!("set the clocks of {names} by {by}"), move |stage, _| {
        nodes.iter().for_each(|node| stage.world.bump_clock(*node, by.0));
    })
}

fn bump(scene: &mut Scene<'_>) -> Drawn {
    let keys: Bump = scene.params();
    let victims = scene.victims();
    let names = scene.names(&victims);
    let by = scene.draw(&keys.by);
    let drawn = set(Drawn::new(names.clone()), scene.from(), &names, &victims, by);
    set(drawn, scene.until_or(DEFAULT), &names, &victims, SignedSpan(-by.0))
}

fn strobe(scene: &mut Scene<'_>) -> Drawn {
    let keys: Strobe = scene.params();
    let victims = scene.victims();
    let names = scene.names(&victims);
    let by = scene.draw(&keys.by);
    let until = scene.until_or(DEFAULT);
    let mut drawn = Drawn::new(names.clone());
    let mut at = scene.from();
    while at < until {
        let back = later(at, keys.period).min(until);
        drawn = set(drawn, at, &names, &victims, by);
        drawn = set(drawn, back, &names, &victims, SignedSpan(-by.0));
        at = later(back, keys.period);
    }
    drawn
}

fn drift(scene: &mut Scene<'_>) -> Drawn {
    let keys: Drift = scene.params();
    let victims = scene.victims();
    let names = scene.names(&victims);
    let ppb = 1_000 * scene.draw(&keys.ppm);
    let until = scene.until_or(DEFAULT);
    let lasts_ns = until.as_nanosecond() - scene.from().as_nanosecond();
    let gained = i64::try_from(lasts_ns * i128::from(ppb) / 1_000_000_000).unwrap_or(0);
    let (fast, steady) = (victims.clone(), victims.clone());
    let drawn = Drawn::new(names.clone())
        .step(scene.from(), format!("clocks of {names} gain {ppb} ns a second"), move |stage, _| {
            fast.iter().for_each(|node| stage.world.drift_clock(*node, ppb));
        })
        .step(until, format!("clocks of {names} run as before"), move |stage, _| {
            steady.iter().for_each(|node| stage.world.drift_clock(*node, -ppb));
        });
    set(drawn, until, &names, &victims, SignedSpan(-gained))
}
