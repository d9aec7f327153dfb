//! Whose habits a client has where no setting says so.

/// A client library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// What the platform's hosts need. Producer: one batch per partition and request, `max.in.flight` 1, `linger.ms` 0,
    /// and a failure stops its partition for the rest of a send.
    Platform,
    /// Producer: one partition per request, transactions in version 1, a new producer id after a gap. Consumer: commits
    /// stored offsets at any time, resets a truncated position by `auto.offset.reset`.
    Librdkafka,
    /// Producer: all partitions of a broker in one request, transactions in version 2 where the cluster has it, too
    /// large batches split. Consumer: commits what earlier polls gave while it is polled, goes back to where a log
    /// was truncated.
    Java,
}
