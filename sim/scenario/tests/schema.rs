//! The schema and the loader: every key of the one is a key of the other.

mod support;

use serde_json::Value as Json;
use support::{SMALL, catalogue, changed};

/// The path of every key that the schema has, as `--set` names it, with the overrides it needs besides.
fn paths(schema: &Json, path: &str, needs: &[String], into: &mut Vec<(String, Vec<String>)>) {
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        let quoted = if name.contains('.') { format!("{name:?}") } else { name.clone() };
        let path = if path.is_empty() { quoted } else { format!("{path}.{quoted}") };
        into.push((path.clone(), needs.to_vec()));
        paths(inner, &path, needs, into);
        for alternative in inner["anyOf"].as_array().into_iter().flatten() {
            paths(alternative, &path, needs, into);
        }
        let items = &inner["items"];
        paths(items, &format!("{path}[0]"), &[format!("{path}=[{{}}]")], into);
        for alternative in items["oneOf"].as_array().into_iter().flatten() {
            let kind = ["profile", "action", "habit"].into_iter().find_map(|kind| {
                let named = &alternative["properties"][kind]["const"];
                (!named.is_null()).then(|| format!("{path}[0].{kind}={named}"))
            });
            paths(alternative, &format!("{path}[0]"), &Vec::from_iter(kind), into);
        }
    }
}

#[test]
fn every_key_of_the_schema_is_one_that_the_loader_takes() {
    let mut keys = Vec::new();
    paths(&scenario::schema(&catalogue()), "", &[], &mut keys);
    assert!(keys.len() > 150, "only {} keys", keys.len());
    for (path, needs) in keys {
        let tables = ["{}", "1"].map(|value| format!("{path}={value}"));
        for set in tables {
            let overrides: Vec<&str> = needs.iter().map(String::as_str).chain([set.as_str()]).collect();
            let mistakes = changed(SMALL, &catalogue(), &overrides).err().unwrap_or_default();
            let refused = mistakes
                .lines()
                .find(|line| line.starts_with(&format!("--set {set}")) && line.contains("unknown key"));
            assert_eq!(refused, None, "{overrides:?}");
        }
    }
}

#[test]
fn a_key_that_the_schema_has_not_is_refused_by_both() {
    let schema = scenario::schema(&catalogue());
    let mut file: Json = toml::from_str(SMALL).expect("it is TOML");
    assert_eq!(support::schema::validate(&schema, &file), Ok(()));
    file["market"]["colour"] = "blue".into();
    assert!(support::schema::validate(&schema, &file).is_err());
    assert!(changed(SMALL, &catalogue(), &["market.colour=blue"]).is_err());
}

#[test]
fn the_three_spellings_of_a_setting_of_kafka_are_one() {
    let schema = scenario::schema(&catalogue());
    for written in ["session.timeout.ms", "\"session.timeout.ms\"", "session_timeout_ms"] {
        let text = format!("{SMALL}\n[topology.kafka]\n{written} = 60_000\n");
        let scenario = changed(&text, &catalogue(), &[]).expect("it is a setting");
        assert_eq!(scenario.topology.kafka.settings.len(), 1);
        assert!(scenario.topology.kafka.settings.contains_key("session.timeout.ms"), "{written}");
        let file: Json = toml::from_str(&text).expect("it is TOML");
        assert_eq!(support::schema::validate(&schema, &file), Ok(()), "{written}");
    }
}
