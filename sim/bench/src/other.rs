//! madsim-rdkafka's simulator: one broker without replicas, that passes records as objects.

#![expect(clippy::disallowed_methods, reason = "a program of madsim's own, that sleeps as those do")]

use std::time::Duration;

use madsim::runtime::Runtime;
use madsim_rdkafka as rdkafka;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, DefaultConsumerContext};
use rdkafka::producer::{BaseProducer, BaseRecord};
use rdkafka::{Offset, SimBroker, TopicPartitionList};

use crate::RECORD_BYTES;

const TOPIC: &str = "records";
const BROKER: &str = "10.0.0.1:50051";

fn config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", BROKER).set("auto.offset.reset", "earliest");
    config
}

pub fn run(records: usize, batch: usize) {
    let runtime = Runtime::with_seed_and_config(1, madsim::Config::default());
    let handle = runtime.handle();
    let broker = handle.create_node().name("broker").ip([10, 0, 0, 1].into()).build();
    let writer = handle.create_node().name("writer").ip([10, 0, 0, 2].into()).build();
    let reader = handle.create_node().name("reader").ip([10, 0, 0, 3].into()).build();
    broker.spawn(async { SimBroker::default().serve(BROKER.parse().expect("an address")).await });
    runtime.block_on(async move {
        madsim::time::sleep(Duration::from_secs(1)).await;
        let written = writer.spawn(write(records, batch));
        let read = reader.spawn(read(records));
        written.await.expect("the writer ends");
        read.await.expect("the reader ends");
    });
}

async fn write(records: usize, batch: usize) {
    let admin: AdminClient<_> = config().create().await.expect("an admin client");
    let topic = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(1));
    admin.create_topics(&[topic], &AdminOptions::new()).await.expect("a topic");
    let producer: BaseProducer = config().create().await.expect("a producer");
    let (key, value) = ([0; 8], [b'x'; RECORD_BYTES]);
    for _ in (0..records).step_by(batch) {
        for _ in 0..batch {
            let record = BaseRecord::to(TOPIC).partition(0).key(&key[..]).payload(&value[..]);
            producer.send(record).expect("the queue has room");
        }
        producer.flush(Duration::from_secs(60)).await.expect("nothing fails here");
    }
}

async fn read(records: usize) {
    let consumer: BaseConsumer<DefaultConsumerContext> = config().create().await.expect("a consumer");
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(TOPIC, 0, Offset::Beginning).expect("an offset");
    consumer.assign(&partitions).expect("assigned");
    let mut read = 0;
    while read < records {
        match consumer.poll(Duration::from_secs(1)).await {
            Some(Ok(_)) => read += 1,
            _ => madsim::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
