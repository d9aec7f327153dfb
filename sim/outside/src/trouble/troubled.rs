//! The decorator: a party that suffers its troubles.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use invariants::Fact;
use invariants::fact::VenueMessage;
use model::Timestamp;

use super::handle::Change;
use super::{Trouble, Troubles};
use crate::draw::Draw;
use crate::party::{Due, Handled, Measure, Party, Post, later};

/// How soon the rail tries again to deliver to a party that is down.
const RAIL_RETRY: Duration = Duration::from_secs(60);

/// A party and its troubles. Without any it is the party, and nothing is drawn.
pub struct Troubled<P> {
    pub(super) party: P,
    pub(super) troubles: Troubles,
    pub(super) draw: Box<dyn Draw>,
    /// What the rail or the party's desk still has in hand, by when it goes on.
    under_way: BTreeMap<(Timestamp, u64), UnderWay>,
    /// What was put there so far.
    put: u64,
    pub(super) messages: super::messages::Outbox,
    /// UETRs whose credit is told by a notice, and so long after it.
    pub(super) told_twice: BTreeMap<String, Duration>,
    /// References of statement lines that were wrong once.
    pub(super) misstated: BTreeSet<String>,
}

#[derive(Debug)]
pub(super) enum UnderWay {
    /// To the party.
    Request(Request<Bytes>),
    /// From the party; `repeated`: it comes again by itself where nobody takes it.
    Message { post: Post, repeated: bool },
}

impl<P> fmt::Debug for Troubled<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let troubles = self.troubles.active();
        f.debug_struct("Troubled").field("troubles", &troubles).finish_non_exhaustive()
    }
}

impl<P: Party> Troubled<P> {
    /// `draw`: one stream for all troubles of this party, and for nothing else.
    pub fn new(party: P, troubles: Troubles, draw: Box<dyn Draw>) -> Self {
        Self {
            party,
            troubles,
            draw,
            under_way: BTreeMap::new(),
            put: 0,
            messages: super::messages::Outbox::default(),
            told_twice: BTreeMap::new(),
            misstated: BTreeSet::new(),
        }
    }

    pub(super) fn put_under_way(&mut self, at: Timestamp, what: UnderWay) {
        self.put += 1;
        self.under_way.insert((at, self.put), what);
    }

    /// Troubles that began or ended make the party itself do something else.
    fn notice_changes(&mut self, now: Timestamp) {
        if !self.troubles.has_changed() {
            return;
        }
        for Change { id, trouble, began } in self.troubles.take_changes() {
            match trouble {
                Trouble::EndOfDayEarly { before_close } => {
                    let by = if began { Some(before_close) } else { self.other_end_of_day() };
                    self.party.adopt(now, Measure::EndBeforeClose(by));
                }
                Trouble::KeysRotated { old_for } if began => {
                    self.troubles.meet(id);
                    self.party.adopt(now, Measure::RotateKeys { old_for });
                }
                _ => {}
            }
        }
    }

    fn other_end_of_day(&self) -> Option<Duration> {
        self.troubles.active().into_iter().find_map(|(_, trouble)| match trouble {
            Trouble::EndOfDayEarly { before_close } => Some(before_close),
            _ => None,
        })
    }

    fn meet_early_ends(&self, facts: &[Fact]) {
        let ends = |fact: &&Fact| matches!(fact, Fact::Venue { message: VenueMessage::EndOfDay, .. });
        if self.troubles.is_calm() || facts.iter().find(ends).is_none() {
            return;
        }
        for (id, trouble) in self.troubles.active() {
            if matches!(trouble, Trouble::EndOfDayEarly { .. }) {
                self.troubles.meet(id);
            }
        }
    }

    /// What is under way arrives, or leaves.
    fn go_on(&mut self, now: Timestamp, due: &mut Due) {
        while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= now) {
            match entry.remove() {
                UnderWay::Request(request) if self.is_down() => {
                    self.put_under_way(later(now, RAIL_RETRY), UnderWay::Request(request));
                }
                UnderWay::Request(request) => {
                    let hits = self.troubles.hits(&mut self.draw, |trouble| {
                        trouble.on_request(&request).filter(|_| trouble.is_treatment())
                    });
                    // Nobody waits for the answer.
                    let Handled { facts, .. } = self.deliver(now, &request, &hits);
                    due.facts.extend(facts);
                }
                UnderWay::Message { post, repeated } => due.posts.extend(self.leaves(post, repeated)),
            }
        }
    }

    pub(super) fn is_down(&self) -> bool {
        self.troubles.active().iter().any(|(_, trouble)| matches!(trouble, Trouble::Down { .. }))
    }
}

impl<P: Party> Party for Troubled<P> {
    fn handle(&mut self, now: Timestamp, request: &Request<Bytes>) -> Handled {
        self.notice_changes(now);
        let hits = self.troubles.hits(&mut self.draw, |trouble| trouble.on_request(request));
        if let Some(handled) = self.on_the_way_in(now, request, &hits) {
            return handled;
        }
        let handled = self.deliver(now, request, &hits);
        self.meet_early_ends(&handled.facts);
        self.on_the_way_back(now, request, handled, &hits)
    }

    fn next_due(&self) -> Option<Timestamp> {
        // Its own people are told at once.
        let told = self.troubles.has_changed().then_some(Timestamp::UNIX_EPOCH);
        let under_way = self.under_way.first_key_value().map(|((at, _), _)| *at);
        told.into_iter().chain(under_way).chain(self.party.next_due()).min()
    }

    fn due(&mut self, now: Timestamp) -> Due {
        self.notice_changes(now);
        let Due { posts, facts } = self.party.due(now);
        self.meet_early_ends(&facts);
        self.after_bookings(now, &facts);
        let posts = posts.into_iter().filter_map(|post| self.send(now, post)).collect();
        let mut due = Due { posts, facts };
        self.go_on(now, &mut due);
        due
    }

    fn answered(&mut self, now: Timestamp, key: &str, status: StatusCode) {
        if !self.messages.is_extra(key) {
            self.party.answered(now, key, status);
        }
    }

    fn adopt(&mut self, now: Timestamp, measure: Measure) {
        self.party.adopt(now, measure);
    }
}

impl<P: Party> Troubled<P> {
    /// Later, by a length drawn for each time.
    pub(super) fn drawn_after(&mut self, now: Timestamp, length: crate::draw::Span) -> Timestamp {
        later(now, length.draw(&mut self.draw))
    }
}
