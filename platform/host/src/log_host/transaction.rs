//! Commits a decided batch, once: its records, its changelog and the offset of its input, or nothing of it.
//!
//! An aborted batch is sent again as it was decided; it is not decided again. A commit without an answer is asked for
//! until there is one. Where that helps no more the owner gives up, and a recovery finds out what was committed.

use super::batch::Decided;
use super::mailbox::Mailbox;
use super::service::LogService;
use super::trouble::Trouble;
use super::{LogHost, RESUMES_MAX};
use crate::ports::transactional_log::{ErrorClass, InputOffset, TransactionError, TransactionalProducer};
use crate::store_host::count;

/// So many aborts of a batch in a row, and the owner begins anew.
const ABORTS_MAX: u32 = 4;

/// A transaction that was not committed.
struct Failed {
    error: TransactionError,
    /// It was the offset that was not taken.
    at_offset: bool,
}

impl From<TransactionError> for Failed {
    fn from(error: TransactionError) -> Self {
        Self { error, at_offset: false }
    }
}

impl<S: LogService> LogHost<S> {
    pub(super) async fn carry_out(
        &self,
        producer: &mut dyn TransactionalProducer,
        partition: i32,
        decided: &Decided,
        mailbox: &Mailbox,
    ) -> Result<(), Trouble> {
        let mut aborts = 0;
        loop {
            let Err(Failed { error, at_offset }) = self.transact(producer, partition, decided).await else {
                return Ok(());
            };
            if error.class != ErrorClass::Abortable {
                return Err(error.into());
            }
            tracing::warn!(instance = %self.instance, partition, %error, "transaction is aborted");
            self.abort(producer).await?;
            count(&self.counters.aborts, 1);
            aborts += 1;
            if at_offset {
                return Err(Trouble::OffsetRefused(error.reason));
            }
            if aborts == ABORTS_MAX || mailbox.stop.is_set() {
                return Err(Trouble::Aborted(error.reason));
            }
            self.pause(aborts).await;
        }
    }

    async fn transact(
        &self,
        producer: &mut dyn TransactionalProducer,
        partition: i32,
        decided: &Decided,
    ) -> Result<(), Failed> {
        let offset = InputOffset { topic: S::TOPICS.input, partition, next: decided.next };
        producer.begin()?;
        producer.send(decided.records.clone())?;
        let member = self.metadata.borrow().clone();
        let sent =
            self.resumed(producer, async |producer| producer.send_offset(&offset, &member).await).await;
        sent.map_err(|error| Failed { error, at_offset: true })?;
        Ok(self.resumed(producer, async |producer| producer.commit().await).await?)
    }

    async fn abort(&self, producer: &mut dyn TransactionalProducer) -> Result<(), TransactionError> {
        self.resumed(producer, async |producer| producer.abort().await).await
    }

    /// The same call again while it says that it goes on.
    async fn resumed(
        &self,
        producer: &mut dyn TransactionalProducer,
        mut call: impl AsyncFnMut(&mut dyn TransactionalProducer) -> Result<(), TransactionError>,
    ) -> Result<(), TransactionError> {
        let mut tries = 0;
        loop {
            let Err(error) = call(producer).await else { return Ok(()) };
            let goes_on = matches!(error.class, ErrorClass::Retriable | ErrorClass::Unknown);
            if error.class == ErrorClass::Unknown {
                count(&self.counters.unknown_commits, 1);
            }
            if !goes_on || tries == RESUMES_MAX {
                return Err(error);
            }
            tries += 1;
        }
    }
}
