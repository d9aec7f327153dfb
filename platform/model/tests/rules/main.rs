//! The rules of the model against tables from outside and naive models. One binary, so that it links once.

mod amounts;
mod calendar_days;
mod calendar_golden;
mod calendar_properties;
mod clearing;
mod ids;
mod ledger;
mod ledger_model;

use std::path::Path;

/// A test file that no `mod` names would pass by never being compiled.
#[test]
fn every_file_here_is_a_module() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    let main = include_str!("main.rs");
    let mut files = 0;
    for file in std::fs::read_dir(folder).expect("the folder of this file") {
        let path = file.expect("a readable entry").path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("a name in ASCII").to_owned();
        assert!(stem == "main" || main.contains(&format!("\nmod {stem};\n")), "{stem} is not compiled");
        files += 1;
    }
    assert!(files > 1);
}
