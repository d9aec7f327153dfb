//! Decorators around the ports of the hosts under test: who owns what, and hosts that are broken on purpose.
//!
//! A partition is owned by whom the newest generation gave it to. Offsets of a transaction that were asked for when another
//! member's ownership was known must not be committed: so a zombie that commits is caught, however well it knows its
//! place.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use async_trait::async_trait;
use host::ports::transactional_log::{
    ErrorClass, GroupMember, GroupMetadata, InputOffset, LogReader, MemberEvent, Page, ReadError,
    TransactionError, TransactionalLog, TransactionalProducer, TransactionalRecord,
};

use crate::counter::CHANGELOG;

/// A way in which a host is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Offsets are sent in the name of the group alone.
    NoGroupMetadata,
    /// The same, and the `transactional.id` belongs to the process.
    IdOfProcess,
    /// The offset is committed by itself, before the batch.
    OffsetFirst,
    /// ... after the batch.
    OffsetLast,
    /// Recovery reads what was aborted or is open.
    ReadsUncommitted,
    /// A commit that is not answered counts as aborted.
    UnknownTakenForAborted,
    /// ... as committed.
    UnknownTakenForCommitted,
    /// Every fifth batch loses an event on its way to the changelog.
    LosesEvents,
    /// Every fifth batch is published without its last message.
    LosesMessages,
    /// Every fifth batch is published with its messages in reverse.
    TurnsMessagesRound,
}

/// What a host can be in when it dies.
pub const CALLS: [&str; 5] = [INIT, RECOVERY, SEND_OFFSET, COMMIT, ABORT];
const INIT: &str = "InitProducerId";
const RECOVERY: &str = "recovery";
const SEND_OFFSET: &str = "sending the offset";
const COMMIT: &str = "commit";
const ABORT: &str = "abort";

