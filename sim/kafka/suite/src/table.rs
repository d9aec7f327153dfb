//! The README's table: each behaviour with the clusters that it is shown on, and why not on others.

use std::fmt::Write;

use crate::kind::Kind;
use crate::list::{Behaviour, all};

/// How many numbers the list has.
pub const NUMBERS: u32 = 81;

/// In Markdown, a line for each behaviour, and how many numbers each cluster shows in full.
pub fn table() -> String {
    let mut table =
        String::from("| | behaviour | (a) | (b) | (c) | not shown, and why |\n|---|---|---|---|---|---|\n");
    for behaviour in all() {
        let [a, b, c] = Kind::ALL.map(|kind| if kind.lacks(behaviour).is_none() { "✓" } else { "—" });
        let mut reasons: Vec<&str> = Kind::ALL.iter().filter_map(|kind| kind.lacks(behaviour)).collect();
        reasons.dedup();
        let (number, sentence) = (behaviour.number(), behaviour.sentence);
        writeln!(table, "| {number} | {sentence} | {a} | {b} | {c} | {} |", reasons.join("; "))
            .expect("a text takes all");
    }
    let [a, b, c] = Kind::ALL.map(shown);
    writeln!(table, "| | **numbers of {NUMBERS} shown in full** | {a} | {b} | {c} | |")
        .expect("a text takes all");
    table
}

/// For tests of this crate: panics unless `sim/kafka/README.md` has this table between these lines. With `UPDATE_README` in
/// the environment it is written there.
pub fn readme_has(table: &str, begin: &str, end: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(path).expect("there is a README");
    let from = readme.find(begin).expect("the first marker") + begin.len();
    let to = readme.find(end).expect("the second marker");
    if std::env::var_os("UPDATE_README").is_some() {
        let updated = format!("{}{table}{}", &readme[..from], &readme[to..]);
        std::fs::write(path, updated).expect("the README can be written");
        return;
    }
    assert!(&readme[from..to] == table, "UPDATE_README=1 cargo test -p kafka-suite writes it anew");
}

/// Numbers of which every behaviour is shown there.
fn shown(kind: Kind) -> usize {
    let is_shown = |number: &u32| {
        let of_number: Vec<&Behaviour> =
            all().into_iter().filter(|behaviour| behaviour.number() == *number).collect();
        !of_number.is_empty() && of_number.iter().all(|behaviour| kind.lacks(behaviour).is_none())
    };
    (1..=NUMBERS).filter(is_shown).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = "<!-- the suite's table begins -->\n";
    const END: &str = "<!-- the suite's table ends -->";

    #[test]
    fn every_number_has_a_behaviour() {
        for number in 1..=NUMBERS {
            assert!(all().iter().any(|behaviour| behaviour.number() == number), "number {number}");
        }
    }

    #[test]
    fn names_are_unique_and_begin_with_their_letter() {
        let last_of_letter = [
            ('a', 13),
            ('b', 22),
            ('c', 37),
            ('d', 44),
            ('e', 56),
            ('f', 62),
            ('g', 65),
            ('h', 71),
            ('i', 81),
        ];
        let mut names: Vec<&str> = all().iter().map(|behaviour| behaviour.name).collect();
        for behaviour in all() {
            let letter = last_of_letter.iter().find(|(_, last)| behaviour.number() <= *last);
            let (letter, _) = letter.expect("a number of the list");
            assert!(behaviour.name.starts_with(*letter), "{}", behaviour.name);
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn the_readme_has_this_table() {
        readme_has(&table(), BEGIN, END);
    }
}
