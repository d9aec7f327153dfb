//! How often each client may ask, in token buckets (nanoseconds of credit, so that nothing is rounded), and how
//! many of its requests may be under way at once: a service that hangs holds up those who ask it, and not the
//! places of all others.

use std::collections::BTreeMap;
use std::time::Duration;

use model::Timestamp;

const SECOND: u64 = 1_000_000_000;
/// Clients that are remembered. Beyond that, those with a full bucket are forgotten: nothing is lost by it.
/// Where none has, a new client has to wait: memory is bounded, and those who were here first go on.
const CLIENTS_MAX: usize = 10_000;
/// How often it is looked who can be forgotten: it means looking at all of them.
const FORGET_EVERY: Duration = Duration::from_secs(1);

pub struct Limits {
    /// What one request costs.
    cost: u64,
    /// What a full bucket holds.
    full: u64,
    buckets: BTreeMap<String, Bucket>,
    /// Most requests of a client that wait for a service at once.
    under_way_max: u32,
    /// Clients with requests under way. Bounded by the requests that the host serves.
    under_way: BTreeMap<String, u32>,
    /// When it was last looked who can be forgotten.
    forgot_at: Option<Timestamp>,
}

#[derive(Clone, Copy)]
struct Bucket {
    credit: u64,
    at: Timestamp,
}

impl Limits {
    /// All numbers are at least 1.
    pub fn new(requests_per_second: u32, burst: u32, under_way_max: u32) -> Self {
        let all_admit = requests_per_second > 0 && burst > 0 && under_way_max > 0;
        assert!(all_admit, "a limit of nothing admits nobody");
        let cost = SECOND / u64::from(requests_per_second);
        let (buckets, under_way) = (BTreeMap::new(), BTreeMap::new());
        Self { cost, full: cost * u64::from(burst), buckets, under_way_max, under_way, forgot_at: None }
    }

    /// Takes one request out of the client's bucket.
    ///
    /// # Errors
    /// Where it holds none: in how many seconds it will.
    pub fn take(&mut self, client: &str, now: Timestamp) -> Result<(), u64> {
        if !self.buckets.contains_key(client) && !self.has_room(now) {
            return Err(FORGET_EVERY.as_secs());
        }
        let new = Bucket { credit: self.full, at: now };
        let bucket = self.buckets.entry(client.to_owned()).or_insert(new);
        let credit = filled(*bucket, self.full, now);
        *bucket = Bucket { credit, at: now };
        match credit.checked_sub(self.cost) {
            Some(rest) => {
                bucket.credit = rest;
                Ok(())
            }
            None => Err((self.cost - credit).div_ceil(SECOND)),
        }
    }

    /// Whether the client may have one more request under way. If so, [`Limits::ended`] is told of its end.
    pub fn begin(&mut self, client: &str) -> bool {
        let under_way = self.under_way.get(client).copied().unwrap_or(0);
        if under_way < self.under_way_max {
            self.under_way.insert(client.to_owned(), under_way + 1);
        }
        under_way < self.under_way_max
    }

    pub fn ended(&mut self, client: &str) {
        let Some(under_way) = self.under_way.get_mut(client) else { return };
        *under_way -= 1;
        if *under_way == 0 {
            self.under_way.remove(client);
        }
    }

    /// Whether one more client can be remembered.
    fn has_room(&mut self, now: Timestamp) -> bool {
        let looked = self.forgot_at.is_some_and(|at| at <= now && now < at + FORGET_EVERY);
        if self.buckets.len() >= CLIENTS_MAX && !looked {
            let full = self.full;
            self.buckets.retain(|_, bucket| filled(*bucket, full, now) < full);
            self.forgot_at = Some(now);
        }
        self.buckets.len() < CLIENTS_MAX
    }
}

/// The credit after the time that has passed; none where the clock was set back.
fn filled(bucket: Bucket, full: u64, now: Timestamp) -> u64 {
    let passed = now.as_nanosecond() - bucket.at.as_nanosecond();
    bucket.credit.saturating_add(u64::try_from(passed).unwrap_or(0)).min(full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let mut limits = Limits::new(2, 3, 1);
        let start = crate::testing::instant("2026-03-06T09:30:00Z");
        for _ in 0..3 {
            assert_eq!(limits.take("c-1", start), Ok(()));
        }
        assert_eq!(limits.take("c-1", start), Err(1));
        assert_eq!(limits.take("c-2", start), Ok(()), "another client has a bucket of its own");
        assert_eq!(limits.take("c-1", start + Duration::from_millis(499)), Err(1));
        assert_eq!(limits.take("c-1", start + Duration::from_millis(500)), Ok(()));
        assert_eq!(limits.take("c-1", start + Duration::from_millis(500)), Err(1));
        // A bucket never holds more than the burst.
        let later = start + Duration::from_secs(3_600);
        assert_eq!((0..10).filter(|_| limits.take("c-1", later).is_ok()).count(), 3);
    }

    #[test]
    fn a_clock_that_is_set_back_gives_no_credit() {
        let mut limits = Limits::new(1, 1, 1);
        let start = crate::testing::instant("2026-03-06T09:30:00Z");
        assert_eq!(limits.take("c-1", start), Ok(()));
        assert_eq!(limits.take("c-1", start - Duration::from_secs(60)), Err(1));
        assert_eq!(limits.take("c-1", start - Duration::from_secs(59)), Ok(()), "and does not stop for ever");
    }

    #[test]
    fn clients_that_ask_no_more_are_forgotten() {
        let mut limits = Limits::new(1, 1, 1);
        let start = crate::testing::instant("2026-03-06T09:30:00Z");
        for at in 0..CLIENTS_MAX {
            limits.take(&format!("c-{at}"), start).expect("its first request");
        }
        limits.take("new", start + Duration::from_secs(1)).expect("its first request");
        assert_eq!(limits.buckets.len(), 1);
    }
    #[test]
    fn a_flood_of_clients_takes_no_more_memory_and_no_room_of_those_who_are_here() {
        let mut limits = Limits::new(1, 2, 1);
        let start = crate::testing::instant("2026-03-06T09:30:00Z");
        let admitted =
            (0..3 * CLIENTS_MAX).filter(|at| limits.take(&format!("c-{at}"), start).is_ok()).count();
        assert_eq!((admitted, limits.buckets.len()), (CLIENTS_MAX, CLIENTS_MAX));
        assert_eq!(limits.take("new", start), Err(1), "it is told when to come again");
        assert_eq!(limits.take("c-1", start), Ok(()), "who is known goes on");
        let later = start + Duration::from_secs(1);
        assert_eq!(limits.take("new", later), Ok(()), "the others' buckets are full again, but that of c-1");
        assert_eq!(limits.buckets.len(), 2);
    }

    #[test]
    fn a_client_has_so_many_requests_under_way_and_leaves_no_trace() {
        let mut limits = Limits::new(1, 1, 2);
        assert!(limits.begin("c-1") && limits.begin("c-1") && !limits.begin("c-1"));
        assert!(limits.begin("c-2"), "another client has places of its own");
        limits.ended("c-1");
        assert!(limits.begin("c-1") && !limits.begin("c-1"));
        for client in ["c-1", "c-1", "c-2"] {
            limits.ended(client);
        }
        assert!(limits.under_way.is_empty());
    }
}
