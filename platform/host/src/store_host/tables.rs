//! The tables that every service's database has, besides its read models.

use crate::ports::store::{Index, Table};

/// Stream heads: `sequences` is the last sequence per topic, as `<topic>:<n>` joined by commas.
pub static HEADS: Table = Table {
    name: "heads",
    columns: &["stream", "version", "sequences"],
    key: 1,
    serial: false,
    indexes: &[],
};

pub static EVENTS: Table = Table {
    name: "events",
    columns: &["stream", "version", "payload", "cause"],
    key: 2,
    serial: false,
    indexes: &[],
};

/// Messages to publish, and those published: kept, for republication.
pub static OUTBOX: Table = Table {
    name: "outbox",
    columns: &[
        "id",
        "stream",
        "topic",
        "sequence",
        "key",
        "payload",
        "event_id",
        "cause",
        "trade_date",
        "recorded_ms",
        "sent",
    ],
    key: 1,
    serial: true,
    indexes: &[
        Index { name: "unsent", columns: &[], only_where: Some((10, 0)), unique: false },
        Index { name: "by_stream", columns: &[1, 2, 3], only_where: None, unique: false },
    ],
};

/// Input positions: the truth about progress in the log, and the fence against former owners.
pub static INPUTS: Table = Table {
    name: "input_positions",
    columns: &["topic", "partition", "next", "claim"],
    key: 2,
    serial: false,
    indexes: &[],
};

/// The last sequence taken in per source stream and topic.
pub static SEQUENCES: Table = Table {
    name: "last_sequences",
    columns: &["source", "topic", "last"],
    key: 2,
    serial: false,
    indexes: &[],
};

/// Messages that came before their predecessors.
pub static PARKED: Table = Table {
    name: "parked",
    columns: &["source", "topic", "sequence", "event_id", "payload", "since_ms"],
    key: 3,
    serial: false,
    indexes: &[Index { name: "since", columns: &[5], only_where: None, unique: false }],
};

/// HTTP commands by scope and idempotency key, with the answer that was given.
pub static INBOX: Table = Table {
    name: "inbox",
    columns: &["scope", "key", "hash", "status", "body", "expires_ms"],
    key: 2,
    serial: false,
    indexes: &[Index { name: "expires", columns: &[5], only_where: None, unique: false }],
};

pub static TIMERS: Table = Table {
    name: "timers",
    columns: &["id", "due_ms", "sequence"],
    key: 1,
    serial: false,
    indexes: &[Index { name: "due", columns: &[1], only_where: None, unique: false }],
};

/// `step` is 0 to send, 1 to query.
pub static EFFECTS: Table = Table {
    name: "effects",
    columns: &["id", "payload", "valid_until_ms", "step", "tries", "next_ms"],
    key: 1,
    serial: false,
    indexes: &[Index { name: "next", columns: &[5], only_where: None, unique: false }],
};

pub static LEASES: Table = Table {
    name: "leases",
    columns: &["name", "holder", "epoch", "until_ms"],
    key: 1,
    serial: false,
    indexes: &[],
};

/// What could not be decoded.
pub static DEAD_LETTERS: Table = Table {
    name: "dead_letters",
    columns: &["id", "topic", "partition", "offset", "source", "sequence", "reason", "attempts", "payload"],
    key: 1,
    serial: true,
    indexes: &[Index { name: "by_message", columns: &[1, 4, 5], only_where: None, unique: false }],
};

/// All of them.
pub static ALL: &[&Table] = &[
    &HEADS,
    &EVENTS,
    &OUTBOX,
    &INPUTS,
    &SEQUENCES,
    &PARKED,
    &INBOX,
    &TIMERS,
    &EFFECTS,
    &LEASES,
    &DEAD_LETTERS,
];
