//! The simulated consumer behind the suite's trait, driven by a task of its own.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use kafka::TopicPartition;
use kafka::client::{
    Assignor, AutoOffsetReset, Consumer as Client, ConsumerConfig, ConsumerEvent, ConsumerRecord,
    IsolationLevel, Link as _,
};
use kafka_suite::{BROKERS, ClientError, Consumer, GroupMetadata, Polled, Read, Settings};

use crate::producer::{number, refuse, told};
use crate::world::{Handle, SimLink};

struct Slot {
    /// None before it subscribes, and while one of its calls is under way.
    client: Option<Client<SimLink>>,
    ready: VecDeque<Polled>,
    /// Of the task that drives it.
    driver: Option<Waker>,
    gone: bool,
}

pub struct SimConsumer {
    slot: Rc<RefCell<Slot>>,
    link: Rc<SimLink>,
    config: ConsumerConfig,
}

fn configure(settings: Settings<'_>) -> Result<ConsumerConfig, ClientError> {
    let mut config = ConsumerConfig::librdkafka(BROKERS.to_vec(), "", "suite", Vec::new());
    for (name, value) in settings {
        match *name {
            "group.id" => config.group_id = (*value).into(),
            "group.instance.id" => config.group_instance_id = Some((*value).into()),
            "auto.offset.reset" => {
                config.auto_offset_reset = match *value {
                    "earliest" => AutoOffsetReset::Earliest,
                    "latest" => AutoOffsetReset::Latest,
                    "error" => AutoOffsetReset::None,
                    _ => return Err(refuse("_INVALID_ARG")),
                };
            }
            "isolation.level" => {
                config.isolation_level = match *value {
                    "read_committed" => IsolationLevel::ReadCommitted,
                    "read_uncommitted" => IsolationLevel::ReadUncommitted,
                    _ => return Err(refuse("_INVALID_ARG")),
                };
            }
            "partition.assignment.strategy" => {
                // librdkafka has no eager sticky one.
                let assignor = Assignor::named(value).filter(|assignor| *assignor != Assignor::Sticky);
                config.partition_assignment_strategy = vec![assignor.ok_or(refuse("_INVALID_ARG"))?];
            }
            "enable.auto.commit" => config.enable_auto_commit = number(value)?,
            "auto.commit.interval.ms" => config.auto_commit_interval_ms = number(value)?,
            "enable.auto.offset.store" => config.enable_auto_offset_store = number(value)?,
            "max.poll.interval.ms" => config.max_poll_interval_ms = number(value)?,
            "session.timeout.ms" => config.session_timeout_ms = number(value)?,
            other => panic!("the simulated consumer has no {other}"),
        }
    }
    // A record at a time, so that what is handed out is what counts.
    config.max_poll_records = 1;
    Ok(config)
}

impl SimConsumer {
    pub fn new(world: &Handle, settings: Settings<'_>) -> Result<SimConsumer, ClientError> {
        let config = configure(settings)?;
        let link = world.link(true);
        let slot = Slot { client: None, ready: VecDeque::new(), driver: None, gone: false };
        let slot = Rc::new(RefCell::new(slot));
        world.spawn(drive(Rc::clone(&slot)));
        Ok(SimConsumer { slot, link, config })
    }

    fn with<T>(&self, what: impl FnOnce(&mut Client<SimLink>) -> T) -> T {
        let mut slot = self.slot.borrow_mut();
        let outcome = what(slot.client.as_mut().expect("subscribed, and one call at a time"));
        slot.driver.take().into_iter().for_each(Waker::wake);
        outcome
    }

    /// Takes the client for a call, and gives it back.
    async fn call<T>(
        &self,
        what: impl for<'a> FnOnce(&'a mut Client<SimLink>) -> LocalBoxFuture<'a, T>,
    ) -> T {
        let client = self.slot.borrow_mut().client.take();
        let mut client = client.expect("subscribed, and one call at a time");
        let outcome = what(&mut client).await;
        self.give_back(client);
        outcome
    }

    fn give_back(&self, client: Client<SimLink>) {
        let mut slot = self.slot.borrow_mut();
        slot.client = Some(client);
        slot.driver.take().into_iter().for_each(Waker::wake);
    }
}

