//! Errors by SQLSTATE (manual, appendix A), before it is known which statement of a pipeline they belong to.
//! Messages are PostgreSQL's own where it has one.

use host::ports::store::StoreError;

pub mod sqlstate {
    //! Condition names of appendix A.
    pub const FEATURE_NOT_SUPPORTED: &str = "0A000";
    pub const CHARACTER_NOT_IN_REPERTOIRE: &str = "22021";
    pub const NOT_NULL_VIOLATION: &str = "23502";
    pub const UNIQUE_VIOLATION: &str = "23505";
    pub const ACTIVE_SQL_TRANSACTION: &str = "25001";
    pub const READ_ONLY_SQL_TRANSACTION: &str = "25006";
    pub const NO_ACTIVE_SQL_TRANSACTION: &str = "25P01";
    pub const IN_FAILED_SQL_TRANSACTION: &str = "25P02";
    pub const IDLE_IN_TRANSACTION_SESSION_TIMEOUT: &str = "25P03";
    pub const SERIALIZATION_FAILURE: &str = "40001";
    pub const DEADLOCK_DETECTED: &str = "40P01";
    pub const DATATYPE_MISMATCH: &str = "42804";
    pub const SYNTAX_ERROR: &str = "42601";
    pub const UNDEFINED_COLUMN: &str = "42703";
    pub const UNDEFINED_OBJECT: &str = "42704";
    pub const UNDEFINED_TABLE: &str = "42P01";
    pub const TOO_MANY_CONNECTIONS: &str = "53300";
    pub const PROGRAM_LIMIT_EXCEEDED: &str = "54000";
    pub const LOCK_NOT_AVAILABLE: &str = "55P03";
    pub const DISK_FULL: &str = "53100";
    pub const QUERY_CANCELED: &str = "57014";
    pub const ADMIN_SHUTDOWN: &str = "57P01";
    pub const CRASH_SHUTDOWN: &str = "57P02";
    pub const CANNOT_CONNECT_NOW: &str = "57P03";
    pub const UNDEFINED_FILE: &str = "58P01";
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError {
    pub sqlstate: &'static str,
    pub message: String,
}

impl SqlError {
    #[cold]
    pub fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { sqlstate, message: message.into() }
    }

    #[cold]
    pub fn unique(constraint: &str) -> Self {
        let message = format!("duplicate key value violates unique constraint \"{constraint}\"");
        Self::new(sqlstate::UNIQUE_VIOLATION, message)
    }

    #[cold]
    pub fn read_only(command: &str) -> Self {
        let message = format!("cannot execute {command} in a read-only transaction");
        Self::new(sqlstate::READ_ONLY_SQL_TRANSACTION, message)
    }

    #[cold]
    pub fn concurrent_update() -> Self {
        Self::new(sqlstate::SERIALIZATION_FAILURE, "could not serialize access due to concurrent update")
    }

    #[cold]
    pub fn dangerous_structure() -> Self {
        let message = "could not serialize access due to read/write dependencies among transactions";
        Self::new(sqlstate::SERIALIZATION_FAILURE, message)
    }

    #[cold]
    pub fn disk_full(relation: &str) -> Self {
        let message = format!("could not extend relation \"{relation}\": No space left on device");
        Self::new(sqlstate::DISK_FULL, message)
    }

    /// FATAL: the session ends with it. Class 08 is not even told.
    pub fn ends_session(&self) -> bool {
        self.is_silent() || self.sqlstate.starts_with("57P") || self.sqlstate == "25P03"
    }

    pub fn is_silent(&self) -> bool {
        self.sqlstate.starts_with("08")
    }

    pub fn at(self, statement: usize) -> StoreError {
        StoreError::Database { sqlstate: self.sqlstate, statement, message: self.message }
    }
}
