//! Marks of clients that speak FIX: their names start with `fix-`.

use super::{Mark, when};
use crate::fact::Outcome;
use crate::{Fact, FactKind, Record};

const ANSWERS: &[FactKind] = &[FactKind::Answer];

pub fn marks() -> Vec<Box<dyn Mark>> {
    vec![
        when!("fix:accepted", "A FIX client's request was accepted.", ANSWERS, |record| {
            matches!(outcome(record), Some(Outcome::Accepted { .. }))
        }),
        when!("fix:rejected", "A FIX client's request was refused.", ANSWERS, |record| {
            matches!(outcome(record), Some(Outcome::Rejected { .. }))
        }),
    ]
}

fn outcome<'r>(record: &Record<'r>) -> Option<&'r Outcome> {
    match record.fact {
        Fact::Answer(answer) if answer.client.starts_with("fix-") => Some(&answer.outcome),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;
    use crate::testing::{accepted, answered, history};

    #[test]
    fn only_fix_clients_count() {
        check("fix:accepted", history![accepted("c", "k", "T-1")], false);
        check("fix:accepted", history![accepted("fix-1", "k", "T-1")], true);
        let refused = Outcome::Rejected { status: 422, code: String::new() };
        check("fix:rejected", history![answered("fix-1", "k", refused)], true);
    }
}
