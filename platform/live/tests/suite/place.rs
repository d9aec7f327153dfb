//! Where one behaviour is shown: a database of its own in the cluster that is shared, or a cluster of its own.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store_suite::{Behaviour, Node, Power, SessionNumber, Setup, SynchronousCommit};

use crate::cluster::{CLIENT, Cluster, DATABASE, SUPERUSER, text};
use crate::control::Control;

/// What all behaviours share: made once, gone at the end.
pub struct Ground {
    /// Down; others are copied from it.
    template: Cluster,
    shared: Arc<Mutex<Cluster>>,
}

pub struct Place {
    // Goes before the cluster's directory does.
    disk: Option<SmallDisk>,
    cluster: Arc<Mutex<Cluster>>,
    database: String,
}

impl Ground {
    pub fn new(mut template: Cluster) -> Result<Self, String> {
        template.stop(Node::Second)?;
        template.stop(Node::First)?;
        let shared = Cluster::copy(&template, "shared", Setup::DEFAULT, true)?;
        Ok(Self { template, shared: Arc::new(Mutex::new(shared)) })
    }

    pub fn place(&self, behaviour: &Behaviour) -> Result<Place, String> {
        let Behaviour { name, setup, needs, .. } = *behaviour;
        if shares(setup, needs) {
            return self.database(name, setup);
        }
        use Power::{HoldLog, HoldReplay, Promote, Standby};
        let has_standby = [Standby, HoldLog, HoldReplay, Promote].iter().any(|power| needs.contains(power));
        let has_disk = needs.contains(&Power::FullDisk);
        // The path of a socket has to be short.
        let number = name.split('_').next().unwrap_or(name);
        let mut cluster = Cluster::copy(&self.template, number, setup, has_standby)?;
        let disk = has_disk.then(|| SmallDisk::new(&mut cluster)).transpose()?;
        Ok(Place { cluster: Arc::new(Mutex::new(cluster)), database: DATABASE.into(), disk })
    }

    /// A database in the shared cluster.
    pub fn database(&self, name: &str, setup: Setup) -> Result<Place, String> {
        let mut cluster = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        // PostgreSQL cuts names at 63 bytes.
        let name: String = name.chars().take(50).collect();
        cluster.query(Node::First, &format!("CREATE DATABASE {name} TEMPLATE {DATABASE} OWNER {CLIENT}"))?;
        let settings = [
            ("deadlock_timeout", setup.deadlock_timeout_ms),
            ("lock_timeout", setup.lock_timeout_ms),
            ("statement_timeout", setup.statement_timeout_ms),
            ("idle_in_transaction_session_timeout", setup.idle_in_transaction_session_timeout_ms),
        ];
        for (setting, value) in settings {
            cluster.query(Node::First, &format!("ALTER DATABASE {name} SET {setting} = {value}"))?;
        }
        if setup.sequence_cache > 1 {
            let socket = cluster.socket(Node::First);
            let mut owner = Control::connect(&socket, CLIENT, &name).map_err(text)?;
            let cache = format!("ALTER TABLE outbox ALTER COLUMN id SET CACHE {}", setup.sequence_cache);
            owner.query(&cache).map_err(text)?;
        }
        Ok(Place { cluster: self.shared.clone(), database: name, disk: None })
    }
}

/// Whether others notice nothing of it.
fn shares(setup: Setup, needs: &[Power]) -> bool {
    use Power::{Cancel, RepeatableRead, SequenceCache, Serializable, Standby, StatementTimeout, Terminate};
    let gentle = [RepeatableRead, Serializable, StatementTimeout, SequenceCache, Standby, Terminate, Cancel];
    setup.synchronous_commit == SynchronousCommit::On && needs.iter().all(|power| gentle.contains(power))
}

impl Place {
    pub fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn database(&self) -> &str {
        &self.database
    }

    /// By which the superuser finds the session's process.
    pub fn session_name(&self, number: SessionNumber) -> String {
        format!("{}.{}", self.database, number.0)
    }

    /// Ends all sessions, and empties all tables of a database of the shared cluster.
    pub fn clear(&self, tables: &str) -> Result<(), String> {
        let name = &self.database;
        let end = format!(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
             WHERE datname = '{name}' AND pid <> pg_backend_pid()"
        );
        let socket = self.cluster().socket(Node::First);
        let mut control = Control::connect(&socket, SUPERUSER, name).map_err(text)?;
        control.query(&end).map_err(text)?;
        control.query(&format!("TRUNCATE {tables} RESTART IDENTITY")).map_err(text)?;
        Ok(())
    }

    pub fn vacuum(&self) -> Result<(), String> {
        let socket = self.cluster().socket(Node::First);
        let mut control = Control::connect(&socket, SUPERUSER, &self.database).map_err(text)?;
        control.query("VACUUM accounts").map_err(text)?;
        Ok(())
    }

    pub fn fill_disk(&self) -> Result<(), String> {
        self.disk.as_ref().ok_or("no disk that could be full")?.fill()
    }

    pub fn empty_disk(&self) -> Result<(), String> {
        self.disk.as_ref().ok_or("no disk that could be full")?.empty()
    }
}

/// A file system of 1 MB, where events are kept.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(cluster: &mut Cluster) -> Result<Self, String> {
        let path = cluster.path().join("small");
        fs::create_dir(&path).map_err(text)?;
        mount(&path)?;
        let disk = Self(path);
        let tablespace = disk.0.join("tablespace");
        fs::create_dir(&tablespace).map_err(text)?;
        cluster.installation().give(&tablespace).map_err(text)?;
        let mut control =
            Control::connect(&cluster.socket(Node::First), SUPERUSER, DATABASE).map_err(text)?;
        let create = format!("CREATE TABLESPACE small LOCATION '{}'", tablespace.display());
        control.query(&create).map_err(text)?;
        control.query("ALTER TABLE events SET TABLESPACE small").map_err(text)?;
        Ok(disk)
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    fn fill(&self) -> Result<(), String> {
        let mut filler = fs::File::create(self.filler()).map_err(text)?;
        while filler.write_all(&[7; 4_096]).is_ok() {}
        Ok(())
    }

    fn empty(&self) -> Result<(), String> {
        fs::remove_file(self.filler()).map_err(text)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, since the server still has it open.
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

fn mount(path: &PathBuf) -> Result<(), String> {
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(path);
    let output = command.output().map_err(|error| format!("mount: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(said) }
}

/// Whether file systems can be mounted here.
pub fn can_mount() -> Result<(), String> {
    let path = std::env::temp_dir().join(format!("bellwether-{}-mount", std::process::id()));
    fs::create_dir(&path).map_err(text)?;
    let mounted = mount(&path).map(|()| drop(SmallDisk(path.clone())));
    fs::remove_dir(&path).map_err(text)?;
    mounted
}
