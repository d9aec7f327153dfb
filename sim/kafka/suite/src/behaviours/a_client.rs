//! A: what a producer learns of its records.

use std::rc::Rc;

use kafka::ResponseError;

use super::c_transactions::record;
use crate::batch::value;
use crate::clients::{Producer, Report};
use crate::list::behaviours;
use crate::stage::Stage;
use crate::topic::Isolation::ReadUncommitted;

behaviours! {
    "with acks=0 a producer hears of success, and of no offset"
        => a01_with_acks_0_a_producer_learns_no_offset [Producer];
    "a record too large for the broker is refused for good"
        => a08_a_producer_is_told_of_a_record_that_is_too_large [Producer];
    "no answer in time is an unknown outcome: the record may be in the log"
        => a09_no_answer_in_time_is_unknown [Producer, Pause];
    "reports tell partition and offset, in the order of sending per partition"
        => a11_reports_come_in_order_with_offsets [Producer];
    "a producer holds records of an unknown topic for topic.metadata.propagation.max.ms, then says so"
        => a13_an_unknown_topic_is_told_after_a_while [Producer];
}

const WAIT_MS: i64 = 30_000;

async fn reports(producer: &Rc<dyn Producer>) -> Vec<Report> {
    producer.flush(WAIT_MS).await.expect("all reported");
    producer.reports()
}

async fn a01_with_acks_0_a_producer_learns_no_offset(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let producer = stage.producer(&[("acks", "0")]);
    for _ in 0..3 {
        producer.produce(record(&topic, 0, "v")).expect("the queue has room");
    }
    let reports = reports(&producer).await;
    assert_eq!(reports.len(), 3);
    assert!(reports.iter().all(|report| report.error.is_none() && report.offset == -1), "{reports:?}");
    stage
        .eventually("they arrive", async || (topic.read(0, ReadUncommitted).await.len() == 3).then_some(()))
        .await;
}

async fn a08_a_producer_is_told_of_a_record_that_is_too_large(stage: Stage) {
    let topic = stage.topic("t", 1, &[("max.message.bytes", "500")]).await;
    let producer = stage.producer(&[]);
    producer.produce(record(&topic, 0, &"x".repeat(1_000))).expect("the queue has room");
    let reports = reports(&producer).await;
    let error = reports[0].error.as_ref().expect("it was refused");
    assert!(error.is_broker(ResponseError::MessageTooLarge), "{error}");
    assert!(topic.read(0, ReadUncommitted).await.is_empty());
}

async fn a09_no_answer_in_time_is_unknown(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    let producer = stage.producer(&[("message.timeout.ms", "3000")]);
    producer.produce(record(&topic, 0, "known")).expect("the queue has room");
    assert!(reports(&producer).await[0].error.is_none(), "it has a connection to the leader now");
    let leader = topic.leader(0).await;
    stage.cluster.pause(leader).await;
    producer.produce(record(&topic, 0, "unknown")).expect("the queue has room");
    let told = reports(&producer).await;
    let error = told[0].error.as_ref().expect("nobody answered");
    assert!(error.is_local("_MSG_TIMED_OUT"), "{error}");
    stage.cluster.resume(leader).await;
    topic.wait_for_isr(0, topic.replicas(0).await).await;
    producer.produce(record(&topic, 0, "later")).expect("the queue has room");
    assert!(reports(&producer).await[0].error.is_none(), "it goes on");
    let mut seen: Vec<String> = topic.read(0, ReadUncommitted).await.iter().map(value).collect();
    seen.retain(|value| value != "unknown");
    assert_eq!(seen, ["known", "later"], "besides the unknown one, which is there or not");
}

async fn a11_reports_come_in_order_with_offsets(stage: Stage) {
    let topic = stage.topic("t", 2, &[]).await;
    let producer = stage.producer(&[("linger.ms", "20")]);
    for number in 0..200 {
        producer.produce(record(&topic, number % 2, "v")).expect("the queue has room");
    }
    let reports = reports(&producer).await;
    assert_eq!(reports.len(), 200);
    for partition in 0..2 {
        let of_partition: Vec<&Report> =
            reports.iter().filter(|report| report.partition == partition).collect();
        let offsets: Vec<i64> = of_partition.iter().map(|report| report.offset).collect();
        assert_eq!(offsets, (0..100).collect::<Vec<i64>>());
        assert!(of_partition.is_sorted_by_key(|report| report.number));
        assert!(of_partition.iter().all(|report| report.number % 2 == partition.unsigned_abs().into()));
    }
}

async fn a13_an_unknown_topic_is_told_after_a_while(stage: Stage) {
    let settings = [("topic.metadata.propagation.max.ms", "1500"), ("allow.auto.create.topics", "false")];
    let producer = stage.producer(&settings);
    let topic = crate::topic::Topic::new(stage.clone(), stage.name("nowhere"));
    let began = stage.now();
    producer.produce(record(&topic, 0, "v")).expect("nothing is known of the topic yet");
    let reports = reports(&producer).await;
    let error = reports[0].error.as_ref().expect("there is no such topic");
    assert!(error.is_broker(ResponseError::UnknownTopicOrPartition), "{error}");
    assert!(stage.now() - began >= 1_000, "after {} ms", stage.now() - began);
}
