//! Recovery: what was committed is read, nothing is decided again.
//!
//! 1. `InitProducerId`: the owner before is fenced, what it left open is ended, and markers are written.
//! 2. The changelog to its last stable offset, folded into the state.
//! 3. The committed offset, once it is stable; it has to be where the changelog ends.
//!
//! In another order a transaction could be committed in between: its offset would be seen and its events not.

use super::memory::Memory;
use super::service::LogService;
use super::trouble::Trouble;
use super::{LogHost, RESUMES_MAX};
use crate::ports::transactional_log::{ErrorClass, LogReader, ReadError, TransactionalProducer};
use crate::store_host::count;

impl<S: LogService> LogHost<S> {
    pub(super) async fn recover(
        &self,
        producer: &mut dyn TransactionalProducer,
        partition: i32,
    ) -> Result<Memory<S::State>, Trouble> {
        self.init(producer).await?;
        let mut reader = self.ports.log.reader();
        let mut memory = self.replay(&mut *reader, partition).await?;
        let committed = self.committed(&mut *reader, partition).await?;
        let next = match (memory.next, committed) {
            (Some(next), Some(committed)) if next == committed => next,
            // The group's offsets have expired, the changelog has not.
            (Some(next), None) => next,
            (None, None) => self.input_bounds(&mut *reader, partition).await?.0,
            (changelog, committed) => return Err(Trouble::Inconsistent { changelog, committed }),
        };
        memory.next = Some(next);
        count(&self.counters.recoveries, 1);
        tracing::info!(instance = %self.instance, partition, next, "recovered");
        Ok(memory)
    }

    async fn init(&self, producer: &mut dyn TransactionalProducer) -> Result<(), Trouble> {
        let mut tries = 0;
        loop {
            match producer.init().await {
                Ok(()) => return Ok(()),
                Err(error) if error.class == ErrorClass::Retriable && tries < RESUMES_MAX => tries += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn replay(&self, reader: &mut dyn LogReader, partition: i32) -> Result<Memory<S::State>, Trouble> {
        let changelog = S::TOPICS.changelog;
        let (start, end) = self.patiently(async || reader.bounds(changelog, partition).await).await?;
        let mut memory = Memory::at(start);
        let mut at = start;
        while at < end {
            let page = self.patiently(async || reader.read(changelog, partition, at).await).await?;
            for record in &page.records {
                memory.replay(&self.service, record)?;
            }
            if page.next <= at {
                // The leader now is behind the one that told the end.
                return Err(Trouble::Unanswered(format!("the changelog ends at {at}, not at {end}")));
            }
            at = page.next;
        }
        if memory.lacks_its_beginning() { Err(Trouble::NoBeginning) } else { Ok(memory) }
    }

    async fn committed(&self, reader: &mut dyn LogReader, partition: i32) -> Result<Option<i64>, Trouble> {
        self.patiently(async || reader.committed(S::NAME, S::TOPICS.input, partition).await).await
    }

    /// The input's log as a whole: for a service that has never run.
    async fn input_bounds(&self, reader: &mut dyn LogReader, partition: i32) -> Result<(i64, i64), Trouble> {
        self.patiently(async || reader.bounds(S::TOPICS.input, partition).await).await
    }

    /// Asks again after a pause, a few times.
    async fn patiently<T>(&self, mut ask: impl AsyncFnMut() -> Result<T, ReadError>) -> Result<T, Trouble> {
        let mut tries = 0;
        loop {
            match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) if tries == RESUMES_MAX || error == ReadError::Corrupt => return Err(error.into()),
                Err(_) => tries += 1,
            }
            self.pause(tries).await;
        }
    }
}
