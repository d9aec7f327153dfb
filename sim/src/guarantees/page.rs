//! The table of guarantees as text: for the README, for a terminal, for programs.

use invariants::Family;
use serde_json::{Value, json};

use super::{CASES, DEFAULT, Guarantee, SETTINGS, Setting, exceptions, invariants};

/// The columns: each family under default settings, then databases or Kafka under each other setting.
fn columns() -> Vec<(Setting<'static>, Family, String)> {
    let default = Family::ALL.map(|family| (DEFAULT, family, family.name().to_owned()));
    let others = SETTINGS.iter().filter(|setting| **setting != DEFAULT);
    let others = others.map(|setting| {
        let name = setting.name().replace("synchronous_", "").replace(" = ", "=");
        (*setting, setting.family(), name)
    });
    default.into_iter().chain(others).collect()
}

/// `holds`, or the numbers of the cases in which it does not; in brackets where nothing is said then.
fn cell(invariant: &str, setting: Setting<'_>, family: Family) -> String {
    let number = |name: &str| CASES.iter().position(|case| case.name == name).map_or(0, |place| place + 1);
    let notes: Vec<String> = exceptions(invariant, setting, family)
        .map(|(case, said)| match said {
            Guarantee::Outside => format!("({})", number(case.name)),
            _ => number(case.name).to_string(),
        })
        .collect();
    if notes.is_empty() { "holds".to_owned() } else { notes.join(" ") }
}

/// Invariants of which the same is said everywhere, with it.
fn rows() -> Vec<(Vec<&'static str>, Vec<String>)> {
    let columns = columns();
    let mut rows: Vec<(Vec<&'static str>, Vec<String>)> = Vec::new();
    for invariant in invariants() {
        let cells: Vec<String> =
            columns.iter().map(|(setting, family, _)| cell(invariant, *setting, *family)).collect();
        match rows.iter_mut().find(|(_, known)| *known == cells) {
            Some((names, _)) => names.push(invariant),
            None => rows.push((vec![invariant], cells)),
        }
    }
    rows.sort_by_key(|(names, _)| names.len());
    rows
}

const EXPLAINED: &str = "Rows are invariants, columns families of faults: first under default settings, then faults of \
                         databases or of Kafka under each other setting (faults of other families: as by default, but where a note names them). `holds`: \
                         always. A number: holds but in the case of that note, in which it may break, and a canary \
                         can expect it. In brackets: but in that case, of which nothing is said.";

fn notes() -> Vec<String> {
    let note = |(place, case): (usize, &super::Case)| {
        format!("{}. **{}**: {}: {}.", place + 1, case.name, case.about, case.why)
    };
    CASES.iter().enumerate().map(note).collect()
}

/// The section of the README, between its markers.
pub fn markdown() -> String {
    let columns = columns();
    let heads: Vec<&str> = columns.iter().map(|(_, _, head)| head.as_str()).collect();
    let mut page = vec![EXPLAINED.to_owned(), String::new()];
    page.push(format!("| invariant | {} |", heads.join(" | ")));
    page.push(format!("|{}", "---|".repeat(columns.len() + 1)));
    for (names, cells) in rows() {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        page.push(format!("| {} | {} |", names.join(", "), cells.join(" | ")));
    }
    page.push(String::new());
    page.extend(notes());
    page.push(String::new());
    page.push(
        "A scenario whose faults and settings are those of a case cannot say `expect = \"pass\"` while it watches an \
         invariant that the case is about: the loader refuses it, with the place and the reason. One with a `[[sabotage]]` \
         can never say it."
            .to_owned(),
    );
    page.join("\n")
}

/// For a terminal: a row for each invariant.
pub fn table() -> Vec<Vec<String>> {
    let columns = columns();
    let head = std::iter::once("invariant".to_owned()).chain(columns.iter().map(|(_, _, head)| head.clone()));
    let row = |invariant: &'static str| {
        let cells = columns.iter().map(move |(setting, family, _)| cell(invariant, *setting, *family));
        std::iter::once(invariant.to_owned()).chain(cells).collect()
    };
    std::iter::once(head.collect()).chain(invariants().into_iter().map(row)).collect()
}

/// What the numbers of [`table`] mean, in plain lines.
pub fn legend() -> Vec<String> {
    let plain = |text: &str| text.replace(['`', '*'], "");
    std::iter::once(EXPLAINED.to_owned()).chain(notes()).map(|line| plain(&line)).collect()
}

/// Every cell, one object for each invariant, setting and family.
pub fn json() -> Vec<Value> {
    let mut cells = Vec::new();
    for invariant in invariants() {
        for setting in SETTINGS {
            for family in Family::ALL {
                let cases: Vec<Value> = exceptions(invariant, *setting, family)
                    .map(|(case, said)| {
                        json!({ "case": case.name, "guarantee": said.name(), "about": case.about, "why": case.why })
                    })
                    .collect();
                cells.push(json!({
                    "invariant": invariant,
                    "synchronous_standby": setting.synchronous_standby,
                    "synchronous_commit": setting.synchronous_commit,
                    "min.insync.replicas": setting.min_insync_replicas,
                    "unclean.leader.election.enable": setting.unclean_leader_election,
                    "family": family.name(),
                    "but": cases,
                }));
            }
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_invariant_has_every_cell() {
        let cells = json();
        assert_eq!(cells.len(), invariants().len() * SETTINGS.len() * Family::ALL.len());
        let table = table();
        assert_eq!(table.len(), invariants().len() + 1);
        assert!(table.iter().all(|row| row.len() == table[0].len()));
    }

    #[test]
    fn a_note_says_what_is_so_and_why() {
        let page = markdown();
        for case in CASES {
            assert!(page.contains(case.about) && page.contains(case.why), "{}", case.name);
        }
        assert!(legend().iter().all(|line| !line.contains('`')));
    }
}
