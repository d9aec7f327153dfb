//! Nobody breaks what was written before: the descriptors of the last schema version are committed, and those of
//! today's `.proto` files must be compatible with them.
//!
//! Compatible means: messages, fields, one-ofs and enum values are only added; a field number keeps its name, type,
//! label and one-of; a number that is given up is `reserved`, and stays so.
//!
//! After a compatible change, or when `SCHEMA_VERSION` rises, the committed set is renewed by
//! `UPDATE_DESCRIPTORS=1 cargo test -p contracts --test compatibility`. It writes `descriptors/v<version>.binpb`,
//! and refuses to overwrite a set of the same version that today's is not compatible with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_types::field_descriptor_proto::Label;
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use protox::Compiler;
use protox::file::{File, FileResolver};

const RENEW: &str = "UPDATE_DESCRIPTORS";

#[test]
fn nothing_of_the_committed_version_is_broken() {
    let (path, now) = (committed(), today());
    let renew = std::env::var_os(RENEW).is_some();
    let last = std::fs::read(&path).ok().map(|bytes| {
        FileDescriptorSet::decode(&bytes[..]).expect("the committed file is a descriptor set, written below")
    });
    if let Some(last) = &last {
        let broken = breaks(last, &now);
        assert!(broken.is_empty(), "not compatible with {}:\n{}", path.display(), broken.join("\n"));
    }
    if last.as_ref() != Some(&now) {
        assert!(renew, "{} lacks what is new: renew it with {RENEW}=1", path.display());
        std::fs::write(&path, now.encode_to_vec()).expect("the folder is in the repository");
    }
}

#[test]
fn there_are_no_map_fields() {
    let maps: Vec<String> = Shapes::of(&today()).maps;
    assert_eq!(maps, [""; 0], "the order of a map's entries is not determined");
}

#[test]
fn a_map_field_would_be_seen() {
    let shapes = Shapes::of(&compiled("message M { map<string, string> labels = 1; }"));
    assert_eq!(shapes.maps, ["p.M.LabelsEntry"]);
}

/// A message and an enum that the cases below change.
const BEFORE: &str = "
    message M {
      string id = 1;
      uint64 count = 2;
      repeated string tags = 3;
      E state = 4;
      N inner = 5;
      oneof kind { string left = 6; string right = 7; }
      reserved 20 to 22;
    }
    message N { bool yes = 1; }
    enum E { E_NONE = 0; E_ONE = 1; }";

#[track_caller]
fn check(changes: &[(&str, &str)], expected: &[&str]) {
    let mut after = BEFORE.to_owned();
    for (from, to) in changes {
        assert!(after.contains(from), "`{from}` is not there to be changed");
        after = after.replace(from, to);
    }
    assert_eq!(breaks(&compiled(BEFORE), &compiled(&after)), expected, "{changes:?}");
}

#[test]
fn what_is_added_breaks_nothing() {
    check(&[], &[]);
    check(&[("string id = 1;", "string id = 1; string more = 8; N other = 9;")], &[]);
    check(&[("string right = 7;", "string right = 7; string middle = 10;")], &[]);
    check(&[("reserved 20", "oneof new { bool a = 11; bool b = 12; } reserved 20")], &[]);
    check(&[("E_ONE = 1;", "E_ONE = 1; E_TWO = 2;")], &[]);
    check(&[("enum E {", "message Another { E state = 1; } enum F { F_NONE = 0; } enum E {")], &[]);
}

#[test]
fn the_order_of_a_file_means_nothing() {
    check(&[("string id = 1;\n", ""), ("reserved 20", "string id = 1; reserved 20")], &[]);
}

#[test]
fn a_removed_field_leaves_its_number_reserved() {
    check(&[("uint64 count = 2;", "")], &["p.M: field 2 `count` is gone, and its number is not reserved"]);
    check(&[("uint64 count = 2;", "reserved 2;")], &[]);
    check(
        &[("oneof kind { string left = 6; string right = 7; }", "reserved 6;")],
        &["p.M: field 7 `right` is gone, and its number is not reserved"],
    );
}

