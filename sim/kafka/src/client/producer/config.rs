//! A producer's settings: real names, real defaults, and which of them exclude each other.
//!
//! Three profiles: [`ProducerConfig::librdkafka`], [`ProducerConfig::java`], and the platform's own
//! [`ProducerConfig::new`]. Settings that are `None` have the profile's default, which may give way to others; set ones
//! do not, and a conflict between them is refused as that client refuses it. Omits compression.

use crate::client::{Error, ErrorCode, Profile};
use crate::partitioner::Partitioner;

/// `acks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// Nothing is answered: sent is delivered.
    None,
    /// The leader has appended it.
    Leader,
    /// All in-sync replicas have it.
    All,
}

impl Acks {
    pub(super) fn wire(self) -> i16 {
        match self {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }
}

/// A producer's settings, by Kafka's names.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    pub profile: Profile,
    /// Broker ids to ask for metadata and producer ids, in this order.
    pub bootstrap_servers: Vec<i32>,
    pub client_id: String,
    pub acks: Option<Acks>,
    pub enable_idempotence: Option<bool>,
    pub max_in_flight_requests_per_connection: Option<u32>,
    pub retries: Option<u32>,
    /// `message.timeout.ms` in librdkafka.
    pub delivery_timeout_ms: Option<i64>,
    pub request_timeout_ms: i64,
    pub retry_backoff_ms: i64,
    pub retry_backoff_max_ms: i64,
    pub linger_ms: i64,
    /// Largest batch in bytes of keys, values and headers; a single larger record still goes out, alone.
    pub batch_size: usize,
    /// `batch.num.messages` of librdkafka.
    pub batch_num_messages: usize,
    /// `max.request.size` of Java, over all batches of a request.
    pub max_request_size: usize,
    /// Records that may wait: `queue.buffering.max.messages`.
    pub queue_buffering_max_messages: usize,
    pub partitioner: Partitioner,
    /// How long records without a key stay with a partition; Java goes by `batch.size` instead, and the platform by
    /// the send.
    pub sticky_partitioning_linger_ms: i64,
    /// How long a topic that the cluster does not know is waited for.
    pub topic_metadata_propagation_max_ms: i64,
    /// After this long, leaders are asked for again by a producer that has something to send.
    pub metadata_max_age_ms: i64,
    pub transactional_id: Option<String>,
    pub transaction_timeout_ms: i32,
}

impl ProducerConfig {
    /// The platform's: idempotent, one send at a time. `batch.size` is `message.max.bytes` with some room, so that a
    /// partition gets one batch.
    pub fn new(bootstrap_servers: Vec<i32>, client_id: impl Into<String>) -> ProducerConfig {
        ProducerConfig {
            profile: Profile::Platform,
            bootstrap_servers,
            client_id: client_id.into(),
            acks: Some(Acks::All),
            enable_idempotence: Some(true),
            max_in_flight_requests_per_connection: Some(1),
            retries: None,
            delivery_timeout_ms: Some(120_000),
            request_timeout_ms: 30_000,
            retry_backoff_ms: 100,
            retry_backoff_max_ms: 1_000,
            linger_ms: 0,
            batch_size: 900_000,
            batch_num_messages: usize::MAX,
            max_request_size: usize::MAX,
            queue_buffering_max_messages: usize::MAX,
            partitioner: Partitioner::Murmur2Random,
            sticky_partitioning_linger_ms: 0,
            topic_metadata_propagation_max_ms: i64::MAX,
            metadata_max_age_ms: i64::MAX,
            transactional_id: None,
            transaction_timeout_ms: 60_000,
        }
    }

    /// librdkafka's defaults (2.x).
    pub fn librdkafka(bootstrap_servers: Vec<i32>, client_id: impl Into<String>) -> ProducerConfig {
        ProducerConfig {
            profile: Profile::Librdkafka,
            acks: None,
            enable_idempotence: None,
            max_in_flight_requests_per_connection: None,
            delivery_timeout_ms: None,
            linger_ms: 5,
            batch_size: 1_000_000,
            batch_num_messages: 10_000,
            queue_buffering_max_messages: 100_000,
            partitioner: Partitioner::ConsistentRandom,
            sticky_partitioning_linger_ms: 10,
            topic_metadata_propagation_max_ms: 30_000,
            metadata_max_age_ms: 900_000,
            ..ProducerConfig::new(bootstrap_servers, client_id)
        }
    }

    /// Defaults of Java's client (4.x).
    pub fn java(bootstrap_servers: Vec<i32>, client_id: impl Into<String>) -> ProducerConfig {
        ProducerConfig {
            profile: Profile::Java,
            acks: None,
            enable_idempotence: None,
            max_in_flight_requests_per_connection: None,
            delivery_timeout_ms: None,
            linger_ms: 5,
            batch_size: 16_384,
            max_request_size: 1_048_576,
            topic_metadata_propagation_max_ms: 60_000,
            metadata_max_age_ms: 300_000,
            ..ProducerConfig::new(bootstrap_servers, client_id)
        }
    }

