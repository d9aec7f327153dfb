//! What a server is started with: where it listens, and settings by Kafka's names.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use kafka_protocol::protocol::StrBytes;

use super::settings;
use crate::cluster::{BrokerConfig, ClusterSpec, Listener};

/// Bounds on what clients can take. The names are Kafka's, where Kafka has the bound.
#[derive(Debug, Clone)]
pub struct Limits {
    /// `socket.request.max.bytes`: a larger request closes its connection.
    pub socket_request_max_bytes: usize,
    /// `max.connections` of a broker: further ones are closed at once.
    pub max_connections: usize,
    /// `connections.max.idle.ms`: also how long a client may take to read an answer.
    pub connections_max_idle: Duration,
    /// `queued.max.request.bytes`: what all requests together may hold while they are read; others wait.
    pub queued_max_request_bytes: usize,
    /// How long a request may take from its first byte to its last.
    pub request_read: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            socket_request_max_bytes: 100 << 20,
            max_connections: 1_000,
            connections_max_idle: Duration::from_secs(600),
            queued_max_request_bytes: 512 << 20,
            request_read: Duration::from_secs(30),
        }
    }
}

/// A setting that is none, or that cannot have this value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    #[error("no setting is called {name}")]
    Unknown { name: String },
    #[error("{name} cannot be {value}: {wanted} is wanted")]
    Value { name: String, value: String, wanted: &'static str },
}

/// Where brokers listen, and how they are set. Broker ids count from 1 in the order of the addresses.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub listen: Vec<SocketAddr>,
    /// What clients are told, per broker; where nothing is said, the address that is listened on.
    pub advertised: Vec<Listener>,
    pub limits: Limits,
    /// Where what brokers keep on disk survives a restart; without it everything is in memory.
    pub data: Option<PathBuf>,
    settings: Vec<(String, String)>,
}

impl ServerConfig {
    pub fn new(listen: Vec<SocketAddr>) -> ServerConfig {
        ServerConfig {
            listen,
            advertised: Vec::new(),
            limits: Limits::default(),
            data: None,
            settings: Vec::new(),
        }
    }

    /// So many brokers on ports of the system's choice.
    pub fn loopback(brokers: usize) -> ServerConfig {
        ServerConfig::new(vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0); brokers])
    }

    /// What brokers keep on disk survives a restart in this directory.
    pub fn with_data(mut self, directory: PathBuf) -> ServerConfig {
        self.data = Some(directory);
        self
    }

    /// Sets one setting, by its name in Kafka's `server.properties`.
    pub fn with_setting(mut self, name: &str, value: &str) -> Result<ServerConfig, SettingError> {
        if !set_limit(&mut self.limits, name, value)? && !self.set_advertised(name, value)? {
            // Tried here, to refuse it here; each broker takes it at its start.
            settings::set(&mut BrokerConfig::new(1, ClusterSpec::new(vec![1], Vec::new())), name, value)?;
            self.settings.push((name.to_owned(), value.to_owned()));
        }
        Ok(self)
    }

    /// `advertised.listeners`: one `host:port` per broker, with commas between them.
    fn set_advertised(&mut self, name: &str, value: &str) -> Result<bool, SettingError> {
        if name != "advertised.listeners" {
            return Ok(false);
        }
        let listeners: Option<Vec<Listener>> = value.split(',').map(listener).collect();
        let listeners = listeners.filter(|listeners| listeners.len() == self.listen.len());
        self.advertised = listeners.ok_or_else(|| refuse(name, value, "one host:port per broker"))?;
        Ok(true)
    }

    /// The brokers' own settings, once it is known where they listen.
    pub(super) fn brokers(&self, addresses: &[SocketAddr]) -> Vec<BrokerConfig> {
        let ids = || (1..).take(addresses.len());
        let mut cluster = ClusterSpec::new(ids().collect(), Vec::new());
        // What needs more brokers than there are is less, as in the settings that Kafka comes with for one broker.
        let few = i32::try_from(addresses.len()).unwrap_or(i32::MAX);
        cluster.settings.transaction_state_log_min_isr =
            cluster.settings.transaction_state_log_min_isr.min(few);
        let told = |index: usize, address: &SocketAddr| match self.advertised.get(index) {
            Some(listener) => listener.clone(),
            None => Listener {
                host: StrBytes::from_string(address.ip().to_string()),
                port: i32::from(address.port()),
            },
        };
        let listeners = addresses.iter().enumerate().map(|(index, address)| told(index, address));
        let listeners: Vec<(i32, Listener)> = ids().zip(listeners).collect();
        let broker = |id| {
            let mut config = BrokerConfig::new(id, cluster.clone());
            config.advertised_listeners = listeners.iter().cloned().collect();
            for (name, value) in &self.settings {
                settings::set(&mut config, name, value).expect("it was set before");
            }
            config
        };
        ids().map(broker).collect()
    }
}

fn listener(text: &str) -> Option<Listener> {
    let text = text.trim();
    let (host, port) = text.strip_prefix("PLAINTEXT://").unwrap_or(text).rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    Some(Listener { host: StrBytes::from_string(host.to_owned()), port: i32::from(port) })
}

fn set_limit(limits: &mut Limits, name: &str, value: &str) -> Result<bool, SettingError> {
    match name {
        "socket.request.max.bytes" => limits.socket_request_max_bytes = number(name, value)?,
        "max.connections" => limits.max_connections = number(name, value)?,
        "connections.max.idle.ms" => {
            limits.connections_max_idle = Duration::from_millis(number(name, value)?);
        }
        "queued.max.request.bytes" => limits.queued_max_request_bytes = number(name, value)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// No setting here is negative.
pub(super) fn number<T: TryFrom<u64>>(name: &str, value: &str) -> Result<T, SettingError> {
    let parsed = value.parse::<u64>().ok().and_then(|number| T::try_from(number).ok());
    parsed.ok_or_else(|| refuse(name, value, "a number from 0"))
}

pub(super) fn refuse(name: &str, value: &str, wanted: &'static str) -> SettingError {
    SettingError::Value { name: name.to_owned(), value: value.to_owned(), wanted }
}
