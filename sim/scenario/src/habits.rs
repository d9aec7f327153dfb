//! The wrong habits that canaries can plant, and the keys of each.
//!
//! Only what a file may say is here; the decorators that do it are `sim`'s. A habit of another crate is added to
//! the catalogue in the same way: a type that implements `FromTable`.

use crate::catalogue::Habit;
use crate::params::FromTable;
use crate::read::{Lasting, Odds, Table, number};
use crate::values::{Ppm, TimeSpan};

/// Services that keep what they know in a store.
const STORED: &[&str] =
    &["reference-data", "trade", "position", "clearing", "settlement", "ledger", "payment", "notification"];

pub(crate) fn all() -> Vec<Habit> {
    store().into_iter().chain(calls()).chain(rules()).collect()
}

/// Of whoever has a store.
fn store() -> Vec<Habit> {
    let settlement = &["settlement"];
    vec![
        Habit::of::<Nothing>(
            "answer-before-commit",
            "Answers, and commits with the next transaction.",
            STORED,
        ),
        Habit::of::<Strikes>("commit-swallowed", "Takes transactions that fail for committed.", STORED),
        Habit::of::<Nothing>("unknown-taken-for-committed", "Takes silence for a commit.", STORED),
        Habit::of::<Nothing>("unknown-taken-for-failed", "Takes silence for a failure, and says so.", STORED),
        Habit::of::<Nothing>("stream-by-stream", "Stores each stream in a transaction of its own.", STORED),
        Habit::of::<Nothing>("position-first", "Commits the input position before its effects.", STORED),
        Habit::of::<Nothing>("position-unwritten", "Never writes its input position down.", STORED),
        Habit::of::<Nothing>(
            "claim-ignored",
            "Moves input positions, whoever has claimed them since.",
            STORED,
        ),
        Habit::of::<Nothing>(
            "last-writer-wins",
            "Writes streams unlocked, whatever they hold by now.",
            STORED,
        ),
        Habit::of::<Nothing>("reads-unlocked", "Does not lock streams that are only read.", STORED),
        Habit::of::<Nothing>("replica-read", "Reads states from the standby.", STORED),
        Habit::of::<Nothing>("inbox-forgotten", "Takes each input for a new one.", STORED),
        Habit::of::<Nothing>(
            "scope-without-client",
            "Keeps the keys of requests by route, whoever sent them.",
            STORED,
        ),
        Habit::of::<Nothing>(
            "outbox-cursor",
            "Publishes behind the greatest id so far, and never looks back.",
            STORED,
        ),
        Habit::of::<Nothing>("outbox-reversed", "Publishes the last message first.", STORED),
        Habit::of::<Nothing>("published-before-commit", "Publishes messages, and then commits.", STORED),
        Habit::of::<Nothing>("notice-before-commit", "Tells of settlements, and then commits.", settlement),
    ]
}

/// Of whoever calls others.
fn calls() -> Vec<Habit> {
    let (payment, gateway) = (&["payment"], &["api-gateway"]);
    vec![
        Habit::of::<Nothing>(
            "any-answer-is-paid",
            "Takes any answer to an order for its execution.",
            payment,
        ),
        Habit::of::<Nothing>("uetr-per-try", "Orders again under a new UETR instead of asking.", payment),
        Habit::of::<Nothing>("lines-are-news", "Takes statement lines for deposits of their own.", payment),
        Habit::of::<Nothing>("key-per-try", "Gives each try of a request a new key.", gateway),
        Habit::of::<Nothing>("key-cut", "Keeps the last character of keys only.", gateway),
    ]
}

/// Business rules, done wrong.
fn rules() -> Vec<Habit> {
    let of_any = [
        Habit::of::<Strikes>("message-swallowed", "Takes a message in and does nothing about it.", STORED),
        Habit::of::<Strikes>("state-forgotten", "Decides as if nothing had happened before.", STORED),
        Habit::of::<Cached>("state-cached", "Remembers what happened in a cache only.", STORED),
        Habit::of::<Strikes>("panic", "Panics on commands that nobody had thought of.", STORED),
    ];
    of_any.into_iter().chain(trading_rules()).chain(settlement_rules()).collect()
}

