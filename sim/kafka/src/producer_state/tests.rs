//! Producers' state fed with encoded batches: sequences, transactions, verification, replay.

use super::*;
use crate::records::{BatchProducer, RecordView, decode_batch, encode_batch, encode_transactional_batch};

const PID: i64 = 7;
const EXPIRATION: Expiration = Expiration { after_ms: 1_000, check_interval_ms: 100 };

fn producer(producer_id: i64, producer_epoch: i16, base_sequence: i32) -> BatchProducer {
    BatchProducer { producer_id, producer_epoch, base_sequence }
}

fn header(batch: &bytes::Bytes) -> BatchHeader {
    decode_batch(batch).expect("a valid batch").0
}

fn at(mut header: BatchHeader, base_offset: i64) -> BatchHeader {
    header.base_offset = base_offset;
    header
}

const RECORD: RecordView<'_> = RecordView { timestamp: 0, key: None, value: Some(b"v"), headers: &[] };

fn plain(epoch: i16, sequence: i32) -> BatchHeader {
    header(&encode_batch(&[RECORD], Some(producer(PID, epoch, sequence))))
}

fn transactional(producer_id: i64, epoch: i16, sequence: i32) -> BatchHeader {
    header(&encode_transactional_batch(&[RECORD], producer(producer_id, epoch, sequence)))
}

/// A leader's log reduced to its producers' state.
#[derive(Default)]
struct Leader {
    states: ProducerStates,
    log: Vec<(BatchHeader, Option<EndTxnMarker>)>,
}

impl Leader {
    fn end(&self) -> i64 {
        i64::try_from(self.log.len()).expect("a few records")
    }

    fn check(&self, header: &BatchHeader, guard: Guard) -> Result<Verdict, ResponseError> {
        self.states.check(0, EXPIRATION, header, guard)
    }

    /// Asks the coordinator, who agrees, and appends.
    fn append(&mut self, header: BatchHeader) -> Result<i64, ResponseError> {
        let guard = if header.is_transactional() {
            self.states.start_verification(0, &header, false)?.unwrap_or(Guard::Missing)
        } else {
            Guard::Missing
        };
        match self.check(&header, guard)? {
            Verdict::Duplicate { base_offset } => Ok(base_offset),
            Verdict::Append => Ok(self.force(header)),
        }
    }

    fn force(&mut self, header: BatchHeader) -> i64 {
        let offset = self.end();
        self.states.appended(0, &header, header.max_timestamp, offset);
        self.log.push((at(header, offset), None));
        offset
    }

    fn mark(
        &mut self,
        producer_id: i64,
        epoch: i16,
        commit: bool,
        coordinator_epoch: i32,
    ) -> Result<i64, ResponseError> {
        let marker = EndTxnMarker { commit, coordinator_epoch };
        self.states.check_marker(producer_id, epoch, marker)?;
        let offset = self.end();
        let header = at(header(&marker.encode(0, producer_id, epoch)), offset);
        self.states.ended(0, &header, marker, offset);
        self.log.push((header, Some(marker)));
        Ok(offset)
    }

    /// As a follower, or the same replica after a restart, knows it from the log's first batches.
    fn replayed(&self, upto: i64) -> ProducerStates {
        let mut states = ProducerStates::default();
        for (header, control) in &self.log[..usize::try_from(upto).expect("an offset")] {
            states.replay(header, *control);
        }
        states
    }
}

#[test]
fn f57_the_last_stable_offset_is_the_first_offset_of_the_oldest_open_transaction() {
    let mut leader = Leader::default();
    leader.append(plain(0, 0)).expect("a plain batch of the producer");
    leader.append(transactional(8, 0, 0)).expect("opens at 1");
    leader.append(transactional(9, 0, 0)).expect("opens at 2");
    leader.append(plain(0, 1)).expect("held back, although not transactional");
    assert_eq!(leader.states.last_stable_offset(4), 1);
    assert_eq!(leader.states.last_stable_offset(1), 1, "never above the high watermark");
    assert_eq!(leader.states.last_stable_offset(0), 0);
    leader.mark(8, 0, true, 0).expect("ended at 4");
    assert_eq!(leader.states.last_stable_offset(4), 1, "the marker is not replicated");
    assert_eq!(leader.states.last_stable_offset(5), 2);
    leader.states.high_watermark_moved(5);
    leader.mark(9, 0, false, 0).expect("ended at 5");
    assert_eq!(leader.states.last_stable_offset(6), 6);
}

