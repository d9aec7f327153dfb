//! A stage for one behaviour: names that nobody else uses, questions to brokers, and patience.

use std::rc::Rc;

use kafka::client::LinkError;
use kafka::{Request, RequestKind, Response, ResponseError, StrBytes};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    CreateTopicsRequest, CreateTopicsResponse, FindCoordinatorRequest, FindCoordinatorResponse,
    MetadataRequest, MetadataResponse,
};

use crate::clients::{Consumer, Producer};
use crate::cluster::{BROKERS, Cluster, Settings};
use crate::topic::Topic;

/// Longer than any broker takes on a machine that has other work too, and than a member's session that nobody ends.
const PATIENCE_MS: i64 = 90_000;
const PAUSE_MS: i64 = 50;
const REQUEST_TIMEOUT_MS: i64 = 10_000;
/// For a question that any broker can answer, when some may stand still.
const SHORT_TIMEOUT_MS: i64 = 2_000;

#[derive(Clone)]
pub struct Stage {
    pub cluster: Rc<dyn Cluster>,
    prefix: String,
}

/// A name as Kafka's types want it.
pub fn text(name: impl Into<String>) -> StrBytes {
    StrBytes::from_string(name.into())
}

/// The error that a code stands for.
pub fn check(code: i16) -> Result<(), ResponseError> {
    match ResponseError::try_from_code(code) {
        None => Ok(()),
        Some(error) => Err(error),
    }
}

/// Whether a client tries again, by itself and with the same request.
pub fn is_retriable(error: ResponseError) -> bool {
    // `kafka-protocol`'s table leaves this one out, which every client tries again.
    error.is_retriable() || error == ResponseError::ConcurrentTransactions
}

/// The version that the suite speaks: topics by name, and transactions as before transaction.version 2. Behaviours of
/// newer versions name them.
fn spoken(kind: &RequestKind) -> i16 {
    let newest = match kind {
        RequestKind::Produce(_) => 11,
        RequestKind::Fetch(_) => 12,
        RequestKind::EndTxn(_) | RequestKind::TxnOffsetCommit(_) => 4,
        RequestKind::AddPartitionsToTxn(_) => 3,
        RequestKind::OffsetCommit(_) | RequestKind::OffsetFetch(_) => 9,
        RequestKind::DeleteTopics(_) => 5,
        RequestKind::CreateTopics(_) => 5,
        RequestKind::Metadata(_) => 9,
        _ => i16::MAX,
    };
    newest.min(kind.highest_version())
}

impl Stage {
    /// `prefix` is all that keeps its topics and groups apart from those of others on the same cluster.
    pub fn new(cluster: Rc<dyn Cluster>, prefix: impl Into<String>) -> Stage {
        Stage { cluster, prefix: prefix.into() }
    }

