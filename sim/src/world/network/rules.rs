//! Link faults: which of them are in force, and what they make of a message.
//!
//! Named after netem and Chaos Mesh (delay, loss, duplicate, reorder, bandwidth, partition) and FoundationDB (clog).
//! Links carry connections, as TCP does: what is lost is sent again and arrives later, and never out of order.
//! So loss and reordering show as stalls, and a long silence as a reset. Only requests that a proxy may repeat
//! are ever doubled.

use std::collections::{BTreeMap, BTreeSet};

use super::NodeIndex;
use crate::world::agenda::Elapsed;
use crate::world::rng::Rng;

/// First and longest wait of a sender before it sends again (RFC 6298 and Linux's `TCP_RTO_MIN`, `TCP_RTO_MAX`).
const RETRANSMIT_NS: (u64, u64) = (200_000_000, 120_000_000_000);
/// How long a sender tries before it gives the connection up (`tcp_retries2` = 15 gives 924.6 s).
pub const GIVE_UP_NS: u64 = 924_600_000_000;

/// Directed pairs of nodes.
pub type Pairs = BTreeSet<(NodeIndex, NodeIndex)>;

/// What a link fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEffect {
    /// Nothing passes, and nobody says so.
    Silence,
    /// Nothing passes: connections are reset, new ones refused, as by a firewall that rejects.
    Reject,
    /// Everything waits until the end and then arrives at once.
    Clog,
    /// Later by this much, and by up to the jitter more.
    Delay { by_ns: u64, jitter_ns: u64 },
    /// Odds of each transmission to be lost.
    Loss { ppm: u32 },
    /// Odds to be overtaken: what comes behind it on its connection waits too.
    Reorder { ppm: u32, by_ns: u64 },
    /// Odds of a repeatable request to arrive twice.
    Duplicate { ppm: u32 },
    /// Time that the link is busy with each message.
    Bandwidth { message_ns: u64 },
}

/// How a message fares on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Deliver { after_ns: u64, twice: bool },
    Hold,
    Reject,
}

struct Rule {
    id: u32,
    pairs: Pairs,
    effect: LinkEffect,
}

/// Latency of every link, and the faults in force.
pub struct Rules {
    base_ns: u64,
    jitter_ns: u64,
    rules: Vec<Rule>,
    /// Until when a link with little bandwidth is busy.
    busy: BTreeMap<(NodeIndex, NodeIndex), Elapsed>,
}

impl Rules {
    pub fn new(base_ns: u64, jitter_ns: u64) -> Self {
        Self { base_ns, jitter_ns, rules: Vec::new(), busy: BTreeMap::new() }
    }

    pub fn add(&mut self, id: u32, pairs: Pairs, effect: LinkEffect) {
        self.rules.push(Rule { id, pairs, effect });
    }

    /// Ends the fault; gives what it was.
    pub fn remove(&mut self, id: u32) -> Vec<LinkEffect> {
        let ended = self.rules.extract_if(.., |rule| rule.id == id).map(|rule| rule.effect).collect();
        if self.rules.is_empty() {
            self.busy.clear();
        }
        ended
    }

    /// Whether something stands between the two, by what is in force now.
    pub fn blocks(&self, from: NodeIndex, to: NodeIndex) -> Option<Verdict> {
        self.on(from, to).find_map(|effect| match effect {
            LinkEffect::Silence | LinkEffect::Clog => Some(Verdict::Hold),
            LinkEffect::Reject => Some(Verdict::Reject),
            _ => None,
        })
    }

    fn on(&self, from: NodeIndex, to: NodeIndex) -> impl Iterator<Item = LinkEffect> {
        self.rules.iter().filter(move |rule| rule.pairs.contains(&(from, to))).map(|rule| rule.effect)
    }

