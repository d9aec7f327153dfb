//! Where PostgreSQL's programs are, and as whom they run: they refuse to run as root.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub struct Installation {
    bin: PathBuf,
    /// Whose processes they are, where we are root.
    user: Option<(u32, u32)>,
}

impl Installation {
    /// In PATH, where `pg_config` says, or where Debian puts it; the first of version 15 or later. Error: why there
    /// is none.
    pub fn find() -> Result<Self, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
        if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
            places.push(String::from_utf8_lossy(&output.stdout).trim().into());
        }
        let mut debian: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
            .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
            .unwrap_or_default();
        debian.sort();
        places.extend(debian);
        let complete = places.into_iter().find(|place| {
            let programs = ["postgres", "initdb", "pg_basebackup", "pg_rewind"];
            programs.iter().all(|program| place.join(program).exists()) && version(place) >= Some(15)
        });
        let bin = complete.ok_or("no PostgreSQL 15 or later with all its server programs is installed")?;
        let user = if is_root() { Some(other_user()?) } else { None };
        Ok(Self { bin, user })
    }

    /// A program of PostgreSQL, that runs in a directory that its user may enter.
    pub fn command(&self, program: &str, directory: &Path) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.current_dir(directory).stdin(Stdio::null()).env("LC_ALL", "C");
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// Runs a program to its end. Error: what it says.
    pub fn run(
        &self,
        program: &str,
        directory: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<(), String> {
        let output = self.command(program, directory).args(arguments).output();
        let output = output.map_err(|error| format!("{program}: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(format!("{program} fails: {}", String::from_utf8_lossy(&said)))
    }

    /// Gives a directory, with all that is in it, to the programs' user.
    pub fn give(&self, path: &Path) -> std::io::Result<()> {
        let Some((user, group)) = self.user else { return Ok(()) };
        chown(path, Some(user), Some(group))
    }
}

fn version(bin: &Path) -> Option<u32> {
    let output = Command::new(bin.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

pub fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

fn other_user() -> Result<(u32, u32), String> {
    let users = fs::read_to_string("/etc/passwd").map_err(|error| format!("/etc/passwd: {error}"))?;
    ["postgres", "nobody"]
        .iter()
        .find_map(|wanted| users.lines().find_map(|line| ids(line, wanted)))
        .ok_or_else(|| "there is no user besides root to run PostgreSQL as".into())
}

fn ids(line: &str, wanted: &str) -> Option<(u32, u32)> {
    let fields: Vec<&str> = line.split(':').collect();
    let ids = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
    (fields[0] == wanted).then_some(ids)
}