#[test]
fn f58_aborted_transactions_are_listed_for_the_range_that_is_read() {
    let mut leader = Leader::default();
    leader.append(transactional(8, 0, 0)).expect("opens at 0");
    leader.append(transactional(9, 0, 0)).expect("opens at 1");
    leader.mark(8, 0, false, 0).expect("aborted, 0 to 2");
    leader.append(transactional(8, 0, 1)).expect("opens at 3");
    leader.mark(8, 0, true, 0).expect("committed at 4");
    leader.mark(9, 0, false, 0).expect("aborted, 1 to 5");
    leader.append(transactional(8, 0, 2)).expect("opens at 6");
    leader.mark(8, 0, false, 0).expect("aborted, 6 to 7");
    assert_eq!(leader.states.aborted(0, 8), [(8, 0), (9, 1), (8, 6)]);
    assert_eq!(leader.states.aborted(0, 1), [(8, 0)]);
    assert_eq!(leader.states.aborted(3, 6), [(9, 1)]);
    assert_eq!(leader.states.aborted(6, 8), [(8, 6)]);
    leader.states.log_start_moved(6);
    assert_eq!(leader.states.aborted(0, 8), [(8, 6)]);
}

#[test]
fn c31_a_plain_batch_within_the_own_open_transaction_is_refused() {
    let mut leader = Leader::default();
    leader.append(transactional(PID, 0, 0)).expect("opens");
    assert_eq!(leader.append(plain(0, 1)), Err(ResponseError::InvalidTxnState));
    leader.mark(PID, 0, true, 0).expect("ends");
    assert_eq!(leader.append(plain(0, 1)), Ok(2));
}

#[test]
fn c32_a_transactional_batch_needs_the_coordinators_word() {
    let mut leader = Leader::default();
    let batch = transactional(PID, 0, 0);
    assert_eq!(leader.check(&batch, Guard::Missing), Err(ResponseError::InvalidTxnState));
    assert_eq!(leader.check(&batch, Guard::NotRequired), Ok(Verdict::Append));
    let guard =
        leader.states.start_verification(0, &batch, false).expect("a current epoch").expect("must ask");
    assert_eq!(leader.states.start_verification(0, &batch, false), Ok(Some(guard)), "a retry asks the same");
    assert_eq!(leader.check(&batch, guard), Ok(Verdict::Append));
    leader.force(batch);
    assert_eq!(leader.states.start_verification(0, &transactional(PID, 0, 1), false), Ok(None), "it is open");
}

#[test]
fn c32_a_marker_between_question_and_append_makes_the_answer_void() {
    let mut leader = Leader::default();
    let batch = transactional(PID, 0, 0);
    let guard =
        leader.states.start_verification(0, &batch, false).expect("a current epoch").expect("must ask");
    leader.mark(PID, 0, false, 0).expect("the coordinator aborts");
    assert_eq!(leader.check(&batch, guard), Err(ResponseError::InvalidTxnState));
    let again =
        leader.states.start_verification(0, &batch, false).expect("a current epoch").expect("must ask");
    assert_ne!(again, guard);
}

#[test]
fn c33_the_marker_of_the_last_transaction_leaves_the_next_ones_verification() {
    let mut leader = Leader::default();
    let next = transactional(PID, 1, 0);
    let guard = leader.states.start_verification(0, &next, true).expect("a current epoch").expect("must ask");
    leader.mark(PID, 1, true, 0).expect("transaction.version 2: the marker has the bumped epoch");
    assert_eq!(leader.check(&next, guard), Ok(Verdict::Append));
}

#[test]
fn c33_under_version_2_a_producer_without_state_starts_at_0() {
    let mut leader = Leader::default();
    let late = transactional(PID, 3, 5);
    let guard = leader.states.start_verification(0, &late, true).expect("a current epoch").expect("must ask");
    assert_eq!(leader.check(&late, guard), Err(ResponseError::OutOfOrderSequenceNumber));
    let mut old = Leader::default();
    assert_eq!(old.append(transactional(PID, 3, 5)), Ok(0), "before version 2 any sequence does (b18)");
}

#[test]
fn c32_the_batch_with_the_lowest_sequence_seen_goes_first() {
    let mut leader = Leader::default();
    let (first, second) = (transactional(PID, 0, 0), transactional(PID, 0, 1));
    leader.states.start_verification(0, &first, false).expect("a current epoch");
    let guard =
        leader.states.start_verification(0, &second, false).expect("a current epoch").expect("must ask");
    assert_eq!(leader.check(&second, guard), Err(ResponseError::OutOfOrderSequenceNumber));
    assert_eq!(leader.check(&first, guard), Ok(Verdict::Append));
}

