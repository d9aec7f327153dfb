//! Apache Kafka, as `sim/kafka/tests/apache_kafka.sh` starts and stops it, with the Java options and threads that its own
//! start scripts and defaults have.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What `kafka-server-start.sh` and `kafka-run-class.sh` give Java.
const JAVA: &str = "-Xmx1G -Xms1G -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 \
                    -XX:+ExplicitGCInvokesConcurrent";
/// Defaults that the script has set lower.
const THREADS: [&str; 2] = ["num.network.threads=3", "num.io.threads=8"];

/// Three brokers and a controller, gone when this is.
pub struct Apache {
    directory: PathBuf,
    pub bootstrap: String,
    pub version: String,
}

fn script(arguments: &[&str]) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sim/kafka/tests/apache_kafka.sh");
    let mut command = Command::new(script);
    command.args(arguments).env("KAFKA_WATCH_PID", std::process::id().to_string());
    command.env("KAFKA_JAVA_OPTIONS", JAVA).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("apache_kafka.sh: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

impl Apache {
    /// Error: why not.
    pub fn start(settings: &[(&str, &str)]) -> Result<Apache, String> {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("speed-{}", std::process::id()));
        let path = directory.to_string_lossy().into_owned();
        let settings: Vec<String> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut arguments = vec!["start", path.as_str()];
        arguments.extend(settings.iter().map(String::as_str).chain(THREADS));
        let mut apache = Apache { directory, bootstrap: String::new(), version: String::new() };
        let printed = script(&arguments)?;
        let values: BTreeMap<&str, &str> = printed.lines().filter_map(|line| line.split_once('=')).collect();
        let value = |name: &str| values.get(name).map(|value| (*value).to_owned());
        apache.bootstrap = value("BOOTSTRAP").ok_or("no servers are told")?;
        apache.version = value("VERSION").ok_or("no version is told")?;
        Ok(apache)
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = script(&["stop", &self.directory.to_string_lossy()]);
    }
}
