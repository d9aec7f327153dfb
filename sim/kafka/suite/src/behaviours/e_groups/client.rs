//! Groups and offsets as consumers see them.

use std::rc::Rc;

use kafka::TopicPartition;

use crate::batch::batch;
use crate::clients::{Consumer, Polled, Read};
use crate::list::behaviours;
use crate::stage::Stage;
use crate::topic::Topic;

behaviours! {
    "eager: all partitions are revoked before others are assigned, and each has one owner"
        => e45_eager_members_give_up_everything_first [Consumer];
    "cooperative: only the partitions that move are revoked"
        => e45_cooperative_members_keep_what_does_not_move [Consumer];
    "who does not poll for max.poll.interval.ms is told so, and has left the group"
        => e46_who_does_not_poll_is_out [Consumer];
    "without a committed offset auto.offset.reset decides: latest skips what is there, error says so"
        => e52_without_an_offset_the_reset_decides [Consumer];
    "auto-commit takes what is stored, which is everything handed out unless enable.auto.offset.store is off"
        => e53_auto_commit_takes_what_is_stored [Consumer];
    "commit after processing repeats after a death, commit before it skips"
        => e54_when_to_commit_decides_what_is_repeated [Consumer];
    "records that were fetched and not handed out go with their partition"
        => e56_fetched_records_of_a_revoked_partition_are_dropped [Consumer];
}

async fn filled(stage: &Stage, name: &str, partitions: i32, count: usize) -> Topic {
    let topic = stage.topic(name, partitions, &[]).await;
    for partition in 0..partitions {
        for number in 0..count {
            let value = format!("{number}");
            topic.produce(partition, -1, batch(&[&value])).await.expect("appended");
        }
    }
    topic
}

async fn next_record(stage: &Stage, consumer: &Rc<dyn Consumer>) -> Read {
    stage
        .eventually("a record", async || match consumer.poll(500).await {
            Some(Polled::Record(read)) => Some(read),
            _ => None,
        })
        .await
}

/// Polls all of them until each owns so many partitions; what happened to each meanwhile.
async fn settle(stage: &Stage, members: &[(&Rc<dyn Consumer>, usize)]) -> Vec<Vec<Polled>> {
    let mut told: Vec<Vec<Polled>> = members.iter().map(|_| Vec::new()).collect();
    stage
        .eventually("all own their share", async || {
            for ((consumer, _), told) in members.iter().zip(&mut told) {
                told.extend(consumer.poll(50).await);
            }
            members.iter().all(|(consumer, count)| consumer.assignment().len() == *count).then_some(())
        })
        .await;
    // What is assigned is told a moment later.
    for ((consumer, _), told) in members.iter().zip(&mut told) {
        for _ in 0..3 {
            told.extend(consumer.poll(50).await);
        }
    }
    told
}

fn rebalances(told: &[Polled]) -> Vec<(char, Vec<TopicPartition>)> {
    let mut all = Vec::new();
    for one in told {
        match one {
            Polled::Assigned(partitions) => all.push(('+', partitions.clone())),
            Polled::Revoked(partitions) => all.push(('-', partitions.clone())),
            _ => {}
        }
    }
    for (_, partitions) in &mut all {
        partitions.sort();
    }
    all
}

async fn e45_eager_members_give_up_everything_first(stage: Stage) {
    let topic = stage.topic("t", 4, &[]).await;
    let all: Vec<TopicPartition> = (0..4).map(|partition| topic.partition(partition)).collect();
    let first = stage.consumer("g", &[("partition.assignment.strategy", "range")]);
    first.subscribe(&[&topic.name]).expect("a topic");
    let told = settle(&stage, &[(&first, 4)]).await;
    assert_eq!(rebalances(&told[0]), [('+', all.clone())]);
    let second = stage.consumer("g", &[("partition.assignment.strategy", "range")]);
    second.subscribe(&[&topic.name]).expect("a topic");
    let told = settle(&stage, &[(&first, 2), (&second, 2)]).await;
    let of_first = rebalances(&told[0]);
    assert_eq!(of_first[0], ('-', all.clone()), "everything goes");
    assert_eq!(of_first.len(), 2);
    let mut owned = [first.assignment(), second.assignment()].concat();
    owned.sort();
    assert_eq!(owned, all, "each partition has one owner");
    first.close().await;
    second.close().await;
}

async fn e45_cooperative_members_keep_what_does_not_move(stage: Stage) {
    let topic = stage.topic("t", 4, &[]).await;
    let settings = [("partition.assignment.strategy", "cooperative-sticky")];
    let first = stage.consumer("g", &settings);
    first.subscribe(&[&topic.name]).expect("a topic");
    settle(&stage, &[(&first, 4)]).await;
    let second = stage.consumer("g", &settings);
    second.subscribe(&[&topic.name]).expect("a topic");
    let told = settle(&stage, &[(&first, 2), (&second, 2)]).await;
    let revoked: Vec<TopicPartition> =
        rebalances(&told[0]).into_iter().filter(|(what, _)| *what == '-').flat_map(|(_, all)| all).collect();
    assert_eq!(revoked.len(), 2, "two move: {revoked:?}");
    let mut moved = second.assignment();
    moved.sort();
    assert_eq!(moved, revoked);
    first.close().await;
    second.close().await;
}

