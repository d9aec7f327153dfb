//! madsim's own messages: what any simulation on it starts from.

#![expect(clippy::disallowed_methods, reason = "a program of madsim's own, that sleeps as those do")]

use std::net::SocketAddr;
use std::time::Duration;

use madsim::net::Endpoint;
use madsim::runtime::Runtime;

/// So many messages from one node to another, 1,000 under way at a time.
pub fn run(messages: usize) {
    let runtime = Runtime::with_seed_and_config(1, madsim::Config::default());
    let handle = runtime.handle();
    let receiver = handle.create_node().name("receiver").ip([10, 0, 0, 1].into()).build();
    let sender = handle.create_node().name("sender").ip([10, 0, 0, 2].into()).build();
    let address: SocketAddr = "10.0.0.1:1".parse().expect("an address");
    let received = receiver.spawn(async move {
        let endpoint = Endpoint::bind(address).await.expect("bound");
        for _ in 0..messages {
            endpoint.recv_from_raw(1).await.expect("received");
        }
    });
    let sent = sender.spawn(async move {
        madsim::time::sleep(Duration::from_secs(1)).await;
        let endpoint = Endpoint::bind("10.0.0.2:0").await.expect("bound");
        for number in 0..messages {
            endpoint.send_to_raw(address, 1, Box::new(number)).await.expect("sent");
            if number % 1_000 == 999 {
                madsim::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    runtime.block_on(async move {
        sent.await.expect("the sender ends");
        received.await.expect("the receiver ends");
    });
}
