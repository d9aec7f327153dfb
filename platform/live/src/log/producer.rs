//! The writing half: an idempotent producer whose reports wake who waits for them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use futures::task::AtomicWaker;
use host::ports::log::{LogProducer, OutRecord, SendError};
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};

/// How long to wait before a record is offered again to a queue that is full.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(20);

/// What became of records, by their numbers.
#[derive(Default)]
struct Reports {
    outcomes: Mutex<BTreeMap<usize, Result<(), SendError>>>,
    waiting: AtomicWaker,
}

impl Reports {
    fn outcomes(&self) -> MutexGuard<'_, BTreeMap<usize, Result<(), SendError>>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let outcome = result.as_ref().map(|_| ()).map_err(|(error, _)| SendError(error.to_string()));
        self.outcomes().insert(number, outcome);
        self.waiting.wake();
    }
}

pub(super) struct Writer {
    client: ThreadedProducer<Reports>,
    next: usize,
}

impl Writer {
    pub fn new(mut config: ClientConfig) -> KafkaResult<Writer> {
        config.set("enable.idempotence", "true").set("partitioner", "murmur2_random");
        let client = config.create_with_context(Reports::default())?;
        Ok(Writer { client, next: 0 })
    }

    /// Queues a record under its number.
    async fn queue(&self, record: &OutRecord, number: usize) -> Result<(), SendError> {
        let headers = record.headers.iter().fold(OwnedHeaders::new(), |all, (name, value)| {
            all.insert(Header { key: name, value: Some(&value[..]) })
        });
        let mut sent = BaseRecord::with_opaque_to(record.topic, number)
            .key(&record.key[..])
            .payload(&record.value[..])
            .timestamp(record.timestamp_ms)
            .headers(headers);
        loop {
            let Err((error, back)) = self.client.send(sent) else { return Ok(()) };
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(SendError(error.to_string()));
            }
            sent = back;
            tokio::time::sleep(QUEUE_FULL_PAUSE).await;
        }
    }

    /// Waits until all of these numbers are reported.
    async fn reported(&self, numbers: &[usize]) {
        let context = self.client.context();
        std::future::poll_fn(|task| {
            context.waiting.register(task.waker());
            let outcomes = context.outcomes();
            match numbers.iter().all(|number| outcomes.contains_key(number)) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

#[async_trait(?Send)]
impl LogProducer for Writer {
    async fn send(&mut self, records: Vec<OutRecord>) -> Vec<Result<(), SendError>> {
        // Reports of a send that was dropped half-way are nobody's.
        self.client.context().outcomes().clear();
        let numbers: Vec<usize> = (self.next..).take(records.len()).collect();
        self.next += records.len();
        for (record, number) in records.iter().zip(&numbers) {
            if let Err(error) = self.queue(record, *number).await {
                self.client.context().outcomes().insert(*number, Err(error));
            }
        }
        self.reported(&numbers).await;
        let mut outcomes = self.client.context().outcomes();
        numbers.iter().map(|number| outcomes.remove(number).expect("just seen")).collect()
    }
}
