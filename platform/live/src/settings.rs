//! Where the database is, and who asks.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The socket itself: `<directory>/.s.PGSQL.<port>`.
    Unix(PathBuf),
    Tcp {
        host: String,
        port: u16,
    },
}

#[derive(Clone)]
pub struct Settings {
    pub primary: Address,
    /// Where sessions for reading go; without one, to the primary.
    pub replica: Option<Address>,
    pub user: String,
    /// For SCRAM-SHA-256, MD5 or in clear, as the server asks. Never printed.
    pub password: Option<String>,
    pub database: String,
    /// Run-time parameters of each session, by PostgreSQL's names: `application_name`, `lock_timeout`, …
    pub parameters: Vec<(String, String)>,
    /// How long connecting may take until it counts as refused.
    pub connect_timeout: Duration,
    /// Silence after which a connection counts as lost. Longer than any wait for a lock that is meant.
    pub answer_timeout: Duration,
}

impl Settings {
    pub fn new(primary: Address, user: impl Into<String>, database: impl Into<String>) -> Self {
        Self {
            primary,
            replica: None,
            user: user.into(),
            password: None,
            database: database.into(),
            parameters: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("primary", &self.primary)
            .field("replica", &self.replica)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("database", &self.database)
            .field("parameters", &self.parameters)
            .field("connect_timeout", &self.connect_timeout)
            .field("answer_timeout", &self.answer_timeout)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_printed() {
        let address = Address::Tcp { host: "db".into(), port: 5432 };
        let settings =
            Settings { password: Some("tiger".into()), ..Settings::new(address, "trade", "trade") };
        let printed = format!("{settings:?}");
        assert!(!printed.contains("tiger") && printed.contains("Some(\"…\")"), "{printed}");
    }
}
