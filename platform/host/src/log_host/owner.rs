//! The owner of an input partition: recovers, then decides and commits batch after batch, until it is asked to stop.

use std::rc::Rc;

use futures::FutureExt;

use super::LogHost;
use super::mailbox::Mailbox;
use super::service::LogService;
use super::trouble::Trouble;
use crate::store_host::count;

impl<S: LogService> LogHost<S> {
    /// `Ok`: it was asked to end.
    pub(super) async fn own(&self, partition: i32, mailbox: Rc<Mailbox>) -> Result<(), Trouble> {
        futures::select_biased! {
            () = mailbox.abandoned.wait().fuse() => Ok(()),
            result = self.process(partition, &mailbox).fuse() => result,
        }
    }

    async fn process(&self, partition: i32, mailbox: &Mailbox) -> Result<(), Trouble> {
        let mut producer = self.ports.log.transactional_producer(&self.transactional_id(partition));
        let mut memory = futures::select_biased! {
            // Nothing has been begun.
            () = mailbox.stop.wait().fuse() => return Ok(()),
            memory = self.recover(&mut *producer, partition).fuse() => memory?,
        };
        mailbox.feed_from(memory.next.unwrap_or(0));
        while let Some(inputs) = mailbox.take(self.settings.batch_size).await {
            let Some(decided) = self.decide(partition, &mut memory, inputs) else { continue };
            self.carry_out(&mut *producer, partition, &decided, mailbox).await?;
            mailbox.has_committed.set(true);
            count(&self.counters.batches, 1);
            count(&self.counters.inputs, decided.inputs);
        }
        Ok(())
    }

    /// One for each input partition, whoever owns it: the next owner's `InitProducerId` fences this one.
    fn transactional_id(&self, partition: i32) -> String {
        format!("{}/{}/{partition}", S::NAME, S::TOPICS.input)
    }
}
