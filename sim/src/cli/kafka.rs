use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ::kafka::tcp::{Server, ServerConfig, StartError, until_interrupted};
use clap::Args;

use super::{Failure, out};
use crate::runner::report::Fault;
use crate::runner::verdict::Exit;

/// Serve the simulated Kafka on real sockets, for development and tests
///
/// The brokers of the simulator, on this machine's clock and network: one process, one thread, topics in memory. Any
/// Kafka client can use them. With a data directory, what they keep on disk is there again at the next start. Ends at
/// Ctrl-C.
#[derive(Args)]
pub struct Kafka {
    /// Where brokers listen, one address each; a port alone is on loopback, port 0 is chosen by the system
    #[arg(
        long,
        value_name = "ADDRESS",
        value_delimiter = ',',
        value_parser = address,
        default_value = "127.0.0.1:9092,127.0.0.1:9093,127.0.0.1:9094"
    )]
    listen: Vec<SocketAddr>,

    /// Keep topics, records, offsets and transactions in this directory, which is made or is of an earlier start
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Set what brokers go by, by its name in server.properties; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
}

impl Kafka {
    pub fn run(self) -> Result<Exit, Failure> {
        let server = Server::start(self.config()?).map_err(|error| Failure::Usage {
            message: format!("the brokers cannot start: {error}"),
            hint: match error {
                StartError::Io(_) => "name addresses that are free with --listen".to_owned(),
                StartError::Data(_) => {
                    "name an empty directory, or one of an earlier start, with --data".to_owned()
                }
            },
        })?;
        for (broker, address) in server.addresses() {
            out::line(format!("broker {broker} listens on {address}"))?;
        }
        out::line(format!("bootstrap.servers={}", server.bootstrap()))?;
        until_interrupted(&server)?;
        if let Some(message) = server.failure() {
            let hint = Some("what clients were told is saved; make space and start again".to_owned());
            return Err(Failure::Fault(Exit::Fault, Fault { message, hint }));
        }
        Ok(Exit::AsExpected)
    }

    fn config(&self) -> Result<ServerConfig, Failure> {
        let usage = |message: String| Failure::Usage {
            message,
            hint: "settings read like --set message.max.bytes=2000000".to_owned(),
        };
        let mut config = ServerConfig::new(self.listen.clone());
        if let Some(directory) = &self.data {
            config = config.with_data(directory.clone());
        }
        for setting in &self.set {
            let (name, value) =
                setting.split_once('=').ok_or_else(|| usage(format!("{setting} is no setting")))?;
            config = config.with_setting(name, value).map_err(|error| usage(error.to_string()))?;
        }
        Ok(config)
    }
}

/// Reads an address, or a port on loopback.
fn address(text: &str) -> Result<SocketAddr, String> {
    let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let found = text.parse().ok().or_else(|| text.parse().ok().map(loopback));
    found.ok_or_else(|| "an address reads like 127.0.0.1:9092 or 9092".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_on_loopback() {
        assert_eq!(address("9092"), Ok("127.0.0.1:9092".parse().expect("an address")));
        assert_eq!(address("[::1]:9092"), Ok("[::1]:9092".parse().expect("an address")));
        assert!(address("kafka").is_err() && address("70000").is_err());
    }
}