#[test]
fn a_field_keeps_its_name_type_and_label() {
    check(&[("string id = 1", "string name = 1")], &["p.M: field 1 `id` is now called `name`"]);
    check(&[("uint64 count", "sint64 count")], &["p.M: field 2 `count` was Uint64, is Sint64"]);
    check(&[("repeated string tags", "string tags")], &["p.M: field 3 `tags` was Repeated, is Optional"]);
    check(&[("string id", "repeated string id")], &["p.M: field 1 `id` was Optional, is Repeated"]);
    check(&[("E state", "N state")], &["p.M: field 4 `state` was Enum .p.E, is Message .p.N"]);
    check(&[("N inner", "M inner")], &["p.M: field 5 `inner` was Message .p.N, is Message .p.M"]);
    check(
        &[("string id = 1", "string id = 2"), ("uint64 count = 2", "uint64 count = 1")],
        &[
            "p.M: field 1 `id` is now called `count`",
            "p.M: field 1 `id` was String, is Uint64",
            "p.M: field 2 `count` is now called `id`",
            "p.M: field 2 `count` was Uint64, is String",
        ],
    );
}

#[test]
fn a_field_stays_in_its_one_of() {
    check(
        &[(
            "oneof kind { string left = 6; string right = 7; }",
            "string left = 6; oneof kind { string right = 7; }",
        )],
        &["p.M: field 6 `left` left the one-of `kind`"],
    );
    check(
        &[("string id = 1;\n", ""), ("string left", "string id = 1; string left")],
        &["p.M: field 1 `id` went into the one-of `kind`"],
    );
    check(
        &[("oneof kind", "oneof sort")],
        &[
            "p.M: field 6 `left` went from the one-of `kind` to `sort`",
            "p.M: field 7 `right` went from the one-of `kind` to `sort`",
        ],
    );
    // `optional` is a one-of of its own: presence on the wire changes.
    check(&[("string id", "optional string id")], &["p.M: field 1 `id` went into the one-of `_id`"]);
}

#[test]
fn a_reserved_number_is_never_used_again() {
    check(&[("reserved 20 to 22;", "string new = 21; reserved 20, 22;")], &["p.M: number 21 was reserved"]);
    check(&[("reserved 20 to 22;", "reserved 20, 22;")], &["p.M: number 21 was reserved"]);
}

#[test]
fn an_enum_value_keeps_its_name_and_number() {
    check(&[("E_ONE = 1", "E_UN = 1")], &["p.E: value 1 `E_ONE` is now called `E_UN`"]);
    check(&[("E_ONE = 1;", "")], &["p.E: value 1 `E_ONE` is gone, and its number is not reserved"]);
    check(&[("E_ONE = 1;", "reserved 1;")], &[]);
    check(&[("E_ONE = 1;", "E_ONE = 2;")], &["p.E: value 1 `E_ONE` is gone, and its number is not reserved"]);
}

#[test]
fn a_message_and_an_enum_stay() {
    check(&[("message N { bool yes = 1; }", ""), ("N inner = 5;", "reserved 5;")], &["p.N is gone"]);
    check(&[("enum E { E_NONE = 0; E_ONE = 1; }", ""), ("E state = 4;", "reserved 4;")], &["p.E is gone"]);
}

/// What is broken between two sets, each as one line; in the order of names and numbers.
fn breaks(before: &FileDescriptorSet, after: &FileDescriptorSet) -> Vec<String> {
    let (before, after) = (Shapes::of(before), Shapes::of(after));
    let mut broken = Vec::new();
    for (name, was) in &before.types {
        match after.types.get(name) {
            None => broken.push(format!("{name} is gone")),
            Some(is) => broken.extend(was.breaks(is).into_iter().map(|why| format!("{name}: {why}"))),
        }
    }
    broken
}

/// The types of a descriptor set, by full name.
#[derive(Default)]
struct Shapes {
    types: BTreeMap<String, Shape>,
    maps: Vec<String>,
}

/// A message or an enum: what its numbers mean.
struct Shape {
    /// Field or value.
    noun: &'static str,
    numbers: BTreeMap<i32, Meaning>,
    reserved: Vec<std::ops::Range<i32>>,
}

struct Meaning {
    name: String,
    /// Empty for values of enums.
    kind: String,
    label: String,
    one_of: Option<String>,
}

impl Shape {
    fn is_reserved(&self, number: i32) -> bool {
        self.reserved.iter().any(|range| range.contains(&number))
    }

    fn breaks(&self, is: &Self) -> Vec<String> {
        let mut broken = Vec::new();
        for (number, was) in &self.numbers {
            let what = format!("{} {number} `{}`", self.noun, was.name);
            match is.numbers.get(number) {
                Some(now) => broken.extend(was.breaks(now).into_iter().map(|why| format!("{what} {why}"))),
                None if is.is_reserved(*number) => {}
                None => broken.push(format!("{what} is gone, and its number is not reserved")),
            }
        }
        let given_up = self.reserved.iter().cloned().flatten().filter(|number| !is.is_reserved(*number));
        broken.extend(given_up.map(|number| format!("number {number} was reserved")));
        broken
    }
}

