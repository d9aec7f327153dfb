//! The reading half: a group member whose partitions stand still until they are told where to begin.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::task::AtomicWaker;
use host::ports::log::{LogConsumer, LogEvent, LogRecord};
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

/// Records of one event.
const MAX_POLL_RECORDS: usize = 500;
/// For a question to a leader.
const ASK: Duration = Duration::from_secs(10);
/// A seek is tried again after this: a partition that was just assigned does not take one yet.
const SEEK: Duration = Duration::from_millis(200);
const LEAVE_TICK: Duration = Duration::from_millis(10);
const LEAVE_TICKS: usize = 500;

type Partition = (String, i32);

/// Keeps rebalances until the next poll, and wakes it.
#[derive(Default)]
struct Events {
    rebalances: Mutex<VecDeque<LogEvent>>,
    waiting: Arc<AtomicWaker>,
}

impl Events {
    fn rebalances(&self) -> MutexGuard<'_, VecDeque<LogEvent>> {
        self.rebalances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Events {}

impl ConsumerContext for Events {
    /// Partitions begin anywhere, paused: where they are to be read the host says, and not what was committed.
    fn rebalance(&self, client: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let (event, done) = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                let begun = list.set_all_offsets(Offset::Beginning).and_then(|()| client.assign(list));
                (LogEvent::Assigned(named(list)), begun.and_then(|()| client.pause(list)))
            }
            _ => (LogEvent::Revoked(named(list)), client.unassign()),
        };
        match done {
            Ok(()) => self.rebalances().push_back(event),
            // librdkafka refuses this of a client that is being closed.
            Err(error) => drop(error),
        }
        self.waiting.wake();
    }
}

fn named(list: &TopicPartitionList) -> Vec<Partition> {
    list.elements().iter().map(|one| (one.topic().to_owned(), one.partition())).collect()
}

/// Where a partition of ours is.
enum Place {
    /// Waits for a seek by the host.
    Waiting,
    /// The host has said where; librdkafka has not taken it yet.
    Seeking(i64),
    Reading,
}

pub(super) struct Reader {
    client: Arc<BaseConsumer<Events>>,
    places: BTreeMap<Partition, Place>,
    ready: VecDeque<LogEvent>,
}

fn list_of(partition: &Partition, offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&partition.0, partition.1, offset).expect("offsets are not negative");
    list
}

impl Reader {
    pub fn new(mut config: ClientConfig, group: &str, topics: &[&'static str]) -> KafkaResult<Reader> {
        config
            .set("group.id", group)
            .set("auto.offset.reset", "error")
            .set("enable.auto.commit", "true")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            .set("partition.assignment.strategy", "range");
        let events = Events::default();
        let waiting = Arc::clone(&events.waiting);
        let mut client: BaseConsumer<Events> = config.create_with_context(events)?;
        client.set_nonempty_callback(move || waiting.wake());
        client.subscribe(topics)?;
        Ok(Reader { client: Arc::new(client), places: BTreeMap::new(), ready: VecDeque::new() })
    }

    /// Waits in a thread.
    async fn wait<T: Send + 'static>(
        &self,
        what: impl FnOnce(&BaseConsumer<Events>) -> T + Send + 'static,
    ) -> T {
        let client = Arc::clone(&self.client);
        tokio::task::spawn_blocking(move || what(&client)).await.expect("librdkafka's calls end")
    }

    /// Takes what the client has, without waiting.
    fn take(&mut self) -> Result<(), RDKafkaErrorCode> {
        let mut batches: Vec<(Partition, Vec<LogRecord>)> = Vec::new();
        let mut failed = None;
        for _ in 0..MAX_POLL_RECORDS {
            match self.client.poll(Duration::ZERO) {
                None => break,
                Some(Ok(message)) => {
                    let partition = (message.topic().to_owned(), message.partition());
                    if !matches!(self.places.get(&partition), Some(Place::Reading)) {
                        continue;
                    }
                    match batches.last_mut() {
                        Some((last, records)) if *last == partition => records.push(read(&message)),
                        _ => batches.push((partition, vec![read(&message)])),
                    }
                }
                Some(Err(KafkaError::MessageConsumption(code))) => failed = Some(code),
                Some(Err(_)) => {}
            }
            // What was fetched before a rebalance is told before it.
            if !self.client.context().rebalances().is_empty() {
                break;
            }
        }
        for ((topic, partition), records) in batches {
            self.ready.push_back(LogEvent::Records { topic, partition, records });
        }
        let rebalances = std::mem::take(&mut *self.client.context().rebalances());
        for event in rebalances {
            self.rebalanced(&event);
            self.ready.push_back(event);
        }
        failed.map_or(Ok(()), Err)
    }

