//! A data directory: what survives a restart, and what is refused.

use std::fs;
use std::path::PathBuf;

use kafka::protocol::Response;
use kafka::tcp::{Server, ServerConfig};
use kafka::topic_name;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{
    DeleteTopicsRequest, FindCoordinatorRequest, GroupId, InitProducerIdRequest, MetadataRequest,
    OffsetCommitRequest, OffsetFetchRequest,
};

use crate::world::{batch, call, clients, connect, create, fetch, leader_of, produce};

/// A directory that ends with its test.
struct Directory(PathBuf);

impl Directory {
    fn new(test: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("bellwether-data-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Directory(path)
    }

    fn config(&self, brokers: usize) -> ServerConfig {
        ServerConfig::loopback(brokers).with_data(self.0.clone())
    }

    fn start(&self, brokers: usize) -> Server {
        Server::start(self.config(brokers)).expect("the directory is good")
    }

    fn refusal(&self, brokers: usize) -> String {
        match Server::start(self.config(brokers)) {
            Ok(_) => panic!("it was not refused"),
            Err(error) => error.to_string(),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn values(server: &Server, topic: &'static str, count: i64) -> Vec<String> {
    let mut values = Vec::new();
    let leader = leader_of(server, topic).await;
    let mut connection = connect(server.addresses()[&leader]).await;
    while i64::try_from(values.len()).expect("few") < count {
        let offset = i64::try_from(values.len()).expect("few");
        let Response::Fetch(fetched) = call(&mut connection, fetch(topic, offset, 500)).await else {
            panic!("another answer");
        };
        let partition = &fetched.responses[0].partitions[0];
        let mut records = partition.records.clone().unwrap_or_default();
        while let Some(batch) = kafka::records::next_batch(&mut records) {
            let (_, read) = kafka::records::decode_batch(&batch).expect("whole");
            values.extend(
                read.into_iter()
                    .map(|record| String::from_utf8(record.value.expect("a value").to_vec()).expect("text")),
            );
        }
    }
    values
}

async fn write(server: &Server, topic: &'static str, value: &str) {
    let leader = leader_of(server, topic).await;
    let mut connection = connect(server.addresses()[&leader]).await;
    let answer = call(&mut connection, produce(topic, -1, batch(value.as_bytes()))).await;
    let Response::Produce(produced) = answer else { panic!("{answer:?}") };
    assert_eq!(produced.responses[0].partition_responses[0].error_code, 0);
}

async fn topic_id(server: &Server, topic: &'static str) -> uuid::Uuid {
    let mut connection = connect(server.addresses()[&1]).await;
    let asked = MetadataRequest::default().with_topics(None);
    let Response::Metadata(metadata) = call(&mut connection, asked).await else { panic!("another answer") };
    let named = metadata.topics.iter().find(|known| known.name == Some(topic_name(topic)));
    named.expect("it is there").topic_id
}

async fn new_producer_id(server: &Server) -> i64 {
    loop {
        let mut connection = connect(server.addresses()[&1]).await;
        let answer = call(&mut connection, InitProducerIdRequest::default().with_transactional_id(None));
        let Response::InitProducerId(given) = answer.await else { panic!("another answer") };
        if given.error_code == 0 {
            return given.producer_id.0;
        }
    }
}

#[test]
fn topics_and_records_survive_a_restart() {
    for brokers in [1, 3] {
        let directory = Directory::new(&format!("records-{brokers}"));
        let server = directory.start(brokers);
        let (id, producer) = clients(async {
            create(&server, "kept").await;
            create(&server, "deleted").await;
            for value in ["a", "b", "c"] {
                write(&server, "kept", value).await;
            }
            let gone = DeleteTopicState::default().with_name(Some(topic_name("deleted")));
            let delete = DeleteTopicsRequest::default().with_topics(vec![gone]).with_timeout_ms(5_000);
            call(&mut connect(server.addresses()[&1]).await, delete).await;
            (topic_id(&server, "kept").await, new_producer_id(&server).await)
        });
        drop(server);
        for restart in 1..=2 {
            let server = directory.start(brokers);
            clients(async {
                assert_eq!(values(&server, "kept", 2 + restart).await[..3], ["a", "b", "c"]);
                assert_eq!(topic_id(&server, "kept").await, id);
                assert!(new_producer_id(&server).await > producer, "an id is given once");
                write(&server, "kept", "later").await;
                let asked = MetadataRequest::default().with_topics(None);
                let answer = call(&mut connect(server.addresses()[&1]).await, asked).await;
                let Response::Metadata(metadata) = answer else { panic!("{answer:?}") };
                assert!(metadata.topics.iter().all(|topic| topic.name != Some(topic_name("deleted"))));
            });
        }
    }
}

#[test]
fn committed_offsets_survive_a_restart() {
    let directory = Directory::new("offsets");
    let group = || GroupId("g".into());
    let server = directory.start(1);
    clients(async {
        create(&server, "t").await;
        write(&server, "t", "v").await;
        let partition = OffsetCommitRequestPartition::default().with_committed_offset(1);
        let topic = OffsetCommitRequestTopic::default().with_name(topic_name("t"));
        let commit = OffsetCommitRequest::default()
            .with_group_id(group())
            .with_generation_id_or_member_epoch(-1)
            .with_topics(vec![topic.with_partitions(vec![partition])]);
        let find = FindCoordinatorRequest::default().with_coordinator_keys(vec!["g".into()]);
        call(&mut connect(server.addresses()[&1]).await, find).await;
        loop {
            let answer = call(&mut connect(server.addresses()[&1]).await, commit.clone()).await;
            let Response::OffsetCommit(committed) = answer else { panic!("{answer:?}") };
            match committed.topics[0].partitions[0].error_code {
                0 => break,
                // The coordinator loads.
                14..=16 => {}
                other => panic!("error {other}"),
            }
        }
    });
    drop(server);
    let server = directory.start(1);
    clients(async {
        let topic = OffsetFetchRequestTopics::default().with_name(topic_name("t"));
        let wanted = OffsetFetchRequestGroup::default().with_group_id(group());
        let wanted = wanted.with_topics(Some(vec![topic.with_partition_indexes(vec![0])]));
        let fetch = OffsetFetchRequest::default().with_groups(vec![wanted]);
        loop {
            let answer = call(&mut connect(server.addresses()[&1]).await, fetch.clone()).await;
            let Response::OffsetFetch(found) = answer else { panic!("{answer:?}") };
            if found.groups[0].error_code == 0 {
                assert_eq!(found.groups[0].topics[0].partitions[0].committed_offset, 1);
                break;
            }
        }
    });
}

#[test]
fn a_torn_write_costs_what_was_torn_and_no_more() {
    let directory = Directory::new("torn");
    let server = directory.start(1);
    clients(async {
        create(&server, "t").await;
        write(&server, "t", "a").await;
        write(&server, "t", "b").await;
    });
    drop(server);
    let journal = directory.0.join("journal");
    let mut bytes = fs::read(&journal).expect("it is there");
    // As if another frame had been begun.
    bytes.extend([0, 0, 1, 0, 1, 2, 3, 4, 6, 0, 0]);
    fs::write(&journal, bytes).expect("written");
    let server = directory.start(1);
    clients(async { assert_eq!(values(&server, "t", 2).await, ["a", "b"]) });
}

#[test]
fn a_directory_is_of_one_server_and_of_so_many_brokers() {
    let directory = Directory::new("one");
    let server = directory.start(1);
    assert!(directory.refusal(1).ends_with("is in use by another process"));
    drop(server);
    assert!(directory.refusal(3).ends_with("is of 1 brokers, not of 3"));
}

#[test]
fn a_directory_with_other_files_is_left_alone() {
    let directory = Directory::new("foreign");
    fs::create_dir_all(&directory.0).expect("made");
    fs::write(directory.0.join("thesis.tex"), "chapter one").expect("written");
    assert!(directory.refusal(1).contains("is not a data directory of bellwether kafka"));
    assert_eq!(fs::read_dir(&directory.0).expect("there").count(), 1);
}

#[test]
fn a_full_disk_is_an_error_with_its_name() {
    let directory = Directory::new("full");
    fs::create_dir_all(&directory.0).expect("made");
    std::os::unix::fs::symlink("/dev/full", directory.0.join("journal")).expect("linked");
    assert!(directory.refusal(1).ends_with("has no space left"));
}