#[test]
fn c34_before_version_2_a_late_batch_joins_the_next_transaction_and_after_it_does_not() {
    let mut leader = Leader::default();
    leader.append(transactional(PID, 0, 0)).expect("first transaction");
    let late = transactional(PID, 0, 1);
    leader.mark(PID, 0, true, 0).expect("committed with the same epoch");
    assert_eq!(
        leader.append(late),
        Ok(2),
        "the coordinator sees the next transaction: the epoch is the same"
    );
    let mut leader = Leader::default();
    leader.append(transactional(PID, 0, 0)).expect("first transaction");
    leader.mark(PID, 1, true, 0).expect("committed with the next epoch");
    assert_eq!(leader.append(late), Err(ResponseError::InvalidProducerEpoch));
}

#[test]
fn d38_an_old_epoch_is_invalid_producer_epoch_also_where_only_a_marker_told_the_new_one() {
    let mut leader = Leader::default();
    leader.append(transactional(PID, 0, 0)).expect("opens");
    leader.mark(PID, 1, false, 0).expect("the coordinator fences by a bumped epoch");
    assert_eq!(leader.append(transactional(PID, 0, 1)), Err(ResponseError::InvalidProducerEpoch));
    assert_eq!(leader.append(transactional(PID, 1, 1)), Err(ResponseError::OutOfOrderSequenceNumber));
    assert_eq!(leader.append(transactional(PID, 1, 0)), Ok(2));
    assert_eq!(leader.mark(PID, 0, true, 0), Err(ResponseError::InvalidProducerEpoch));
}

#[test]
fn d43_a_marker_of_an_old_coordinator_is_fenced() {
    let mut leader = Leader::default();
    leader.append(transactional(PID, 0, 0)).expect("opens");
    leader.mark(PID, 0, true, 4).expect("the current coordinator");
    assert_eq!(leader.mark(PID, 0, false, 3), Err(ResponseError::TransactionCoordinatorFenced));
    assert_eq!(leader.mark(PID, 0, true, 4), Ok(2), "a repeated marker is appended once more");
    assert!(leader.states.aborted(0, 10).is_empty());
    assert_eq!(leader.states.last_stable_offset(3), 3);
}

#[test]
fn b16_a_retry_is_known_within_and_after_the_transaction() {
    let mut leader = Leader::default();
    leader.append(transactional(PID, 0, 0)).expect("opens");
    assert_eq!(leader.append(transactional(PID, 0, 0)), Ok(0));
    leader.mark(PID, 0, true, 0).expect("ends");
    assert_eq!(
        leader.check(&transactional(PID, 0, 0), Guard::Missing),
        Ok(Verdict::Duplicate { base_offset: 0 })
    );
}

#[test]
fn b18_a_producer_with_an_open_transaction_does_not_expire() {
    let mut leader = Leader::default();
    leader.append(transactional(PID, 0, 0)).expect("opens");
    leader.states.expire(10 * EXPIRATION.after_ms, EXPIRATION);
    assert!(leader.states.is_open(PID, 0));
    leader.mark(PID, 0, true, 0).expect("ends");
    leader.states.expire(10 * EXPIRATION.after_ms, EXPIRATION);
    assert_eq!(leader.states.active().count(), 0);
}

#[test]
fn b22_a_replica_that_replays_the_log_knows_the_same() {
    let mut leader = Leader::default();
    leader.append(transactional(8, 0, 0)).expect("opens at 0");
    leader.append(transactional(9, 0, 0)).expect("opens at 1");
    leader.mark(8, 0, false, 2).expect("aborted at 2");
    leader.append(transactional(9, 0, 1)).expect("goes on at 3");
    let states = leader.replayed(4);
    let all = |states: &ProducerStates| states.active().collect::<Vec<_>>();
    assert_eq!(all(&states), all(&leader.states));
    assert_eq!(states.aborted(0, 4), [(8, 0)]);
    assert_eq!(states.last_stable_offset(4), 1);
    let again = transactional(9, 0, 1);
    assert_eq!(
        states.check(0, EXPIRATION, &again, Guard::Missing),
        Ok(Verdict::Duplicate { base_offset: 3 })
    );
    let next = transactional(9, 0, 2);
    assert_eq!(states.check(0, EXPIRATION, &next, Guard::Missing), Ok(Verdict::Append));
    // Truncated before the marker, the transaction is open again.
    let truncated = leader.replayed(2);
    assert!(truncated.is_open(8, 0) && truncated.aborted(0, 4).is_empty());
    assert_eq!(truncated.last_stable_offset(2), 0);
}

#[test]
fn a_coordinators_batch_has_no_sequence_and_only_its_epoch_counts() {
    let mut leader = Leader::default();
    leader.append(transactional(PID, 2, -1)).expect("offsets of a transaction");
    leader.append(transactional(PID, 2, -1)).expect("more of them");
    assert_eq!(leader.states.last_stable_offset(2), 0);
    assert_eq!(leader.append(transactional(PID, 1, -1)), Err(ResponseError::InvalidProducerEpoch));
}
