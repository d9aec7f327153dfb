//! Our own brokers on TCP, in this process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use kafka::tcp::{Server, ServerConfig};
use kafka_suite::SETTINGS;

use crate::servers::{Deed, Servers};

/// Longer than any behaviour takes.
const WRITEBACK_MS: i64 = 3_600_000;

/// So long a broker may take to hand over what it leads; then it ends as it is.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// Settings that these brokers need not have: delays of Apache Kafka's own.
const WITHOUT_EFFECT: [&str; 2] = ["log.initial.task.delay.ms", "file.delete.delay.ms"];

pub struct Ours {
    server: Server,
    addresses: BTreeMap<i32, SocketAddr>,
}

impl Ours {
    pub fn start() -> Result<Ours, String> {
        let mut config = ServerConfig::loopback(3);
        for (name, value) in SETTINGS.iter().filter(|(name, _)| !WITHOUT_EFFECT.contains(name)) {
            config = config.with_setting(name, value).map_err(|error| error.to_string())?;
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
            // What is not flushed is gone: nothing has been written back since.
            Deed::PowerOff => self.server.power_off(broker, WRITEBACK_MS),
            Deed::Stop => drop(self.server.shut_down(broker, STOP_PATIENCE)),
            Deed::Kill => self.server.stop(broker),
            Deed::Start => self.server.start_again(broker).expect("its port is free"),
            Deed::Pause => self.server.pause(broker),
            Deed::Resume => self.server.resume(broker),
        }
    }
}
