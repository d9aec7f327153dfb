//! What goes wrong on the wire, before it is known what it means to the call under way.

use std::collections::BTreeSet;
use std::io;
use std::sync::{LazyLock, Mutex};

use fallible_iterator::FallibleIterator;
use host::ports::store::StoreError;
use postgres_protocol::message::backend::ErrorFields;

/// Condition names of the manual's appendix A, of what the port refuses itself.
pub mod sqlstate {
    pub const FEATURE_NOT_SUPPORTED: &str = "0A000";
    pub const ACTIVE_SQL_TRANSACTION: &str = "25001";
    pub const NO_ACTIVE_SQL_TRANSACTION: &str = "25P01";
    pub const IN_FAILED_SQL_TRANSACTION: &str = "25P02";
    pub const SYNTAX_ERROR: &str = "42601";
    pub const UNDEFINED_COLUMN: &str = "42703";
    pub const UNDEFINED_OBJECT: &str = "42704";
    pub const DATATYPE_MISMATCH: &str = "42804";
}

/// An error that is not yet tied to a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError {
    pub sqlstate: &'static str,
    pub message: String,
}

impl SqlError {
    pub fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { sqlstate, message: message.into() }
    }

    pub fn at(self, statement: usize) -> StoreError {
        StoreError::Database { sqlstate: self.sqlstate, statement, message: self.message }
    }
}

/// An ErrorResponse or NoticeResponse (manual 55.8).
#[derive(Clone, Debug)]
pub struct Report {
    pub error: SqlError,
    /// FATAL and PANIC: the server closes the session.
    pub closes: bool,
}

impl Report {
    pub fn read(fields: ErrorFields<'_>) -> io::Result<Self> {
        let (mut severity, mut code, mut message) = (String::new(), String::new(), String::new());
        let mut fields = fields;
        while let Some(field) = fields.next()? {
            let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
            match field.type_() {
                // Not translated, unlike S.
                b'V' => severity = value,
                b'C' => code = value,
                b'M' => message = value,
                _ => {}
            }
        }
        let closes = matches!(severity.as_str(), "FATAL" | "PANIC");
        Ok(Self { error: SqlError { sqlstate: interned(code), message }, closes })
    }
}

/// The port names SQLSTATEs by static text. There are a few hundred, so each is kept for good when first seen.
fn interned(code: String) -> &'static str {
    static SEEN: LazyLock<Mutex<BTreeSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut seen = SEEN.lock().expect("no panic while the lock is held");
    match seen.get(code.as_str()) {
        Some(known) => known,
        None => {
            let kept: &'static str = code.leak();
            seen.insert(kept);
            kept
        }
    }
}