    /// A topic, group or transactional id of this stage.
    pub fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.prefix)
    }

    pub async fn sleep(&self, ms: i64) {
        self.cluster.sleep(ms).await;
    }

    pub fn now(&self) -> i64 {
        self.cluster.now()
    }

    /// One answer of one broker.
    pub async fn try_ask<R: TryFrom<Response, Error = Response>>(
        &self,
        broker: i32,
        request: impl Into<RequestKind>,
        timeout_ms: i64,
    ) -> Result<R, LinkError> {
        let kind = request.into();
        let version = spoken(&kind);
        self.try_ask_in(version, broker, kind, timeout_ms).await
    }

    /// In a version of the behaviour's own choice.
    pub async fn try_ask_in<R: TryFrom<Response, Error = Response>>(
        &self,
        version: i16,
        broker: i32,
        request: impl Into<RequestKind>,
        timeout_ms: i64,
    ) -> Result<R, LinkError> {
        let kind = request.into();
        let asked = kind.name();
        let request = Request { client_id: text(&self.prefix), version, kind };
        let response = self.cluster.ask(broker, request, timeout_ms).await?;
        Ok(R::try_from(response).unwrap_or_else(|other| panic!("{asked} was answered with {other:?}")))
    }

    /// Panics where there is no answer.
    pub async fn ask<R: TryFrom<Response, Error = Response>>(
        &self,
        broker: i32,
        request: impl Into<RequestKind>,
    ) -> R {
        let kind = request.into();
        let asked = kind.name();
        let answer = self.try_ask(broker, kind, REQUEST_TIMEOUT_MS).await;
        answer.unwrap_or_else(|error| panic!("{asked} to broker {broker}: {error}"))
    }

    pub async fn ask_in<R: TryFrom<Response, Error = Response>>(
        &self,
        version: i16,
        broker: i32,
        request: impl Into<RequestKind>,
    ) -> R {
        let kind = request.into();
        let asked = kind.name();
        let answer = self.try_ask_in(version, broker, kind, REQUEST_TIMEOUT_MS).await;
        answer.unwrap_or_else(|error| panic!("{asked} v{version} to broker {broker}: {error}"))
    }

    /// The first broker that answers.
    pub async fn ask_any<R: TryFrom<Response, Error = Response>>(
        &self,
        request: impl Into<RequestKind>,
    ) -> Option<R> {
        let kind = request.into();
        for broker in BROKERS {
            if let Ok(response) = self.try_ask(broker, kind.clone(), SHORT_TIMEOUT_MS).await {
                return Some(response);
            }
        }
        None
    }

    /// Tries until there is something, and panics when patience ends.
    pub async fn eventually<T>(&self, what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
        let until = self.now() + PATIENCE_MS;
        loop {
            if let Some(found) = attempt().await {
                return found;
            }
            assert!(self.now() < until, "in vain for {PATIENCE_MS} ms: {what}");
            self.sleep(PAUSE_MS).await;
        }
    }

    /// A topic with three replicas that is there and led.
    pub async fn topic(&self, what: &str, partitions: i32, settings: Settings<'_>) -> Topic {
        self.topic_on(what, partitions, 3, settings).await
    }

    pub async fn topic_on(
        &self,
        what: &str,
        partitions: i32,
        replicas: i16,
        settings: Settings<'_>,
    ) -> Topic {
        let name = self.name(what);
        let outcome = self.create_topic(&name, partitions, replicas, settings).await;
        assert_eq!(outcome, Ok(()), "topic {name} is created");
        let topic = Topic::new(self.clone(), name);
        topic.wait_until_led(partitions, usize::try_from(replicas).expect("not negative")).await;
        topic
    }

    /// Whatever the controller says, but that it is not there yet.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replicas: i16,
        settings: Settings<'_>,
    ) -> Result<(), ResponseError> {
        let configs = settings
            .iter()
            .map(|(name, value)| {
                CreatableTopicConfig::default().with_name(text(*name)).with_value(Some(text(*value)))
            })
            .collect();
        let topic = CreatableTopic::default()
            .with_name(kafka::topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(replicas)
            .with_configs(configs);
        let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
        self.eventually("a topic is created", async || {
            let controller = self.controller().await?;
            let response: CreateTopicsResponse =
                self.try_ask(controller, request.clone(), REQUEST_TIMEOUT_MS).await.ok()?;
            match check(response.topics[0].error_code) {
                Err(ResponseError::NotController | ResponseError::RequestTimedOut) => None,
                // Brokers are counted when they have said that they are there.
                Err(ResponseError::InvalidReplicationFactor) if replicas <= 3 => None,
                outcome => Some(outcome),
            }
        })
        .await
    }

    pub async fn metadata(&self, topic: &str) -> Option<MetadataResponse> {
        self.ask_any(metadata_of(topic)).await
    }

    /// Whoever takes administrative requests.
    pub async fn controller(&self) -> Option<i32> {
        let request = MetadataRequest::default().with_topics(Some(Vec::new()));
        let response: MetadataResponse = self.ask_any(request).await?;
        (response.controller_id.0 >= 0).then_some(response.controller_id.0)
    }

    /// The broker that coordinates a group.
    pub async fn group_coordinator(&self, group: &str) -> i32 {
        self.coordinator(group, 0).await
    }

    /// The broker that coordinates a transactional id.
    pub async fn transaction_coordinator(&self, transactional_id: &str) -> i32 {
        self.coordinator(transactional_id, 1).await
    }

    async fn coordinator(&self, key: &str, key_type: i8) -> i32 {
        let request =
            FindCoordinatorRequest::default().with_key_type(key_type).with_coordinator_keys(vec![text(key)]);
        self.eventually("a coordinator is found", async || {
            let response: FindCoordinatorResponse = self.ask_any(request.clone()).await?;
            let found = response.coordinators.first()?;
            (found.error_code == 0).then_some(found.node_id.0)
        })
        .await
    }

    pub fn producer(&self, settings: Settings<'_>) -> Rc<dyn Producer> {
        self.cluster.producer(settings).expect("these settings make a producer")
    }

    /// Reads committed records from the beginning where nothing is committed, unless told otherwise.
    pub fn consumer(&self, group: &str, settings: Settings<'_>) -> Rc<dyn Consumer> {
        let group = self.name(group);
        let mut all = vec![("group.id", group.as_str()), ("auto.offset.reset", "earliest")];
        all.push(("enable.auto.commit", "false"));
        all.retain(|(name, _)| settings.iter().all(|(other, _)| other != name));
        all.extend(settings);
        self.cluster.consumer(&all).expect("these settings make a consumer")
    }
}

/// Asks for one topic, and never creates it.
pub fn metadata_of(topic: &str) -> MetadataRequest {
    let asked = MetadataRequestTopic::default().with_name(Some(kafka::topic_name(topic)));
    MetadataRequest::default().with_topics(Some(vec![asked])).with_allow_auto_topic_creation(false)
}
