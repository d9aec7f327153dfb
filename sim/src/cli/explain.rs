use clap::Args;
use invariants::{FactKind, Invariant, Mark, marks, oracles};

use super::{Failure, out};
use crate::runner::verdict::Exit;

/// Explain an invariant or a mark: what it says, and which facts it is judged from
#[derive(Args)]
pub struct Explain {
    /// A name of `list invariants` or `list marks`
    #[arg(value_name = "INVARIANT")]
    name: String,
}

impl Explain {
    pub fn run(self) -> Result<Exit, Failure> {
        if let Some(invariant) = oracles::find(&self.name) {
            return self.invariant(invariant.as_ref());
        }
        match marks::all().iter().find(|mark| mark.name() == self.name) {
            Some(mark) => self.mark(mark.as_ref()),
            None => Err(self.unknown()),
        }
    }

    fn invariant(&self, invariant: &dyn Invariant) -> Result<Exit, Failure> {
        out::line(format!("{} (invariant)", invariant.name()))?;
        out::line(wrapped(invariant.about()))?;
        out::line(format!("Judged from: {}", kinds(invariant.needs())))?;
        if !invariant.welcomes().is_empty() {
            out::line(format!("and, where they occur: {}", kinds(invariant.welcomes())))?;
        }
        Ok(Exit::AsExpected)
    }

    fn mark(&self, mark: &dyn Mark) -> Result<Exit, Failure> {
        out::line(format!("{} (mark)", mark.name()))?;
        out::line(wrapped(mark.about()))?;
        out::line(format!("Seen in: {}", kinds(mark.watches())))?;
        Ok(Exit::AsExpected)
    }

    fn unknown(&self) -> Failure {
        let (invariants, marks) = (oracles::all(), marks::all());
        let names =
            invariants.iter().map(|invariant| invariant.name()).chain(marks.iter().map(|mark| mark.name()));
        let near = names.filter(|name| name.contains(&self.name) || self.name.contains(name));
        let near: Vec<&str> = near.take(3).collect();
        let hint = match near.as_slice() {
            [] => "`list invariants` and `list marks` have the names".to_owned(),
            near => format!("did you mean {}?", near.join(" or ")),
        };
        Failure::Usage { message: format!("no invariant and no mark is called `{}`", self.name), hint }
    }
}

fn kinds(kinds: &[FactKind]) -> String {
    if kinds == FactKind::ALL {
        return "every kind of fact".to_owned();
    }
    kinds.iter().map(|kind| format!("{kind:?}")).collect::<Vec<_>>().join(", ")
}

/// The paragraph in lines of at most 100 characters.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always one");
        if !line.is_empty() && line.len() + 1 + word.len() > 100 {
            lines.push(word.to_owned());
        } else {
            *line += if line.is_empty() { "" } else { " " };
            *line += word;
        }
    }
    lines.join("\n")
}
