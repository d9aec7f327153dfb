//! Facts: what happened, told by the fakes at the points of truth, never by a service.

use bytes::Bytes;
use contracts::{Headers, Message, StoredEvent};

/// One numbered record of a run.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Position in the run, from 1.
    pub sequence: u64,
    /// True time in nanoseconds since the Unix epoch; clocks of nodes may differ from it.
    pub at_ns: i64,
    /// The node where it happened, e.g. `position/2`, `postgres/settlement/primary`, `bank`.
    pub node: &'a str,
    /// The id of what led to it; empty where nothing did.
    pub cause: &'a str,
    pub fact: &'a Fact,
}

/// What can happen. Amounts are decimal strings, as in the contracts.
#[expect(clippy::large_enum_variant, reason = "facts are told by reference and not kept")]
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum Fact {
    /// A seeded balance, told once before the run for each of bank, position and ledger.
    Opening(Opening),
    /// A database made a transaction durable, and visible on its primary.
    Committed(Committed),
    /// An acknowledged transaction will never be seen again.
    CommitLost {
        database: String,
        transaction: u64,
    },
    /// A database server ended by itself, for its disk failed, and recovers.
    ServerPanicked {
        database: String,
    },
    /// A decision was committed, and the connection broke before its client heard so.
    CommitUnheard {
        database: String,
    },
    /// A standby became primary.
    Promoted {
        database: String,
        timeline: u32,
    },
    /// A standby left synchronous_standby_names: commits are acknowledged without it.
    StandbyLeft {
        database: String,
    },
    /// It has caught up, and commits wait for it again.
    StandbyJoined {
        database: String,
    },
    /// A record passed the last stable offset of its partition.
    Visible(Visible),
    /// A consumer group completed a rebalance.
    Rebalanced {
        group: String,
        generation: i32,
        members: Vec<String>,
    },
    /// Kafka's controller gave a partition another leader, or none.
    LeaderElected {
        topic: String,
        partition: i32,
        /// The broker's node.
        leader: Option<String>,
        leader_epoch: i32,
        /// It was not in sync: acknowledged records may be gone.
        unclean: bool,
    },
    /// A broker cut off the end of its log: the leader's went another way, or the machine lost its power.
    LogTruncated {
        topic: String,
        partition: i32,
        from: i64,
        to: i64,
    },
    /// A broker could not write its only log directory, and ended itself.
    LogDirFailed,
    /// A client sent a request.
    Request(ClientRequest),
    /// What the client saw of its request in the end.
    Answer(ClientAnswer),
    /// The venue's own books: it opened, closed or ended a trade date.
    Venue {
        venue: String,
        trade_date: String,
        message: VenueMessage,
    },
    /// The settlement bank moved cash, or refused to.
    Bank(BankMovement),
    /// A webhook receiver took a notice.
    Notified {
        receiver: String,
        event_id: String,
        channel: String,
    },
    NodeStarted,
    NodeDied,
    NodePanicked {
        message: String,
    },
    FaultBegan {
        id: u32,
        action: String,
        target: String,
    },
    FaultEnded {
        id: u32,
    },
    /// The run entered a phase.
    Phase(Phase),
}

/// Names of the kinds of facts: an invariant declares what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FactKind {
    Opening,
    Committed,
    CommitLost,
    Promoted,
    Visible,
    Rebalanced,
    LeaderElected,
    LogTruncated,
    LogDirFailed,
    Request,
    Answer,
    Venue,
    Bank,
    Notified,
    Node,
    Fault,
    Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    Load,
    Heal,
    Settle,
    Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VenueMessage {
    Open,
    Close,
    EndOfDay,
}

/// Where a seeded balance stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Book {
    Bank,
    Position,
    Ledger,
}

/// One seeded balance. `asset` is a currency code or an instrument.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Opening {
    pub book: Book,
    pub account: String,
    pub asset: String,
    pub amount: String,
}

/// A committed transaction: what it appended and what it means to publish.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Committed {
    /// The owning service: `trade`, `settlement`, …
    pub database: String,
    pub transaction: u64,
    /// The database's clock at the start of the transaction, nanoseconds since the epoch.
    pub database_time_ns: i64,
    pub events: Vec<EventRow>,
    pub outbox: Vec<OutboxRow>,
    /// Rows written in other tables, by table.
    pub rows: u32,
}

