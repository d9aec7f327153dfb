//! Clocks of nodes: true time, with an offset and a drift that faults change while the run goes on.

use super::World;
use super::agenda::Elapsed;
use super::network::NodeIndex;

/// A node's clock against true time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeClock {
    pub offset_ns: i64,
    /// Parts per billion: positive runs fast.
    pub drift_ppb: i64,
    /// Since when it drifts like this; what it drifted before is part of the offset.
    pub since: Elapsed,
}

impl NodeClock {
    /// What the clock shows, given true time and the time since the run's start.
    pub fn reading(&self, true_ns: i64, elapsed_ns: Elapsed) -> i64 {
        true_ns + self.offset_ns + self.drifted(elapsed_ns)
    }

    fn drifted(&self, elapsed_ns: Elapsed) -> i64 {
        let drift = i128::from(elapsed_ns - self.since) * i128::from(self.drift_ppb) / 1_000_000_000;
        i64::try_from(drift).expect("drift is a small part of the run's length")
    }

    /// The same reading now, and another rate from now on.
    fn drift_by(&mut self, ppb: i64, elapsed_ns: Elapsed) {
        self.offset_ns += self.drifted(elapsed_ns);
        self.since = elapsed_ns;
        self.drift_ppb += ppb;
    }
}

impl World {
    pub fn clock(&self, node: NodeIndex) -> NodeClock {
        self.nodes.borrow()[node].clock
    }

    /// What the node's clock shows, nanoseconds since the Unix epoch.
    pub fn clock_ns(&self, node: NodeIndex) -> i64 {
        self.clock(node).reading(self.now_ns(), self.agenda.elapsed())
    }

    /// Sets the node's clock forward or back. Whoever sleeps is not woken: sleeps count on the monotonic clock.
    pub fn bump_clock(&self, node: NodeIndex, by_ns: i64) {
        self.nodes.borrow_mut()[node].clock.offset_ns += by_ns;
    }

    /// Makes the node's clock run faster, or slower, by so many parts per billion.
    pub fn drift_clock(&self, node: NodeIndex, by_ppb: i64) {
        let elapsed = self.agenda.elapsed();
        self.nodes.borrow_mut()[node].clock.drift_by(by_ppb, elapsed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_drift_does_not_move_the_hands() {
        let mut clock = NodeClock { offset_ns: 5, drift_ppb: 1_000_000, since: 0 };
        assert_eq!(clock.reading(1_000_000, 1_000_000), 1_001_005);
        clock.drift_by(-1_000_000, 1_000_000);
        assert_eq!(clock.reading(1_000_000, 1_000_000), 1_001_005);
        assert_eq!(clock.reading(3_000_000, 3_000_000), 3_001_005, "and then it does not drift");
    }
}
