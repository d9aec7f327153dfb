//! Brokers that stop, pause and come back.

use std::io::ErrorKind;
use std::time::Duration;

use kafka::protocol::Response;
use kafka::tcp::{ServerConfig, StartError};
use kafka::wire::client::Connection;
use kafka_protocol::messages::MetadataRequest;
use tokio::net::TcpStream;

use crate::world::{batch, call, clients, connect, create, fetch, produce, request, server};

#[test]
fn a_stopped_broker_refuses_and_comes_back_with_its_log() {
    let server = server(3, &[]);
    clients(async {
        let leader = create(&server, "t").await;
        let address = server.addresses()[&leader];
        let mut connection = connect(address).await;
        call(&mut connection, produce("t", -1, batch(b"v"))).await;
        server.stop(leader);
        assert!(connection.receive_raw().await.is_err(), "its connections end");
        assert!(Connection::connect(address).await.is_err(), "its port refuses");
        server.start_again(leader).expect("the port is free");
        loop {
            let answer = connect(address).await.call(request(fetch("t", 0, 0))).await;
            if let Ok(Response::Fetch(fetched)) = &answer
                && let partition = &fetched.responses[0].partitions[0]
                && partition.error_code == 0
            {
                assert_eq!(partition.high_watermark, 1);
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

/// A client that calls in vain, again and again, is given that very port for its own end at last.
#[cfg(target_os = "linux")]
#[test]
fn nobody_gets_the_port_of_a_stopped_broker() {
    let server = server(1, &[]);
    let address = server.addresses()[&1];
    clients(async {
        server.stop(1);
        for _ in 0..60_000 {
            assert!(TcpStream::connect(address).await.is_err(), "connected to itself");
        }
        server.start_again(1).expect("the port is free");
        connect(address).await;
    });
}

#[test]
fn a_broker_is_started_again_as_soon_as_it_is_stopped() {
    let server = server(3, &[]);
    for _ in 0..200 {
        (1..=3).for_each(|broker| server.stop(broker));
        (1..=3).for_each(|broker| server.start_again(broker).expect("the port is free"));
    }
    clients(async {
        for address in server.addresses().values() {
            connect(*address).await;
        }
    });
}

/// Whoever was killed is refused until its session is over.
#[test]
fn a_broker_that_was_let_go_is_back_at_once() {
    let server = server(3, &[("broker.session.timeout.ms", "60000")]);
    assert!(server.shut_down(2, Duration::from_secs(10)), "it hands over what it leads");
    server.start_again(2).expect("the port is free");
    let answers = async {
        while connect(server.addresses()[&2]).await.call(request(MetadataRequest::default())).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    clients(async {
        tokio::time::timeout(Duration::from_secs(20), answers).await.expect("long before that");
    });
}

#[test]
fn a_paused_broker_answers_when_it_goes_on() {
    let server = server(1, &[]);
    clients(async {
        let mut connection = connect(server.addresses()[&1]).await;
        call(&mut connection, MetadataRequest::default()).await;
        server.pause(1);
        let mut answer = Box::pin(connection.call(request(MetadataRequest::default())));
        assert!(tokio::time::timeout(Duration::from_millis(300), &mut answer).await.is_err());
        Connection::connect(server.addresses()[&1]).await.expect("its socket is open");
        server.resume(1);
        answer.await.expect("an answer");
    });
}

#[test]
fn a_server_ends_with_its_handle() {
    let server = server(2, &[]);
    let addresses = server.addresses().clone();
    drop(server);
    clients(async {
        for address in addresses.values() {
            assert!(Connection::connect(*address).await.is_err());
        }
    });
}

#[test]
fn an_address_that_is_taken_is_an_error() {
    let first = server(1, &[]);
    let taken = kafka::tcp::Server::start(ServerConfig::new(vec![first.addresses()[&1]]));
    assert!(matches!(taken.err(), Some(StartError::Io(error)) if error.kind() == ErrorKind::AddrInUse));
}

#[test]
fn an_address_that_stands_for_all_needs_one_that_clients_can_use() {
    let all = || ServerConfig::new(vec!["0.0.0.0:0".parse().expect("an address")]);
    assert!(kafka::tcp::Server::start(all()).is_err());
    let advertised = all().with_setting("advertised.listeners", "localhost:9092").expect("one per broker");
    assert!(kafka::tcp::Server::start(advertised).is_ok());
    assert!(all().with_setting("advertised.listeners", "a:1,b:2").is_err());
}

#[test]
fn settings_are_kafkas_and_others_are_refused() {
    let config = || ServerConfig::loopback(1);
    assert!(config().with_setting("message.max.bytes", "1000").is_ok());
    let unknown = config().with_setting("message.max", "1000").expect_err("no such setting");
    assert_eq!(unknown.to_string(), "no setting is called message.max");
    let value = config().with_setting("message.max.bytes", "many").expect_err("no number");
    assert_eq!(value.to_string(), "message.max.bytes cannot be many: a number from 0 is wanted");
}
