//! The producer against brokers in trouble: what it heals by itself, and what it says of the rest.

use kafka::client::ProduceError;
use kafka::partitioner::partition_for;
use kafka::trouble::errors_after;
use kafka::{ApiKey, Moment, ResponseError, Trouble};

use crate::client_producer::{leader, offset, producer, record, send, world, written};
use crate::troubles::error;

/// Hits the first request of each broker, and no other: draws count up from 0.
const FIRST: u32 = 1;

fn first(error: ResponseError, moment: Moment) -> Trouble {
    Trouble::RequestError { api: ApiKey::Produce, error, moment, odds_ppm: FIRST }
}

#[test]
fn a5_b16_what_was_appended_and_answered_with_an_error_is_written_once() {
    let healed = errors_after(ApiKey::Produce).iter().copied();
    for error in healed.filter(|error| *error != ResponseError::UnknownServerError) {
        let mut world = world();
        let producer = producer(&world);
        world.state.borrow_mut().trouble(&first(error, Moment::After));
        let outcomes = send(&mut world, &producer, vec![record("AAPL", "a"), record("AAPL", "b")]);
        assert_eq!(outcomes.iter().map(offset).collect::<Vec<_>>(), [0, 1], "{error:?}");
        let outcomes = send(&mut world, &producer, vec![record("AAPL", "c"), record("AAPL", "d")]);
        assert_eq!(outcomes.iter().map(offset).collect::<Vec<_>>(), [2, 3], "{error:?}");
        assert_eq!(written(&world).into_values().collect::<Vec<_>>(), [["a", "b", "c", "d"]]);
        assert_eq!(world.state.borrow().met(), 1);
    }
}

#[test]
fn a4_what_was_refused_before_it_was_done_is_tried_again() {
    for error in [ResponseError::NotEnoughReplicas, ResponseError::NotLeaderOrFollower] {
        let mut world = world();
        let producer = producer(&world);
        world.state.borrow_mut().trouble(&first(error, Moment::Before));
        let outcomes = send(&mut world, &producer, vec![record("AAPL", "a")]);
        assert_eq!(offset(&outcomes[0]), 0);
        assert_eq!(written(&world).into_values().collect::<Vec<_>>(), [["a"]]);
    }
}

#[test]
fn a9_an_error_that_says_nothing_leaves_the_outcome_open_and_b21_swallows_no_later_batch() {
    let mut world = world();
    let producer = producer(&world);
    world.state.borrow_mut().trouble(&first(ResponseError::UnknownServerError, Moment::After));
    let outcomes = send(&mut world, &producer, vec![record("AAPL", "open")]);
    assert_eq!(outcomes, [Err(ProduceError::Unknown)]);
    // Under the old epoch it would have the open one's sequence, and pass for its repetition.
    let outcomes = send(&mut world, &producer, vec![record("AAPL", "next")]);
    assert_eq!(offset(&outcomes[0]), 1);
    assert_eq!(written(&world).into_values().collect::<Vec<_>>(), [["open", "next"]]);
}

#[test]
fn a9_refusals_to_the_end_that_may_hide_a_write_leave_the_outcome_open() {
    for (refusal, expected) in [
        (ResponseError::NotLeaderOrFollower, ProduceError::Unknown),
        (ResponseError::NotEnoughReplicas, ProduceError::TimedOut),
    ] {
        let mut world = world();
        let producer = producer(&world);
        world.state.borrow_mut().trouble(&error(ApiKey::Produce, refusal, Moment::Before));
        let outcomes = send(&mut world, &producer, vec![record("AAPL", "a")]);
        assert_eq!(outcomes, [Err(expected)], "{refusal:?}");
        let calls = world.state.borrow().sent_in_all();
        assert!(calls <= 2 * 130, "two calls a second for two minutes, not {calls}");
        world.state.borrow_mut().end_trouble();
        let outcomes = send(&mut world, &producer, vec![record("AAPL", "b")]);
        assert_eq!(offset(&outcomes[0]), 0);
    }
}

