//! Timers: rows that become commands when the database's clock reaches them.

use std::rc::Rc;

use model::Timestamp;

use super::batch::{Item, ItemKey};
use super::connection::Connection;
use super::panics::caught;
use super::tables::TIMERS;
use super::{StoreHost, shifted};
use crate::ports::store::{OnConflict, Role, Row, Scan, Statement, Value};
use crate::service::Service;

impl<S: Service> StoreHost<S> {
    /// Fires timers until the lease is lost or the process is to end.
    pub(crate) async fn fire_timers(self: &Rc<Self>) {
        let mut connection = Connection::new(self.ports.clone(), Role::Primary);
        while !self.shutdown.is_asked() {
            let now = self.database_now();
            let statements = [due_timers(Some(now), self.settings.page_size), due_timers(None, 1)];
            let Some(mut replies) = self.on_duty(&mut connection, &statements).await else { return };
            let due = replies.rows();
            if due.is_empty() {
                self.wait_for_timer(replies.rows().first()).await;
            } else {
                self.fire(&mut connection, &due).await;
            }
        }
    }

    /// Sleeps to the next timer exactly, or until an earlier one is armed.
    async fn wait_for_timer(&self, next: Option<&Row>) {
        let due = next.map(|row| shifted(Timestamp::UNIX_EPOCH, row[1].as_int()));
        self.duties.next_timer.set(Some(due.unwrap_or(Timestamp::MAX)));
        self.woken_or_due(&self.duties.timers, due).await;
        self.duties.next_timer.set(None);
    }

    async fn fire(&self, connection: &mut Connection, due: &[Row]) {
        let mut items = Vec::with_capacity(due.len());
        for row in due {
            let id = row[0].as_text();
            let command = caught(|| self.service.on_timer(id));
            if let Ok(None) = command {
                tracing::warn!(instance = %self.instance, timer = id, "no command for this timer");
            }
            let key = ItemKey::Timer { id: id.to_owned(), sequence: row[2].as_int() };
            items.push(Item::new(command, format!("timer/{}/{id}", S::NAME), key));
        }
        for batch in self.batches_of(items) {
            self.execute(connection, batch).await;
        }
    }

    /// Arms periodic timers that are not armed.
    pub(crate) async fn arm_standing_timers(&self, connection: &mut Connection) {
        let standing = self.service.standing_timers(self.database_now());
        if standing.is_empty() {
            return;
        }
        let statements: Vec<Statement> = standing
            .into_iter()
            .map(|(id, due)| Statement::Insert {
                table: &TIMERS,
                row: vec![id.as_str().into(), Value::Int(due.as_millisecond()), Value::Int(0)],
                on_conflict: OnConflict::DoNothing,
            })
            .collect();
        self.on_duty(connection, &statements).await;
    }
}

pub(super) fn due_timers(up_to: Option<Timestamp>, limit: usize) -> Statement {
    Statement::Scan(Scan {
        table: &TIMERS,
        index: Some("due"),
        prefix: Vec::new(),
        after: None,
        up_to: up_to.map(|at| Value::Int(at.as_millisecond())),
        limit,
    })
}