/// A stored event. Its id is `<service>/<stream>@<version>`.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct EventRow {
    pub stream: String,
    /// From 1, gap-free per stream.
    pub version: u64,
    pub cause: String,
    /// `None` where the payload cannot be decoded.
    pub event: Option<StoredEvent>,
    pub payload: Bytes,
}

/// A message in the outbox.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct OutboxRow {
    pub topic: String,
    pub key: String,
    pub headers: Headers,
    pub message: Option<Message>,
}

/// A visible record of a topic.
#[derive(Clone, Debug, PartialEq, Hash)]
pub struct Visible {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub leader_epoch: i32,
    pub key: String,
    pub headers: Option<Headers>,
    pub message: Option<Message>,
    pub payload: Bytes,
}

/// A request as its client made it. Retries carry the same idempotency key and another `attempt`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientRequest {
    pub client: String,
    pub idempotency_key: String,
    pub attempt: u32,
    pub body: RequestBody,
}

/// What a client asks for. Strings are as sent, also where they are nonsense.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RequestBody {
    Trade {
        instrument: String,
        buyer: String,
        seller: String,
        quantity: String,
        price: String,
    },
    Withdrawal {
        account: String,
        amount: String,
    },
    /// Paid in at the bank, outside the platform.
    Deposit {
        account: String,
        amount: String,
    },
    Instrument {
        instrument: String,
        tick: String,
    },
    Account {
        account: String,
        participant: String,
    },
    /// Any read.
    Get {
        path: String,
    },
}

/// What the client knows in the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientAnswer {
    pub client: String,
    pub idempotency_key: String,
    pub attempt: u32,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// 2xx, with the id that the platform gave (trade, withdrawal, instrument, account).
    Accepted { id: String },
    /// A definite refusal: HTTP status and the problem's code.
    Rejected { status: u16, code: String },
    /// No answer, or one that leaves it open, after the bounded retries.
    Unknown,
}

/// A line of the bank's own books, or its refusal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BankMovement {
    pub kind: BankKind,
    /// Empty for deposits.
    pub uetr: String,
    pub debtor: String,
    pub creditor: String,
    pub amount: String,
    /// The bank's reference of an executed movement, or the reason code of a refusal.
    pub reference: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BankKind {
    /// Between accounts on its books, by UETR.
    Executed,
    Refused,
    /// From the outside world into an account.
    Deposited,
    /// From an account to the outside world, by UETR.
    PaidOut,
}

impl FactKind {
    /// Every kind, in order of declaration.
    pub const ALL: &'static [Self] = &[
        Self::Opening,
        Self::Committed,
        Self::CommitLost,
        Self::Promoted,
        Self::Visible,
        Self::Rebalanced,
        Self::LeaderElected,
        Self::LogTruncated,
        Self::LogDirFailed,
        Self::Request,
        Self::Answer,
        Self::Venue,
        Self::Bank,
        Self::Notified,
        Self::Node,
        Self::Fault,
        Self::Phase,
    ];
}

const _: () = assert!(FactKind::ALL.len() == FactKind::Phase as usize + 1, "every kind is on the list");

impl Fact {
    pub fn kind(&self) -> FactKind {
        match self {
            Self::Opening(_) => FactKind::Opening,
            Self::Committed(_) => FactKind::Committed,
            Self::CommitLost { .. } => FactKind::CommitLost,
            Self::Promoted { .. }
            | Self::StandbyLeft { .. }
            | Self::StandbyJoined { .. }
            | Self::ServerPanicked { .. }
            | Self::CommitUnheard { .. } => FactKind::Promoted,
            Self::Visible(_) => FactKind::Visible,
            Self::Rebalanced { .. } => FactKind::Rebalanced,
            Self::LeaderElected { .. } => FactKind::LeaderElected,
            Self::LogTruncated { .. } => FactKind::LogTruncated,
            Self::LogDirFailed => FactKind::LogDirFailed,
            Self::Request(_) => FactKind::Request,
            Self::Answer(_) => FactKind::Answer,
            Self::Venue { .. } => FactKind::Venue,
            Self::Bank(_) => FactKind::Bank,
            Self::Notified { .. } => FactKind::Notified,
            Self::NodeStarted | Self::NodeDied | Self::NodePanicked { .. } => FactKind::Node,
            Self::FaultBegan { .. } | Self::FaultEnded { .. } => FactKind::Fault,
            Self::Phase(_) => FactKind::Phase,
        }
    }
}
