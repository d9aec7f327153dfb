//! Running the binary as a user does, and where the repository is.
#![allow(dead_code)] // Each test file uses a part of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The workspace's root.
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().expect("the workspace is there")
}

/// The binary, in the workspace's root, with nothing of the caller's surroundings that matters.
pub fn bellwether() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
    command.current_dir(root()).env_remove("RUST_LOG").env_remove("COLUMNS").stdin(Stdio::null());
    command
}

/// What a finished process said.
#[derive(Debug)]
pub struct Said {
    pub exit: i32,
    pub out: String,
    pub err: String,
}

pub fn said(command: &mut Command) -> Said {
    let Output { status, stdout, stderr } = command.output().expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("it speaks UTF-8");
    Said { exit: status.code().expect("it ends by itself"), out: text(stdout), err: text(stderr) }
}

/// What the binary says to these arguments.
pub fn run(arguments: &[&str]) -> Said {
    said(bellwether().args(arguments))
}

/// The JSON objects on standard output, one per line.
pub fn objects(said: &Said) -> Vec<Value> {
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    said.out.lines().map(read).collect()
}
