//! What the suite needs of a Kafka: three brokers that can be asked, clients, and hands that stop and start brokers.
//!
//! Implemented by the simulated cluster (`tests/simulated`), and in `platform/live/tests/kafka` by librdkafka against
//! our brokers on TCP and against Apache Kafka. Names of settings are Kafka's and librdkafka's own.

use std::rc::Rc;

use async_trait::async_trait;
use kafka::client::LinkError;
use kafka::{Request, Response};

use crate::clients::{ClientError, Consumer, Producer};

/// Settings by their names.
pub type Settings<'a> = &'a [(&'a str, &'a str)];

/// What brokers are started with: time-outs that let an hour pass in seconds on a real clock. The defaults of the rest.
pub const SETTINGS: Settings<'static> = &[
    ("offsets.topic.num.partitions", "6"),
    ("transaction.state.log.num.partitions", "6"),
    ("offsets.topic.replication.factor", "3"),
    ("transaction.state.log.replication.factor", "3"),
    ("transaction.state.log.min.isr", "2"),
    ("default.replication.factor", "3"),
    ("min.insync.replicas", "2"),
    ("group.initial.rebalance.delay.ms", "1000"),
    ("group.min.session.timeout.ms", "1000"),
    ("broker.session.timeout.ms", "5000"),
    ("broker.heartbeat.interval.ms", "500"),
    ("replica.lag.time.max.ms", "4000"),
    ("replica.fetch.wait.max.ms", "200"),
    ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "1000"),
    ("transactional.id.expiration.ms", "45000"),
    ("transaction.remove.expired.transaction.cleanup.interval.ms", "1000"),
    ("producer.id.expiration.ms", "45000"),
    ("producer.id.expiration.check.interval.ms", "1000"),
    ("offsets.retention.minutes", "1"),
    ("offsets.retention.check.interval.ms", "1000"),
    ("log.retention.check.interval.ms", "1000"),
    ("log.initial.task.delay.ms", "1000"),
    ("log.cleaner.backoff.ms", "500"),
    ("file.delete.delay.ms", "1000"),
    ("auto.leader.rebalance.enable", "false"),
];

/// What a behaviour takes from its cluster besides requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Power {
    /// A producer like librdkafka's.
    Producer,
    /// A producer with transactions.
    Transactions,
    /// A consumer like librdkafka's.
    Consumer,
    /// A broker that ends in order.
    Stop,
    /// A broker whose process dies.
    Kill,
    /// A broker that stands still, and goes on.
    Pause,
    /// Brokers that lose what their disks have not got.
    PowerOff,
}

impl Power {
    /// Whether others on the same cluster would notice.
    pub fn disturbs(self) -> bool {
        matches!(self, Power::Stop | Power::Kill | Power::Pause | Power::PowerOff)
    }
}

/// Three brokers, number 1 to 3.
#[async_trait(?Send)]
pub trait Cluster {
    /// Asks one broker, and waits for its answer at most so long.
    async fn ask(&self, broker: i32, request: Request, timeout_ms: i64) -> Result<Response, LinkError>;

    /// `bootstrap.servers` is set.
    fn producer(&self, settings: Settings<'_>) -> Result<Rc<dyn Producer>, ClientError>;
    /// `bootstrap.servers` is set.
    fn consumer(&self, settings: Settings<'_>) -> Result<Rc<dyn Consumer>, ClientError>;

    /// Ends a broker in order: it hands its partitions over first.
    async fn stop(&self, broker: i32);
    /// Ends a broker's process.
    async fn kill(&self, broker: i32);
    /// Starts a broker that was ended.
    async fn start(&self, broker: i32);
    async fn pause(&self, broker: i32);
    async fn resume(&self, broker: i32);
    /// Ends these brokers at once, and what they have not flushed is gone.
    async fn power_off(&self, brokers: &[i32]);

    async fn sleep(&self, ms: i64);
    /// Milliseconds since 1970, on the clock that brokers and clients go by.
    fn now(&self) -> i64;
    /// A drawn number, for the workload's decisions.
    fn draw(&self) -> u64;
}

pub const BROKERS: [i32; 3] = [1, 2, 3];
