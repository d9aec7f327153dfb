//! A validator of the part of JSON Schema that the loader's schema uses; any other keyword is refused.

use regex::Regex;
use serde_json::Value as Json;

/// Why `value` does not fit `schema`.
pub fn validate(schema: &Json, value: &Json) -> Result<(), String> {
    let keywords = schema.as_object().ok_or("a schema is an object")?;
    for (keyword, rule) in keywords {
        check(keywords, keyword, rule, value).map_err(|why| format!("{why}, in {}", short(value)))?;
    }
    Ok(())
}

fn check(
    all: &serde_json::Map<String, Json>,
    keyword: &str,
    rule: &Json,
    value: &Json,
) -> Result<(), String> {
    let fits = match keyword {
        "title" | "description" | "default" | "$schema" | "additionalProperties" => true,
        "type" => has_type(rule.as_str().ok_or("type")?, value),
        "const" => value == rule,
        "enum" => rule.as_array().is_some_and(|allowed| allowed.contains(value)),
        "minimum" => value.as_i64() >= rule.as_i64(),
        "maximum" => value.as_i64() <= rule.as_i64(),
        "minLength" => value.as_str().is_some_and(|text| text.len() as u64 >= rule.as_u64().unwrap_or(0)),
        "minItems" => value.as_array().is_some_and(|items| items.len() as u64 >= rule.as_u64().unwrap_or(0)),
        "pattern" => {
            let pattern = Regex::new(rule.as_str().ok_or("pattern")?).map_err(|error| error.to_string())?;
            value.as_str().is_some_and(|text| pattern.is_match(text))
        }
        "required" => {
            let names = rule.as_array().ok_or("required")?.iter().filter_map(Json::as_str);
            let missing: Vec<&str> = names.filter(|name| value.get(name).is_none()).collect();
            return if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?} missing")) };
        }
        "items" => return value.as_array().into_iter().flatten().try_for_each(|item| validate(rule, item)),
        "properties" => {
            let closed = all.get("additionalProperties") == Some(&Json::Bool(false));
            return properties(rule, value, closed);
        }
        "anyOf" | "oneOf" => {
            let results: Vec<_> =
                rule.as_array().ok_or("anyOf")?.iter().map(|one| validate(one, value)).collect();
            let fitting = results.iter().filter(|result| result.is_ok()).count();
            if fitting == 1 || keyword == "anyOf" && fitting > 1 {
                return Ok(());
            }
            return Err(format!("{fitting} alternatives fit: {results:?}"));
        }
        "not" => validate(rule, value).is_err(),
        other => return Err(format!("the validator does not know `{other}`")),
    };
    if fits { Ok(()) } else { Err(format!("{keyword} {rule} does not hold")) }
}

fn properties(rule: &Json, value: &Json, closed: bool) -> Result<(), String> {
    for (name, inner) in value.as_object().into_iter().flatten() {
        match rule.get(name) {
            Some(schema) => validate(schema, inner).map_err(|why| format!("{name}: {why}"))?,
            None if closed => return Err(format!("no property `{name}`")),
            None => {}
        }
    }
    Ok(())
}

fn has_type(name: &str, value: &Json) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        _ => false,
    }
}

fn short(value: &Json) -> String {
    value.to_string().chars().take(80).collect()
}
