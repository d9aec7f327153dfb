//! The member of the group: which partitions are ours, their owners, and what each of them is fed.
//!
//! One task. The member is polled all the time, so that the membership lasts while owners work; only while partitions
//! are being given up it rests, for with the next poll they are somebody else's.

use std::collections::BTreeMap;
use std::rc::Rc;

use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use model::Timestamp;

use super::LogHost;
use super::mailbox::Mailbox;
use super::service::LogService;
use super::trouble::Trouble;
use crate::ports::transactional_log::{GroupMember, MemberEvent};
use crate::store_host::{count, later};

/// First and longest pause before a partition that is still ours is recovered again.
const AGAIN_MS: (u64, u64) = (500, 30_000);
/// How long an owner has to finish what it has begun when its partition goes: well below a session's time-out.
const FINISH_MS: u64 = 5_000;

/// The end of an owner.
struct Ended {
    partition: i32,
    mailbox: Rc<Mailbox>,
    result: Result<(), Trouble>,
}

type Owners<'a> = FuturesUnordered<LocalBoxFuture<'a, Ended>>;

/// A partition of ours.
struct Seat {
    mailbox: Rc<Mailbox>,
    /// Its owner has ended; when the next one begins.
    again: Option<Timestamp>,
    failures: u32,
}

/// What the member has.
struct Holdings<'a> {
    seats: BTreeMap<i32, Seat>,
    owners: Owners<'a>,
}

impl<S: LogService> LogHost<S> {
    /// Returns after [`LogHost::shut_down`].
    pub(super) async fn take_part(&self) {
        let mut member = self.ports.log.member(S::NAME, S::TOPICS.input);
        let mut holdings = Holdings { seats: BTreeMap::new(), owners: FuturesUnordered::new() };
        loop {
            holdings.serve(&mut *member);
            // All owners are of the generation that the member is in.
            self.metadata.replace(member.metadata());
            let again = holdings.next_claim();
            let again = async {
                match again {
                    Some(at) => self.ports.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let event = futures::select_biased! {
                () = self.shutdown.wait().fuse() => break,
                ended = holdings.owners.select_next_some() => {
                    self.owner_ended(ended, &mut holdings, &mut *member);
                    continue;
                }
                () = self.attention.received().fuse() => continue,
                event = member.poll().fuse() => event,
                () = again.fuse() => {
                    self.claim_again(&mut holdings);
                    continue;
                }
            };
            self.take_in(event, &mut holdings, &mut *member).await;
        }
        let all = holdings.seats.keys().copied().collect();
        self.give_up(all, &mut holdings).await;
        member.leave().await;
    }

    async fn take_in<'a>(
        &'a self,
        event: MemberEvent,
        holdings: &mut Holdings<'a>,
        member: &mut dyn GroupMember,
    ) {
        match event {
            MemberEvent::Assigned(partitions) => {
                for partition in partitions {
                    member.pause(partition);
                    holdings.abandon(partition);
                    self.begin(partition, 0, holdings);
                }
            }
            MemberEvent::Revoked(partitions) => self.give_up(partitions, holdings).await,
            MemberEvent::Lost(partitions) => partitions.into_iter().for_each(|lost| holdings.abandon(lost)),
            MemberEvent::Records { partition, records } => {
                let seat = holdings.seats.get(&partition);
                if seat.is_some_and(|seat| seat.mailbox.put(records)) {
                    member.pause(partition);
                }
            }
            MemberEvent::OutOfRange { partition, position } => {
                if let Some(seat) = holdings.seats.get_mut(&partition) {
                    seat.mailbox.abandoned.set();
                    self.fail(partition, seat, &Trouble::OutsideTheLog(position));
                    member.pause(partition);
                }
            }
        }
    }

    /// An owner for a partition of ours.
    fn begin<'a>(&'a self, partition: i32, failures: u32, holdings: &mut Holdings<'a>) {
        let mailbox = Mailbox::new(self.settings.queued_records_max, self.attention.clone());
        let seat = Seat { mailbox: mailbox.clone(), again: None, failures };
        holdings.seats.insert(partition, seat);
        holdings.owners.push(
            async move {
                let result = self.own(partition, mailbox.clone()).await;
                Ended { partition, mailbox, result }
            }
            .boxed_local(),
        );
    }

