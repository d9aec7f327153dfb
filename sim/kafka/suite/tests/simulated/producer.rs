//! The simulated producer behind the suite's trait, driven by a task of its own.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Poll, Waker};

use async_trait::async_trait;
use futures::future::LocalBoxFuture;
use kafka::client::{
    Acks, ConsumerGroupMetadata, DeliveryReport, Error, ErrorCode, Link as _, ProduceError,
    Producer as Client, ProducerConfig, ProducerRecord,
};
use kafka::partitioner::Partitioner;
use kafka::{TopicPartition, topic_name};
use kafka_suite::{BROKERS, ClientError, Code, GroupMetadata, Producer, Report, Settings, ToSend};

use crate::world::{Handle, SimLink};

/// The client, unless one of its calls is under way.
struct Slot {
    client: Option<Client<SimLink>>,
    /// Of the task that drives it.
    driver: Option<Waker>,
    gone: bool,
}

pub struct SimProducer {
    slot: Rc<RefCell<Slot>>,
    link: Rc<SimLink>,
}

pub fn refuse(name: &str) -> ClientError {
    ClientError { code: Code::Local(name.into()), fatal: false, abortable: false, retriable: false }
}

pub fn number<T: std::str::FromStr>(value: &str) -> Result<T, ClientError> {
    value.parse().map_err(|_| refuse("_INVALID_ARG"))
}

fn configure(is_java: bool, settings: Settings<'_>) -> Result<ProducerConfig, ClientError> {
    let defaults = if is_java { ProducerConfig::java } else { ProducerConfig::librdkafka };
    let mut config = defaults(BROKERS.to_vec(), "suite");
    for (name, value) in settings {
        match *name {
            "acks" => {
                config.acks = Some(match *value {
                    "0" => Acks::None,
                    "1" => Acks::Leader,
                    "all" | "-1" => Acks::All,
                    _ => return Err(refuse("_INVALID_ARG")),
                });
            }
            "enable.idempotence" => config.enable_idempotence = Some(number(value)?),
            "max.in.flight.requests.per.connection" => {
                config.max_in_flight_requests_per_connection = Some(number(value)?);
            }
            "retries" => config.retries = Some(number(value)?),
            "message.timeout.ms" => config.delivery_timeout_ms = Some(number(value)?),
            "linger.ms" => config.linger_ms = number(value)?,
            "partitioner" => {
                config.partitioner = match *value {
                    "murmur2_random" => Partitioner::Murmur2Random,
                    "consistent_random" => Partitioner::ConsistentRandom,
                    other => panic!("no partitioner {other} here"),
                };
            }
            "sticky.partitioning.linger.ms" => config.sticky_partitioning_linger_ms = number(value)?,
            "topic.metadata.propagation.max.ms" => config.topic_metadata_propagation_max_ms = number(value)?,
            "transactional.id" => config.transactional_id = Some((*value).into()),
            "transaction.timeout.ms" => config.transaction_timeout_ms = number(value)?,
            // Topics are never created by the simulated producer.
            "allow.auto.create.topics" => {}
            other => panic!("the simulated producer has no {other}"),
        }
    }
    Ok(config)
}

impl SimProducer {
    pub fn new(world: &Handle, is_java: bool, settings: Settings<'_>) -> Result<SimProducer, ClientError> {
        let config = configure(is_java, settings)?;
        let is_idempotent = config.enable_idempotence == Some(true) || config.transactional_id.is_some();
        let link = world.link(is_idempotent);
        let client = Client::create(Rc::clone(&link), config).map_err(|error| told(&error))?;
        let state = Rc::clone(&world.state);
        let draws = Box::new(move || state.borrow_mut().draws.next() as u32);
        let slot = Slot { client: Some(client.with_draws(draws)), driver: None, gone: false };
        let slot = Rc::new(RefCell::new(slot));
        world.spawn(drive(Rc::clone(&slot)));
        Ok(SimProducer { slot, link })
    }

    fn with<T>(&self, what: impl FnOnce(&mut Client<SimLink>) -> T) -> T {
        let mut slot = self.slot.borrow_mut();
        let outcome = what(slot.client.as_mut().expect("one call at a time"));
        slot.driver.take().into_iter().for_each(Waker::wake);
        outcome
    }

