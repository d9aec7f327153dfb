//! Compares what stands in the topics, read at `read_committed`, with a fold of the inputs in their order.
//!
//! Inputs are what the input topic holds: who sent them may have given up and may have been heard all the same.

use std::collections::BTreeMap;

use contracts::stored::Payload;
use contracts::{Headers, Message};
use host::log_host::{Entry, dead_letter};
use host::ports::LogRecord;

use crate::bench::{Bench, PARTITIONS, message_of};
use crate::counter::{CHANGELOG, Counted, Counts, DEAD_LETTERS, INPUT, OUTPUT, asked, count};

/// Longer than a session, a transaction's time-out with its sweep, and the longest pauses together.
const SETTLE_S: u64 = 400;

/// What a partition's inputs come to.
#[derive(Default)]
struct Wanted {
    counts: Counts,
    counted: Vec<Counted>,
    /// By name: value and cause of each message, in order.
    messages: BTreeMap<String, Vec<(String, String)>>,
    /// Place and bytes of what cannot be decoded.
    dead: Vec<(i64, Vec<u8>)>,
}

impl Wanted {
    fn of(partition: i32, inputs: &[LogRecord]) -> Self {
        let mut wanted = Self::default();
        for record in inputs {
            let Some(message) = message_of(record) else {
                wanted.dead.push((record.offset, record.value.to_vec()));
                continue;
            };
            let Some((name, by)) = asked(&message) else { continue };
            let value = count(&mut wanted.counts, &name, by).to_string();
            let cause = format!("{INPUT}/{partition}@{}", record.offset);
            wanted.messages.entry(name.clone()).or_default().push((value, cause));
            wanted.counted.push(Counted { name, by, offset: record.offset });
        }
        wanted
    }
}

pub async fn judge(bench: &Bench) {
    let left = bench.settle(SETTLE_S).await;
    assert!(left.is_empty(), "not all is processed: partitions {left:?}");
    let mut wanted = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let inputs = bench.read(INPUT, partition).await;
        let of = Wanted::of(partition, &inputs);
        let committed = bench.committed(partition).await.expect("all is settled");
        assert_eq!(
            committed,
            inputs.last().map(|last| last.offset + 1),
            "the offset of partition {partition}"
        );
        judge_changelog(partition, &inputs, &of, &bench.read(CHANGELOG, partition).await);
        wanted.insert(partition, of);
    }
    judge_messages(bench, &wanted).await;
    judge_dead_letters(bench, &wanted).await;
    assert_eq!(bench.watch.wrong.get(), 0, "offsets were committed by who did not own the partition");
}

/// Each input is counted once and in order; between two marks of progress lie exactly the inputs between.
fn judge_changelog(partition: i32, inputs: &[LogRecord], wanted: &Wanted, changelog: &[LogRecord]) {
    let (mut counts, mut counted, mut from) = (Counts::new(), Vec::new(), 0);
    let mut batch: Vec<Counted> = Vec::new();
    for record in changelog {
        match Entry::decode(record).expect("hosts write what they can read") {
            Entry::Event(payload) => {
                batch.push(Counted::decode(payload).expect("it was written by the service"))
            }
            Entry::Snapshot(bytes) => {
                let mut after = counts.clone();
                batch.iter().for_each(|event| {
                    count(&mut after, &event.name, event.by);
                });
                let lines = after.iter().map(|(name, value)| format!("{name} {value}\n"));
                assert_eq!(bytes, lines.collect::<String>(), "a snapshot of partition {partition}");
            }
            Entry::Progress(progress) => {
                let is_within = |event: &Counted| (from..progress.next).contains(&event.offset);
                assert!(batch.iter().all(is_within), "{batch:?} from {from} to {}", progress.next);
                assert!(progress.next > from, "partition {partition} goes from {from} to {}", progress.next);
                batch.iter().for_each(|event| {
                    count(&mut counts, &event.name, event.by);
                });
                counted.append(&mut batch);
                from = progress.next;
            }
        }
    }
    assert_eq!(batch, [], "partition {partition}: a batch without its end");
    assert_eq!(counted, wanted.counted, "what the changelog of partition {partition} counts");
    assert_eq!(counts, wanted.counts, "what the changelog of partition {partition} comes to");
    let end = inputs.last().map_or(0, |last| last.offset + 1);
    assert_eq!(from, end, "how far the changelog of partition {partition} goes");
}

/// Each input has its message once, in order, with a sequence that has no gap.
async fn judge_messages(bench: &Bench, wanted: &BTreeMap<i32, Wanted>) {
    let mut published: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for partition in 0..2 {
        for record in bench.read(OUTPUT, partition).await {
            let pairs = record.headers.iter();
            let pairs =
                pairs.map(|(name, value)| (std::str::from_utf8(name).expect("names are text"), &value[..]));
            let headers = Headers::from_pairs(pairs).expect("the host writes all of them");
            let message = Message::decode(OUTPUT, record.value.clone()).expect("the host writes messages");
            let Message::NotificationEvent(told) = message else { panic!("{message:?}") };
            let name = headers.source.strip_prefix("counting/count/").expect("the counter's streams");
            let of = published.entry(name.to_owned()).or_default();
            of.push((told.notice_id, headers.cause));
            assert_eq!(headers.sequence, of.len() as u64, "the sequence of {name}");
        }
    }
    let wanted: BTreeMap<String, Vec<(String, String)>> =
        wanted.values().flat_map(|wanted| wanted.messages.clone()).collect();
    assert_eq!(published, wanted, "what was published");
}

/// What cannot be decoded is set aside once, as it was, and where it stood.
async fn judge_dead_letters(bench: &Bench, wanted: &BTreeMap<i32, Wanted>) {
    let mut letters: BTreeMap<i32, Vec<(i64, Vec<u8>)>> = BTreeMap::new();
    for record in bench.read(DEAD_LETTERS, 0).await {
        let header = |wanted: &str| {
            let found = record.headers.iter().find(|(name, _)| name == wanted);
            found.map_or(String::new(), |(_, value)| String::from_utf8_lossy(value).into_owned())
        };
        assert_eq!((header("origin"), header(dead_letter::TOPIC)), ("client".to_owned(), INPUT.to_owned()));
        assert!(record.key.is_some() && !header(dead_letter::REASON).is_empty(), "{record:?}");
        let partition: i32 = header(dead_letter::PARTITION).parse().expect("a number");
        let offset: i64 = header(dead_letter::OFFSET).parse().expect("a number");
        letters.entry(partition).or_default().push((offset, record.value.to_vec()));
    }
    let dead = wanted.iter().map(|(partition, wanted)| (*partition, wanted.dead.clone()));
    let dead: BTreeMap<i32, Vec<(i64, Vec<u8>)>> = dead.filter(|(_, dead)| !dead.is_empty()).collect();
    assert_eq!(letters, dead, "dead letters");
}