#[test]
fn a9_b16_silence_after_the_deed_is_healed_within_the_delivery_timeout() {
    let mut world = world();
    let producer = producer(&world);
    let silence = Trouble::NoAnswer { api: ApiKey::Produce, moment: Moment::After, odds_ppm: FIRST };
    world.state.borrow_mut().trouble(&silence);
    let outcomes = send(&mut world, &producer, vec![record("AAPL", "a")]);
    assert_eq!(offset(&outcomes[0]), 0);
    assert_eq!(world.state.borrow().now / 1_000, 30, "after request.timeout.ms");
    assert_eq!(written(&world).into_values().collect::<Vec<_>>(), [["a"]]);
}

#[test]
fn a_slow_answer_is_waited_for_and_one_that_is_too_slow_is_asked_for_again() {
    for (ms, requests) in [(20_000, 1), (40_000, 2)] {
        let mut world = world();
        let producer = producer(&world);
        let slow = Trouble::SlowAnswer { api: ApiKey::Produce, min_ms: ms, max_ms: ms, odds_ppm: FIRST };
        world.state.borrow_mut().trouble(&slow);
        let outcomes = send(&mut world, &producer, vec![record("AAPL", "a")]);
        assert_eq!(offset(&outcomes[0]), 0);
        assert_eq!(world.state.borrow().sent["Produce"], requests);
        assert_eq!(written(&world).into_values().collect::<Vec<_>>(), [["a"]]);
    }
}

#[test]
fn b21_an_epoch_that_is_bumped_half_way_leaves_the_other_partitions_in_order() {
    let mut world = world();
    let producer = producer(&world);
    let keys = ["AAPL", "k3"];
    let leaders = keys.map(|key| leader(partition_for(key.as_bytes(), 6)));
    assert_ne!(leaders[0], leaders[1], "two leaders");
    // One is answered at the second attempt; the other's outcome stays open, which bumps the epoch meanwhile.
    let (open, retried) = (leaders[0], leaders[1]);
    {
        let state = &mut *world.state.borrow_mut();
        let mut begin = |broker: i32, trouble| {
            let broker = state.brokers.get_mut(&broker).expect("a broker");
            broker.begin_trouble(0, trouble, crate::troubles::counting());
        };
        begin(open, first(ResponseError::UnknownServerError, Moment::After));
        begin(retried, first(ResponseError::RequestTimedOut, Moment::After));
    }
    let outcomes = send(&mut world, &producer, vec![record("AAPL", "open"), record("k3", "retried")]);
    assert_eq!(outcomes[0], Err(ProduceError::Unknown));
    assert_eq!(offset(&outcomes[1]), 0);
    let before = world.state.borrow().sent["Produce"];
    let outcomes = send(&mut world, &producer, vec![record("AAPL", "x"), record("k3", "y")]);
    assert_eq!(outcomes.iter().map(offset).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(world.state.borrow().sent["Produce"] - before, 2, "no refused sequence on the way");
}

#[test]
fn no_producer_id_is_asked_for_in_a_loop() {
    let mut world = world();
    let producer = producer(&world);
    let loading = error(ApiKey::InitProducerId, ResponseError::CoordinatorLoadInProgress, Moment::Before);
    world.state.borrow_mut().trouble(&loading);
    let outcomes = send(&mut world, &producer, vec![record("AAPL", "a")]);
    assert_eq!(outcomes, [Err(ProduceError::TimedOut)]);
    assert!(world.state.borrow().sent_in_all() <= 2 * 130);
}

#[test]
fn a7_a_leader_that_is_away_for_an_hour_costs_two_calls_a_second_and_is_found_when_it_is_back() {
    const HOUR_MS: i64 = 3_600_000;
    let mut world = world();
    let producer = producer(&world);
    let broker = leader(partition_for(b"AAPL", 6));
    world.state.borrow_mut().crash(broker);
    let mut failures = 0;
    while world.state.borrow().now < HOUR_MS {
        let outcomes = send(&mut world, &producer, vec![record("AAPL", "a")]);
        assert_eq!(outcomes, [Err(ProduceError::TimedOut)], "never sent: certainly not written");
        failures += 1;
    }
    assert!((30..=31).contains(&failures), "{failures}");
    let calls = world.state.borrow().sent_in_all();
    assert!(calls < 2 * 3_900, "{calls}");
    world.state.borrow_mut().restart(broker);
    let back_at = world.state.borrow().now;
    let outcomes = send(&mut world, &producer, vec![record("AAPL", "a")]);
    assert_eq!(offset(&outcomes[0]), 0);
    assert!(world.state.borrow().now - back_at < 2_000);
}
