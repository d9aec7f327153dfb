//! What the frames of the journal say, as bytes: numbers are big endian, texts and lists have a length of four bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use kafka_protocol::messages::TopicName;
use uuid::Uuid;

use super::journal::{Frame, put_frame};
use crate::cluster::{TopicSpec, topic_name};
use crate::image::{BrokerImage, NO_LEADER, PartitionImage, TopicImage};
use crate::settings;

/// A log of one broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogAt {
    pub broker: i32,
    pub topic: Uuid,
    pub partition: i32,
}

/// A change of what the cluster keeps.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// The first frame.
    Cluster {
        brokers: usize,
    },
    /// Image version, topics made, next broker epoch, next producer id.
    Counters([u64; 4]),
    Brokers(BTreeMap<i32, BrokerImage>),
    Topic(Arc<TopicImage>),
    TopicGone(TopicName),
    Batches {
        at: LogAt,
        batches: Bytes,
    },
    Cut {
        at: LogAt,
        to: i64,
    },
    Start {
        at: LogAt,
        start: i64,
    },
    HighWatermark {
        at: LogAt,
        offset: i64,
    },
    ProducerBlock {
        broker: i32,
        next: i64,
    },
}

const CLUSTER: u8 = 1;
const COUNTERS: u8 = 2;
const BROKERS: u8 = 3;
const TOPIC: u8 = 4;
const TOPIC_GONE: u8 = 5;
const BATCHES: u8 = 6;
const CUT: u8 = 7;
const START: u8 = 8;
const HIGH_WATERMARK: u8 = 9;
const PRODUCER_BLOCK: u8 = 10;

impl Change {
    pub fn put(&self, frames: &mut Vec<u8>) {
        match self {
            Change::Cluster { brokers } => put_frame(frames, CLUSTER, |out| put_length(out, *brokers)),
            Change::Counters(counters) => put_frame(frames, COUNTERS, |out| {
                counters.iter().for_each(|counter| out.put_u64(*counter));
            }),
            Change::Brokers(brokers) => put_frame(frames, BROKERS, |out| {
                put_length(out, brokers.len());
                for (id, broker) in brokers {
                    out.put_i32(*id);
                    out.put_i64(broker.epoch);
                    out.put_u8(u8::from(broker.fenced));
                    out.put_u8(u8::from(broker.in_controlled_shutdown));
                }
            }),
            Change::Topic(topic) => put_frame(frames, TOPIC, |out| put_topic(out, topic)),
            Change::TopicGone(name) => put_frame(frames, TOPIC_GONE, |out| put_text(out, name)),
            Change::Batches { at, batches } => put_frame(frames, BATCHES, |out| {
                put_log(out, *at);
                out.put_slice(batches);
            }),
            Change::Cut { at, to } => put_frame(frames, CUT, |out| put_offset(out, *at, *to)),
            Change::Start { at, start } => put_frame(frames, START, |out| put_offset(out, *at, *start)),
            Change::HighWatermark { at, offset } => {
                put_frame(frames, HIGH_WATERMARK, |out| put_offset(out, *at, *offset));
            }
            Change::ProducerBlock { broker, next } => put_frame(frames, PRODUCER_BLOCK, |out| {
                out.put_i32(*broker);
                out.put_i64(*next);
            }),
        }
    }

