//! Field paths: `load[0].rate.per_second`, `topology.kafka."session.timeout.ms"`.

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Key(String),
    Index(usize),
}

/// The path of `key` inside the table at `path`; the empty path is the file itself.
pub fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let key = if bare { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

pub fn item(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

pub fn parse(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (index, after) = inside.split_once(']')?;
            steps.push(Step::Index(index.parse().ok()?));
            rest = after;
            continue;
        }
        if !steps.is_empty() {
            rest = rest.strip_prefix('.')?;
        }
        let (key, after) = match rest.strip_prefix('"') {
            Some(inside) => inside.split_once('"')?,
            None => rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len())),
        };
        if key.is_empty() {
            return None;
        }
        steps.push(Step::Key(key.to_owned()));
        rest = after;
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_parsed_into_the_steps_that_made_it() {
        let path = join(&join(&item(&join("", "load"), 3), "a.b"), "rate");
        assert_eq!(path, r#"load[3]."a.b".rate"#);
        let key = |text: &str| Step::Key(text.to_owned());
        assert_eq!(parse(&path), Some(vec![key("load"), Step::Index(3), key("a.b"), key("rate")]));
        for bad in ["load[", "load[x]", "a..b", ".a", "a.", "load[0]rate"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
