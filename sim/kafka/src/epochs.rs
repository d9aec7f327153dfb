//! Which leader epoch began at which offset of a log (KIP-101): what a follower truncates by.
//!
//! Real: `LeaderEpochFileCache`.

/// Epochs with their first offsets, both rising.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LeaderEpochs {
    entries: Vec<(i32, i64)>,
}

/// No such epoch or offset.
pub(crate) const UNDEFINED: (i32, i64) = (-1, -1);

impl LeaderEpochs {
    /// Epoch `epoch` begins at `offset`, unless it, or a later one, has begun before.
    pub fn assign(&mut self, epoch: i32, offset: i64) {
        if epoch < 0 || self.latest().is_some_and(|latest| latest >= epoch) {
            return;
        }
        // An epoch in which nothing was appended leaves no trace but the last one.
        while self.entries.pop_if(|(_, start)| *start >= offset).is_some() {}
        self.entries.push((epoch, offset));
    }

    pub fn latest(&self) -> Option<i32> {
        self.entries.last().map(|(epoch, _)| *epoch)
    }

    /// The epoch of the record at an offset.
    pub fn of(&self, offset: i64) -> Option<i32> {
        let after = self.entries.partition_point(|(_, start)| *start <= offset);
        self.entries[..after].last().map(|(epoch, _)| *epoch)
    }

    /// The largest epoch up to `wanted` and the offset at which it ended in this log, whose end is `end_offset`.
    pub fn end_of(&self, wanted: i32, end_offset: i64) -> (i32, i64) {
        let Some(latest) = self.latest().filter(|latest| wanted >= 0 && wanted <= *latest) else {
            return UNDEFINED;
        };
        if wanted == latest {
            return (latest, end_offset);
        }
        let after = self.entries.partition_point(|(epoch, _)| *epoch <= wanted);
        let ended_at = self.entries[after].1;
        match self.entries[..after].last() {
            Some((epoch, _)) => (*epoch, ended_at),
            // All of that epoch is below the log's start.
            None => (wanted, ended_at),
        }
    }

    pub fn truncate_from(&mut self, offset: i64) {
        while self.entries.pop_if(|(_, start)| *start >= offset).is_some() {}
    }

    /// Nothing below `offset` is there any more; the epoch that it lies in begins there now.
    pub fn raise_start(&mut self, offset: i64) {
        let below = self.entries.partition_point(|(_, start)| *start <= offset);
        if let Some(last_below) = below.checked_sub(1) {
            self.entries.drain(..last_below);
            self.entries[0].1 = offset;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        entries.iter().for_each(|(epoch, offset)| epochs.assign(*epoch, *offset));
        epochs
    }

    #[test]
    fn an_epoch_ends_where_the_next_begins() {
        let epochs = epochs(&[(0, 0), (2, 10), (5, 20)]);
        assert_eq!(epochs.end_of(0, 30), (0, 10));
        assert_eq!(epochs.end_of(1, 30), (0, 10), "nobody led in epoch 1");
        assert_eq!(epochs.end_of(4, 30), (2, 20));
        assert_eq!(epochs.end_of(5, 30), (5, 30));
        assert_eq!(epochs.end_of(6, 30), UNDEFINED);
    }

    #[test]
    fn older_epochs_and_empty_ones_leave_no_entry() {
        let mut epochs = epochs(&[(3, 5), (4, 5), (2, 9)]);
        assert_eq!(epochs, self::epochs(&[(4, 5)]));
        epochs.assign(6, 9);
        assert_eq!((epochs.of(4), epochs.of(5), epochs.of(12)), (None, Some(4), Some(6)));
    }

    #[test]
    fn truncation_and_retention_cut_both_ends() {
        let mut epochs = epochs(&[(0, 0), (1, 10), (2, 20)]);
        epochs.raise_start(12);
        assert_eq!(epochs, self::epochs(&[(1, 12), (2, 20)]));
        assert_eq!(epochs.end_of(0, 30), (0, 12), "below the start");
        epochs.truncate_from(20);
        assert_eq!(epochs, self::epochs(&[(1, 12)]));
    }
}
