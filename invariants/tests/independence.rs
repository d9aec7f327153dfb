//! An oracle cannot call the code that it judges: neither by a dependency nor by an import.

use std::fs;
use std::path::{Path, PathBuf};

/// Crates with the platform's behaviour, or with the world around it.
const JUDGED: &[&str] = &["services", "host", "sim", "kafka", "live", "postgres", "outside"];
/// What may be taken of `model`: values without rules.
const VALUES: &[&str] = &["Money", "Quantity", "Price", "Currency", "AccountId", "InstrumentId", "TradeId"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder can be listed") {
        let path = entry.expect("its entries can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What stands before `::` in a line, as `crate::path` uses it.
fn paths<'l>(line: &'l str, name: &'l str) -> impl Iterator<Item = &'l str> {
    let is_word = |character: char| character.is_alphanumeric() || character == '_' || character == ':';
    line.match_indices(name).filter_map(move |(at, _)| {
        let (before, after) = (&line[..at], &line[at + name.len()..]);
        (!before.ends_with(is_word)).then(|| after.strip_prefix("::")).flatten()
    })
}

fn faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        let judged = JUDGED.iter().filter(|name| paths(line, name).next().is_some());
        faults.extend(judged.map(|name| format!("{name} in `{}`", line.trim())));
        let value = |rest: &str| VALUES.iter().any(|value| rest.starts_with(value));
        faults.extend(
            paths(line, "model")
                .filter(|rest| !value(rest))
                .map(|rest| format!("model::{rest} is no value type")),
        );
    }
    faults
}

#[test]
fn no_source_imports_what_it_judges() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 20, "the sources are found");
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file is text");
        assert_eq!(faults(&text), [""; 0], "{}", file.display());
    }
}

#[test]
fn the_scan_finds_what_is_forbidden() {
    for line in [
        "use services::position::Position;",
        "    host::Decision::none()",
        "use model::calendar::Calendar;",
        "use model::{Money, novate};",
    ] {
        assert_eq!(faults(line).len(), 1, "{line}");
    }
    for line in [
        "use model::Money;",
        "use crate::oracles::reconciled;",
        "// services::position",
        "let upsim = x::sim_time;",
    ] {
        assert_eq!(faults(line), [""; 0], "{line}");
    }
}

#[test]
fn no_dependency_leads_to_what_it_judges() {
    let manifest =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("a manifest");
    let dependencies = manifest.split("[dependencies]").nth(1).expect("a manifest lists dependencies");
    let names = dependencies.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    for name in names {
        assert!(!JUDGED.contains(&name), "{name}");
    }
}
