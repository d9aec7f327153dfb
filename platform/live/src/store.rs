//! The Store port: a connection per session.

use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;
use host::ports::store::{Role, Session, Store, StoreError};

use crate::catalogue::Catalogue;
use crate::connection::Connection;
use crate::session::PostgresSession;
use crate::settings::Settings;

/// A database. Needs a current-thread tokio runtime with its drivers for time and input/output.
pub struct Postgres {
    settings: Settings,
    catalogue: Rc<Catalogue>,
    closing: Rc<Cell<Option<&'static str>>>,
}

impl Postgres {
    pub fn new(settings: Settings) -> Self {
        Self { settings, catalogue: Rc::default(), closing: Rc::default() }
    }

    /// With which SQLSTATE a server last closed a session of its own accord: for logs, since to the caller such
    /// a session is as lost as any other.
    pub fn last_closing(&self) -> Option<&'static str> {
        self.closing.get()
    }
}

#[async_trait(?Send)]
impl Store for Postgres {
    async fn connect(&self, role: Role) -> Result<Box<dyn Session>, StoreError> {
        let settings = &self.settings;
        let address = match role {
            Role::Primary => &settings.primary,
            Role::Replica => settings.replica.as_ref().unwrap_or(&settings.primary),
        };
        let connection = Connection::open(settings, address, self.closing.clone()).await?;
        Ok(Box::new(PostgresSession::new(connection, self.catalogue.clone(), settings.answer_timeout)))
    }
}