#[derive(Default)]
pub struct Watch {
    pub lie: Cell<Option<Lie>>,
    /// Generation and process, by partition.
    owners: RefCell<BTreeMap<i32, (i32, u64)>>,
    processes: Cell<u64>,
    batches: Cell<u64>,
    /// Calls under way, by host.
    calls: RefCell<BTreeMap<(String, &'static str), u64>>,
    /// So many of the next commits of hosts are carried out, and not answered.
    pub unheard_commits: Cell<u64>,
    /// So many of them are not carried out at first, and not answered.
    pub lost_commits: Cell<u64>,
    /// Offsets asked for by a process that was not the owner.
    pub void: Cell<u64>,
    /// Those that were committed.
    pub wrong: Cell<u64>,
}

/// A call that a host waits for, until it is answered or the host is dead.
struct UnderWay(Rc<Watch>, (String, &'static str));

impl UnderWay {
    fn begin(watch: &Rc<Watch>, host: &str, call: &'static str) -> Self {
        let key = (host.to_owned(), call);
        *watch.calls.borrow_mut().entry(key.clone()).or_default() += 1;
        Self(watch.clone(), key)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(calls) = self.0.calls.borrow_mut().get_mut(&self.1) {
            *calls -= 1;
        }
    }
}

impl Watch {
    pub fn calls_of(&self, host: &str) -> Vec<&'static str> {
        let calls = self.calls.borrow();
        let of_host = calls.iter().filter(|((name, _), calls)| name == host && **calls > 0);
        of_host.map(|((_, call), _)| *call).collect()
    }

    fn lies(&self, lie: Lie) -> bool {
        self.lie.get() == Some(lie)
    }
}

fn add(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

fn take(counter: &Cell<u64>) -> bool {
    let left = counter.get();
    counter.set(left.saturating_sub(1));
    left > 0
}

/// The log of one process.
pub struct WatchedLog {
    pub log: Rc<dyn TransactionalLog>,
    /// Reads what is not committed.
    pub dirty: Rc<dyn TransactionalLog>,
    pub name: String,
    pub watch: Rc<Watch>,
    process: u64,
}

impl WatchedLog {
    pub fn new(
        log: Rc<dyn TransactionalLog>,
        dirty: Rc<dyn TransactionalLog>,
        name: &str,
        watch: Rc<Watch>,
    ) -> Self {
        add(&watch.processes);
        let process = watch.processes.get();
        Self { log, dirty, name: name.to_owned(), watch, process }
    }
}

impl TransactionalLog for WatchedLog {
    fn transactional_producer(&self, id: &str) -> Box<dyn TransactionalProducer> {
        let id = match self.watch.lie.get() {
            Some(Lie::IdOfProcess) => format!("{}/{id}", self.name),
            _ => id.to_owned(),
        };
        let beside = || self.log.transactional_producer(&format!("{id}/beside"));
        let has_beside = matches!(self.watch.lie.get(), Some(Lie::OffsetFirst | Lie::OffsetLast));
        Box::new(WatchedProducer {
            producer: self.log.transactional_producer(&id),
            beside: has_beside.then(beside),
            is_beside_ready: false,
            last_offset: None,
            name: self.name.clone(),
            watch: self.watch.clone(),
            process: self.process,
            is_void: false,
            pretends_aborted: false,
        })
    }

    fn member(&self, group: &str, topic: &'static str) -> Box<dyn GroupMember> {
        let member = self.log.member(group, topic);
        Box::new(WatchedMember { member, watch: self.watch.clone(), process: self.process })
    }

    fn reader(&self) -> Box<dyn LogReader> {
        let reader = match self.watch.lies(Lie::ReadsUncommitted) {
            true => self.dirty.reader(),
            false => self.log.reader(),
        };
        let under_way = UnderWay::begin(&self.watch, &self.name, RECOVERY);
        Box::new(WatchedReader { reader, _under_way: under_way })
    }
}

/// A host reads while it recovers, and then no more.
struct WatchedReader {
    reader: Box<dyn LogReader>,
    _under_way: UnderWay,
}

#[async_trait(?Send)]
impl LogReader for WatchedReader {
    async fn bounds(&mut self, topic: &'static str, partition: i32) -> Result<(i64, i64), ReadError> {
        self.reader.bounds(topic, partition).await
    }

    async fn read(&mut self, topic: &'static str, partition: i32, offset: i64) -> Result<Page, ReadError> {
        self.reader.read(topic, partition, offset).await
    }

    async fn committed(
        &mut self,
        group: &str,
        topic: &'static str,
        partition: i32,
    ) -> Result<Option<i64>, ReadError> {
        self.reader.committed(group, topic, partition).await
    }
}

struct WatchedMember {
    member: Box<dyn GroupMember>,
    watch: Rc<Watch>,
    process: u64,
}

#[async_trait(?Send)]
impl GroupMember for WatchedMember {
    async fn poll(&mut self) -> MemberEvent {
        let event = self.member.poll().await;
        if let MemberEvent::Assigned(partitions) = &event {
            let generation = self.member.metadata().generation;
            let mut owners = self.watch.owners.borrow_mut();
            for partition in partitions {
                let owner = owners.entry(*partition).or_insert((generation, self.process));
                if owner.0 <= generation {
                    *owner = (generation, self.process);
                }
            }
        }
        event
    }

    fn seek(&mut self, partition: i32, offset: i64) {
        self.member.seek(partition, offset);
    }

    fn pause(&mut self, partition: i32) {
        self.member.pause(partition);
    }

    fn resume(&mut self, partition: i32) {
        self.member.resume(partition);
    }

    fn metadata(&self) -> GroupMetadata {
        self.member.metadata()
    }

    async fn leave(&mut self) {
        self.member.leave().await;
    }
}

struct WatchedProducer {
    producer: Box<dyn TransactionalProducer>,
    /// For offsets that are committed by themselves.
    beside: Option<Box<dyn TransactionalProducer>>,
    is_beside_ready: bool,
    last_offset: Option<(InputOffset, GroupMetadata)>,
    name: String,
    watch: Rc<Watch>,
    process: u64,
    /// The transaction's offset was asked for when the partition was another's.
    is_void: bool,
    /// The host believes that it has to abort what is committed.
    pretends_aborted: bool,
}

fn unknown() -> TransactionError {
    TransactionError { class: ErrorClass::Unknown, reason: "the answer is lost, on order".to_owned() }
}

impl WatchedProducer {
    async fn commit_beside(&mut self) -> Result<(), TransactionError> {
        let (Some(beside), Some((offset, member))) = (&mut self.beside, &self.last_offset) else {
            return Ok(());
        };
        if !std::mem::replace(&mut self.is_beside_ready, true) {
            beside.init().await?;
        }
        beside.begin()?;
        beside.send_offset(offset, member).await?;
        beside.commit().await
    }

    async fn commit_or_lose(&mut self) -> Result<(), TransactionError> {
        if take(&self.watch.lost_commits) {
            return Err(unknown());
        }
        let result = self.producer.commit().await;
        if result.is_ok() {
            let wrong = std::mem::take(&mut self.is_void);
            self.watch.wrong.set(self.watch.wrong.get() + u64::from(wrong));
            if take(&self.watch.unheard_commits) {
                return Err(unknown());
            }
        }
        result
    }

    fn twist(&self, mut records: Vec<TransactionalRecord>) -> Vec<TransactionalRecord> {
        add(&self.watch.batches);
        if !self.watch.batches.get().is_multiple_of(5) {
            return records;
        }
        let is_event = |record: &TransactionalRecord| {
            record.topic == CHANGELOG && record.key.as_deref() == Some(b"event")
        };
        let is_message = |record: &TransactionalRecord| record.topic == crate::counter::OUTPUT;
        match self.watch.lie.get() {
            Some(Lie::LosesEvents) => {
                let place = records.iter().position(is_event);
                place.map(|place| records.remove(place));
            }
            Some(Lie::LosesMessages) => {
                let place = records.iter().rposition(is_message);
                place.map(|place| records.remove(place));
            }
            Some(Lie::TurnsMessagesRound) => records.reverse(),
            _ => {}
        }
        records
    }
}

#[async_trait(?Send)]
impl TransactionalProducer for WatchedProducer {
    async fn init(&mut self) -> Result<(), TransactionError> {
        let _init = UnderWay::begin(&self.watch, &self.name, INIT);
        self.producer.init().await
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        self.is_void = false;
        self.producer.begin()
    }

    fn send(&mut self, records: Vec<TransactionalRecord>) -> Result<(), TransactionError> {
        let records = self.twist(records);
        self.producer.send(records)
    }

    async fn send_offset(
        &mut self,
        offset: &InputOffset,
        member: &GroupMetadata,
    ) -> Result<(), TransactionError> {
        let _send = UnderWay::begin(&self.watch, &self.name, SEND_OFFSET);
        let owner = self.watch.owners.borrow().get(&offset.partition).copied();
        if owner.is_some_and(|(_, process)| process != self.process) && !self.is_void {
            self.is_void = true;
            add(&self.watch.void);
        }
        let member = match self.watch.lie.get() {
            Some(Lie::NoGroupMetadata | Lie::IdOfProcess) => {
                GroupMetadata { group: member.group.clone(), generation: -1, ..GroupMetadata::default() }
            }
            _ => member.clone(),
        };
        if self.beside.is_some() {
            self.last_offset = Some((offset.clone(), member));
            return match self.watch.lies(Lie::OffsetFirst) {
                true => self.commit_beside().await,
                false => Ok(()),
            };
        }
        self.producer.send_offset(offset, &member).await
    }

    async fn commit(&mut self) -> Result<(), TransactionError> {
        let _commit = UnderWay::begin(&self.watch, &self.name, COMMIT);
        let result = self.commit_or_lose().await;
        let is_unknown = result.as_ref().is_err_and(|error| error.class == ErrorClass::Unknown);
        match self.watch.lie.get() {
            Some(Lie::UnknownTakenForAborted) if is_unknown => {
                self.pretends_aborted = true;
                Err(TransactionError { class: ErrorClass::Abortable, reason: "taken for aborted".to_owned() })
            }
            Some(Lie::UnknownTakenForCommitted) if is_unknown => {
                // Nothing holds up the next transaction.
                let _ = self.producer.abort().await;
                Ok(())
            }
            Some(Lie::OffsetLast) if result.is_ok() => self.commit_beside().await,
            _ => result,
        }
    }

    async fn abort(&mut self) -> Result<(), TransactionError> {
        let _abort = UnderWay::begin(&self.watch, &self.name, ABORT);
        let result = self.producer.abort().await;
        // It was committed: the client says that there is nothing to abort.
        if std::mem::take(&mut self.pretends_aborted) { Ok(()) } else { result }
    }
}