impl Meaning {
    fn breaks(&self, now: &Self) -> Vec<String> {
        let mut broken = Vec::new();
        if self.name != now.name {
            broken.push(format!("is now called `{}`", now.name));
        }
        for (was, is) in [(&self.kind, &now.kind), (&self.label, &now.label)] {
            if was != is {
                broken.push(format!("was {was}, is {is}"));
            }
        }
        match (&self.one_of, &now.one_of) {
            (Some(was), Some(is)) if was != is => {
                broken.push(format!("went from the one-of `{was}` to `{is}`"));
            }
            (Some(was), None) => broken.push(format!("left the one-of `{was}`")),
            (None, Some(is)) => broken.push(format!("went into the one-of `{is}`")),
            _ => {}
        }
        broken
    }
}

impl Shapes {
    fn of(set: &FileDescriptorSet) -> Self {
        let mut shapes = Self::default();
        for file in &set.file {
            file.message_type.iter().for_each(|message| shapes.message(file.package(), message));
            file.enum_type.iter().for_each(|values| shapes.values(file.package(), values));
        }
        shapes
    }

    fn message(&mut self, scope: &str, message: &DescriptorProto) {
        let name = format!("{scope}.{}", message.name());
        if message.options.as_ref().is_some_and(|options| options.map_entry()) {
            self.maps.push(name.clone());
        }
        message.nested_type.iter().for_each(|nested| self.message(&name, nested));
        message.enum_type.iter().for_each(|nested| self.values(&name, nested));
        let meaning = |field: &FieldDescriptorProto| (field.number(), field_meaning(message, field));
        let numbers = message.field.iter().map(meaning).collect();
        let reserved = message.reserved_range.iter().map(|range| range.start()..range.end()).collect();
        self.types.insert(name, Shape { noun: "field", numbers, reserved });
    }

    fn values(&mut self, scope: &str, values: &EnumDescriptorProto) {
        let meaning = |name: &str| Meaning {
            name: name.to_owned(),
            kind: String::new(),
            label: String::new(),
            one_of: None,
        };
        let numbers = values.value.iter().map(|value| (value.number(), meaning(value.name()))).collect();
        // Of enums both ends belong to the range (descriptor.proto, EnumReservedRange).
        let reserved = values.reserved_range.iter().map(|range| range.start()..range.end() + 1).collect();
        self.types.insert(format!("{scope}.{}", values.name()), Shape { noun: "value", numbers, reserved });
    }
}

fn field_meaning(message: &DescriptorProto, field: &FieldDescriptorProto) -> Meaning {
    let one_of = field.oneof_index.and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?));
    let kind = format!("{:?} {}", field.r#type(), field.type_name());
    Meaning {
        name: field.name().to_owned(),
        kind: kind.trim_end().to_owned(),
        label: format!("{:?}", Label::try_from(field.label() as i32).expect("a label is one of three")),
        one_of: one_of.map(|one_of| one_of.name().to_owned()),
    }
}

fn committed() -> PathBuf {
    let file = format!("descriptors/v{}.binpb", contracts::SCHEMA_VERSION);
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// The descriptors of the `.proto` files, without comments and places.
fn today() -> FileDescriptorSet {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let compiled = protox::compile(["events.proto", "stored.proto"], [folder]);
    bare(compiled.expect("the build compiled the same files"))
}

fn bare(mut set: FileDescriptorSet) -> FileDescriptorSet {
    set.file.iter_mut().for_each(|file| file.source_code_info = None);
    set
}

/// Descriptors of one file with this text, in package `p`.
#[track_caller]
fn compiled(text: &str) -> FileDescriptorSet {
    struct Only(String);
    impl FileResolver for Only {
        fn open_file(&self, name: &str) -> Result<File, protox::Error> {
            File::from_source(name, &self.0)
        }
    }
    let text = format!("syntax = \"proto3\";\npackage p;\n{text}");
    let mut compiler = Compiler::with_file_resolver(Only(text));
    let opened = compiler.open_file("only.proto").map(|compiler| compiler.file_descriptor_set());
    bare(opened.unwrap_or_else(|mistake| panic!("{mistake:?}")))
}