impl Drop for SimConsumer {
    /// As a process dies: without leaving.
    fn drop(&mut self) {
        let mut slot = self.slot.borrow_mut();
        slot.gone = true;
        slot.client = None;
        slot.driver.take().into_iter().for_each(Waker::wake);
    }
}

/// Goes on while nobody polls, heartbeats included, as librdkafka's threads do.
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

fn read(topic: &str, partition: i32, record: ConsumerRecord) -> Polled {
    let headers = record.headers.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    Polled::Record(Read {
        topic: topic.into(),
        partition,
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key,
        value: record.value,
        headers,
    })
}

fn polled(event: ConsumerEvent) -> Vec<Polled> {
    match event {
        ConsumerEvent::Assigned(all) | ConsumerEvent::IncrementallyAssigned(all) => {
            vec![Polled::Assigned(all)]
        }
        ConsumerEvent::Revoked(all) | ConsumerEvent::Lost(all) | ConsumerEvent::IncrementallyRevoked(all) => {
            vec![Polled::Revoked(all)]
        }
        ConsumerEvent::Records { topic, partition, records } => {
            records.into_iter().map(|record| read(topic.as_str(), partition, record)).collect()
        }
        ConsumerEvent::Error(error) => vec![Polled::Error(told(&error.error()))],
    }
}

#[async_trait(?Send)]
impl Consumer for SimConsumer {
    fn subscribe(&self, topics: &[&str]) -> Result<(), ClientError> {
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let config = ConsumerConfig { topics, ..self.config.clone() };
        self.give_back(Client::new(Rc::clone(&self.link), config));
        Ok(())
    }

    async fn poll(&self, timeout_ms: i64) -> Option<Polled> {
        if let Some(ready) = self.slot.borrow_mut().ready.pop_front() {
            return Some(ready);
        }
        let mut client = self.slot.borrow_mut().client.take()?;
        let event = {
            let mut sleep = pin!(self.link.sleep_ms(timeout_ms).fuse());
            let mut polled = pin!(client.poll().fuse());
            futures::select_biased! {
                event = polled => Some(event),
                () = sleep => None,
            }
        };
        self.give_back(client);
        let mut slot = self.slot.borrow_mut();
        slot.ready.extend(event.map_or(Vec::new(), polled));
        slot.ready.pop_front()
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        self.with(|client| client.assignment())
    }

    fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.with(|client| client.position(partition))
    }

    async fn seek(&self, partition: &TopicPartition, offset: i64) -> Result<(), ClientError> {
        self.with(|client| client.seek(partition, offset));
        Ok(())
    }

    fn store_offset(&self, partition: &TopicPartition, offset: i64) -> Result<(), ClientError> {
        self.with(|client| client.store_offsets(&[(partition.clone(), offset)]));
        Ok(())
    }

    async fn commit(&self, offsets: &[(TopicPartition, i64)]) -> Result<(), ClientError> {
        let offsets = offsets.to_vec();
        let outcome = self.call(|client| Box::pin(async move { client.commit(&offsets).await })).await;
        outcome.map_err(|error| told(&error.error()))
    }

    async fn committed(&self, partition: &TopicPartition, _: i64) -> Result<Option<i64>, ClientError> {
        let asked = partition.clone();
        let found = self.call(|client| Box::pin(async move { client.committed(&[asked]).await })).await;
        let found = found.map_err(|error| told(&error.error()))?;
        Ok(found.get(partition).copied().flatten())
    }

    async fn watermarks(&self, partition: &TopicPartition, _: i64) -> Result<(i64, i64), ClientError> {
        let asked = partition.clone();
        let found = self.call(|client| Box::pin(async move { client.bounds(&asked).await })).await;
        found.ok_or_else(|| refuse("_TIMED_OUT"))
    }

    fn group_metadata(&self) -> GroupMetadata {
        Rc::new(self.with(|client| client.group_metadata()))
    }

    async fn close(&self) {
        self.call(|client| Box::pin(client.leave())).await;
        self.slot.borrow_mut().client = None;
    }
}