    /// Owners finish or abort what they have begun; those that need too long are left alone, for the next owner to fence.
    async fn give_up<'a>(&'a self, partitions: Vec<i32>, holdings: &mut Holdings<'a>) {
        let seats: Vec<Seat> = partitions.iter().filter_map(|gone| holdings.seats.remove(gone)).collect();
        seats.iter().for_each(|seat| seat.mailbox.stop.set());
        let mut unfinished = seats.iter().filter(|seat| seat.again.is_none()).count();
        let too_long = self.ports.clock.sleep_until(later(self.ports.clock.now(), FINISH_MS));
        let mut too_long = std::pin::pin!(too_long.fuse());
        // The owners of what stays go on meanwhile.
        while unfinished > 0 {
            futures::select_biased! {
                ended = holdings.owners.select_next_some() => {
                    let is_ours = seats.iter().any(|seat| Rc::ptr_eq(&seat.mailbox, &ended.mailbox));
                    match (is_ours, holdings.seats.get_mut(&ended.partition), ended.result) {
                        (true, ..) => unfinished -= 1,
                        (false, Some(seat), Err(trouble)) if Rc::ptr_eq(&seat.mailbox, &ended.mailbox) => {
                            self.fail(ended.partition, seat, &trouble);
                        }
                        _ => {}
                    }
                }
                () = too_long => break,
            }
        }
        seats.iter().for_each(|seat| seat.mailbox.abandoned.set());
    }

    fn owner_ended(&self, ended: Ended, holdings: &mut Holdings<'_>, member: &mut dyn GroupMember) {
        let Ended { partition, mailbox, result } = ended;
        let seat = holdings.seats.get_mut(&partition);
        let (Some(seat), Err(trouble)) = (seat.filter(|seat| Rc::ptr_eq(&seat.mailbox, &mailbox)), result)
        else {
            return;
        };
        member.pause(partition);
        self.fail(partition, seat, &trouble);
    }

    /// The owner has failed. As long as the group says that the partition is ours, we try again, ever more rarely: whoever
    /// fenced us was late, or is about to learn that it is not theirs.
    fn fail(&self, partition: i32, seat: &mut Seat, trouble: &Trouble) {
        if trouble.passes_by_itself() {
            tracing::warn!(instance = %self.instance, partition, %trouble, "to be recovered");
        } else {
            tracing::error!(instance = %self.instance, partition, %trouble, "the partition stands");
        }
        if matches!(trouble, Trouble::Fenced(_)) {
            count(&self.counters.fencings, 1);
        }
        if seat.mailbox.has_committed.get() {
            seat.failures = 0;
        }
        let (first, longest) = AGAIN_MS;
        let pause = (first << seat.failures.min(10)).min(longest);
        seat.failures += 1;
        let jitter = self.ports.entropy.next_u64() % (pause / 2 + 1);
        seat.again = Some(later(self.ports.clock.now(), pause + jitter));
    }

    fn claim_again<'a>(&'a self, holdings: &mut Holdings<'a>) {
        let now = self.ports.clock.now();
        let is_due = |seat: &Seat| seat.again.is_some_and(|at| at <= now);
        let due: Vec<(i32, u32)> = holdings
            .seats
            .iter()
            .filter(|(_, seat)| is_due(seat))
            .map(|(partition, seat)| (*partition, seat.failures))
            .collect();
        for (partition, failures) in due {
            self.begin(partition, failures, holdings);
        }
    }
}

impl Holdings<'_> {
    /// What owners wish of the member.
    fn serve(&self, member: &mut dyn GroupMember) {
        for (partition, seat) in &self.seats {
            if let Some(offset) = seat.mailbox.take_wish() {
                member.seek(*partition, offset);
                member.resume(*partition);
            }
            if seat.mailbox.takes_more() {
                member.resume(*partition);
            }
        }
    }

    fn next_claim(&self) -> Option<Timestamp> {
        self.seats.values().filter_map(|seat| seat.again).min()
    }

    fn abandon(&mut self, partition: i32) {
        if let Some(seat) = self.seats.remove(&partition) {
            seat.mailbox.abandoned.set();
        }
    }
}
