//! A primary and a streaming standby that belong to this process: made from a template, killed and removed with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use store_suite::{Node, Setup, SynchronousCommit};

use crate::control::{Control, Rows};
use crate::installation::Installation;

pub const SUPERUSER: &str = "suite";
/// The user of sessions: administrators have connections of their own.
pub const CLIENT: &str = "client";
/// The database with the suite's tables.
pub const DATABASE: &str = "bellwether";

/// A directory that is removed at the end.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new(name: &str, installation: &Installation) -> std::io::Result<Self> {
        static LAST: AtomicUsize = AtomicUsize::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let name = format!("bellwether-{}-{number}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        installation.give(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

pub struct Cluster {
    installation: Arc<Installation>,
    setup: Setup,
    /// Without a standby nobody waits for one.
    has_standby: bool,
    servers: [Option<Child>; 2],
    controls: [Option<Control>; 2],
    /// What the first node waits to read, and recovers only then.
    held: Vec<u8>,
    /// Last, since servers end before their directory goes.
    directory: Directory,
}

fn index(node: Node) -> usize {
    match node {
        Node::First => 0,
        Node::Second => 1,
    }
}

impl Cluster {
    /// Runs initdb, and makes the standby from a base backup. Both are up.
    pub fn create(installation: Arc<Installation>, tables: &str) -> Result<Self, String> {
        let mut cluster = Self::at("template", installation, Setup::DEFAULT, true)?;
        let arguments = ["-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C"];
        let more = ["--wal-segsize=1", "--data-checksums", "--no-sync", "-D"];
        let data = cluster.data(Node::First);
        let all = arguments.iter().chain(&more).map(PathBuf::from).chain([data]);
        cluster.installation.run("initdb", cluster.path(), all)?;
        cluster.start(Node::First, &["synchronous_standby_names="])?;
        cluster.wait_until_up(Node::First)?;
        cluster.query(Node::First, &format!("CREATE ROLE {CLIENT} LOGIN"))?;
        cluster.query(Node::First, &format!("CREATE DATABASE {DATABASE} OWNER {CLIENT}"))?;
        let mut owner = Control::connect(&cluster.socket(Node::First), CLIENT, DATABASE).map_err(text)?;
        owner.query(tables).map_err(text)?;
        drop(owner);
        let backup = ["-h", &cluster.path().to_string_lossy(), "-p", port(Node::First), "-U", SUPERUSER]
            .map(PathBuf::from);
        let more = ["--checkpoint=fast", "--no-sync", "-D"].map(PathBuf::from);
        let all = backup.into_iter().chain(more).chain([cluster.data(Node::Second)]);
        cluster.installation.run("pg_basebackup", cluster.path(), all)?;
        fs::write(cluster.data(Node::Second).join("standby.signal"), "").map_err(text)?;
        cluster.stop(Node::First)?;
        cluster.start_both()?;
        Ok(cluster)
    }

    /// Another one with the same contents. The template is down.
    pub fn copy(template: &Self, name: &str, setup: Setup, has_standby: bool) -> Result<Self, String> {
        let mut cluster = Self::at(name, template.installation.clone(), setup, has_standby)?;
        let nodes = if has_standby { &[Node::First, Node::Second][..] } else { &[Node::First] };
        for node in nodes.iter().copied() {
            let mut copy = Command::new("cp");
            copy.arg("-a").arg(template.data(node)).arg(cluster.data(node));
            let status = copy.status().map_err(text)?;
            if !status.success() {
                return Err("cp fails".into());
            }
        }
        cluster.start_both()?;
        Ok(cluster)
    }

    fn at(
        name: &str,
        installation: Arc<Installation>,
        setup: Setup,
        has_standby: bool,
    ) -> Result<Self, String> {
        let directory = Directory::new(name, &installation).map_err(text)?;
        let (servers, controls) = ([None, None], [None, None]);
        Ok(Self { installation, setup, has_standby, servers, controls, held: Vec::new(), directory })
    }

    fn start_both(&mut self) -> Result<(), String> {
        self.start(Node::First, &[])?;
        if !self.has_standby {
            return self.wait_until_up(Node::First);
        }
        self.start(Node::Second, &[])?;
        self.wait_until_up(Node::First)?;
        self.wait_until_up(Node::Second)?;
        self.wait_for(Node::First, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", "1")
    }

    pub fn path(&self) -> &Path {
        &self.directory.0
    }

    fn data(&self, node: Node) -> PathBuf {
        self.path().join(["first", "second"][index(node)])
    }

    pub fn socket(&self, node: Node) -> PathBuf {
        self.path().join(format!(".s.PGSQL.{}", port(node)))
    }

    /// Starts a server, and does not wait for it.
    pub fn start(&mut self, node: Node, more: &[&str]) -> Result<(), String> {
        let other = if node == Node::First { Node::Second } else { Node::First };
        let path = self.path().to_string_lossy().into_owned();
        let names = if node == Node::First && self.has_standby { "standby" } else { "" };
        let Setup { deadlock_timeout_ms, lock_timeout_ms, statement_timeout_ms, .. } = self.setup;
        let Setup { idle_in_transaction_session_timeout_ms, max_connections, .. } = self.setup;
        let mut settings = vec![
            format!("unix_socket_directories={path}"),
            "listen_addresses=".into(),
            format!("port={}", port(node)),
            format!(
                "primary_conninfo=host={path} port={} user={SUPERUSER} application_name=standby",
                port(other)
            ),
            format!("synchronous_standby_names={names}"),
            format!("synchronous_commit={}", commit(self.setup.synchronous_commit)),
            format!("deadlock_timeout={deadlock_timeout_ms}"),
            format!("lock_timeout={lock_timeout_ms}"),
            format!("statement_timeout={statement_timeout_ms}"),
            format!("idle_in_transaction_session_timeout={idle_in_transaction_session_timeout_ms}"),
            // Three are the administrators', and one of them is there.
            format!("max_connections={}", max_connections + 4),
            format!("wal_writer_delay={}", self.setup.wal_writer_delay_ms),
        ];
        let fixed = [
            // Processes are killed here, never the machine: what is written stays.
            "fsync=off",
            "shared_buffers=8MB",
            "max_wal_size=64MB",
            "max_standby_streaming_delay=0",
            "wal_retrieve_retry_interval=100",
            "wal_receiver_status_interval=1",
            "autovacuum=off",
            "lc_messages=C",
        ];
        settings.extend(fixed.iter().chain(more).map(|setting| (*setting).to_owned()));
        let log = fs::File::create(self.path().join(format!("log.{}", port(node)))).map_err(text)?;
        let mut command = self.installation.command("postgres", self.path());
        command.arg("-D").arg(self.data(node)).stdout(Stdio::null()).stderr(log);
        for setting in settings {
            command.arg("-c").arg(setting);
        }
        self.controls[index(node)] = None;
        self.servers[index(node)] = Some(command.spawn().map_err(text)?);
        Ok(())
    }

    fn wait_until_up(&mut self, node: Node) -> Result<(), String> {
        self.wait_for(node, "SELECT 1", "1")
    }

    /// Asks until this is the answer.
    pub fn wait_for(&mut self, node: Node, sql: &str, expected: &str) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let answer = self.query(node, sql);
            if answer.as_ref().is_ok_and(|rows| rows[0][0].as_deref() == Some(expected)) {
                return Ok(());
            }
            if begun.elapsed() > Duration::from_secs(60) {
                let log = fs::read_to_string(self.path().join(format!("log.{}", port(node))));
                return Err(format!("{sql} gives {answer:?}; the log: {}", log.unwrap_or_default()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn query(&mut self, node: Node, sql: &str) -> Result<Rows, String> {
        let control = match self.controls[index(node)].take() {
            Some(control) => Ok(control),
            None => Control::connect(&self.socket(node), SUPERUSER, "postgres"),
        };
        let mut control = control.map_err(text)?;
        let rows = control.query(sql).map_err(|error| format!("{sql}: {error}"))?;
        self.controls[index(node)] = Some(control);
        Ok(rows)
    }

    /// Kills all processes of a server at once.
    pub fn crash(&mut self, node: Node) {
        self.controls[index(node)] = None;
        let Some(mut server) = self.servers[index(node)].take() else { return };
        let postmaster = server.id();
        signal("STOP", &[postmaster]);
        let mut all = children(postmaster);
        all.push(postmaster);
        signal("KILL", &all);
        server.wait().expect("a child can be waited for");
        while all.iter().any(|process| Path::new(&format!("/proc/{process}")).exists()) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Of the progress of logical replication, which is none. Recovery begins with reading this file.
    fn origins(&self) -> PathBuf {
        self.data(Node::First).join("pg_logical/replorigin_checkpoint")
    }

    /// The first node, which is down, will find a pipe there, and wait for somebody to write into it.
    pub fn hold_recovery(&mut self) -> Result<(), String> {
        let path = self.origins();
        self.held = fs::read(&path).map_err(text)?;
        fs::remove_file(&path).map_err(text)?;
        let made = Command::new("mkfifo").arg(&path).status().map_err(text)?;
        if !made.success() {
            return Err("mkfifo fails".into());
        }
        self.installation.give(&path).map_err(text)
    }

    /// The server, which has started, reads what was there. At the end of its recovery it writes the file anew.
    pub fn release_recovery(&self) -> Result<(), String> {
        fs::write(self.origins(), &self.held).map_err(text)
    }

    /// A fast shutdown, and waits for its end.
    pub fn stop(&mut self, node: Node) -> Result<(), String> {
        self.controls[index(node)] = None;
        let Some(mut server) = self.servers[index(node)].take() else { return Ok(()) };
        signal("INT", &[server.id()]);
        server.wait().map_err(text)?;
        Ok(())
    }

    /// The first node becomes a standby of the second.
    pub fn rewind(&mut self) -> Result<(), String> {
        // Else the control file still names the old timeline.
        self.query(Node::Second, "CHECKPOINT")?;
        let source = format!(
            "--source-server=host={} port={} user={SUPERUSER} dbname=postgres",
            self.path().display(),
            port(Node::Second)
        );
        let target = format!("--target-pgdata={}", self.data(Node::First).display());
        self.installation.run("pg_rewind", self.path(), [source, target, "--no-sync".into()])?;
        fs::write(self.data(Node::First).join("standby.signal"), "").map_err(text)?;
        self.start(Node::First, &["synchronous_standby_names="])
    }

    pub fn has_standby(&self) -> bool {
        self.has_standby
    }

    /// COMMIT is answered when the standby shows it.
    pub fn waits_for_replay(&self) -> bool {
        self.has_standby && self.setup.synchronous_commit == SynchronousCommit::RemoteApply
    }

    pub fn is_up(&self, node: Node) -> bool {
        self.servers[index(node)].is_some()
    }

    pub fn installation(&self) -> &Installation {
        &self.installation
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.crash(Node::Second);
        self.crash(Node::First);
    }
}

fn port(node: Node) -> &'static str {
    ["5432", "5433"][index(node)]
}

fn commit(synchronous_commit: SynchronousCommit) -> &'static str {
    match synchronous_commit {
        SynchronousCommit::Off => "off",
        SynchronousCommit::Local => "local",
        SynchronousCommit::RemoteWrite => "remote_write",
        SynchronousCommit::On => "on",
        SynchronousCommit::RemoteApply => "remote_apply",
    }
}

pub fn signal(name: &str, processes: &[u32]) {
    let processes: Vec<String> = processes.iter().map(u32::to_string).collect();
    // Some have gone meanwhile.
    let command = format!("kill -{name} {} 2>/dev/null", processes.join(" "));
    Command::new("sh").args(["-c", &command]).status().expect("there is a shell");
}

fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|process| process.file_name().to_str()?.parse().ok());
    numbers
        .filter(|process: &u32| {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            // Behind the name, which is in brackets: state, parent.
            let parent_field = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
            parent_field == Some(parent.to_string().as_str())
        })
        .collect()
}

pub fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
