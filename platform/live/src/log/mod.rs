//! The Log port on Kafka, by librdkafka.
//!
//! A current-thread tokio runtime is needed: what librdkafka offers only as a blocking call is waited for in a thread of
//! tokio's. Clients talk without encryption; transactions are not behind the port yet.

mod consumer;
mod murmur2;
mod producer;

use std::collections::BTreeMap;

use host::ports::log::{Log, LogConsumer, LogProducer};
use rdkafka::ClientConfig;

use consumer::Reader;
use producer::Writer;

/// A cluster by its bootstrap servers.
pub struct KafkaLog {
    bootstrap_servers: String,
    /// How many partitions the catalogue gives a topic.
    partitions: BTreeMap<&'static str, i32>,
    settings: Vec<(String, String)>,
}

impl KafkaLog {
    pub fn new(bootstrap_servers: impl Into<String>, partitions: BTreeMap<&'static str, i32>) -> KafkaLog {
        KafkaLog { bootstrap_servers: bootstrap_servers.into(), partitions, settings: Vec::new() }
    }

    /// A setting of all clients, by librdkafka's name.
    pub fn with_setting(mut self, name: impl Into<String>, value: impl Into<String>) -> KafkaLog {
        self.settings.push((name.into(), value.into()));
        self
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap_servers);
        config.extend(self.settings.iter().cloned());
        config
    }
}

impl Log for KafkaLog {
    /// # Panics
    /// If librdkafka refuses the settings.
    fn producer(&self) -> Box<dyn LogProducer> {
        Box::new(Writer::new(self.config()).expect("librdkafka takes the settings"))
    }

    /// # Panics
    /// If librdkafka refuses the settings.
    fn consumer(&self, group: &str, topics: &[&'static str]) -> Box<dyn LogConsumer> {
        Box::new(Reader::new(self.config(), group, topics).expect("librdkafka takes the settings"))
    }

    fn partition_of(&self, topic: &'static str, key: &[u8]) -> i32 {
        murmur2::partition_of(key, self.partitions.get(topic).copied().unwrap_or(1))
    }
}