    /// `None` if the frame is none of this format. `internal` are the topics that are set otherwise than by settings.
    pub fn of(frame: &Frame, internal: impl Fn(&str) -> Option<TopicSpec>) -> Option<Change> {
        let mut bytes = Reader(&frame.content);
        let change = match frame.kind {
            CLUSTER => Change::Cluster { brokers: bytes.length()? },
            COUNTERS => {
                Change::Counters([bytes.number()?, bytes.number()?, bytes.number()?, bytes.number()?])
            }
            BROKERS => {
                let broker = |bytes: &mut Reader<'_>| {
                    let id = bytes.small()?;
                    let epoch = bytes.number()?.cast_signed();
                    let fenced = bytes.byte()? != 0;
                    let in_controlled_shutdown = bytes.byte()? != 0;
                    Some((id, BrokerImage { epoch, fenced, in_controlled_shutdown }))
                };
                Change::Brokers(bytes.list(broker)?.into_iter().collect())
            }
            TOPIC => Change::Topic(Arc::new(bytes.topic(internal)?)),
            TOPIC_GONE => Change::TopicGone(topic_name(bytes.text()?)),
            BATCHES => {
                let at = bytes.log()?;
                Change::Batches { at, batches: Bytes::copy_from_slice(std::mem::take(&mut bytes.0)) }
            }
            CUT => Change::Cut { at: bytes.log()?, to: bytes.number()?.cast_signed() },
            START => Change::Start { at: bytes.log()?, start: bytes.number()?.cast_signed() },
            HIGH_WATERMARK => {
                Change::HighWatermark { at: bytes.log()?, offset: bytes.number()?.cast_signed() }
            }
            PRODUCER_BLOCK => {
                Change::ProducerBlock { broker: bytes.small()?, next: bytes.number()?.cast_signed() }
            }
            _ => return None,
        };
        bytes.0.is_empty().then_some(change)
    }
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    out.put_u32(u32::try_from(length).expect("nothing here has 2^32 elements"));
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_length(out, text.len());
    out.put_slice(text.as_bytes());
}

fn put_log(out: &mut Vec<u8>, at: LogAt) {
    out.put_i32(at.broker);
    out.put_slice(at.topic.as_bytes());
    out.put_i32(at.partition);
}

fn put_offset(out: &mut Vec<u8>, at: LogAt, offset: i64) {
    put_log(out, at);
    out.put_i64(offset);
}

fn put_topic(out: &mut Vec<u8>, topic: &TopicImage) {
    put_text(out, &topic.spec.name);
    out.put_slice(topic.id.as_bytes());
    out.put_i16(topic.spec.replication_factor.unwrap_or(-1));
    put_length(out, topic.spec.set.len());
    for (name, value) in &topic.spec.set {
        put_text(out, name);
        put_text(out, value);
    }
    put_length(out, topic.partitions.len());
    for partition in &topic.partitions {
        for brokers in [&partition.replicas, &partition.isr, &partition.elr] {
            put_length(out, brokers.len());
            brokers.iter().for_each(|broker| out.put_i32(*broker));
        }
        out.put_i32(partition.last_known_leader.unwrap_or(NO_LEADER));
        out.put_i32(partition.leader);
        out.put_i32(partition.leader_epoch);
        out.put_i32(partition.partition_epoch);
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        self.0.try_get_u8().ok()
    }

    fn small(&mut self) -> Option<i32> {
        self.0.try_get_i32().ok()
    }

    fn number(&mut self) -> Option<u64> {
        self.0.try_get_u64().ok()
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(self.0.try_get_u32().ok()?).ok()
    }

    fn text(&mut self) -> Option<String> {
        let length = self.length()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    fn uuid(&mut self) -> Option<Uuid> {
        self.0.try_get_u128().ok().map(Uuid::from_u128)
    }

    fn list<T>(&mut self, element: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.length()?;
        (0..count).map(|_| element(self)).collect()
    }

    fn log(&mut self) -> Option<LogAt> {
        Some(LogAt { broker: self.small()?, topic: self.uuid()?, partition: self.small()? })
    }

    fn topic(&mut self, internal: impl Fn(&str) -> Option<TopicSpec>) -> Option<TopicImage> {
        let name = self.text()?;
        let id = self.uuid()?;
        let replication_factor = Some(self.0.try_get_i16().ok()?).filter(|factor| *factor >= 0);
        let set = self.list(|bytes| Some((bytes.text()?, bytes.text()?)))?;
        let partitions = self.list(|bytes| {
            Some(PartitionImage {
                replicas: bytes.list(Self::small)?,
                isr: bytes.list(Self::small)?,
                elr: bytes.list(Self::small)?,
                last_known_leader: bytes.small().map(|id| (id != NO_LEADER).then_some(id))?,
                leader: bytes.small()?,
                leader_epoch: bytes.small()?,
                partition_epoch: bytes.small()?,
            })
        })?;
        let count = i32::try_from(partitions.len()).ok()?;
        let mut spec = internal(&name).unwrap_or_else(|| TopicSpec::new(&name, count));
        spec.partitions = count;
        spec.replication_factor = replication_factor;
        for (name, value) in set {
            settings::set(&mut spec, &name, &value).ok()?;
        }
        Some(TopicImage { id, spec, partitions })
    }
}
