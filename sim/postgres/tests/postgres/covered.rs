//! The README's table of behaviours is true: each of the 44 has its line, and tests of that number where it says, in
//! files of this folder or in the suite.

use std::path::Path;

#[test]
fn every_behaviour_has_a_test_where_the_readme_says_or_a_reason() {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(crate_folder.join(path)).expect("a file of this crate");
    let readme = read("README.md");
    for number in 1..=44 {
        let start = format!("| {number} | ");
        let line = readme.lines().find_map(|line| line.strip_prefix(&start));
        let mut columns = line.expect("a line for each behaviour").splitn(3, " | ").skip(1);
        let (tests, note) = columns.next().zip(columns.next()).expect("where it is tested, and a note");
        if tests == "—" {
            assert!(note.len() > 5, "why {number} has no test is not said");
            continue;
        }
        for file in tests.split(", ").map(|file| file.trim_matches('`')) {
            if file == "suite" {
                let shown = store_suite::ALL.iter().any(|behaviour| behaviour.number() == number);
                assert!(shown, "the suite does not show {number}");
                continue;
            }
            let named = format!("b{number:02}_");
            assert!(read(&format!("tests/postgres/{file}")).contains(&named), "{file} has no test {named}…");
        }
    }
}
