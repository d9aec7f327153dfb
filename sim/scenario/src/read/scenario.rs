//! The tables of a scenario file, key by key, with what each is for.

use super::compound::Only;
use super::faults::FaultTable;
use super::kafka::KafkaTable;
use super::loads::LoadTable;
use super::names::{Expected, Name, Watched};
use super::sabotage::SabotageTable;
use super::times::{End, Local, OneDay};
use super::{Choice, Decimals, Flag, Lasting, List, Section, Selected, Table, Text, number};
use crate::scenario::{
    Check, Expect, Invariants, Market, Opening, OpeningOverride, Platform, Postgres, Scenario, Settle,
    Snapshot, Topology, Until,
};
use crate::values::{Selection, TimeSpan};

/// From weak to strong (manual 20.5.1).
const SYNCHRONOUS_COMMIT: &[(&str, &str)] = &[
    ("off", "off"),
    ("local", "local"),
    ("remote_write", "remote_write"),
    ("on", "on"),
    ("remote_apply", "remote_apply"),
];

const SHARES: std::ops::RangeInclusive<i64> = 0..=1_000_000_000;

/// Reads the whole file. `[market]` comes before `[[load]]`, which refers to its accounts.
pub fn read_scenario(table: &mut Table<'_>) -> Scenario {
    Scenario {
        name: table.required("name", "Unique name: that of the file.", Text),
        about: table.required("about", "One sentence: what happens, and what must hold.", Text),
        tags: table.or("tags", "Words to select scenarios by.", List(Text), Vec::new()),
        expect: table.or("expect", "What makes a run a success.", Expected, Expect::Pass),
        market: table.required("market", "The market day.", Section(read_market)),
        topology: table.section("topology", "The nodes of the platform.", Section(read_topology)),
        platform: table.section("platform", "Settings of the services.", Section(read_platform)),
        settle: table.section("settle", "How long settling may take.", Section(read_settle)),
        check: table.section("check", "What is watched, and must be met.", Section(read_check)),
        snapshot: table.section("snapshot", "Committed outcomes.", Section(read_snapshot)),
        loads: table.or("load", "What clients ask of the platform.", List(LoadTable), Vec::new()),
        faults: table.or("fault", "What breaks.", List(FaultTable), Vec::new()),
        sabotage: table.or(
            "sabotage",
            "Wrong habits of the platform, for the expected invariant to find.",
            List(SabotageTable),
            Vec::new(),
        ),
    }
}

fn read_market(table: &mut Table<'_>) -> Market {
    let venue = table.required("venue", "Market identifier code.", Name::Venue);
    let start = table.required("start", "Local to the venue, on a session day.", Local);
    let until = table.or("until", "When load and faults end.", End, Until::Settled);
    let days = "Days on which load runs; without it the day of `start`, or with an end every session day.";
    let trading = table.or("trading", days, List(OneDay), Vec::new());
    let instruments = table.required("instruments", "How many.", number(1..=10_000));
    let accounts = table.required("accounts", "How many.", number(1..=100_000));
    let participants =
        table.or("participants", "Clients; the accounts are dealt out.", number(1..=1_000), 10);
    table.context().accounts.set(Some(accounts).filter(|count| *count > 0));
    table.context().instruments.set(Some(instruments).filter(|count| *count > 0));
    let opening = table.required("opening", "What every account holds at the start.", Section(read_opening));
    Market { venue, start, until, trading, instruments, accounts, participants, opening }
}

fn read_opening(table: &mut Table<'_>) -> Opening {
    Opening {
        cash: table.required("cash", "Of each account.", Decimals::MONEY),
        shares: table.required("shares", "Of each account, in each instrument.", number(SHARES)),
        overrides: table.or(
            "override",
            "Accounts with other balances.",
            List(Section(read_override)),
            Vec::new(),
        ),
    }
}

fn read_override(table: &mut Table<'_>) -> OpeningOverride {
    OpeningOverride {
        accounts: table.required("accounts", "Which accounts.", Selected::Accounts),
        instruments: table.or(
            "instruments",
            "Which instruments `shares` is about.",
            Selected::Instruments,
            Selection::All,
        ),
        cash: table.optional("cash", "Instead of the others' cash.", Decimals::MONEY),
        shares: table.optional("shares", "Instead of the others' shares.", number(SHARES)),
    }
}

fn read_topology(table: &mut Table<'_>) -> Topology {
    let services =
        table.context().catalogue.map(|catalogue| catalogue.services.as_slice()).unwrap_or_default();
    let instances = services.iter().map(|service| {
        let instances = table.or(&service.name, "Instances.", number(1..=16), service.instances);
        (service.name.clone(), instances)
    });
    Topology {
        instances: instances.collect(),
        kafka: table.section("kafka", "Brokers, and settings by Kafka's names.", KafkaTable),
        postgres: table.section("postgres", "Settings of every database.", Section(read_postgres)),
    }
}

fn read_postgres(table: &mut Table<'_>) -> Postgres {
    let standby = "Whether commits wait for the standby that each database has.";
    let commit = table.or("synchronous_commit", "PostgreSQL's own.", Choice(SYNCHRONOUS_COMMIT), "on");
    Postgres {
        synchronous_standby: table.or("synchronous_standby", standby, Flag, true),
        synchronous_commit: commit.to_owned(),
    }
}

fn read_platform(table: &mut Table<'_>) -> Platform {
    Platform {
        max_carries: table.or(
            "max_carries",
            "Attempts carried to the next settlement date before a trade fails.",
            number(0..=30),
            3,
        ),
        reference_wait: table.or(
            "reference_wait",
            "How long a trade waits for its reference data.",
            Lasting,
            TimeSpan::from_secs(300),
        ),
        rate_limit_per_second: table.or(
            "rate_limit_per_second",
            "Requests of one client that one gateway instance admits.",
            number(1..=100_000),
            100,
        ),
        page_size: table.or(
            "page_size",
            "Obligations per page of a settlement batch.",
            number(1..=10_000),
            100,
        ),
        unsettled_purchases_count: table.or(
            "unsettled_purchases_count",
            "Whether shares bought and not yet settled may be sold.",
            Only {
                field: Flag,
                only: false,
                why: "`no_oversell` and the reference model judge by settled shares only, so far",
            },
            false,
        ),
    }
}

fn read_settle(table: &mut Table<'_>) -> Settle {
    let about = "From the later of healing and the last 18:00 at which an open obligation is due.";
    Settle { within: table.or("within", about, Lasting, TimeSpan::from_secs(7200)) }
}

fn read_check(table: &mut Table<'_>) -> Check {
    Check {
        invariants: table.or("invariants", "Which are watched.", Watched, Invariants::All),
        must_see: table.or("must_see", "Marks that a run must meet.", List(Name::Mark), Vec::new()),
        dead_letters: table.or(
            "dead_letters",
            "Whether messages that cannot be decoded may be left at rest.",
            Flag,
            false,
        ),
    }
}

fn read_snapshot(table: &mut Table<'_>) -> Snapshot {
    let about = "Seeds whose settlement outcome is committed under snapshots/.";
    Snapshot { seeds: table.or("seeds", about, List(number(0..=i64::MAX)), Vec::new()) }
}
