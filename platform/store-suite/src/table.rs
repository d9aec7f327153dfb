//! The README's table: which number is shown on which store, by how many behaviours, and why not.

use std::fmt::Write;

use crate::list::{ALL, Behaviour, NOT_BEHIND_THE_PORT, NOT_SHOWN, Store};

/// What the list of 44 is about, number by number.
const TITLES: [&str; 44] = [
    "READ COMMITTED: each statement has its snapshot",
    "REPEATABLE READ: the first statement has it",
    "the second writer waits, then 40001 or goes on",
    "a lost update at READ COMMITTED",
    "write skew, possible or refused",
    "an error aborts the transaction: 25P02",
    "a retry redoes the reads",
    "no dirty reads",
    "`now()` is the transaction's start",
    "an insert waits for another one of its key",
    "so it does at every level",
    "DO NOTHING and a row that was not there before",
    "DO UPDATE takes the latest committed row",
    "a guarded update that lost changes 0 rows",
    "one append of a version",
    "`nextval` is never rolled back",
    "ids become visible out of order",
    "safe polling",
    "`CACHE`",
    "LISTEN and NOTIFY",
    "row locks: queue, NOWAIT, SKIP LOCKED",
    "deadlocks: 40P01",
    "timeouts: 55P03, 57014, 25P03",
    "advisory locks",
    "a connection lost during COMMIT",
    "finding out what became of it",
    "synchronous_commit = on and off",
    "what a failover may lose",
    "waiting for a standby that is away",
    "crash recovery, 57P03",
    "a failed fsync",
    "a full disk: 53100",
    "an old primary goes on after a promotion",
    "until it is rewound",
    "connections to a dead primary",
    "writes on a standby: 25006",
    "a standby lags",
    "conflict with recovery",
    "reading your own write on a standby",
    "max_connections: 53300",
    "shutdown and crash: 57P01, 57P02",
    "locks of a dead client",
    "a reconnect forgets",
    "a connection that died in a pool",
];

/// In Markdown, with a line for each of the 44.
pub fn table() -> String {
    let mut table =
        String::from("| | behaviour | simulated | real | not shown, and why |\n|---|---|---|---|---|\n");
    for (number, title) in (1..).zip(TITLES) {
        let of_number: Vec<&Behaviour> = ALL.iter().filter(|one| one.number() == number).collect();
        let [simulated, real] = [Store::Simulated, Store::Real].map(|store| cell(store, &of_number));
        let why_not = why_not(number, &of_number);
        writeln!(table, "| {number} | {title} | {simulated} | {real} | {why_not} |")
            .expect("a text takes all");
    }
    table
}

/// How many of the behaviours are shown there.
fn cell(store: Store, behaviours: &[&Behaviour]) -> String {
    match behaviours.iter().filter(|one| why_not_on(store, one).is_none()).count() {
        0 => "—".into(),
        shown => shown.to_string(),
    }
}

fn why_not_on(store: Store, behaviour: &Behaviour) -> Option<&'static str> {
    behaviour.needs.iter().find_map(|power| store.lacks(*power))
}

fn why_not(number: u32, behaviours: &[&Behaviour]) -> String {
    let nowhere = NOT_BEHIND_THE_PORT.iter().chain(NOT_SHOWN).filter(|(of, _)| *of == number);
    let nowhere = nowhere.map(|(_, why)| *why);
    let stores = [Store::Simulated, Store::Real].into_iter();
    let somewhere = stores.flat_map(|store| behaviours.iter().filter_map(move |one| why_not_on(store, one)));
    let mut reasons: Vec<&str> = nowhere.chain(somewhere).collect();
    reasons.dedup();
    reasons.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_shown_or_has_a_reason_why_not() {
        for number in 1..=44 {
            let shown = ALL.iter().any(|one| one.number() == number);
            let excused = NOT_BEHIND_THE_PORT.iter().any(|(of, _)| *of == number);
            assert!(shown != excused, "number {number}");
        }
        assert!(ALL.iter().is_sorted_by_key(|one| one.number()), "in the order of numbers");
        for (number, why) in NOT_SHOWN {
            assert!(ALL.iter().any(|one| one.number() == *number), "there is no rest of {number}: {why}");
        }
        assert!(NOT_SHOWN.is_sorted_by_key(|(number, _)| number), "in the order of numbers");
    }

    #[test]
    fn the_readme_has_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(path).expect("there is a README");
        let begin = readme.find("| | behaviour |").expect("the table's first line");
        let end = begin + readme[begin..].find("\n\n").map_or(readme.len() - begin, |length| length + 1);
        if std::env::var_os("UPDATE_README").is_some() {
            let updated = format!("{}{}{}", &readme[..begin], table(), &readme[end..]);
            std::fs::write(path, updated).expect("the README can be written");
            return;
        }
        assert!(readme[begin..end] == table(), "UPDATE_README=1 cargo test -p store-suite writes it anew");
    }
}
