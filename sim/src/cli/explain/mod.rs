mod keys;

use clap::Args;
use invariants::{FactKind, Invariant, Mark, marks, oracles};

use self::keys::{Described, FAULTS, HABITS};
use super::{Failure, out};
use crate::runner::subject::catalogue;
use crate::runner::verdict::Exit;

/// Explain an invariant, a mark, a fault's action or a habit
///
/// Of invariants and marks: what they say, and which facts they are judged from. Of actions and habits: their keys.
#[derive(Args)]
pub struct Explain {
    /// A name of `list invariants`, `list marks`, `list faults` or `list habits`
    #[arg(value_name = "NAME")]
    name: String,
}

impl Explain {
    pub fn run(self) -> Result<Exit, Failure> {
        if let Some(invariant) = oracles::find(&self.name) {
            return self.invariant(invariant.as_ref());
        }
        if let Some(mark) = marks::all().iter().find(|mark| mark.name() == self.name) {
            return self.mark(mark.as_ref());
        }
        let schema = scenario::schema(&catalogue());
        for (tables, word) in [(FAULTS, "fault"), (HABITS, "habit")] {
            if let Some(described) = tables.describe(&schema, &self.name) {
                return self.keys(word, &described);
            }
        }
        Err(self.unknown())
    }

    fn keys(&self, word: &str, described: &Described) -> Result<Exit, Failure> {
        out::line(format!("{} ({word})", self.name))?;
        out::line(wrapped(&described.about))?;
        out::line("")?;
        out::table(
            &described.keys.iter().map(|(key, said)| vec![key.clone(), said.clone()]).collect::<Vec<_>>(),
        )?;
        Ok(Exit::AsExpected)
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
        let catalogue = catalogue();
        let names = invariants.iter().map(|invariant| invariant.name());
        let names = names.chain(marks.iter().map(|mark| mark.name()));
        let names = names.chain(catalogue.fault_actions.iter().map(|action| action.name.as_str()));
        let names = names.chain(catalogue.habits.iter().map(|habit| habit.name.as_str()));
        let near = names.filter(|name| name.contains(&self.name) || self.name.contains(name));
        let near: Vec<&str> = near.take(3).collect();
        let hint = match near.as_slice() {
            [] => {
                "`list invariants`, `list marks`, `list faults` and `list habits` have the names".to_owned()
            }
            near => format!("did you mean {}?", near.join(" or ")),
        };
        Failure::Usage { message: format!("nothing is called `{}`", self.name), hint }
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
