//! JSON Schema of scenario files, for editors.

use serde_json::{Value as Json, json};

use crate::catalogue::Catalogue;
use crate::read::{Context, Table, read_scenario};

/// The schema: made by running the loader's own readers over nothing, so it has exactly the keys they take.
pub fn schema(catalogue: &Catalogue) -> Json {
    let context = Context::new(Some(catalogue));
    let mut schema = Table::describe(&context, read_scenario);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Bellwether scenario");
    schema
}
