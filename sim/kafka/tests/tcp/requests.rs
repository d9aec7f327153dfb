//! What clients are answered.

use std::time::Duration;

use kafka::protocol::{Request, Response};
use kafka::records::{self, Compression, compress_batch};
use kafka::wire::client::spoken;
use kafka::{StrBytes, topic_name};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, FetchRequest, FindCoordinatorRequest, HeartbeatRequest, MetadataRequest,
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::world::{batch, call, clients, connect, create, fetch, produce, request, server};

#[test]
fn the_brokers_are_told_where_they_listen() {
    let server = server(3, &[]);
    clients(async {
        let Response::Metadata(metadata) =
            call(&mut connect(server.addresses()[&2]).await, MetadataRequest::default()).await
        else {
            panic!("another answer");
        };
        let told: Vec<(i32, String)> = metadata
            .brokers
            .iter()
            .map(|broker| (broker.node_id.0, format!("{}:{}", broker.host, broker.port)))
            .collect();
        let listening: Vec<(i32, String)> =
            server.addresses().iter().map(|(id, address)| (*id, address.to_string())).collect();
        assert_eq!(told, listening);
    });
}

#[test]
fn what_is_offered_to_clients_is_not_what_controllers_serve() {
    let server = server(1, &[]);
    clients(async {
        let offered = connect(server.addresses()[&1]).await.api_versions().await.expect("an answer");
        assert_eq!(offered[&(ApiKey::Produce as i16)].0, 0, "announced from 0, as by Apache Kafka 4");
        assert!(offered.contains_key(&(ApiKey::Fetch as i16)));
        assert!(!offered.contains_key(&(ApiKey::AlterPartition as i16)));
        assert!(!offered.contains_key(&(ApiKey::BrokerHeartbeat as i16)));
    });
}

#[test]
fn versions_from_the_future_are_answered_and_the_connection_goes_on() {
    let server = server(1, &[]);
    clients(async {
        let mut connection = connect(server.addresses()[&1]).await;
        connection.send_raw(&[0, 0, 0, 10, 0, 18, 0, 99, 0, 0, 0, 5, 0xff, 0xff]).await.expect("sent");
        let answer = connection.receive_raw().await.expect("an answer");
        assert_eq!(answer[..6], [0, 0, 0, 5, 0, 35]);
        connection.api_versions().await.expect("an answer");
    });
}

