//! Between the member of the group and the owner of one partition: records in, wishes out.
//!
//! It is bounded: a partition whose owner is behind is paused, and goes on when half of what it was handed is done.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use futures::FutureExt;

use crate::ports::LogRecord;
use crate::signal::{Latch, Signal};

pub struct Mailbox {
    queue: RefCell<VecDeque<LogRecord>>,
    limit: usize,
    arrived: Signal,
    /// The owner finishes or aborts what it has begun, and ends.
    pub stop: Latch,
    /// The owner ends at once, whatever it has begun.
    pub abandoned: Latch,
    /// From where the owner wants to be fed, until the member has heard of it.
    wanted: Cell<Option<i64>>,
    /// The member feeds the owner.
    is_fed: Cell<bool>,
    is_paused: Cell<bool>,
    /// Something was committed since the owner began.
    pub has_committed: Cell<bool>,
    /// Wakes the member.
    attention: Rc<Signal>,
}

impl Mailbox {
    pub fn new(limit: usize, attention: Rc<Signal>) -> Rc<Self> {
        Rc::new(Self {
            queue: RefCell::default(),
            limit,
            arrived: Signal::default(),
            stop: Latch::default(),
            abandoned: Latch::default(),
            wanted: Cell::new(None),
            is_fed: Cell::new(false),
            is_paused: Cell::new(false),
            has_committed: Cell::new(false),
            attention,
        })
    }

    /// Owner: begin feeding me from here.
    pub fn feed_from(&self, offset: i64) {
        self.wanted.set(Some(offset));
        self.attention.send();
    }

    /// Owner: up to so many records, as soon as there is one; `None` when it is to stop.
    pub async fn take(&self, count: usize) -> Option<Vec<LogRecord>> {
        while self.queue.borrow().is_empty() {
            futures::select_biased! {
                () = self.stop.wait().fuse() => return None,
                () = self.arrived.received().fuse() => {}
            }
        }
        if self.stop.is_set() {
            return None;
        }
        let mut queue = self.queue.borrow_mut();
        let count = count.min(queue.len());
        let taken = queue.drain(..count).collect();
        if self.is_paused.get() && queue.len() <= self.limit / 2 {
            self.attention.send();
        }
        Some(taken)
    }

    /// Member: where to seek to, if the owner asks for it. From then on it is fed.
    pub fn take_wish(&self) -> Option<i64> {
        let wanted = self.wanted.take()?;
        self.queue.borrow_mut().clear();
        self.is_fed.set(true);
        self.is_paused.set(false);
        Some(wanted)
    }

    /// Member: these have come. `true`: it is enough for now.
    pub fn put(&self, records: Vec<LogRecord>) -> bool {
        if !self.is_fed.get() {
            return false;
        }
        self.queue.borrow_mut().extend(records);
        self.arrived.send();
        let is_full = self.queue.borrow().len() >= self.limit;
        is_full && !self.is_paused.replace(true)
    }

    /// Member: whether a paused partition may go on. Asked once, it is.
    pub fn takes_more(&self) -> bool {
        let has_room = self.queue.borrow().len() <= self.limit / 2;
        has_room && self.is_paused.replace(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn records(offsets: std::ops::Range<i64>) -> Vec<LogRecord> {
        let record = |offset| LogRecord {
            offset,
            timestamp_ms: 0,
            key: None,
            value: Bytes::new(),
            headers: Vec::new(),
        };
        offsets.map(record).collect()
    }

    fn offsets(taken: Option<Option<Vec<LogRecord>>>) -> Vec<i64> {
        let taken = taken.flatten().unwrap_or_default();
        taken.into_iter().map(|record| record.offset).collect()
    }

    #[test]
    fn nothing_is_taken_in_before_it_is_asked_for() {
        let mailbox = Mailbox::new(10, Rc::default());
        assert!(!mailbox.put(records(0..20)));
        mailbox.feed_from(5);
        assert_eq!((mailbox.take_wish(), mailbox.take_wish()), (Some(5), None));
        mailbox.put(records(5..7));
        assert_eq!(offsets(mailbox.take(10).now_or_never()), [5, 6]);
        assert!(mailbox.take(10).now_or_never().is_none(), "it waits for more");
    }

    #[test]
    fn a_full_mailbox_says_so_once_and_takes_more_when_it_is_half_empty() {
        let mailbox = Mailbox::new(4, Rc::default());
        mailbox.feed_from(0);
        mailbox.take_wish();
        assert_eq!([0..3, 3..5, 5..6].map(|range| mailbox.put(records(range))), [false, true, false]);
        assert_eq!(offsets(mailbox.take(3).now_or_never()), [0, 1, 2]);
        assert!(!mailbox.takes_more(), "three are left");
        assert_eq!(offsets(mailbox.take(1).now_or_never()), [3]);
        assert_eq!([mailbox.takes_more(), mailbox.takes_more()], [true, false]);
    }

    #[test]
    fn an_owner_that_is_to_stop_takes_nothing_more() {
        let mailbox = Mailbox::new(4, Rc::default());
        mailbox.feed_from(0);
        mailbox.take_wish();
        mailbox.put(records(0..2));
        mailbox.stop.set();
        assert!(matches!(mailbox.take(1).now_or_never(), Some(None)));
    }
}
