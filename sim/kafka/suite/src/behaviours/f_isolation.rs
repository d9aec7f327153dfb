//! F: isolation and the last stable offset.

use crate::batch::{batch, value};
use crate::list::behaviours;
use crate::stage::Stage;
use crate::topic::Isolation::{ReadCommitted, ReadUncommitted};
use crate::topic::LATEST;

behaviours! {
    "read_committed ends at the first open transaction, and holds back other records behind it"
        => f57_the_last_stable_offset_holds_back_what_is_behind_an_open_transaction;
}

async fn f57_the_last_stable_offset_holds_back_what_is_behind_an_open_transaction(stage: Stage) {
    let topic = stage.topic("t", 1, &[]).await;
    topic.produce(0, -1, batch(&["before"])).await.expect("appended");
    let producer = stage.transactional("p", 60_000).await;
    producer.write(&topic, 0, 0, &["open"]).await;
    topic.produce(0, -1, batch(&["behind"])).await.expect("appended");
    let fetched = topic.fetch(0, 0, ReadCommitted).await;
    assert_eq!((fetched.last_stable_offset, fetched.high_watermark), (1, 3));
    assert_eq!(fetched.records.iter().map(value).collect::<Vec<_>>(), ["before"]);
    assert_eq!(topic.offset(0, LATEST, ReadCommitted).await.0, 1);
    assert_eq!(topic.read(0, ReadUncommitted).await.len(), 3);
    producer.end_in(true, &topic, &[0]).await;
    let seen: Vec<String> =
        topic.read(0, ReadCommitted).await.iter().filter(|record| !record.control).map(value).collect();
    assert_eq!(seen, ["before", "open", "behind"]);
}
