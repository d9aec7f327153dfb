//! Clients that send garbage, too much, or never read: their connection ends, and nobody else notices.

use std::time::Duration;

use kafka::protocol::Response;
use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest};
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::world::{PATIENCE, batch, call, clients, connect, create, fetch, produce, request, server};

/// Sends these bytes on a connection of their own, and waits for its end.
async fn is_cut_off(server: &kafka::tcp::Server, bytes: &[u8]) -> bool {
    let mut connection = connect(server.addresses()[&1]).await;
    connection.send_raw(bytes).await.expect("sent");
    connection.receive_raw().await.is_err()
}

#[test]
fn garbage_ends_its_connection_and_no_other() {
    let server = server(1, &[("socket.request.max.bytes", "100000")]);
    clients(async {
        let mut bystander = connect(server.addresses()[&1]).await;
        let metadata_with_a_list_of_2_147_483_647 =
            [0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 5, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff];
        let garbage: [&[u8]; 6] = [
            b"GET / HTTP/1.1\r\nHost: kafka\r\n\r\n",
            &[0xff, 0xff, 0xff, 0xff], // a negative size
            &[0, 1, 0x86, 0xa1],       // one byte too large
            &[0, 0, 0, 10, 0x7f, 0xff, 0, 0, 0, 0, 0, 5, 0xff, 0xff], // no such API
            &[0, 0, 0, 10, 0, 3, 0, 99, 0, 0, 0, 5, 0xff, 0xff], // no such version
            &metadata_with_a_list_of_2_147_483_647,
        ];
        for bytes in garbage {
            assert!(is_cut_off(&server, bytes).await, "{bytes:?}");
            call(&mut bystander, MetadataRequest::default()).await;
        }
    });
}

#[test]
fn an_api_of_controllers_is_refused() {
    let server = server(1, &[]);
    clients(async {
        let heartbeat = [0, 0, 0, 11, 0, 63, 0, 0, 0, 0, 0, 5, 0xff, 0xff, 0];
        assert!(is_cut_off(&server, &heartbeat).await);
    });
}

#[test]
fn a_size_alone_takes_no_memory_and_no_turn() {
    let server = server(1, &[("queued.max.request.bytes", "1000000")]);
    clients(async {
        // Together they promise ten thousand times what may be queued.
        let mut promises = Vec::new();
        for _ in 0..10 {
            let mut stream = TcpStream::connect(server.addresses()[&1]).await.expect("it listens");
            stream.write_all(&[0x05, 0xf5, 0xe1, 0x00]).await.expect("sent");
            promises.push(stream);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        call(&mut connect(server.addresses()[&1]).await, MetadataRequest::default()).await;
    });
}

#[test]
fn who_does_not_read_is_not_read_from_either() {
    let server = server(1, &[("message.max.bytes", "2000000")]);
    clients(async {
        create(&server, "t").await;
        let mut bystander = connect(server.addresses()[&1]).await;
        call(&mut bystander, produce("t", 1, batch(&vec![b'x'; 900_000]))).await;
        let mut lazy = connect(server.addresses()[&1]).await;
        // Answers of 9 GB are asked for: at some point the broker reads no more of this.
        let asking = async {
            for _ in 0..10_000 {
                lazy.send(request(fetch("t", 0, 0))).await.expect("sent");
                for _ in 0..100 {
                    lazy.send(request(ApiVersionsRequest::default())).await.expect("sent");
                }
            }
        };
        assert!(tokio::time::timeout(Duration::from_millis(500), asking).await.is_err());
        call(&mut bystander, MetadataRequest::default()).await;
    });
}

#[test]
fn too_many_connections_are_closed_at_once() {
    let server = server(1, &[("max.connections", "3")]);
    clients(async {
        let mut first = connect(server.addresses()[&1]).await;
        let mut others = Vec::new();
        for _ in 0..2 {
            let mut other = connect(server.addresses()[&1]).await;
            call(&mut other, MetadataRequest::default()).await;
            others.push(other);
        }
        call(&mut first, MetadataRequest::default()).await;
        let mut fourth = connect(server.addresses()[&1]).await;
        assert!(fourth.call(request(MetadataRequest::default())).await.is_err());
        drop(others);
        // Their places are free when their ends were seen.
        let waiting = async {
            while connect(server.addresses()[&1])
                .await
                .call(request(MetadataRequest::default()))
                .await
                .is_err()
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("a place becomes free");
    });
}

#[test]
fn idle_connections_are_closed() {
    let server = server(1, &[("connections.max.idle.ms", "100")]);
    clients(async {
        let mut connection = connect(server.addresses()[&1]).await;
        call(&mut connection, MetadataRequest::default()).await;
        assert!(connection.receive_raw().await.is_err());
    });
}

#[test]
fn a_batch_that_is_none_is_an_error_and_the_connection_goes_on() {
    let server = server(1, &[]);
    clients(async {
        create(&server, "t").await;
        let mut connection = connect(server.addresses()[&1]).await;
        let mut damaged = batch(b"value").to_vec();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        for (batch, error) in [(damaged, 2), (vec![0; 100], 87), (Vec::new(), 2)] {
            let answer = call(&mut connection, produce("t", 1, batch.into())).await;
            let Response::Produce(answer) = answer else { panic!("{answer:?}") };
            assert_eq!(answer.responses[0].partition_responses[0].error_code, error);
        }
    });
}

#[test]
fn a_live_server_outlives_noise() {
    let server = server(1, &[("group.initial.rebalance.delay.ms", "0")]);
    let noise = proptest::collection::vec(
        (0i16..70, 0i16..6, proptest::collection::vec(any::<u8>(), 0..120), any::<bool>()),
        1..4,
    );
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(300));
    let run = runner.run(&noise, |requests| {
        clients(async {
            let mut connection = connect(server.addresses()[&1]).await;
            for (api, version, body, is_cut) in requests {
                let mut frame = Vec::new();
                let size = i32::try_from(body.len() + 10).expect("small") + i32::from(is_cut);
                frame.extend(size.to_be_bytes());
                frame.extend(api.to_be_bytes());
                frame.extend(version.to_be_bytes());
                frame.extend([0, 0, 0, 1, 0xff, 0xff]);
                frame.extend(body);
                if connection.send_raw(&frame).await.is_err() {
                    break;
                }
            }
        });
        Ok(())
    });
    run.expect("no case fails");
    clients(async { call(&mut connect(server.addresses()[&1]).await, MetadataRequest::default()).await });
}
