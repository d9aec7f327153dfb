//! What can be seen of the small world: rows of the database, records of the log, and what the hosts said.

use super::*;

impl Bench {
    /// What the primary has, or the server that would be it if it ran.
    pub(super) fn disk(&self) -> Ref<'_, Server> {
        self.database.leader().disk.borrow()
    }

    /// How many rows a table has.
    pub fn rows(&self, table: &str) -> usize {
        self.disk().rows(table).count()
    }

    /// The last sequence taken in of each source stream.
    pub fn taken(&self) -> Vec<(&'static str, u64)> {
        const STREAMS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "x", "y"];
        let disk = self.disk();
        let last = |stream: &str| {
            let source = format!("payment/{stream}");
            let row = disk.rows("last_sequences").find(|row| row[0].as_text() == source)?;
            Some(row[2].as_int().unsigned_abs())
        };
        STREAMS.into_iter().filter_map(|stream| Some((stream, last(stream)?))).collect()
    }

    fn events(&self, name: &str) -> Vec<Stored> {
        let stream = format!("counter/{name}");
        let disk = self.disk();
        let of = disk.rows("events").filter(|row| row[0].as_text() == stream);
        let mut events: Vec<Stored> = of
            .map(|row| {
                let event = Event::decode(row[2].as_bytes().clone()).expect("the counter wrote it");
                Stored { version: row[1].as_int(), event, cause: row[3].as_text().to_owned() }
            })
            .collect();
        events.sort_by_key(|stored| stored.version);
        events
    }

    /// What messages added to a counter, in order, replayed ones included.
    pub fn added_by_messages(&self, name: &str) -> Vec<u64> {
        let of_messages = |stored: &Stored| {
            ["payment/", "dead-letter/"].iter().any(|source| stored.cause.starts_with(source))
        };
        self.events(name).into_iter().filter(of_messages).filter_map(|stored| added(&stored.event)).collect()
    }

    /// Versions of the events of a counter.
    pub fn versions(&self, name: &str) -> Vec<i64> {
        self.events(name).into_iter().map(|stored| stored.version).collect()
    }

    /// What was added to a counter, in order.
    pub fn added(&self, name: &str) -> Vec<u64> {
        self.events(name).iter().filter_map(|stored| added(&stored.event)).collect()
    }

    /// The values that the counter published.
    pub fn published(&self) -> Vec<String> {
        self.seen.borrow().published.clone()
    }

    /// Sequence numbers of a counter's messages, as often as the log has them.
    pub fn visible(&self, name: &str) -> Vec<u64> {
        let source = format!("notification/counter/{name}");
        let seen = self.seen.borrow();
        seen.visible.iter().filter(|(from, _)| *from == source).map(|(_, sequence)| *sequence).collect()
    }

    /// The same, each as often as it was new.
    pub fn first_visible(&self, name: &str) -> Vec<u64> {
        let mut known = BTreeSet::new();
        self.visible(name).into_iter().filter(|sequence| known.insert(*sequence)).collect()
    }

    /// Every counter's messages are in the log, and were first so in their order.
    pub fn assert_no_gap(&self, what: &str) {
        let mut published: BTreeMap<String, u64> = BTreeMap::new();
        for row in self.disk().rows("outbox") {
            *published.entry(row[1].as_text().to_owned()).or_default() += 1;
        }
        for (stream, count) in published {
            let name = stream.strip_prefix("counter/").expect("only counters publish");
            assert_eq!(
                self.first_visible(name),
                (1..=count).collect::<Vec<_>>(),
                "{what}: messages of {name}"
            );
        }
    }

    /// Messages that are not marked as published.
    pub fn unsent(&self) -> usize {
        self.disk().rows("outbox").filter(|row| row[10].as_int() == 0).count()
    }

    /// The partition of a counter's messages.
    pub fn partition_of_counter(&self, name: &str) -> i32 {
        self.log.partition_of(topics::NOTIFICATION_EVENTS, name.as_bytes())
    }

    /// Panics of hosts, which the test has expected.
    pub fn take_panics(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.borrow_mut().panics)
    }

    pub fn decisions(&self) -> u64 {
        self.counters.iter().map(|host| host.decisions.get()).sum()
    }

    /// Which host has the duties, by the stored lease.
    pub fn holder(&self) -> Option<NodeIndex> {
        let disk = self.disk();
        let name = disk.rows("leases").next()?[1].as_text().to_owned();
        HOSTS.into_iter().find(|host| *self.world.node_names()[*host] == *name)
    }

    /// Epoch and end of the stored lease.
    pub fn lease(&self) -> (i64, i64) {
        let disk = self.disk();
        let row = disk.rows("leases").next().expect("somebody has the duties");
        (row[2].as_int(), row[3].as_int())
    }

    /// The input position of the only partition that has been read from.
    pub fn position(&self) -> Position {
        let disk = self.disk();
        let mut read = disk.rows("input_positions").filter(|row| row[2].as_int() > 0);
        let row = read.next().expect("something was read");
        assert!(read.next().is_none(), "of one partition");
        Position { next: row[2].as_int(), claim: row[3].as_int() }
    }
}
