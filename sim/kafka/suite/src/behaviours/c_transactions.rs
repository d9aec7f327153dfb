//! C: transactions.

use crate::batch::value;
use crate::list::behaviours;
use crate::stage::Stage;
use crate::topic::Isolation::{ReadCommitted, ReadUncommitted};
use crate::topic::LATEST;

behaviours! {
    "a commit or abort writes one control record per touched partition, which takes an offset that no application sees"
        => c27_a_marker_takes_an_offset;
}

async fn c27_a_marker_takes_an_offset(stage: Stage) {
    let topic = stage.topic("t", 2, &[]).await;
    let producer = stage.transactional("p", 60_000).await;
    producer.write(&topic, 0, 0, &["a"]).await;
    producer.write(&topic, 1, 0, &["b"]).await;
    producer.end_in(true, &topic, &[0, 1]).await;
    for partition in 0..2 {
        assert_eq!(topic.offset(partition, LATEST, ReadUncommitted).await.0, 2);
        let records = topic.read(partition, ReadCommitted).await;
        let controls: Vec<bool> = records.iter().map(|record| record.control).collect();
        assert_eq!(controls, [false, true]);
    }
    assert_eq!(value(&topic.read(0, ReadCommitted).await[0]), "a");
}
