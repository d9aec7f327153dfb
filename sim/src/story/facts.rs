//! Facts in plain words, the items of a record one by one.

use invariants::Fact;
use invariants::fact::{
    BankKind, BankMovement, Book, ClientAnswer, ClientRequest, Committed, EventRow, Opening, OutboxRow,
    Outcome, Phase, RequestBody, VenueMessage, Visible,
};

use super::{Item, events};

/// Everything that a fact says.
pub fn items(fact: &Fact) -> Vec<Item> {
    match fact {
        Fact::Committed(committed) => commit(committed),
        other => vec![Item::new(one(other))],
    }
}

fn commit(committed: &Committed) -> Vec<Item> {
    let events = committed.events.iter().map(|row| event(&committed.database, row));
    let mut items: Vec<Item> = events.chain(committed.outbox.iter().map(message)).collect();
    if items.is_empty() {
        items.push(Item::new(format!("committed {} rows", committed.rows)));
    }
    items
}

/// A stored event.
pub fn event(database: &str, row: &EventRow) -> Item {
    let what = row.event.as_ref().map_or_else(|| "an event that cannot be read".to_owned(), events::describe);
    Item { text: format!("{database}/{}@{} {what}", row.stream, row.version), cause: Some(row.cause.clone()) }
}

/// A message that is to be published.
pub fn message(row: &OutboxRow) -> Item {
    let text = format!("→ {} #{} key {}", row.topic, row.headers.sequence, row.key);
    Item { text, cause: Some(row.headers.cause.clone()) }
}

/// What a fact other than a commit says.
pub fn one(fact: &Fact) -> String {
    match fact {
        Fact::Opening(opening) => opened(opening),
        Fact::Committed(committed) => {
            format!("transaction {} of {}", committed.transaction, committed.database)
        }
        Fact::CommitLost { database, transaction } => {
            format!("{database} lost transaction {transaction}, which it had acknowledged")
        }
        Fact::Promoted { database, timeline } => {
            format!("standby of {database} is primary, timeline {timeline}")
        }
        Fact::ServerPanicked { database } => format!("the disk of {database} fails: PANIC, and recovery"),
        Fact::CommitUnheard { database } => {
            format!("{database} committed, and its client did not hear of it")
        }
        Fact::StandbyLeft { database } => format!("{database} commits without its standby"),
        Fact::StandbyJoined { database } => format!("{database} commits wait for the standby again"),
        Fact::Visible(visible) => seen(visible),
        Fact::Rebalanced { group, generation, members } => {
            format!("group {group} generation {generation}: {}", members.join(", "))
        }
        Fact::LeaderElected { topic, partition, leader, leader_epoch, unclean } => {
            let who = leader.as_deref().unwrap_or("nobody");
            let how = if *unclean { ", which was not in sync" } else { "" };
            format!("{topic} {partition} is led by {who}{how}, epoch {leader_epoch}")
        }
        Fact::LogTruncated { topic, partition, from, to } => {
            format!("log of {topic} {partition} is cut off from {to} to {from}")
        }
        Fact::LogDirFailed => "its log directory failed: it halts".to_owned(),
        Fact::Request(request) => asked(request),
        Fact::Answer(answer) => answered(answer),
        Fact::Venue { venue, trade_date, message } => {
            format!("{venue} {} {trade_date}", venue_word(*message))
        }
        Fact::Bank(movement) => moved(movement),
        Fact::Notified { receiver, event_id, channel } => {
            format!("{receiver} took notice of {event_id} by {channel}")
        }
        Fact::NodeStarted => "started".to_owned(),
        Fact::NodeDied => "died".to_owned(),
        Fact::NodePanicked { message } => format!("panicked: {message}"),
        Fact::FaultBegan { id, action, target } => format!("fault {id} begins: {action} on {target}"),
        Fact::FaultEnded { id } => format!("fault {id} ends"),
        Fact::Phase(phase) => phase_words(*phase).to_owned(),
    }
}

fn opened(opening: &Opening) -> String {
    let book = match opening.book {
        Book::Bank => "the bank",
        Book::Position => "position",
        Book::Ledger => "the ledger",
    };
    format!("{} opens with {} {} at {book}", opening.account, opening.amount, opening.asset)
}

fn seen(visible: &Visible) -> String {
    let from = visible.headers.as_ref().map_or_else(
        || " without readable headers".to_owned(),
        |headers| format!(" from {}#{}", headers.source, headers.sequence),
    );
    let about = visible.message.as_ref().and_then(events::trade_of).map(|trade| format!(", trade {trade}"));
    let about = about.filter(|_| !from.contains("/trade/")).unwrap_or_default();
    format!("{} {}@{}{from}{about}", visible.topic, visible.partition, visible.offset)
}

fn asked(request: &ClientRequest) -> String {
    let ClientRequest { client, idempotency_key, attempt, body } = request;
    let what = match body {
        RequestBody::Trade { instrument, buyer, seller, quantity, price } => {
            format!("{buyer} buys {quantity} {instrument} at {price} of {seller}")
        }
        RequestBody::Withdrawal { account, amount } => format!("{amount} out of {account}"),
        RequestBody::Deposit { account, amount } => format!("{amount} into {account} at the bank"),
        RequestBody::Instrument { instrument, tick } => format!("list {instrument}, tick {tick}"),
        RequestBody::Account { account, participant } => format!("open {account} of {participant}"),
        RequestBody::Get { path } => format!("read {path}"),
    };
    let again = if *attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
    format!("{client} asks under {idempotency_key}: {what}{again}")
}

fn answered(answer: &ClientAnswer) -> String {
    let ClientAnswer { client, idempotency_key, outcome, .. } = answer;
    let what = match outcome {
        Outcome::Accepted { id } if id.is_empty() => "accepted".to_owned(),
        Outcome::Accepted { id } => format!("accepted as {id}"),
        Outcome::Rejected { status, code } => format!("rejected: {status} {code}"),
        Outcome::Unknown => "unknown".to_owned(),
    };
    format!("{client} hears of {idempotency_key}: {what}")
}

fn venue_word(message: VenueMessage) -> &'static str {
    match message {
        VenueMessage::Open => "opens",
        VenueMessage::Close => "closes",
        VenueMessage::EndOfDay => "ends",
    }
}

fn moved(movement: &BankMovement) -> String {
    let BankMovement { kind, uetr, debtor, creditor, amount, reference } = movement;
    match kind {
        BankKind::Executed => {
            format!("paid {amount} from {debtor} to {creditor}, {uetr}, reference {reference}")
        }
        BankKind::Refused => format!("refused {amount} from {debtor} to {creditor}, {uetr}: {reference}"),
        BankKind::Deposited => format!("{amount} paid in to {creditor}, reference {reference}"),
        BankKind::PaidOut => format!("{amount} paid out of {debtor}, {uetr}, reference {reference}"),
    }
}

fn phase_words(phase: Phase) -> &'static str {
    match phase {
        Phase::Load => "load and faults begin",
        Phase::Heal => "faults stop, nodes come back",
        Phase::Settle => "no more load: everything is to settle",
        Phase::Rest => "at rest",
    }
}