    pub fn verdict(&mut self, now: Elapsed, from: NodeIndex, to: NodeIndex, rng: &mut Rng) -> Verdict {
        let mut after_ns = self.base_ns + rng.below(self.jitter_ns + 1);
        if self.rules.is_empty() {
            return Verdict::Deliver { after_ns, twice: false };
        }
        if let Some(blocked) = self.blocks(from, to) {
            return blocked;
        }
        let mut twice = false;
        let effects: Vec<LinkEffect> = self.on(from, to).collect();
        for effect in effects {
            match effect {
                LinkEffect::Silence | LinkEffect::Reject | LinkEffect::Clog => {}
                LinkEffect::Delay { by_ns, jitter_ns } => after_ns += by_ns + rng.below(jitter_ns + 1),
                LinkEffect::Loss { ppm } => after_ns += retransmissions(ppm, rng),
                LinkEffect::Reorder { ppm, by_ns } if hits(ppm, rng) => after_ns += rng.below(by_ns + 1),
                LinkEffect::Reorder { .. } => {}
                LinkEffect::Duplicate { ppm } => twice |= hits(ppm, rng),
                LinkEffect::Bandwidth { message_ns } => {
                    let busy = self.busy.entry((from, to)).or_default();
                    *busy = (*busy).max(now) + message_ns;
                    after_ns += *busy - now;
                }
            }
        }
        Verdict::Deliver { after_ns, twice }
    }
}

fn hits(ppm: u32, rng: &mut Rng) -> bool {
    rng.below(1_000_000) < u64::from(ppm)
}

/// How much later a message arrives whose transmissions are lost at these odds: each wait is twice the last.
fn retransmissions(ppm: u32, rng: &mut Rng) -> u64 {
    let (mut wait, longest) = RETRANSMIT_NS;
    let mut later = 0;
    while later < GIVE_UP_NS && hits(ppm, rng) {
        later += wait;
        wait = (2 * wait).min(longest);
    }
    later
}

/// When a sender that has tried for `stalled_ns` tries next after the way is free again.
pub fn next_retransmission(stalled_ns: u64, rng: &mut Rng) -> u64 {
    let (first, longest) = RETRANSMIT_NS;
    rng.below(stalled_ns.clamp(first, longest) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(effect: LinkEffect) -> Rules {
        let mut rules = Rules::new(100, 0);
        rules.add(1, Pairs::from([(0, 1)]), effect);
        rules
    }

    fn verdicts(rules: &mut Rules, from: NodeIndex, to: NodeIndex) -> Vec<Verdict> {
        let mut rng = Rng::labelled(1, "network");
        (0..1_000).map(|_| rules.verdict(0, from, to, &mut rng)).collect()
    }

    const CLEAN: Verdict = Verdict::Deliver { after_ns: 100, twice: false };

    #[test]
    fn a_rule_holds_for_its_direction_until_its_end() {
        for (effect, blocked) in [
            (LinkEffect::Silence, Verdict::Hold),
            (LinkEffect::Clog, Verdict::Hold),
            (LinkEffect::Reject, Verdict::Reject),
        ] {
            let mut rules = rules(effect);
            assert!(verdicts(&mut rules, 0, 1).iter().all(|verdict| *verdict == blocked));
            assert!(verdicts(&mut rules, 1, 0).iter().all(|verdict| *verdict == CLEAN));
            assert_eq!(rules.remove(1), [effect]);
            assert!(verdicts(&mut rules, 0, 1).iter().all(|verdict| *verdict == CLEAN));
        }
    }

    #[test]
    fn what_is_lost_comes_later_and_later() {
        let mut rules = rules(LinkEffect::Loss { ppm: 500_000 });
        let late = |at_least: u64, verdicts: &[Verdict]| {
            let late = |verdict: &&Verdict| matches!(verdict, Verdict::Deliver { after_ns, .. } if *after_ns >= at_least);
            verdicts.iter().filter(late).count()
        };
        let verdicts = verdicts(&mut rules, 0, 1);
        assert!((450..550).contains(&late(200_000_000, &verdicts)), "half are lost once");
        assert!((200..300).contains(&late(600_000_000, &verdicts)), "a quarter twice");
    }

    #[test]
    fn a_thin_link_queues() {
        let mut rules = rules(LinkEffect::Bandwidth { message_ns: 1_000 });
        let expected = |n: u64| Verdict::Deliver { after_ns: 100 + n * 1_000, twice: false };
        let queued: Vec<Verdict> = (1..=1_000).map(expected).collect();
        assert_eq!(verdicts(&mut rules, 0, 1), queued);
    }

    #[test]
    fn faults_add_up() {
        let mut rules = rules(LinkEffect::Delay { by_ns: 5_000, jitter_ns: 0 });
        rules.add(2, Pairs::from([(0, 1)]), LinkEffect::Duplicate { ppm: 1_000_000 });
        let both = Verdict::Deliver { after_ns: 5_100, twice: true };
        assert!(verdicts(&mut rules, 0, 1).iter().all(|verdict| *verdict == both));
    }
}
