//! Apache Kafka, as `sim/kafka/tests/apache_kafka.sh` starts and stops it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kafka_suite::{BROKERS, SETTINGS};

use crate::servers::{Deed, Servers};

/// Three brokers and a controller, gone when this is.
pub struct Apache {
    directory: PathBuf,
    addresses: BTreeMap<i32, SocketAddr>,
    pub version: String,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sim/kafka/tests/apache_kafka.sh")
}

fn run(arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(script());
    command.args(arguments).env("KAFKA_WATCH_PID", std::process::id().to_string()).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("apache_kafka.sh: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

impl Apache {
    /// Whether it could be started here. Error: why not. Resolves the jars.
    pub fn is_possible() -> Result<(), String> {
        run(&["resolve"]).map(|_| ())
    }

    pub fn start() -> Result<Apache, String> {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("kafka-{}", std::process::id()));
        let path = directory.to_string_lossy().into_owned();
        let settings: Vec<String> = SETTINGS.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut arguments = vec!["start", path.as_str()];
        arguments.extend(settings.iter().map(String::as_str));
        let mut apache = Apache { directory, addresses: BTreeMap::new(), version: String::new() };
        let printed = run(&arguments)?;
        let values: BTreeMap<&str, &str> = printed.lines().filter_map(|line| line.split_once('=')).collect();
        for broker in BROKERS {
            let port = values.get(format!("PORT_{broker}").as_str()).ok_or("no port is told")?;
            let port: u16 = port.parse().map_err(|_| format!("{port} is no port"))?;
            apache.addresses.insert(broker, SocketAddr::from(([127, 0, 0, 1], port)));
        }
        apache.version = values.get("VERSION").copied().unwrap_or_default().into();
        Ok(apache)
    }
}

impl Servers for Apache {
    fn addresses(&self) -> &BTreeMap<i32, SocketAddr> {
        &self.addresses
    }

    fn act(&self, broker: i32, deed: Deed) {
        let deed = match deed {
            Deed::Stop => "stop",
            Deed::Kill => "kill",
            Deed::Start => "start",
            Deed::Pause => "pause",
            Deed::Resume => "resume",
            Deed::PowerOff => panic!("a process that is killed loses nothing"),
        };
        let path = self.directory.to_string_lossy();
        let done = run(&["broker", &path, &broker.to_string(), deed]);
        done.unwrap_or_else(|error| panic!("broker {broker}: {deed}: {error}"));
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        if let Err(error) = run(&["stop", &self.directory.to_string_lossy()]) {
            eprintln!("LOUD: Apache Kafka cannot be stopped: {error}");
        }
    }
}
