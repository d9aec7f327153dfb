//! `[topology.kafka]`: the number of brokers, and Kafka's settings by their real names.
//!
//! A dotted name without quotes is a tree of tables in TOML (`session.timeout.ms = 1`), so three spellings
//! mean one setting: that, the quoted name, and the name with underscores.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::{Context, Field, Flag, Here, Text, number};
use crate::catalogue::Catalogue;
use crate::kafka_settings::{KafkaSetting, SettingKind};
use crate::scenario::{Kafka, Setting};
use crate::text::nearest::nearest;
use crate::text::tree::{Entries, Node, Place, Value};

const BROKERS: std::ops::RangeInclusive<i64> = 1..=9;
const DEFAULT_BROKERS: u32 = 3;

#[derive(Clone, Copy, Debug)]
pub(super) struct KafkaTable;

/// A setting as the file names it, with dots.
struct Written<'a> {
    name: String,
    key: Place,
    node: &'a Node,
    here: Here<'a>,
}

impl Field for KafkaTable {
    type Out = Kafka;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<Kafka> {
        let Value::Table(entries) = &node.value else {
            return here.wrong_type(node, "a table", None);
        };
        let mut written = Vec::new();
        flatten("", entries, here, &mut written);
        let mut kafka = Kafka { brokers: DEFAULT_BROKERS, settings: BTreeMap::new() };
        for entry in written {
            if entry.name == "brokers" {
                kafka.brokers = number(BROKERS).read(entry.node, &entry.here).unwrap_or_default();
            } else if let Some((name, setting)) = read_setting(&entry) {
                kafka.settings.insert(name, setting);
            }
        }
        Some(kafka)
    }

    fn schema(&self, context: &Context<'_>) -> Json {
        let mut properties = Map::new();
        let brokers = json!({ "description": "Broker nodes.", "default": DEFAULT_BROKERS });
        let mut brokers = brokers.as_object().cloned().unwrap_or_default();
        brokers.extend(number::<u32>(BROKERS).schema(context).as_object().cloned().unwrap_or_default());
        properties.insert("brokers".to_owned(), Json::Object(brokers));
        for setting in
            context.catalogue.map(|catalogue| catalogue.kafka_settings.as_slice()).unwrap_or_default()
        {
            let schema = setting_schema(setting, context);
            properties.insert(setting.name.to_owned(), schema.clone());
            properties.insert(setting.name.replace('.', "_"), schema.clone());
            let parts: Vec<&str> = setting.name.split('.').collect();
            insert_nested(&mut properties, &parts, schema);
        }
        closed_object(properties)
    }
}

fn flatten<'a>(prefix: &str, entries: &'a Entries, here: &Here<'a>, into: &mut Vec<Written<'a>>) {
    for (key, entry) in entries {
        let name = format!("{prefix}{}", key.replace('_', "."));
        let here = here.key(key);
        match &entry.node.value {
            Value::Table(inner) => flatten(&format!("{name}."), inner, &here, into),
            _ => into.push(Written { name, key: entry.key, node: &entry.node, here }),
        }
    }
}

fn read_setting(written: &Written<'_>) -> Option<(String, Setting)> {
    let Written { name, key, node, here } = written;
    let settings = here.context.catalogue.map(|catalogue: &Catalogue| catalogue.kafka_settings.as_slice())?;
    let Some(spec) = settings.iter().find(|setting| setting.name == name) else {
        let known = settings.iter().map(|setting| setting.name).chain(["brokers"]);
        let hint = nearest(name, known).map(|near| format!("did you mean `{near}`?"));
        let hint = hint.or_else(|| Some("`bellwether schema` has the known ones".to_owned()));
        return here.refuse(*key, format!("unknown setting of Kafka `{name}`"), hint);
    };
    let setting = match spec.kind {
        SettingKind::Flag => Flag.read(node, here).map(Setting::Flag),
        SettingKind::Integer { min, max } => number(min..=max).read(node, here).map(Setting::Integer),
        SettingKind::Text => Text.read(node, here).map(Setting::Text),
        SettingKind::Choice(words) => {
            let word = Text.read(node, here)?;
            super::names::known_name("value", &word, words, node.place, here).map(Setting::Text)
        }
    }?;
    match spec.only {
        Some((only, why)) if setting.to_string() != only => {
            let hint = (!only.is_empty()).then(|| format!("for now only: {only}"));
            here.refuse(node.place, format!("{setting} is not supported: {why}"), hint)
        }
        _ => Some((name.clone(), setting)),
    }
}

fn setting_schema(setting: &KafkaSetting, context: &Context<'_>) -> Json {
    let mut schema = match setting.kind {
        SettingKind::Flag => Flag.schema(context),
        SettingKind::Integer { min, max } => number::<i64>(min..=max).schema(context),
        SettingKind::Text => Text.schema(context),
        SettingKind::Choice(words) => json!({ "enum": words }),
    };
    if let (Some((only, why)), Some(schema)) = (setting.only, schema.as_object_mut()) {
        let only = if only.is_empty() { "not supported" } else { only };
        schema.insert("description".to_owned(), json!(format!("For now only: {only}; {why}.")));
    }
    schema
}

fn insert_nested(properties: &mut Map<String, Json>, parts: &[&str], schema: Json) {
    let [first, rest @ ..] = parts else { return };
    if rest.is_empty() {
        properties.insert((*first).to_owned(), schema);
        return;
    }
    let inner = properties.entry(*first).or_insert_with(|| closed_object(Map::new()));
    if let Some(inner) = inner.get_mut("properties").and_then(Json::as_object_mut) {
        insert_nested(inner, rest, schema);
    }
}

fn closed_object(properties: Map<String, Json>) -> Json {
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}
