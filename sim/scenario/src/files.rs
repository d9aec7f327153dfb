//! Finding and loading scenario files.

use std::io;
use std::path::{Path, PathBuf};

use crate::catalogue::Catalogue;
use crate::check::check;
use crate::read::{Context, Here, Table, read_scenario};
use crate::scenario::Scenario;
use crate::text::diagnostics::{Diagnostics, Draft, Source};
use crate::text::overrides;
use crate::text::tree::{self, Place, Value};

/// Loads a scenario file, changed by overrides of the form `path=value`.
pub fn load(path: &Path, catalogue: &Catalogue, overrides: &[String]) -> Result<Scenario, Diagnostics> {
    let file = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => load_str(&file, &text, catalogue, overrides),
        Err(error) => {
            let draft = Draft::new(Place::default(), String::new(), format!("cannot be read: {error}"));
            Err(Diagnostics::new(vec![Source { name: file, text: String::new() }], vec![draft]))
        }
    }
}

/// Loads the text of a scenario file; `file` is its name in diagnostics.
pub fn load_str(
    file: &str,
    text: &str,
    catalogue: &Catalogue,
    overrides: &[String],
) -> Result<Scenario, Diagnostics> {
    let mut sources = vec![Source { name: file.to_owned(), text: text.to_owned() }];
    let shown = overrides.iter().map(|set| Source { name: format!("--set {set}"), text: set.clone() });
    sources.extend(shown);
    match read(text, catalogue, overrides) {
        Ok(scenario) => Ok(scenario),
        Err(drafts) => Err(Diagnostics::new(sources, drafts)),
    }
}

fn read(text: &str, catalogue: &Catalogue, overrides: &[String]) -> Result<Scenario, Vec<Draft>> {
    let mut root = tree::parse(text)?;
    let context = Context::new(Some(catalogue));
    for (index, set) in overrides.iter().enumerate() {
        if let Err(draft) = overrides::apply(&mut root, index + 1, set) {
            context.report(draft);
        }
    }
    let Value::Table(entries) = &root.value else {
        unreachable!("a TOML file is a table, and no override replaces it");
    };
    let here = Here { context: &context, path: String::new() };
    let mut table = Table::new(here, entries, Place::default());
    let scenario = read_scenario(&mut table);
    table.finish();
    if !context.has_blanks()
        && let Some(calendar) = catalogue.calendar(&scenario.market.venue)
    {
        check(&scenario, calendar, &root, &context);
    }
    let drafts = context.into_drafts();
    if drafts.is_empty() { Ok(scenario) } else { Err(drafts) }
}

/// Files that are wrong on purpose: a folder of this name is left out unless it is asked for.
const INVALID: &str = "invalid";

/// The scenario files among `paths`: files as they are, folders with all `.toml` files below them; sorted, each
/// once.
pub fn find(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() { collect(path, &mut found)? } else { found.push(path.clone()) }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != INVALID) {
                collect(&path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            found.push(path);
        }
    }
    Ok(())
}
