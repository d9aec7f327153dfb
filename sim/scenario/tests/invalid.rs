//! Files that are wrong on purpose: what is said about each, as committed snapshots.

mod support;

use std::path::Path;

use scenario::{Style, find, load};

/// Every file of `scenarios/invalid`, in the order of their names, with its mistakes. Those in folders below need the
/// simulator's faults, and are its tests' affair.
fn each(mut show: impl FnMut(&str, &scenario::Diagnostics) -> String) -> String {
    let folder = support::scenarios().join("invalid");
    let mut files = find(std::slice::from_ref(&folder)).expect("the folder is in the repository");
    files.retain(|file| file.parent() == Some(&folder));
    assert!(files.len() >= 22, "only {} files", files.len());
    let catalogue = support::catalogue();
    let shown = files.iter().map(|file| {
        let name = file.file_name().and_then(|name| name.to_str()).expect("names are plain text");
        let text = std::fs::read_to_string(file).expect("the file was just found");
        let mistakes = scenario::load_str(name, &text, &catalogue, &[]).expect_err(name);
        show(name, &mistakes)
    });
    shown.collect::<Vec<_>>().join("\n")
}

#[test]
fn each_mistake_is_shown_with_its_place_and_what_was_meant() {
    insta::assert_snapshot!(each(|name, mistakes| {
        format!("{}\n{}", "=".repeat(name.len()), mistakes.render(Style::Plain))
    }));
}

#[test]
fn one_line_per_mistake() {
    insta::assert_snapshot!(each(|_, mistakes| mistakes.to_string()));
}

#[test]
fn a_file_has_one_mistake_and_its_json_says_where() {
    each(|name, mistakes| {
        let json = mistakes.to_json();
        let [mistake] = json.as_array().expect("an array").as_slice() else {
            panic!("{name} has not one mistake: {json}");
        };
        assert_eq!(mistake["file"], *name);
        assert!(mistake["line"].as_u64() > Some(0) && mistake["column"].as_u64() > Some(0), "{mistake}");
        mistake["message"].to_string()
    });
}

#[test]
fn a_file_that_is_not_there() {
    let mistakes = load(Path::new("no/such.toml"), &support::catalogue(), &[]).expect_err("there is none");
    let mistakes = mistakes.to_string();
    assert!(mistakes.starts_with("no/such.toml:1:1: cannot be read"), "{mistakes}");
}

#[test]
fn a_terminal_gets_lines_and_colours() {
    let mistakes =
        scenario::load_str("x.toml", "nam = 1", &support::catalogue(), &[]).expect_err("nothing is there");
    let shown = mistakes.render(Style::Terminal);
    assert!(shown.contains('\u{1b}') && shown.contains('╭'), "{shown}");
    let plain = mistakes.render(Style::Plain);
    assert!(plain.is_ascii(), "{plain}");
}
