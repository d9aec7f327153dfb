//! Hosts that are broken on purpose: the ways, and what becomes of the statements that such a host sends.
//!
//! Calls and records are changed where they pass; what is changed here is what a host says to its database. Habits
//! of the canaries are planted around the ports (`programs`).

use std::collections::BTreeMap;

use host::ports::store::{Key, OnConflict, Statement, StoreError, Value};

use super::Sabotage;

/// A way in which a host is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Every transaction finds its idempotency keys unused.
    ForgetsRequests,
    /// What was taken in of a source stream is not written down.
    ForgetsSequences,
    /// Every seventh record counts as acknowledged and is not sent.
    LosesMessages,
    /// Every command to somebody outside is sent twice.
    CallsTwice,
    /// ... and has a new idempotency key each time that it is sent.
    RenamesCalls,
    /// A request whose commit is of unknown outcome comes again as another one.
    RenamesUnheard,
    /// Of messages that one transaction takes from a stream, the last comes first.
    AppliesBackwards,
    /// A timer that has fired is there once more.
    FiresTwice,
    /// A habit that canaries plant in the platform.
    Habit(&'static str),
}

impl Sabotage {
    pub(super) fn twisted(&self, mut statements: Vec<Statement>) -> Vec<Statement> {
        match self.lie.get() {
            Some(Lie::ForgetsRequests) if statements.iter().any(takes_request) => {
                let number = self.next_lie();
                statements.iter_mut().for_each(|statement| rename_request(statement, number));
            }
            Some(Lie::ForgetsSequences) => statements.iter_mut().for_each(forget_last),
            Some(Lie::RenamesUnheard) => {
                let unheard = self.unheard.borrow();
                let is_unheard =
                    |statement: &Statement| request_of(statement).is_some_and(|key| unheard.contains(key));
                let again = statements.iter_mut().filter(|statement| is_unheard(statement));
                again.for_each(|statement| rename_request(statement, 0));
            }
            Some(Lie::AppliesBackwards) => apply_backwards(&mut statements),
            Some(Lie::FiresTwice) => statements.iter_mut().for_each(|statement| self.keep_timer(statement)),
            _ => {}
        }
        statements
    }

    /// What came of a pipeline with the answers to these requests.
    pub(super) fn hear(&self, answers: Vec<Key>, error: Option<&StoreError>) {
        if error == Some(&StoreError::UnknownCommit) {
            self.unheard.borrow_mut().extend(answers);
        }
    }

    /// A timer's row is deleted when it fires for the second time.
    fn keep_timer(&self, statement: &mut Statement) {
        if let Statement::DeleteIf { table, key, expected } = statement
            && let [(column, armed)] = &expected[..]
            && table.name == "timers"
            && self.fired.borrow_mut().insert((key.clone(), armed.clone()))
        {
            let set = vec![(*column, armed.clone())];
            let (key, expected) = (key.clone(), expected.clone());
            *statement = Statement::UpdateIf { table, key, expected, set };
        }
    }
}

/// The requests whose answers are stored.
pub fn answers(statements: &[Statement]) -> Vec<Key> {
    let answers = statements.iter().filter(|statement| matches!(statement, Statement::UpdateIf { .. }));
    answers.filter_map(request_of).map(<[Value]>::to_vec).collect()
}

fn takes_request(statement: &Statement) -> bool {
    matches!(statement, Statement::Insert { table, on_conflict: OnConflict::DoNothing, .. } if table.name == "inbox")
}

/// Scope and idempotency key of the request that a statement is about.
fn request_of(statement: &Statement) -> Option<&[Value]> {
    match statement {
        Statement::Insert { table, row, .. } if table.name == "inbox" => Some(&row[..2]),
        Statement::Get { table, keys } if table.name == "inbox" => keys.first().map(|key| &key[..]),
        Statement::UpdateIf { table, key, .. } if table.name == "inbox" => Some(key),
        _ => None,
    }
}

fn rename_request(statement: &mut Statement, number: u64) {
    let rename = |key: &mut Value| *key = format!("{}#{number}", key.as_text()).as_str().into();
    match statement {
        Statement::Insert { table, row, .. } if table.name == "inbox" => rename(&mut row[1]),
        Statement::UpdateIf { table, key, .. } if table.name == "inbox" => rename(&mut key[1]),
        Statement::Get { table, keys } if table.name == "inbox" => {
            keys.iter_mut().for_each(|key| rename(&mut key[1]));
        }
        _ => {}
    }
}

/// One less: the last message of the batch can come again.
fn forget_last(statement: &mut Statement) {
    if let Statement::Insert { table, row, on_conflict } = statement
        && table.name == "last_sequences"
    {
        row[2] = Value::Int(row[2].as_int() - 1);
        *on_conflict = OnConflict::Update;
    }
}

/// The versions of a stream's events stay; what they say, and why, changes places.
fn apply_backwards(statements: &mut [Statement]) {
    let mut events: BTreeMap<Value, Vec<&mut Vec<Value>>> = BTreeMap::new();
    for statement in statements {
        if let Statement::Insert { table, row, .. } = statement
            && table.name == "events"
            && row[3].as_text().starts_with("payment/")
        {
            events.entry(row[0].clone()).or_default().push(row);
        }
    }
    for rows in events.values_mut() {
        let said: Vec<Vec<Value>> = rows.iter().map(|row| row[2..].to_vec()).collect();
        rows.iter_mut().zip(said.into_iter().rev()).for_each(|(row, said)| {
            row.splice(2.., said);
        });
    }
}
