//! The topic catalogue: name, key, partitions, retention, who produces and who consumes.

/// How old records leave a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanupPolicy {
    /// Whole segments by age. Sequenced topics are never compacted: a new consumer starts at the log's start.
    Delete,
}

/// One topic of the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: &'static str,
    /// What the record key is, in words; the key decides the partition.
    pub key: &'static str,
    pub partitions: i32,
    pub retention_days: u32,
    pub cleanup_policy: CleanupPolicy,
    pub producers: &'static [&'static str],
    pub consumers: &'static [&'static str],
}

const fn topic(
    name: &'static str,
    key: &'static str,
    partitions: i32,
    producers: &'static [&'static str],
    consumers: &'static [&'static str],
) -> Topic {
    let cleanup_policy = CleanupPolicy::Delete;
    Topic { name, key, partitions, retention_days: 30, cleanup_policy, producers, consumers }
}

pub const REFERENCE_DATA_EVENTS: &str = "reference-data-events";
pub const TRADE_SUBMITTED: &str = "trade-submitted";
pub const TRADE_VALIDATED: &str = "trade-validated";
pub const TRADE_REJECTED: &str = "trade-rejected";
pub const TRADE_DATES: &str = "trade-dates";
pub const CLEARING_EVENTS: &str = "clearing-events";
pub const SETTLEMENT_DATES: &str = "settlement-dates";
pub const SETTLEMENT_INSTRUCTIONS: &str = "settlement-instructions";
pub const DELIVERY_REQUESTS: &str = "delivery-requests";
pub const POSITION_UPDATED: &str = "position-updated";
pub const PAYMENT_INSTRUCTIONS: &str = "payment-instructions";
pub const PAYMENT_EVENTS: &str = "payment-events";
pub const SETTLEMENT_COMPLETED: &str = "settlement-completed";
pub const SETTLEMENT_FAILED: &str = "settlement-failed";
pub const LEDGER_EVENTS: &str = "ledger-events";
pub const NOTIFICATION_EVENTS: &str = "notification-events";
pub const CORPORATE_ACTION_EVENTS: &str = "corporate-action-events";
pub const TRADE_DEAD_LETTER: &str = "trade-dead-letter";

/// Every topic, in the order of a trade's life.
pub const TOPICS: &[Topic] = &[
    topic(
        REFERENCE_DATA_EVENTS,
        "instrument or account",
        2,
        &["reference-data"],
        &["trade", "payment", "notification"],
    ),
    topic(TRADE_SUBMITTED, "seller", 6, &["trade"], &["position"]),
    topic(TRADE_VALIDATED, "seller", 6, &["position"], &["trade", "clearing"]),
    topic(TRADE_REJECTED, "seller", 6, &["trade", "position"], &["trade", "clearing", "notification"]),
    topic(TRADE_DATES, "trade date", 2, &["trade"], &["clearing"]),
    topic(CLEARING_EVENTS, "trade", 6, &["clearing"], &["trade"]),
    topic(SETTLEMENT_DATES, "settlement date", 2, &["clearing"], &["settlement"]),
    topic(SETTLEMENT_INSTRUCTIONS, "trade", 6, &["clearing"], &["settlement", "trade"]),
    topic(DELIVERY_REQUESTS, "seller", 6, &["settlement"], &["position"]),
    topic(POSITION_UPDATED, "account", 6, &["position"], &["settlement", "ledger"]),
    topic(PAYMENT_INSTRUCTIONS, "participant's account", 6, &["settlement"], &["payment"]),
    topic(
        PAYMENT_EVENTS,
        "participant's account",
        6,
        &["payment"],
        &["settlement", "ledger", "notification"],
    ),
    topic(SETTLEMENT_COMPLETED, "trade", 6, &["settlement"], &["trade", "notification"]),
    topic(SETTLEMENT_FAILED, "trade", 6, &["settlement"], &["trade", "notification"]),
    topic(LEDGER_EVENTS, "entry", 2, &["ledger"], &[]),
    topic(NOTIFICATION_EVENTS, "event", 2, &["notification"], &[]),
    topic(CORPORATE_ACTION_EVENTS, "instrument", 2, &[], &[]),
    topic(TRADE_DEAD_LETTER, "source stream", 2, &["trade", "position", "clearing", "settlement"], &[]),
];

/// The catalogue's entry of a topic.
pub fn find(name: &str) -> Option<&'static Topic> {
    TOPICS.iter().find(|topic| topic.name == name)
}

/// The topics that a service reads.
pub fn consumed_by(service: &str) -> Vec<&'static str> {
    TOPICS.iter().filter(|topic| topic.consumers.contains(&service)).map(|topic| topic.name).collect()
}
