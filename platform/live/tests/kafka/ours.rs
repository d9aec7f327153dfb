//! Our own brokers on TCP, in this process.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use kafka::tcp::{Server, ServerConfig};
use kafka_suite::SETTINGS;

use crate::servers::{Deed, Servers};

pub struct Ours {
    server: Server,
    addresses: BTreeMap<i32, SocketAddr>,
}

impl Ours {
    pub fn start() -> Result<Ours, String> {
        let mut config = ServerConfig::loopback(3);
        for (name, value) in SETTINGS {
            config = match config.clone().with_setting(name, value) {
                Ok(config) => config,
                Err(error) => {
                    eprintln!("LOUD: our brokers go without a setting: {error}");
                    config
                }
            };
        }
        let server = Server::start(config).map_err(|error| error.to_string())?;
        let addresses = server.addresses().clone();
        Ok(Ours { server, addresses })
    }
}

impl Servers for Ours {
    fn addresses(&self) -> &BTreeMap<i32, SocketAddr> {
        &self.addresses
    }

    fn act(&self, broker: i32, deed: Deed) {
        match deed {
            // They have no way to end in order: what they lead is taken over when they are missed.
            Deed::Stop | Deed::Kill => self.server.stop(broker),
            Deed::Start => self.server.start_again(broker).expect("its port is free"),
            Deed::Pause => self.server.pause(broker),
            Deed::Resume => self.server.resume(broker),
        }
    }
}
