//! `--set path=value`: changes to the tree before it is read, so they are checked like the file itself.

use super::diagnostics::Draft;
use super::path::{self, Step};
use super::tree::{Entry, Node, Place, Value, parse_value};

/// Applies override number `source` (from 1) to the tree. A missing table on the way is created.
pub fn apply(root: &mut Node, source: usize, text: &str) -> Result<(), Draft> {
    let whole = Place::new(source, 0..text.len());
    let refuse = |path: &str, message: String| Draft::new(whole, path.to_owned(), message);
    let Some((written, value)) = text.split_once('=') else {
        let draft = refuse("", format!("`{text}` is not an override"));
        return Err(draft.hint("write path=value, for example market.accounts=50"));
    };
    let path = written.trim();
    let steps = path::parse(path).filter(|steps| !steps.is_empty());
    let Some(steps) = steps else {
        let draft = refuse("", format!("`{path}` is not a field path"));
        return Err(draft.hint("for example load[0].rate.per_second; indexes start at 0"));
    };
    let new = read_value(source, text.len() - value.len(), value)?;
    let key = Place::new(source, 0..written.trim_end().len());
    let mut node = root;
    for step in steps {
        node = descend(node, step, key).map_err(|message| refuse(path, message))?;
    }
    *node = new;
    Ok(())
}

fn descend(node: &mut Node, step: Step, key: Place) -> Result<&mut Node, String> {
    match (&mut node.value, step) {
        (Value::Table(entries), Step::Key(name)) => {
            let entry = entries.entry(name).or_insert_with(|| Entry { key, node: Node::default() });
            entry.node.place = if entry.node.place == Place::default() { key } else { entry.node.place };
            Ok(&mut entry.node)
        }
        (Value::List(items), Step::Index(index)) => {
            let count = items.len();
            items
                .get_mut(index)
                .ok_or_else(|| format!("there is no [{index}]: the array has {count}, from [0]"))
        }
        (value, Step::Key(name)) => Err(format!("`{name}` cannot be set in {}", value.kind())),
        (value, Step::Index(index)) => Err(format!("[{index}] cannot be set in {}", value.kind())),
    }
}

/// A TOML value; what is none is a string without its quotes, which shells like to eat.
fn read_value(source: usize, offset: usize, text: &str) -> Result<Node, Draft> {
    parse_value(source, offset, text).or_else(|draft| {
        let meant_as_toml = text.trim_start().starts_with(['"', '\'', '[', '{']);
        if meant_as_toml || text.trim().is_empty() {
            return Err(draft);
        }
        let start = offset + text.len() - text.trim_start().len();
        let place = Place::new(source, start..start + text.trim().len());
        Ok(Node { value: Value::Text(text.trim().to_owned()), place })
    })
}