#[test]
fn every_codec_is_stored_as_it_came() {
    let server = server(3, &[]);
    clients(async {
        let leader = create(&server, "t").await;
        let mut connection = connect(server.addresses()[&leader]).await;
        let codecs =
            [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
        for (offset, codec) in (0..).zip(codecs) {
            let value = format!("{codec:?} ").repeat(100);
            let plain = batch(value.as_bytes());
            let sent = if codec == Compression::None { plain } else { compress_batch(&plain, codec) };
            let answer = call(&mut connection, produce("t", -1, sent.clone())).await;
            let Response::Produce(produced) = answer else { panic!("{answer:?}") };
            let produced = &produced.responses[0].partition_responses[0];
            assert_eq!((produced.error_code, produced.base_offset), (0, offset), "{codec:?}");
            let answer = call(&mut connection, fetch("t", offset, 1_000)).await;
            let Response::Fetch(fetched) = answer else { panic!("{answer:?}") };
            let mut fetched = fetched.responses[0].partitions[0].records.clone().expect("records");
            let stored = records::next_batch(&mut fetched).expect("a batch");
            assert_eq!(stored[61..], sent[61..], "{codec:?}");
            let (_, read) = records::decode_batch(&stored).expect("whole");
            assert_eq!(read[0].value.as_deref(), Some(value.as_bytes()));
        }
    });
}

#[test]
fn zstd_is_not_given_to_readers_that_do_not_know_it() {
    let server = server(1, &[]);
    clients(async {
        create(&server, "t").await;
        let mut connection = connect(server.addresses()[&1]).await;
        call(&mut connection, produce("t", -1, compress_batch(&batch(b"v"), Compression::Zstd))).await;
        let old = Request { version: 9, ..request(fetch("t", 0, 0)) };
        let Response::Fetch(answer) = connection.call(old).await.expect("an answer") else {
            panic!("another answer")
        };
        assert_eq!(answer.responses[0].partitions[0].error_code, 76);
    });
}

#[test]
fn topics_are_fetched_by_their_ids() {
    let server = server(1, &[]);
    clients(async {
        create(&server, "t").await;
        let mut connection = connect(server.addresses()[&1]).await;
        call(&mut connection, produce("t", -1, batch(b"v"))).await;
        let named = MetadataRequestTopic::default().with_name(Some(topic_name("t")));
        let asked = MetadataRequest::default().with_topics(Some(vec![named]));
        let Response::Metadata(metadata) = call(&mut connection, asked).await else {
            panic!("another answer")
        };
        let known = metadata.topics[0].topic_id;
        for (id, records, error) in [(known, true, 0), (Uuid::from_u128(7), false, 100)] {
            let mut by_id = fetch("t", 0, 0);
            by_id.topics[0].topic = topic_name("");
            by_id.topics[0].topic_id = id;
            let Response::Fetch(answer) = call(&mut connection, by_id).await else {
                panic!("another answer")
            };
            assert_eq!(answer.responses[0].topic_id, id);
            let partition = &answer.responses[0].partitions[0];
            assert_eq!(partition.error_code, error);
            assert_eq!(partition.records.as_ref().is_some_and(|got| !got.is_empty()), records);
        }
    });
}

#[test]
fn a_fetch_session_answers_with_topics_that_its_request_does_not_name() {
    let server = server(1, &[]);
    clients(async {
        create(&server, "t").await;
        let mut connection = connect(server.addresses()[&1]).await;
        let asked = MetadataRequest::default().with_topics(None);
        let Response::Metadata(metadata) = call(&mut connection, asked).await else {
            panic!("another answer")
        };
        let named = metadata.topics.iter().find(|topic| topic.name == Some(topic_name("t")));
        let id = named.expect("it is there").topic_id;
        let mut first = fetch("t", 0, 0).with_session_epoch(0);
        first.topics[0].topic_id = id;
        let Response::Fetch(begun) = call(&mut connection, first).await else { panic!("another answer") };
        assert!(begun.session_id != 0);
        call(&mut connection, produce("t", -1, batch(b"v"))).await;
        let next = FetchRequest::default().with_max_wait_ms(5_000).with_min_bytes(1).with_max_bytes(1 << 20);
        let next = next.with_session_id(begun.session_id).with_session_epoch(1);
        let Response::Fetch(answer) = call(&mut connection, next).await else { panic!("another answer") };
        assert_eq!(answer.responses.len(), 1);
        assert_eq!(answer.responses[0].topic_id, id);
        assert!(answer.responses[0].partitions[0].records.as_ref().is_some_and(|got| !got.is_empty()));
    });
}

#[test]
fn requests_of_a_connection_are_answered_in_their_order() {
    let server = server(1, &[]);
    clients(async {
        create(&server, "t").await;
        let mut connection = connect(server.addresses()[&1]).await;
        let waiting = request(fetch("t", 0, 300));
        let version = spoken(&waiting);
        let first = connection.send(waiting).await.expect("sent");
        let second = connection.send(request(ApiVersionsRequest::default())).await.expect("sent");
        let sent = Instant::now();
        connection.receive(first, ApiKey::Fetch, version).await.expect("the fetch is answered first");
        assert!(sent.elapsed() >= Duration::from_millis(250), "after {:?}", sent.elapsed());
        connection.receive(second, ApiKey::ApiVersions, 4).await.expect("then the versions");
    });
}

#[test]
fn a_long_poll_ends_with_the_record_it_waits_for() {
    let server = server(1, &[]);
    clients(async {
        create(&server, "t").await;
        let mut reader = connect(server.addresses()[&1]).await;
        let mut writer = connect(server.addresses()[&1]).await;
        let sent = Instant::now();
        let waiting = call(&mut reader, fetch("t", 0, 15_000));
        let writing = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            call(&mut writer, produce("t", 1, batch(b"v"))).await
        };
        let (fetched, _) = tokio::join!(waiting, writing);
        assert!(matches!(fetched, Response::Fetch(fetched)
            if fetched.responses[0].partitions[0].records.as_ref().is_some_and(|records| !records.is_empty())));
        assert!(sent.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn acks_0_is_not_answered() {
    let server = server(1, &[]);
    clients(async {
        create(&server, "t").await;
        let mut connection = connect(server.addresses()[&1]).await;
        connection.send(request(produce("t", 0, batch(b"v")))).await.expect("sent");
        let Response::Fetch(fetched) = call(&mut connection, fetch("t", 0, 1_000)).await else {
            panic!("another answer");
        };
        assert_eq!(fetched.responses[0].partitions[0].high_watermark, 1);
    });
}

#[test]
fn old_versions_are_answered_in_their_shape() {
    let server = server(1, &[]);
    clients(async {
        let mut connection = connect(server.addresses()[&1]).await;
        let name = StrBytes::from_static_str("g");
        let find = FindCoordinatorRequest::default().with_key(name.clone());
        let old = Request { version: 1, ..request(find) };
        let Response::FindCoordinator(found) = connection.call(old).await.expect("an answer") else {
            panic!("another answer");
        };
        assert_eq!((found.node_id.0, found.port), (1, i32::from(server.addresses()[&1].port())));
        let beat = HeartbeatRequest::default().with_group_id(name.into()).with_member_id("m".into());
        let old = Request { version: 0, ..request(beat) };
        let Response::Heartbeat(answer) = connection.call(old).await.expect("an answer") else {
            panic!("another answer");
        };
        assert_eq!(answer.error_code, 25);
        let unknown = MetadataRequestTopic::default().with_name(Some(topic_name("nowhere")));
        let asked = MetadataRequest::default().with_topics(Some(vec![unknown]));
        let old = Request { version: 1, ..request(asked) };
        let Response::Metadata(answer) = connection.call(old).await.expect("an answer") else {
            panic!("another answer");
        };
        assert_eq!(answer.topics.len(), 1);
    });
}