    /// Takes the client for a call, and gives it back.
    async fn call<T>(
        &self,
        what: impl for<'a> FnOnce(&'a mut Client<SimLink>) -> LocalBoxFuture<'a, T>,
    ) -> T {
        let mut client = self.slot.borrow_mut().client.take().expect("one call at a time");
        let outcome = what(&mut client).await;
        let mut slot = self.slot.borrow_mut();
        slot.client = Some(client);
        slot.driver.take().into_iter().for_each(Waker::wake);
        outcome
    }
}

impl Drop for SimProducer {
    fn drop(&mut self) {
        let mut slot = self.slot.borrow_mut();
        slot.gone = true;
        slot.client = None;
        slot.driver.take().into_iter().for_each(Waker::wake);
    }
}

/// Goes on while nobody calls: what is under way is in the client, so the future may be made anew each time.
async fn drive(slot: Rc<RefCell<Slot>>) {
    std::future::poll_fn(|context| {
        let mut slot = slot.borrow_mut();
        if slot.gone {
            return Poll::Ready(());
        }
        if let Some(client) = slot.client.as_mut() {
            let _: Poll<()> = Box::pin(client.drive()).as_mut().poll(context);
        }
        slot.driver = Some(context.waker().clone());
        Poll::Pending
    })
    .await;
}

pub fn code(code: ErrorCode) -> Code {
    match code {
        ErrorCode::Broker(error) => Code::Broker(error),
        local => Code::Local(local.name()),
    }
}

pub fn told(error: &Error) -> ClientError {
    ClientError {
        code: code(error.code()),
        fatal: error.is_fatal(),
        abortable: error.txn_requires_abort(),
        retriable: error.is_retriable(),
    }
}

fn failed(error: ProduceError) -> ClientError {
    ClientError { code: code(error.code()), fatal: false, abortable: false, retriable: false }
}

fn report(report: DeliveryReport) -> Report {
    let (partition, offset, error) = match report.result {
        Ok(written) => (written.partition, written.offset, None),
        Err(error) => (-1, -1, Some(failed(error))),
    };
    Report { number: report.ticket.0, partition, offset: offset.max(-1), error }
}

#[async_trait(?Send)]
impl Producer for SimProducer {
    fn produce(&self, record: ToSend) -> Result<u64, ClientError> {
        let record = ProducerRecord {
            topic: topic_name(&record.topic),
            partition: record.partition,
            key: record.key,
            value: record.value.expect("the simulated producer has no tombstones"),
            headers: record.headers,
            timestamp_ms: record.timestamp.unwrap_or_else(|| self.link.now_ms()),
        };
        self.with(|client| client.produce(record)).map(|ticket| ticket.0).map_err(|error| told(&error))
    }

    async fn flush(&self, timeout_ms: i64) -> Result<(), ClientError> {
        let outcome = self.call(|client| Box::pin(client.flush(timeout_ms))).await;
        outcome.map_err(|error| told(&error))
    }

    fn reports(&self) -> Vec<Report> {
        self.with(Client::take_reports).into_iter().map(report).collect()
    }

    fn fatal_error(&self) -> Option<ClientError> {
        self.with(|client| client.fatal_error()).map(|error| told(&error))
    }

    async fn init_transactions(&self, timeout_ms: i64) -> Result<(), ClientError> {
        let outcome = self.call(|client| Box::pin(client.init_transactions(timeout_ms))).await;
        outcome.map_err(|error| told(&error))
    }

    fn begin_transaction(&self) -> Result<(), ClientError> {
        self.with(Client::begin_transaction).map_err(|error| told(&error))
    }

    async fn send_offsets_to_transaction(
        &self,
        offsets: &[(TopicPartition, i64)],
        group: &GroupMetadata,
        timeout_ms: i64,
    ) -> Result<(), ClientError> {
        let group: ConsumerGroupMetadata = group.downcast_ref().cloned().expect("a simulated consumer's");
        let offsets = offsets.to_vec();
        let outcome = self
            .call(|client| {
                Box::pin(
                    async move { client.send_offsets_to_transaction(&offsets, &group, timeout_ms).await },
                )
            })
            .await;
        outcome.map_err(|error| told(&error))
    }

    async fn commit_transaction(&self, timeout_ms: i64) -> Result<(), ClientError> {
        let outcome = self.call(|client| Box::pin(client.commit_transaction(timeout_ms))).await;
        outcome.map_err(|error| told(&error))
    }

    async fn abort_transaction(&self, timeout_ms: i64) -> Result<(), ClientError> {
        let outcome = self.call(|client| Box::pin(client.abort_transaction(timeout_ms))).await;
        outcome.map_err(|error| told(&error))
    }
}
