//! Inputs: records of the log, from the stored position on, fenced by a claim.

use std::collections::BTreeMap;
use std::rc::Rc;

use contracts::{Headers, Message};
use futures::FutureExt;
use model::Timestamp;

use super::batch::{Batch, Item, ItemKey, Origin, PositionGuard};
use super::connection::Connection;
use super::execute::{Executed, Outcome};
use super::panics::caught;
use super::replies::Replies;
use super::tables::{INPUTS, PARKED};
use super::{StoreHost, later};
use crate::ports::log::{LogConsumer, LogEvent, LogRecord};
use crate::ports::store::{
    Isolation, LockMode, LockWait, OnConflict, Role, Row, Scan, Statement, StoreError, Value,
};
use crate::service::Service;

/// First and longest pause before a fenced partition is claimed again.
const CLAIM_AGAIN_MS: (u64, u64) = (10_000, 3_600_000);
const BOUNDS_AGAIN_MS: u64 = 1_000;

/// A partition that is ours.
#[derive(Clone, Copy, Debug)]
struct Claimed {
    next: i64,
    claim: i64,
}

type Partition = (String, i32);

/// Partitions of ours that a newer claim has fenced: when to claim them again, and the pause before that.
type Fenced = BTreeMap<Partition, (Timestamp, u64)>;

/// What a consumer holds.
#[derive(Default)]
struct Holdings {
    claimed: BTreeMap<Partition, Claimed>,
    fenced: Fenced,
}

