//! librdkafka: a producer with acks=all, and a group of one consumer. Defaults but for `batch.num.messages`, and for how many
//! records the consumer queues: by default it pauses for a second whenever it has 100,000 of a partition, which would hide
//! how fast brokers are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::executor::block_on;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};

const RECORD_BYTES: usize = 120;
const PARTITIONS: i32 = 3;
const PATIENCE: Duration = Duration::from_secs(120);
const TICK: Duration = Duration::from_millis(1);

/// So many records to be written and read.
pub struct Job {
    pub batch: usize,
    pub records: usize,
}

/// Counts what was acknowledged.
#[derive(Clone, Default)]
struct Acknowledged(Arc<AtomicUsize>);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok(), "nothing fails here");
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[expect(clippy::disallowed_methods, reason = "the time that it takes is what is asked for")]
fn now() -> Instant {
    Instant::now()
}

/// A name that no earlier run has used.
#[expect(clippy::disallowed_methods, reason = "topics of real clusters outlive a run")]
fn new_name() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    format!("speed-{}", since.as_nanos())
}

impl Job {
    /// Records written and read in a second.
    pub fn run(&self, bootstrap: &str) -> (f64, f64) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap);
        let name = new_name();
        let admin: AdminClient<DefaultClientContext> = config.create().expect("an admin client");
        let topic = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(3));
        let made = block_on(admin.create_topics(&[topic], &AdminOptions::new())).expect("an answer");
        assert!(made.iter().all(Result::is_ok), "{made:?}");
        let rates = (self.write(&config, &name), self.read(&config, &name));
        block_on(admin.delete_topics(&[&name], &AdminOptions::new())).expect("an answer");
        rates
    }

    fn write(&self, config: &ClientConfig, topic: &str) -> f64 {
        let acknowledged = Acknowledged::default();
        let producer: ThreadedProducer<Acknowledged> = config
            .clone()
            .set("acks", "all")
            .set("batch.num.messages", self.batch.to_string())
            .create_with_context(acknowledged.clone())
            .expect("a producer");
        // Not measured: finding the brokers.
        producer.client().fetch_metadata(Some(topic), PATIENCE).expect("metadata");
        let value = [b'x'; RECORD_BYTES];
        let start = now();
        for number in 0..self.records {
            let key = number.to_be_bytes();
            let mut record = BaseRecord::<[u8], [u8]>::to(topic).key(&key).payload(&value);
            while let Err((error, refused)) = producer.send(record) {
                assert!(
                    matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)),
                    "{error}"
                );
                std::thread::park_timeout(TICK);
                record = refused;
            }
        }
        producer.flush(PATIENCE).expect("nothing fails here");
        while acknowledged.0.load(Ordering::Relaxed) < self.records {
            std::thread::park_timeout(TICK);
        }
        self.records as f64 / start.elapsed().as_secs_f64()
    }

    /// From the first record on: joining the group is not measured.
    fn read(&self, config: &ClientConfig, topic: &str) -> f64 {
        let consumer: BaseConsumer = config
            .clone()
            .set("group.id", topic)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("queued.min.messages", "10000000")
            .set("queued.max.messages.kbytes", "1048576")
            .create()
            .expect("a consumer");
        consumer.subscribe(&[topic]).expect("subscribed");
        let mut start = now();
        let mut read = 0;
        while read < self.records {
            // Nothing is also what comes of a rebalance.
            match consumer.poll(PATIENCE) {
                None => assert!(start.elapsed() < PATIENCE, "records that were acknowledged come"),
                Some(message) => {
                    message.expect("nothing fails here");
                    start = if read == 0 { now() } else { start };
                    read += 1;
                }
            }
        }
        self.records as f64 / start.elapsed().as_secs_f64()
    }
}
