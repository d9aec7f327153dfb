//! `[[load]]`: keys that every load has, and those of its profile.

use serde_json::{Value as Json, json};

use super::names::known_name;
use super::times::OneDay;
use super::{Between, Context, Field, Here, Label, List, Moment, Number, Section, Table, Text, number};
use crate::catalogue::Profile;
use crate::load::{Load, Pace, Rate};
use crate::params::Params;
use crate::text::tree::Node;
use crate::when::When;

/// One load.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoadTable;

impl Field for LoadTable {
    type Out = Load;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<Load> {
        Section(|table| read_load(table, None)).read(node, here)
    }

    /// One alternative per profile, because each has keys of its own.
    fn schema(&self, context: &Context<'_>) -> Json {
        let profiles = context.catalogue.map(|catalogue| catalogue.profiles.as_slice()).unwrap_or_default();
        let describe = |profile: &Profile| {
            let mut schema = Table::describe(context, |table| read_load(table, Some(profile)));
            schema["properties"]["profile"] = json!({ "const": profile.name, "description": profile.about });
            schema
        };
        json!({ "oneOf": profiles.iter().map(describe).collect::<Vec<_>>() })
    }
}

fn read_load(table: &mut Table<'_>, described: Option<&Profile>) -> Load {
    let name = table.required("name", "Unique name of this load.", Label);
    let (profile_name, profile) = read_profile(table, described);
    let own_times = profile.as_ref().is_some_and(|profile| profile.own_times);
    let from = moment(table, "from", "When it begins.", own_times, When::OPEN);
    let to = moment(table, "to", "When it ends; not included.", own_times, When::CLOSE);
    let days =
        table.or("days", "Trading days on which it runs; without it all of them.", List(OneDay), Vec::new());
    let seed = table.optional("seed", "Label of its random numbers; without it its name.", Text);
    let pace = if own_times || profile.is_none() { Pace::Own } else { read_pace(table) };
    let params = match &profile {
        Some(profile) => table.capture(profile.read),
        None => {
            table.forgive_the_rest();
            toml::Table::new()
        }
    };
    let seed = seed.unwrap_or_else(|| name.clone());
    Load { name, profile: profile_name, from, to, days, seed, pace, params: Params(params) }
}

fn read_profile(table: &mut Table<'_>, described: Option<&Profile>) -> (String, Option<Profile>) {
    let name = table.required("profile", "What it does.", ProfileName);
    let known = table.context().catalogue.and_then(|catalogue| catalogue.profile(&name));
    (name, described.or(known).cloned())
}

/// A profile of the catalogue.
struct ProfileName;

impl Field for ProfileName {
    type Out = String;

    fn read(&self, node: &Node, here: &Here<'_>) -> Option<String> {
        let name = Text.read(node, here)?;
        let profiles =
            here.context.catalogue.map(|catalogue| catalogue.profiles.as_slice()).unwrap_or_default();
        let known: Vec<&str> = profiles.iter().map(|profile| profile.name.as_str()).collect();
        known_name("load profile", &name, &known, node.place, here)
    }

    fn schema(&self, context: &Context<'_>) -> Json {
        Text.schema(context)
    }
}

fn moment(table: &mut Table<'_>, key: &str, about: &str, own_times: bool, default: When) -> When {
    if own_times { table.or(key, about, Moment, default) } else { table.required(key, about, Moment) }
}

fn read_pace(table: &mut Table<'_>) -> Pace {
    let rate = table.optional("rate", "Operations per second.", Section(read_rate));
    let count = table.optional("count", "Exactly so many operations in each window.", Between(operations()));
    match (rate, count) {
        (Some(rate), None) => return Pace::Rate(rate),
        (None, Some(count)) => return Pace::Count(count),
        (Some(_), Some(_)) => {
            let hint = "a rate gives as many as come, a count exactly so many".to_owned();
            table.refuse("count", "both `rate` and `count`: one of them decides how many", Some(hint));
        }
        (None, None) => table.refuse("rate", "neither `rate` nor `count`: nothing says how many", None),
    }
    Pace::Own
}

fn operations() -> Number<u64> {
    number(1..=1_000_000)
}

fn read_rate(table: &mut Table<'_>) -> Rate {
    let rate = || Between(number(0..=10_000));
    Rate {
        per_second: table.required("per_second", "At the beginning.", rate()),
        ramp_to: table.optional("ramp_to", "Per second at the end, changing evenly.", rate()),
    }
}
