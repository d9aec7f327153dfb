//! B: idempotence as a producer shows it.

use super::c_transactions::record;
use crate::batch::value;
use crate::list::behaviours;
use crate::stage::Stage;
use crate::topic::Isolation::ReadUncommitted;

behaviours! {
    "enable.idempotence with acks other than all, or too many in flight, makes no producer"
        => b14_settings_that_contradict_idempotence_are_refused [Producer];
    "an idempotent producer keeps order without duplicates, through a leader that stands still"
        => b20_an_idempotent_producer_keeps_order [Producer, Pause];
    "a record that timed out leaves a gap, and the producer goes on without a fatal error"
        => b21_a_record_that_timed_out_leaves_a_gap [Producer, Pause];
}

const WAIT_MS: i64 = 60_000;

async fn b14_settings_that_contradict_idempotence_are_refused(stage: Stage) {
    for (name, value) in [("acks", "1"), ("max.in.flight.requests.per.connection", "6"), ("retries", "0")] {
        let settings = [("enable.idempotence", "true"), (name, value)];
        let refused = stage.cluster.producer(&settings).err().expect("no such producer");
        assert!(refused.is_local("_INVALID_ARG"), "{name}={value}: {refused}");
        stage.cluster.producer(&[(name, value)]).expect("without idempotence, which is the default");
    }
}

async fn b20_an_idempotent_producer_keeps_order(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let producer = stage.producer(&[("enable.idempotence", "true"), ("linger.ms", "0")]);
    let leader = topic.leader(0).await;
    for number in 0..300 {
        producer.produce(record(&topic, 0, &number.to_string())).expect("the queue has room");
        if number == 100 {
            stage.cluster.pause(leader).await;
        }
        if number % 20 == 0 {
            stage.sleep(20).await;
        }
    }
    stage.sleep(2_000).await;
    stage.cluster.resume(leader).await;
    producer.flush(WAIT_MS).await.expect("all reported");
    let reports = producer.reports();
    assert!(reports.iter().all(|report| report.error.is_none()));
    let seen: Vec<String> = topic.read(0, ReadUncommitted).await.iter().map(value).collect();
    let sent: Vec<String> = (0..300).map(|number| number.to_string()).collect();
    assert_eq!(seen, sent);
}

async fn b21_a_record_that_timed_out_leaves_a_gap(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let producer = stage.producer(&[("enable.idempotence", "true"), ("message.timeout.ms", "3000")]);
    producer.produce(record(&topic, 0, "1")).expect("the queue has room");
    producer.flush(WAIT_MS).await.expect("all reported");
    let leader = topic.leader(0).await;
    stage.cluster.pause(leader).await;
    for number in ["2", "3"] {
        producer.produce(record(&topic, 0, number)).expect("the queue has room");
    }
    producer.flush(WAIT_MS).await.expect("all reported");
    stage.cluster.resume(leader).await;
    topic.wait_for_isr(0, topic.replicas(0).await).await;
    for number in ["4", "5"] {
        producer.produce(record(&topic, 0, number)).expect("no fatal error");
    }
    producer.flush(WAIT_MS).await.expect("all reported");
    let reports = producer.reports();
    let failed: Vec<u64> =
        reports.iter().filter(|report| report.error.is_some()).map(|report| report.number).collect();
    assert_eq!(failed, [1, 2], "{reports:?}");
    assert_eq!(producer.fatal_error(), None);
    let seen: Vec<String> = topic.read(0, ReadUncommitted).await.iter().map(value).collect();
    let certain: Vec<&str> =
        seen.iter().map(String::as_str).filter(|value| !["2", "3"].contains(value)).collect();
    assert_eq!(certain, ["1", "4", "5"], "of {seen:?}");
}