    /// What the settings come to, or why they cannot be.
    pub(super) fn resolve(&self) -> Result<Resolved, Error> {
        let (acks, retries) =
            (self.acks.unwrap_or(Acks::All), self.retries.unwrap_or(i32::MAX.unsigned_abs()));
        let in_flight = self.max_in_flight_requests_per_connection;
        let is_transactional = self.transactional_id.is_some();
        let wanted = match (self.enable_idempotence, self.profile) {
            (Some(wanted), _) => wanted,
            (None, Profile::Librdkafka) => is_transactional,
            (None, Profile::Java | Profile::Platform) => true,
        };
        let conflict = wanted.then(|| self.conflict(acks, retries)).flatten();
        let gives_way = self.profile == Profile::Java && self.enable_idempotence.is_none();
        let idempotent = match conflict {
            Some(message) if !gives_way => return Err(refuse(message)),
            conflict => wanted && conflict.is_none(),
        };
        if is_transactional && !idempotent {
            return Err(refuse("transactional.id needs enable.idempotence"));
        }
        let default_in_flight = match self.profile {
            Profile::Librdkafka if !idempotent => 1_000_000,
            _ => MAX_IN_FLIGHT_IDEMPOTENT,
        };
        Ok(Resolved {
            acks,
            retries,
            idempotent,
            max_in_flight: in_flight.unwrap_or(default_in_flight),
            delivery_timeout_ms: self.delivery_timeout()?,
        })
    }

    /// What speaks against idempotence.
    fn conflict(&self, acks: Acks, retries: u32) -> Option<&'static str> {
        if acks != Acks::All {
            return Some("enable.idempotence needs acks=all");
        }
        if retries == 0 {
            return Some("enable.idempotence needs retries above 0");
        }
        let too_many = |max: u32| max > MAX_IN_FLIGHT_IDEMPOTENT;
        if self.max_in_flight_requests_per_connection.is_some_and(too_many) {
            return Some("enable.idempotence needs max.in.flight.requests.per.connection of at most 5");
        }
        None
    }

    fn delivery_timeout(&self) -> Result<i64, Error> {
        let transaction_timeout_ms = i64::from(self.transaction_timeout_ms);
        match (self.profile, self.delivery_timeout_ms) {
            (Profile::Librdkafka, Some(timeout_ms)) if timeout_ms > transaction_timeout_ms => {
                match &self.transactional_id {
                    Some(_) => Err(refuse("message.timeout.ms must not be above transaction.timeout.ms")),
                    None => Ok(timeout_ms),
                }
            }
            (Profile::Librdkafka, None) if self.transactional_id.is_some() => Ok(transaction_timeout_ms),
            (Profile::Librdkafka, None) => Ok(300_000),
            (Profile::Java, Some(timeout_ms)) if timeout_ms < self.linger_ms + self.request_timeout_ms => {
                Err(refuse("delivery.timeout.ms must not be below linger.ms + request.timeout.ms"))
            }
            (Profile::Java | Profile::Platform, None) => {
                Ok((self.linger_ms + self.request_timeout_ms).max(120_000))
            }
            (_, Some(timeout_ms)) => Ok(timeout_ms),
        }
    }
}

/// With more batches under way a leader could not tell a repetition from a gap.
pub(super) const MAX_IN_FLIGHT_IDEMPOTENT: u32 = 5;

fn refuse(message: &'static str) -> Error {
    Error::plain(ErrorCode::InvalidArg, message)
}

/// Settings that depend on each other, worked out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resolved {
    pub acks: Acks,
    pub retries: u32,
    pub idempotent: bool,
    pub max_in_flight: u32,
    pub delivery_timeout_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b14_explicit_conflicts_are_refused_and_javas_default_gives_way() {
        type Change = fn(&mut ProducerConfig);
        let conflicts: [Change; 3] = [
            |config| config.acks = Some(Acks::Leader),
            |config| config.retries = Some(0),
            |config| config.max_in_flight_requests_per_connection = Some(6),
        ];
        for change in conflicts {
            for base in [ProducerConfig::librdkafka(vec![0], "c"), ProducerConfig::java(vec![0], "c")] {
                let mut config = ProducerConfig { enable_idempotence: Some(true), ..base.clone() };
                change(&mut config);
                assert_eq!(config.resolve().map_err(|error| error.code()), Err(ErrorCode::InvalidArg));
                let mut config = ProducerConfig { transactional_id: Some("t".to_owned()), ..base.clone() };
                change(&mut config);
                assert_eq!(config.resolve().map_err(|error| error.code()), Err(ErrorCode::InvalidArg));
                let mut config = base;
                change(&mut config);
                assert_eq!(config.resolve().map(|resolved| resolved.idempotent), Ok(false));
            }
        }
    }

    #[test]
    fn b14_defaults_are_those_of_each_client() {
        let librdkafka = ProducerConfig::librdkafka(vec![0], "c").resolve().expect("no conflict");
        assert_eq!((librdkafka.idempotent, librdkafka.max_in_flight), (false, 1_000_000));
        assert_eq!(librdkafka.delivery_timeout_ms, 300_000);
        let java = ProducerConfig::java(vec![0], "c").resolve().expect("no conflict");
        assert_eq!((java.idempotent, java.max_in_flight, java.delivery_timeout_ms), (true, 5, 120_000));
        let transactional = ProducerConfig {
            transactional_id: Some("t".to_owned()),
            ..ProducerConfig::librdkafka(vec![0], "c")
        };
        let resolved = transactional.resolve().expect("implied");
        assert_eq!((resolved.idempotent, resolved.max_in_flight), (true, 5));
        assert_eq!(resolved.delivery_timeout_ms, 60_000, "adjusted to transaction.timeout.ms");
        let late = ProducerConfig { delivery_timeout_ms: Some(60_001), ..transactional };
        assert!(late.resolve().is_err());
    }
}
