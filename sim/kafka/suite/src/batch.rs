//! Record batches as producers send them, encoded by `kafka-protocol` and not by the brokers' own code.

use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

/// A batch in the making. Without a producer id it is not idempotent.
#[derive(Debug, Clone)]
pub struct Batch {
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    transactional: bool,
    records: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    key: Option<Bytes>,
    value: Option<Bytes>,
    /// `None`: the time of sending.
    timestamp: Option<i64>,
}

/// A batch of these values.
pub fn batch(values: &[&str]) -> Batch {
    let entry = |value: &&str| Entry {
        key: None,
        value: Some(Bytes::copy_from_slice(value.as_bytes())),
        timestamp: None,
    };
    Batch {
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        transactional: false,
        records: values.iter().map(entry).collect(),
    }
}

/// A batch of one key with its value; `None` is a tombstone.
pub fn keyed(key: &str, value: Option<&str>) -> Batch {
    let mut batch = batch(&[""]);
    batch.records[0].key = Some(Bytes::copy_from_slice(key.as_bytes()));
    batch.records[0].value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
    batch
}

impl Batch {
    pub fn from(mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) -> Batch {
        (self.producer_id, self.producer_epoch, self.base_sequence) =
            (producer_id, producer_epoch, base_sequence);
        self
    }

    pub fn transactional(mut self) -> Batch {
        self.transactional = true;
        self
    }

    pub fn at(mut self, timestamp: i64) -> Batch {
        self.records.iter_mut().for_each(|record| record.timestamp = Some(timestamp));
        self
    }

    pub fn encode(&self, now: i64) -> Bytes {
        let numbered = (0i32..).zip(&self.records);
        let records: Vec<Record> = numbered.map(|(i, entry)| self.record(i, entry, now)).collect();
        let mut bytes = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut bytes, &records, &options).expect("plain records can be encoded");
        bytes.freeze()
    }

    fn record(&self, delta: i32, entry: &Entry, now: i64) -> Record {
        Record {
            transactional: self.transactional,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            timestamp_type: TimestampType::Creation,
            offset: i64::from(delta),
            // The encoder asks for one number per record, and takes the batch's from the first.
            sequence: self.base_sequence.wrapping_add(delta),
            timestamp: entry.timestamp.unwrap_or(now),
            key: entry.key.clone(),
            value: entry.value.clone(),
            headers: Default::default(),
        }
    }
}

/// All whole batches' records, control records included.
pub fn decode(bytes: &Bytes) -> Vec<Record> {
    let mut rest = bytes.clone();
    let mut records = Vec::new();
    // A cut-off batch at the end is allowed (KIP-74).
    while let Some(mut batch) = next_batch(&mut rest) {
        let set = RecordBatchDecoder::decode(&mut batch).expect("brokers send whole batches");
        records.extend(set.records);
    }
    records
}

fn next_batch(bytes: &mut Bytes) -> Option<Bytes> {
    let length = i32::from_be_bytes(bytes.get(8..12)?.try_into().expect("four bytes"));
    let size = usize::try_from(length).ok()? + 12;
    (size <= bytes.len()).then(|| bytes.split_to(size))
}

/// A record's value as text.
pub fn value(record: &Record) -> String {
    String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned()
}

/// What an application at read_committed sees of these records, from the beginning of a log: no control records, and none of
/// transactions that were aborted, told as producer id and first offset.
pub fn applications<'a>(
    records: &'a [Record],
    aborted: &[(i64, i64)],
) -> impl Iterator<Item = &'a Record> + use<'a> {
    let mut waiting = aborted.to_vec();
    let mut open: Vec<i64> = Vec::new();
    records.iter().filter(move |record| {
        let begins =
            |(producer, first): &(i64, i64)| *producer == record.producer_id && *first <= record.offset;
        if record.transactional && waiting.iter().any(begins) {
            waiting.retain(|one| !begins(one));
            open.push(record.producer_id);
        }
        if record.control {
            open.retain(|producer| *producer != record.producer_id);
        }
        !(record.control || record.transactional && open.contains(&record.producer_id))
    })
}