/// Of trade, position and clearing.
fn trading_rules() -> Vec<Habit> {
    let (trade, position, clearing) = (&["trade"], &["position"], &["clearing"]);
    vec![
        Habit::of::<Strikes>("last-news-wins", "Takes each step of a trade for its state.", trade),
        Habit::of::<Strikes>("late-news-reopens", "Lets late news of a trade change its end.", trade),
        Habit::of::<Strikes>("oversell-unchecked", "Promises shares whether they are free or not.", position),
        Habit::of::<Cached>("balance-from-cache", "Looks a seller's shares up in a cache.", position),
        Habit::of::<Strikes>(
            "validated-then-refused",
            "Validates a trade, and refuses it as well.",
            position,
        ),
        Habit::of::<Strikes>("buyers-leg-forgotten", "Reserves with the seller only.", position),
        Habit::of::<Strikes>("receipt-forgotten", "Takes shares from the seller only.", position),
        Habit::of::<Nothing>("purchases-counted", "Sells shares that it has not received.", position),
        Habit::of::<Strikes>("seller-forgotten", "Takes sellers for strangers without shares.", position),
        Habit::of::<Strikes>("account-opened-again", "Opens accounts that it should know.", position),
        Habit::of::<Strikes>("half-delivered", "Delivers half of what was paid.", position),
        Habit::of::<Strikes>("rejections-cleared", "Takes position's refusal for its consent.", clearing),
        Habit::of::<Strikes>("seal-uncounted", "Clears a trade date with trades unanswered.", clearing),
        Habit::of::<Nothing>("settles-on-calendar-days", "Settles trades on the next day.", clearing),
        Habit::of::<Nothing>("settles-on-exchange-days", "Settles trades on the next session.", clearing),
    ]
}

/// Of settlement, payment, ledger and notification.
fn settlement_rules() -> Vec<Habit> {
    let (settlement, payment, ledger, notification) =
        (&["settlement"], &["payment"], &["ledger"], &["notification"]);
    vec![
        Habit::of::<Strikes>("delivered-before-paid", "Has shares delivered that are not paid.", settlement),
        Habit::of::<Strikes>("settled-when-paid", "Calls a trade settled before delivery.", settlement),
        Habit::of::<Strikes>("settled-per-account", "Calls a trade settled at each delivery.", settlement),
        Habit::of::<AtHour>("batch-by-utc", "Starts batches at an hour of UTC.", settlement),
        Habit::of::<Nothing>(
            "batch-day-after-day",
            "Starts batches 24 hours after the last one.",
            settlement,
        ),
        Habit::of::<Nothing>(
            "batch-timer-per-arming",
            "Starts a batch for each arming of its timer.",
            settlement,
        ),
        Habit::of::<Nothing>("batch-begun-again", "Starts each batch twice.", settlement),
        Habit::of::<Nothing>("batch-closed-again", "Closes each batch twice.", settlement),
        Habit::of::<Nothing>("carries-to-tomorrow", "Carries to the next day, open or not.", settlement),
        Habit::of::<Strikes>("refusal-taken-for-payment", "Delivers where payment was refused.", settlement),
        Habit::of::<Strikes>("cash-kept", "Keeps the cash of trades that fail.", settlement),
        Habit::of::<Nothing>("seal-ignored", "Starts batches with instructions missing.", settlement),
        Habit::of::<Nothing>("references-forgotten", "Takes each credit notice for a new entry.", payment),
        Habit::of::<Nothing>("refusal-overwrites", "Lets a late refusal change what is executed.", payment),
        Habit::of::<Strikes>("ordered-twice", "Orders each payment under two UETRs.", payment),
        Habit::of::<Strikes>("leg-dropped", "Books entries with a leg missing.", ledger),
        Habit::of::<Strikes>("entry-booked-twice", "Books entries twice.", ledger),
        Habit::of::<Strikes>("entry-forgotten", "Does not book entries.", ledger),
        Habit::of::<Strikes>("sides-swapped", "Books debits as credits.", ledger),
        Habit::of::<Strikes>(
            "carried-told-as-failed",
            "Tells that what is carried has failed.",
            notification,
        ),
        Habit::of::<Strikes>("notice-filed-unsent", "Files notices that nobody got.", notification),
    ]
}

/// Keys of most habits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Strikes {
    /// Of being struck, for each thing that the habit can strike; the same one each time it comes.
    pub odds_ppm: Ppm,
}

/// No keys.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Nothing;

/// Keys of a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cached {
    /// How long an entry lives.
    pub ttl: TimeSpan,
}

/// Keys of a schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AtHour {
    pub hour: i8,
}

impl FromTable for Nothing {
    fn read(_: &mut Table<'_>) -> Self {
        Nothing
    }
}

impl FromTable for Cached {
    fn read(table: &mut Table<'_>) -> Self {
        Cached { ttl: table.required("ttl", "How long an entry lives.", Lasting) }
    }
}

impl FromTable for AtHour {
    fn read(table: &mut Table<'_>) -> Self {
        AtHour { hour: table.required("hour", "Of the day, in UTC.", number(0..=23)) }
    }
}

impl FromTable for Strikes {
    fn read(table: &mut Table<'_>) -> Self {
        let about = "Odds of each thing that the habit can strike; a thing that is struck always is.";
        Strikes { odds_ppm: table.or("odds_ppm", about, Odds, Ppm(1_000_000)) }
    }
}