impl<S: Service> StoreHost<S> {
    /// Consumes the service's topics until the process is to end.
    pub(crate) async fn consume(self: Rc<Self>) {
        let topics = contracts::topics::consumed_by(S::NAME);
        let mut consumer = self.ports.log.consumer(S::NAME, &topics);
        let mut connection = Connection::new(self.ports.clone(), Role::Primary);
        let mut held = Holdings::default();
        loop {
            let again = held.fenced.values().map(|(at, _)| *at).min();
            let again = async {
                match again {
                    Some(at) => self.ports.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let event = futures::select_biased! {
                () = self.shutdown.asked().fuse() => return consumer.leave().await,
                event = consumer.poll().fuse() => event,
                () = again.fuse() => {
                    self.claim_again(&mut connection, consumer.as_mut(), &mut held).await;
                    continue;
                }
            };
            match event {
                LogEvent::Assigned(partitions) => {
                    held.fenced.clear();
                    self.claim_all(&mut connection, partitions, consumer.as_mut(), &mut held.claimed).await;
                    self.own_topics(&held);
                }
                LogEvent::Revoked(partitions) => {
                    held.claimed.retain(|partition, _| !partitions.contains(partition));
                    held.fenced.retain(|partition, _| !partitions.contains(partition));
                    self.own_topics(&held);
                }
                LogEvent::OutOfRange { topic, partition, position } => {
                    self.outside_the_log((topic, partition), position, consumer.as_mut(), &mut held).await;
                }
                LogEvent::Records { topic, partition, records } => {
                    let partition = (topic, partition);
                    self.take_records(&mut connection, partition, records, consumer.as_mut(), &mut held)
                        .await;
                }
            }
        }
    }

    fn own_topics(&self, held: &Holdings) {
        let topics = held.claimed.keys().chain(held.fenced.keys()).map(|(topic, _)| topic.as_str());
        self.checks.own(topics, self.ports.clock.now());
    }

    /// Below the log's start: what is gone is asked of the sources, and reading goes on. Beyond its end: the log has
    /// lost what was taken in, and the partition stands until somebody looks.
    async fn outside_the_log(
        &self,
        partition: Partition,
        position: i64,
        consumer: &mut dyn LogConsumer,
        held: &mut Holdings,
    ) {
        let (topic, number) = &partition;
        match consumer.bounds(topic, *number).await {
            Some((start, _)) if position < start => {
                tracing::warn!(instance = %self.instance, topic, number, position, start,
                    "the log begins behind the input position: sources are asked for what is gone");
                self.checks.check_all(topic, self.ports.clock.now());
                consumer.seek(topic, *number, start);
            }
            Some((_, end)) if position > end => {
                tracing::error!(instance = %self.instance, topic, number, position, end,
                    "the input position is beyond the log's end: partition halted");
                held.claimed.remove(&partition);
            }
            // It was a moment ago, or nobody knows.
            _ => {
                let soon = later(self.ports.clock.now(), BOUNDS_AGAIN_MS);
                self.ports.clock.sleep_until(soon).await;
                consumer.seek(topic, *number, position);
            }
        }
    }

    /// The group has not taken these partitions from us since they were fenced: whoever claimed them was late, or is
    /// about to learn that they are not its own.
    async fn claim_again(
        &self,
        connection: &mut Connection,
        consumer: &mut dyn LogConsumer,
        held: &mut Holdings,
    ) {
        let now = self.ports.clock.now();
        let due = held.fenced.iter().filter(|(_, (at, _))| *at <= now);
        let due: Vec<Partition> = due.map(|(partition, _)| partition.clone()).collect();
        tracing::info!(instance = %self.instance, ?due, "claimed again");
        // Should they be fenced once more, the pause is longer: two that both believe take turns ever more rarely.
        for partition in &due {
            held.fenced.insert(partition.clone(), (Timestamp::MAX, held.fenced[partition].1));
        }
        self.claim_all(connection, due, consumer, &mut held.claimed).await;
    }

    fn fence(&self, partition: Partition, held: &mut Holdings) {
        tracing::info!(instance = %self.instance, ?partition, "fenced by a newer claim");
        held.claimed.remove(&partition);
        let pause = held.fenced.get(&partition).map_or(CLAIM_AGAIN_MS.0, |(_, pause)| pause * 2);
        let pause = pause.min(CLAIM_AGAIN_MS.1);
        held.fenced.insert(partition, (later(self.ports.clock.now(), pause), pause));
    }

    /// Raises the claim on each partition, which fences its former owner, and seeks to its position.
    async fn claim_all(
        &self,
        connection: &mut Connection,
        partitions: Vec<Partition>,
        consumer: &mut dyn LogConsumer,
        claimed: &mut BTreeMap<Partition, Claimed>,
    ) {
        if partitions.is_empty() {
            return;
        }
        let mut failures = 0;
        let claims = loop {
            match self.try_claim(connection, &partitions).await {
                Ok(claims) => break claims,
                Err(_) => {
                    failures += 1;
                    connection.back_off_after(failures).await;
                }
            }
        };
        for ((topic, partition), claim) in partitions.into_iter().zip(claims) {
            consumer.seek(&topic, partition, claim.next);
            claimed.insert((topic, partition), claim);
        }
    }

    async fn try_claim(
        &self,
        connection: &mut Connection,
        partitions: &[Partition],
    ) -> Result<Vec<Claimed>, StoreError> {
        let mut statements = vec![Statement::Begin(Isolation::ReadCommitted)];
        for partition in partitions {
            let row = [position_key(partition), vec![Value::Int(0), Value::Int(0)]].concat();
            let keys = vec![position_key(partition)];
            statements.push(Statement::Insert { table: &INPUTS, row, on_conflict: OnConflict::DoNothing });
            let (mode, wait) = (LockMode::Update, LockWait::Wait);
            statements.push(Statement::Lock { table: &INPUTS, keys, mode, wait });
        }
        let mut replies = Replies(connection.run(statements).await?.into_iter());
        replies.begun();
        let mut claims = Vec::with_capacity(partitions.len());
        let mut updates = Vec::with_capacity(partitions.len() + 1);
        for partition in partitions {
            replies.changed();
            let row =
                replies.rows().pop().expect("the position was inserted just before where it was missing");
            let claim = Claimed { next: row[2].as_int(), claim: row[3].as_int() + 1 };
            updates.push(Statement::UpdateIf {
                table: &INPUTS,
                key: position_key(partition),
                expected: Vec::new(),
                set: vec![(3, Value::Int(claim.claim))],
            });
            claims.push(claim);
        }
        updates.push(Statement::Commit);
        connection.run(updates).await?;
        Ok(claims)
    }

    async fn take_records(
        &self,
        connection: &mut Connection,
        partition: Partition,
        records: Vec<LogRecord>,
        consumer: &mut dyn LogConsumer,
        held: &mut Holdings,
    ) {
        let Some(mut at) = held.claimed.get(&partition).copied() else { return };
        let mut items: Vec<(i64, Item<S::Command>)> =
            records.into_iter().map(|record| (record.offset, self.item_of(&partition, record))).collect();
        items.retain(|(offset, _)| *offset >= at.next);
        while !items.is_empty() && !self.shutdown.is_asked() {
            let size = self.batch_length(&items);
            let rest = items.split_off(size);
            let to = items.last().expect("a batch is never empty").0 + 1;
            let (topic, number) = partition.clone();
            let position = PositionGuard { topic, partition: number, claim: at.claim, from: at.next, to };
            let items_now = std::mem::replace(&mut items, rest).into_iter().map(|(_, item)| item).collect();
            let batch = Batch { position: Some(position), items: items_now };
            match self.execute(connection, batch).await {
                Executed::Done { successors, .. } => {
                    at.next = to;
                    held.claimed.insert(partition.clone(), at);
                    consumer.report(&partition.0, partition.1, to);
                    self.take_parked(connection, successors).await;
                }
                Executed::Fenced => match self.position_of(connection, &partition).await {
                    // Our own commit whose answer was lost: go on behind it.
                    Claimed { next, claim } if claim == at.claim => {
                        at.next = next;
                        held.claimed.insert(partition.clone(), at);
                        items.clear();
                        consumer.seek(&partition.0, partition.1, next);
                    }
                    _ => {
                        self.fence(partition, held);
                        return;
                    }
                },
            }
        }
    }

    /// Items up to the batch size; one that needs lookups stands alone.
    fn batch_length(&self, items: &[(i64, Item<S::Command>)]) -> usize {
        if self.stands_alone(&items[0].1) {
            return 1;
        }
        let limit = items.len().min(self.settings.batch_size);
        items[..limit].iter().position(|(_, item)| self.stands_alone(item)).unwrap_or(limit)
    }

    async fn position_of(&self, connection: &mut Connection, partition: &Partition) -> Claimed {
        loop {
            let statements = vec![
                Statement::Begin(Isolation::ReadCommitted),
                Statement::Get { table: &INPUTS, keys: vec![position_key(partition)] },
                Statement::Commit,
            ];
            if let Ok(replies) = connection.run(statements).await {
                let mut replies = Replies(replies.into_iter());
                replies.begun();
                let row: Row = replies.rows().pop().expect("a claimed position has its row");
                return Claimed { next: row[2].as_int(), claim: row[3].as_int() };
            }
            connection.back_off().await;
        }
    }

    /// Takes in parked messages whose gap has closed, as far as they go.
    pub(super) async fn take_parked(&self, connection: &mut Connection, mut streams: Vec<(String, String)>) {
        while let Some((source, topic)) = streams.pop() {
            let rows = self.parked_of(connection, &source, &topic).await;
            let mut goes_on = false;
            for item in rows.iter().filter_map(|row| self.parked_item(row)) {
                let executed = self.execute(connection, Batch::of(vec![item])).await;
                let Executed::Done { outcomes, successors } = executed else {
                    unreachable!("only batches with an input position are fenced")
                };
                // One that came again through the log is dropped, and says nothing of what is behind it.
                goes_on = !successors.is_empty() || matches!(outcomes[..], [Outcome::Duplicate(_)]);
                if !goes_on {
                    break;
                }
            }
            // More is parked than was read at once.
            if goes_on {
                streams.push((source, topic));
            }
        }
    }

    async fn parked_of(&self, connection: &mut Connection, source: &str, topic: &str) -> Vec<Row> {
        let scan = Scan {
            table: &PARKED,
            index: None,
            prefix: vec![source.into(), topic.into()],
            after: None,
            up_to: None,
            limit: self.settings.page_size,
        };
        loop {
            let statements = vec![
                Statement::Begin(Isolation::ReadCommitted),
                Statement::Scan(scan.clone()),
                Statement::Commit,
            ];
            if let Ok(replies) = connection.run(statements).await {
                let mut replies = Replies(replies.into_iter());
                replies.begun();
                return replies.rows();
            }
            connection.back_off().await;
        }
    }

    fn parked_item(&self, row: &Row) -> Option<Item<S::Command>> {
        let (source, topic) = (row[0].as_text().to_owned(), row[1].as_text().to_owned());
        let payload = row[4].as_bytes().clone();
        let message = Message::decode(&topic, payload.clone()).ok()?;
        let event_id = row[3].as_text().to_owned();
        let sequence = row[2].as_int() as u64;
        let partition = i32::try_from(row[6].as_int()).expect("partitions are numbered in 32 bits");
        let origin = Origin::Parked { partition, offset: row[7].as_int() };
        let (command, cause) = (caught(|| self.service.on_message(&message)), event_id.clone());
        let key = ItemKey::Message { source, topic, sequence, payload, event_id, origin };
        Some(Item::new(command, cause, key))
    }

    fn item_of(&self, (topic, partition): &Partition, record: LogRecord) -> Item<S::Command> {
        let pairs = record
            .headers
            .iter()
            .filter_map(|(name, value)| Some((std::str::from_utf8(name).ok()?, &value[..])));
        let headers = Headers::from_pairs(pairs);
        let message = Message::decode(topic, record.value.clone());
        let payload = record.value;
        match (headers, message) {
            (Some(headers), Ok(message)) => {
                let (command, cause) =
                    (caught(|| self.service.on_message(&message)), headers.event_id.clone());
                let key = ItemKey::Message {
                    source: headers.source,
                    topic: topic.clone(),
                    sequence: headers.sequence,
                    payload,
                    event_id: headers.event_id,
                    origin: Origin::Log { partition: *partition, offset: record.offset },
                };
                Item::new(command, cause, key)
            }
            (headers, message) => {
                let why =
                    message.err().map_or("its headers are missing".to_owned(), |error| error.to_string());
                let cause = format!("{topic}/{partition}@{}", record.offset);
                let (topic, partition, offset) = (topic.clone(), *partition, record.offset);
                Item::new(Ok(None), cause, ItemKey::Dead { headers, topic, partition, offset, payload, why })
            }
        }
    }
}

fn position_key((topic, partition): &Partition) -> Vec<Value> {
    vec![topic.as_str().into(), Value::Int((*partition).into())]
}