    fn rebalanced(&mut self, event: &LogEvent) {
        match event {
            LogEvent::Assigned(partitions) => {
                self.places.extend(partitions.iter().cloned().map(|partition| (partition, Place::Waiting)));
            }
            LogEvent::Revoked(partitions) => {
                for partition in partitions {
                    self.places.remove(partition);
                }
                self.ready.retain(|event| match event {
                    LogEvent::Records { topic, partition, .. } => {
                        !partitions.contains(&(topic.clone(), *partition))
                    }
                    _ => true,
                });
            }
            _ => {}
        }
    }

    /// Begins to read where the host has said, if the log reaches there.
    async fn settle(&mut self) {
        let wanted: Vec<(Partition, i64)> = self
            .places
            .iter()
            .filter_map(|(partition, place)| match place {
                Place::Seeking(offset) => Some((partition.clone(), *offset)),
                _ => None,
            })
            .collect();
        for (partition, offset) in wanted {
            if self.is_out_of_range(&partition, offset).await {
                continue;
            }
            let list = list_of(&partition, Offset::Offset(offset));
            let sought = self.wait(move |client| client.seek_partitions(list, SEEK)).await;
            let is_taken = sought.is_ok_and(|list| list.elements().iter().all(|one| one.error().is_ok()));
            let is_resumed = is_taken && self.client.resume(&list_of(&partition, Offset::Invalid)).is_ok();
            if is_resumed && self.places.contains_key(&partition) {
                self.places.insert(partition, Place::Reading);
            }
        }
    }

    /// Tells the host, and lets the partition stand still.
    async fn is_out_of_range(&mut self, partition: &Partition, position: i64) -> bool {
        let Some((begin, end)) = self.bounds(&partition.0, partition.1).await else { return false };
        let is_out = position < begin || position > end;
        if is_out {
            let (topic, number) = partition.clone();
            self.places.insert(partition.clone(), Place::Waiting);
            self.ready.push_back(LogEvent::OutOfRange { topic, partition: number, position });
        }
        is_out
    }

    /// librdkafka does not say which partition it is that fell out of the log.
    async fn find_out_of_range(&mut self) {
        let Ok(positions) = self.client.position() else { return };
        for one in positions.elements() {
            let partition = (one.topic().to_owned(), one.partition());
            if let (Offset::Offset(position), Some(Place::Reading)) =
                (one.offset(), self.places.get(&partition))
            {
                self.is_out_of_range(&partition, position).await;
            }
        }
    }

    fn is_seeking(&self) -> bool {
        self.places.values().any(|place| matches!(place, Place::Seeking(_)))
    }

    /// Until librdkafka has something, or a seek is to be tried again.
    async fn something(&self) {
        let waiting = Arc::clone(&self.client.context().waiting);
        let mut is_first = true;
        let woken = std::future::poll_fn(|task| {
            waiting.register(task.waker());
            if std::mem::take(&mut is_first) { Poll::Pending } else { Poll::Ready(()) }
        });
        let limit = if self.is_seeking() { LEAVE_TICK } else { SEEK };
        // The bound also covers what came between the last look and this registration.
        let _ = tokio::time::timeout(limit, woken).await;
    }
}

fn read(message: &BorrowedMessage<'_>) -> LogRecord {
    let headers = message.headers().map_or(Vec::new(), |headers| {
        let value = |value: Option<&[u8]>| Bytes::copy_from_slice(value.unwrap_or_default());
        headers.iter().map(|one| (Bytes::copy_from_slice(one.key.as_bytes()), value(one.value))).collect()
    });
    LogRecord {
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(Bytes::copy_from_slice),
        value: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
        headers,
    }
}

#[async_trait(?Send)]
impl LogConsumer for Reader {
    async fn poll(&mut self) -> LogEvent {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return event;
            }
            if self.take() == Err(RDKafkaErrorCode::AutoOffsetReset) {
                self.find_out_of_range().await;
            }
            self.settle().await;
            if self.ready.is_empty() {
                self.something().await;
            }
        }
    }

    async fn bounds(&mut self, topic: &str, partition: i32) -> Option<(i64, i64)> {
        let topic = topic.to_owned();
        self.wait(move |client| client.fetch_watermarks(&topic, partition, ASK)).await.ok()
    }

    fn seek(&mut self, topic: &str, partition: i32, offset: i64) {
        let partition = (topic.to_owned(), partition);
        if let Some(place) = self.places.get_mut(&partition) {
            *place = Place::Seeking(offset);
            self.ready.retain(|event| match event {
                LogEvent::Records { topic, partition: number, .. } => {
                    (topic, number) != (&partition.0, &partition.1)
                }
                _ => true,
            });
        }
    }

    fn report(&mut self, topic: &str, partition: i32, next_offset: i64) {
        // Of a partition that is not ours any more there is nothing to tell.
        let _ =
            self.client.store_offsets(&list_of(&(topic.to_owned(), partition), Offset::Offset(next_offset)));
    }

    async fn leave(&mut self) {
        self.client.unsubscribe();
        for _ in 0..LEAVE_TICKS {
            let _ = self.take();
            if self.places.is_empty() {
                break;
            }
            tokio::time::sleep(LEAVE_TICK).await;
        }
        self.ready.clear();
    }
}