async fn e46_who_does_not_poll_is_out(stage: Stage) {
    let topic = filled(&stage, "t", 1, 1).await;
    let settings = [("max.poll.interval.ms", "6000"), ("session.timeout.ms", "6000")];
    let consumer = stage.consumer("g", &settings);
    consumer.subscribe(&[&topic.name]).expect("a topic");
    next_record(&stage, &consumer).await;
    stage.sleep(9_000).await;
    let group = stage.name("g");
    let stranger = crate::transaction::Member::of(&group);
    // A commit without a generation is taken by an empty group only.
    stage
        .eventually("the group is empty", async || stage.try_commit(&stranger, &topic, 0, 1).await.ok())
        .await;
    let told = stage
        .eventually("it is told", async || match consumer.poll(500).await {
            Some(Polled::Error(error)) => Some(error),
            _ => None,
        })
        .await;
    assert!(told.is_local("_MAX_POLL_EXCEEDED"), "{told}");
    consumer.close().await;
}

async fn e52_without_an_offset_the_reset_decides(stage: Stage) {
    let topic = filled(&stage, "t", 1, 2).await;
    let latest = stage.consumer("latest", &[("auto.offset.reset", "latest")]);
    latest.subscribe(&[&topic.name]).expect("a topic");
    settle(&stage, &[(&latest, 1)]).await;
    // Until the end is looked up, a new record would be skipped too.
    stage.sleep(2_000).await;
    latest.poll(500).await;
    topic.produce(0, -1, batch(&["new"])).await.expect("appended");
    assert_eq!(next_record(&stage, &latest).await.offset, 2, "what was there is skipped");
    let error = stage.consumer("error", &[("auto.offset.reset", "error")]);
    error.subscribe(&[&topic.name]).expect("a topic");
    let told = stage
        .eventually("an error", async || match error.poll(500).await {
            Some(Polled::Error(error)) => Some(error),
            Some(Polled::Record(read)) => panic!("nobody said where to read: {read:?}"),
            _ => None,
        })
        .await;
    assert!(told.is_local("_AUTO_OFFSET_RESET"), "{told}");
    latest.close().await;
    error.close().await;
}

async fn e53_auto_commit_takes_what_is_stored(stage: Stage) {
    let topic = filled(&stage, "t", 1, 3).await;
    let partition = topic.partition(0);
    let on = [("enable.auto.commit", "true"), ("auto.commit.interval.ms", "1000")];
    let auto = stage.consumer("auto", &on);
    auto.subscribe(&[&topic.name]).expect("a topic");
    assert_eq!(next_record(&stage, &auto).await.offset, 0);
    stage
        .eventually("what was handed out is committed", async || {
            (stage.committed(&stage.name("auto"), &topic, 0).await == 1).then_some(())
        })
        .await;
    let by_hand = stage.consumer("stored", &[on[0], on[1], ("enable.auto.offset.store", "false")]);
    by_hand.subscribe(&[&topic.name]).expect("a topic");
    assert_eq!(next_record(&stage, &by_hand).await.offset, 0);
    assert_eq!(next_record(&stage, &by_hand).await.offset, 1);
    stage.sleep(2_500).await;
    assert_eq!(stage.committed(&stage.name("stored"), &topic, 0).await, -1, "nothing is stored");
    by_hand.store_offset(&partition, 1).expect("it is assigned");
    stage
        .eventually("what was stored is committed", async || {
            (stage.committed(&stage.name("stored"), &topic, 0).await == 1).then_some(())
        })
        .await;
    auto.close().await;
    by_hand.close().await;
}

async fn e54_when_to_commit_decides_what_is_repeated(stage: Stage) {
    let topic = filled(&stage, "t", 1, 3).await;
    let partition = topic.partition(0);
    for (group, commits_before, next) in [("before", true, 1), ("after", false, 0)] {
        let first = stage.consumer(group, &[]);
        first.subscribe(&[&topic.name]).expect("a topic");
        let read = next_record(&stage, &first).await;
        assert_eq!(read.offset, 0);
        if commits_before {
            let offsets = [(partition.clone(), 1)];
            stage.eventually("it is committed", async || first.commit(&offsets).await.ok()).await;
        }
        // It dies while it processes the record.
        first.close().await;
        drop(first);
        let second = stage.consumer(group, &[]);
        second.subscribe(&[&topic.name]).expect("a topic");
        assert_eq!(next_record(&stage, &second).await.offset, next, "commit {group} processing");
        second.close().await;
    }
}

async fn e56_fetched_records_of_a_revoked_partition_are_dropped(stage: Stage) {
    let topic = filled(&stage, "t", 2, 20).await;
    let first = stage.consumer("g", &[]);
    first.subscribe(&[&topic.name]).expect("a topic");
    next_record(&stage, &first).await;
    // The rest of what was fetched lies ready.
    stage.sleep(1_000).await;
    let second = stage.consumer("g", &[]);
    second.subscribe(&[&topic.name]).expect("a topic");
    let told = settle(&stage, &[(&first, 1), (&second, 1)]).await;
    let kept = first.assignment();
    let revoked = told[0].iter().rposition(|one| matches!(one, Polled::Revoked(_))).expect("it was told");
    let mut after: Vec<Polled> = told[0][revoked..].to_vec();
    let until = stage.now() + 3_000;
    while stage.now() < until {
        after.extend(first.poll(100).await);
        second.poll(0).await;
    }
    for one in after {
        if let Polled::Record(read) = one {
            assert_eq!(TopicPartition::new(&read.topic, read.partition), kept[0], "{read:?}");
        }
    }
    first.close().await;
    second.close().await;
}
