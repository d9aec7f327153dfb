//! Requests on their way to a party, and answers on their way back.
//!
//! Several troubles may hit one request. On the way in the one with the lowest id decides alone; on the way back
//! each does its part: what is said is changed first, then whether and when it arrives.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use invariants::Fact;
use model::Timestamp;

use super::bank;
use super::troubled::{Troubled, UnderWay};
use super::{Contradiction, Cutoff, Outage, Trouble};
use crate::bank::{Hold, Reason, Treatment};
use crate::party::{Handled, Party, Reply, refusal};

type Hit = (u32, Trouble);

impl<P: Party> Troubled<P> {
    /// What becomes of a request that does not reach the party now; `None` for one that does.
    pub(super) fn on_the_way_in(
        &mut self,
        now: Timestamp,
        request: &Request<Bytes>,
        hits: &[Hit],
    ) -> Option<Handled> {
        let (id, reply) = hits.iter().find_map(|(id, trouble)| {
            let reply = match trouble {
                Trouble::Down { how: Outage::Unavailable } => {
                    Reply::Now(refusal(StatusCode::SERVICE_UNAVAILABLE, "down"))
                }
                Trouble::Error { status, done: false, .. } => Reply::Now(failure(*status)),
                Trouble::Down { how: Outage::Silent } | Trouble::RequestLost { .. } => Reply::Never,
                Trouble::RequestLate { by, .. } => {
                    let at = self.drawn_after(now, *by);
                    self.put_under_way(at, UnderWay::Request(request.clone()));
                    Reply::Never
                }
                _ => return None,
            };
            Some((*id, reply))
        })?;
        self.troubles.meet(id);
        Some(Handled { reply, facts: Vec::new() })
    }

    /// The party gets a request, and is asked to treat it as the troubles say.
    pub(super) fn deliver(&mut self, now: Timestamp, request: &Request<Bytes>, hits: &[Hit]) -> Handled {
        let treatment = self.treatment(hits);
        let handled = match treatment == Treatment::default() {
            true => self.party.handle(now, request),
            false => self.party.handle(now, &treatment.attach(request)),
        };
        self.meet_treated(&handled, hits);
        self.after_bookings(now, &handled.facts);
        handled
    }

    fn treatment(&mut self, hits: &[Hit]) -> Treatment {
        let mut treatment = Treatment::default();
        for (_, trouble) in hits {
            let (refuse, hold) = match trouble {
                Trouble::Reject { reason, .. } => (Some(*reason), None),
                Trouble::CutoffMissed { how: Cutoff::Refused } => (Some(Reason::InvalidCutOffTime), None),
                Trouble::CutoffMissed { how: Cutoff::Pending { reopens } } => {
                    (None, Some(Hold::Until(*reopens)))
                }
                Trouble::Pending { lasts, .. } => (None, Some(Hold::For(lasts.draw(&mut self.draw)))),
                Trouble::DedupExpired { .. } => {
                    treatment.as_new = true;
                    continue;
                }
                _ => continue,
            };
            treatment.refuse = treatment.refuse.or(refuse);
            treatment.hold = treatment.hold.or(hold);
        }
        treatment
    }

    /// A treatment counts where it made a difference to the books.
    fn meet_treated(&self, handled: &Handled, hits: &[Hit]) {
        let followed = handled.response().map(Treatment::followed).unwrap_or_default();
        if followed == Treatment::default() {
            return;
        }
        for (id, trouble) in hits {
            let met = match trouble {
                Trouble::Reject { reason, .. } => followed.refuse == Some(*reason),
                Trouble::CutoffMissed { how: Cutoff::Refused } => {
                    followed.refuse == Some(Reason::InvalidCutOffTime)
                }
                Trouble::CutoffMissed { .. } | Trouble::Pending { .. } => followed.hold.is_some(),
                Trouble::DedupExpired { .. } => followed.as_new,
                _ => false,
            };
            if met {
                self.troubles.meet(*id);
            }
        }
    }

    /// The answer as its caller gets it, if it does.
    pub(super) fn on_the_way_back(
        &mut self,
        now: Timestamp,
        request: &Request<Bytes>,
        handled: Handled,
        hits: &[Hit],
    ) -> Handled {
        let Handled { reply, facts } = handled;
        let (mut delay, mut response) = match reply {
            _ if hits.is_empty() => return Handled { reply, facts },
            Reply::Never => return Handled { reply, facts },
            Reply::Now(response) => (Duration::ZERO, response),
            Reply::After(delay, response) => (delay, response),
        };
        let mut arrives = true;
        for (id, trouble) in hits {
            let met = match trouble {
                Trouble::AckLate { by, .. } => {
                    delay += by.draw(&mut self.draw);
                    true
                }
                Trouble::AckLost { .. } => {
                    arrives = false;
                    true
                }
                Trouble::AckDuplicate { after, .. } => {
                    self.deliver_again(now, request, &facts, *after);
                    true
                }
                _ => self.say_otherwise(now, trouble, &mut response),
            };
            if met {
                self.troubles.meet(*id);
            }
        }
        let reply = if arrives { Reply::After(delay, response) } else { Reply::Never };
        Handled { reply, facts }
    }

    /// Changes what an answer says; whether it did.
    fn say_otherwise(&mut self, now: Timestamp, trouble: &Trouble, response: &mut Response<Bytes>) -> bool {
        let otherwise = match trouble {
            Trouble::Error { status, done: true, .. } => Some(failure(*status)),
            Trouble::Contradict { how: Contradiction::RefusedButExecuted, .. } => bank::refused(response),
            Trouble::Contradict { how: Contradiction::ExecutedButRefused, .. } => bank::executed(response),
            Trouble::Contradict { how: Contradiction::UnknownButTaken, .. } => bank::unknown(response, now),
            Trouble::StatementMismatch { how, .. } => {
                bank::misstated(response, *how, &mut self.misstated, &mut self.draw)
            }
            _ => None,
        };
        otherwise.map(|otherwise| *response = otherwise).is_some()
    }

    fn deliver_again(
        &mut self,
        now: Timestamp,
        request: &Request<Bytes>,
        facts: &[Fact],
        after: crate::draw::Span,
    ) {
        let at = self.drawn_after(now, after);
        self.put_under_way(at, UnderWay::Request(request.clone()));
        self.tell_twice(now, at, request, facts);
    }
}

/// An error of the server. Programmer error for what is none.
fn failure(status: u16) -> Response<Bytes> {
    let status = StatusCode::from_u16(status).ok().filter(StatusCode::is_server_error);
    refusal(status.expect("errors of servers are from 500 to 599"), "failed")
}
