//! The tables that every service's database has, besides its read models.

use crate::ports::store::{Column, Index, Table};

/// Stream heads: `sequences` is the last sequence per topic, as `<topic>:<n>` joined by commas.
pub static HEADS: Table = Table {
    name: "heads",
    columns: &[Column::text("stream"), Column::int("version"), Column::text("sequences")],
    key: 1,
    serial: false,
    indexes: &[],
};

pub static EVENTS: Table = Table {
    name: "events",
    columns: &[
        Column::text("stream"),
        Column::int("version"),
        Column::bytes("payload"),
        Column::text("cause"),
    ],
    key: 2,
    serial: false,
    indexes: &[],
};

/// Messages to publish, and those published: kept, for republication.
pub static OUTBOX: Table = Table {
    name: "outbox",
    columns: &[
        Column::int("id"),
        Column::text("stream"),
        Column::text("topic"),
        Column::int("sequence"),
        Column::text("key"),
        Column::bytes("payload"),
        Column::text("event_id"),
        Column::text("cause"),
        Column::text("trade_date"),
        Column::int("recorded_ms"),
        Column::int("sent"),
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
    columns: &[Column::text("topic"), Column::int("partition"), Column::int("next"), Column::int("claim")],
    key: 2,
    serial: false,
    indexes: &[],
};

/// The last sequence taken in per source stream and topic.
pub static SEQUENCES: Table = Table {
    name: "last_sequences",
    columns: &[Column::text("source"), Column::text("topic"), Column::int("last")],
    key: 2,
    serial: false,
    indexes: &[],
};

/// Messages that came before their predecessors.
pub static PARKED: Table = Table {
    name: "parked",
    columns: &[
        Column::text("source"),
        Column::text("topic"),
        Column::int("sequence"),
        Column::text("event_id"),
        Column::bytes("payload"),
        Column::int("since_ms"),
        Column::int("partition"),
        Column::int("offset"),
    ],
    key: 3,
    serial: false,
    indexes: &[Index { name: "since", columns: &[5], only_where: None, unique: false }],
};

/// HTTP commands by scope and idempotency key, with the answer that was given.
pub static INBOX: Table = Table {
    name: "inbox",
    columns: &[
        Column::text("scope"),
        Column::text("key"),
        Column::int("hash"),
        Column::int("status"),
        Column::bytes("body"),
        Column::int("expires_ms"),
    ],
    key: 2,
    serial: false,
    indexes: &[Index { name: "expires", columns: &[5], only_where: None, unique: false }],
};

pub static TIMERS: Table = Table {
    name: "timers",
    columns: &[Column::text("id"), Column::int("due_ms"), Column::int("sequence")],
    key: 1,
    serial: false,
    indexes: &[Index { name: "due", columns: &[1], only_where: None, unique: false }],
};

/// `step` is 0 to send, 1 to query.
pub static EFFECTS: Table = Table {
    name: "effects",
    columns: &[
        Column::text("id"),
        Column::bytes("payload"),
        Column::int("valid_until_ms"),
        Column::int("step"),
        Column::int("tries"),
        Column::int("next_ms"),
    ],
    key: 1,
    serial: false,
    indexes: &[Index { name: "next", columns: &[5], only_where: None, unique: false }],
};

pub static LEASES: Table = Table {
    name: "leases",
    columns: &[Column::text("name"), Column::text("holder"), Column::int("epoch"), Column::int("until_ms")],
    key: 1,
    serial: false,
    indexes: &[],
};

/// Up to which row of a source's outbox all of a topic was taken in, when it was checked last.
pub static CHECKED: Table = Table {
    name: "checked_heads",
    columns: &[Column::text("source"), Column::text("topic"), Column::int("up_to")],
    key: 2,
    serial: false,
    indexes: &[],
};

/// Inputs whose decision panicked; `kept_aside` once there is a dead letter of them.
pub static ATTEMPTS: Table = Table {
    name: "attempts",
    columns: &[
        Column::text("input"),
        Column::int("attempts"),
        Column::text("reason"),
        Column::int("kept_aside"),
    ],
    key: 1,
    serial: false,
    indexes: &[],
};

/// What could not be decoded, or panicked three times. Messages have their topic; timers and effects have
/// `timers` and `effects`, their id as source, and an effect its end of validity as offset.
pub static DEAD_LETTERS: Table = Table {
    name: "dead_letters",
    columns: &[
        Column::int("id"),
        Column::text("topic"),
        Column::int("partition"),
        Column::int("offset"),
        Column::text("source"),
        Column::int("sequence"),
        Column::text("reason"),
        Column::int("attempts"),
        Column::bytes("payload"),
    ],
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
    &ATTEMPTS,
    &CHECKED,
];
