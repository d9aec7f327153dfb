//! What a party sends of its own accord: late, lost, doubled; and messages that only a trouble sends.

use std::collections::BTreeSet;

use http::{HeaderValue, StatusCode};
use model::Timestamp;

use super::Trouble;
use super::troubled::{Troubled, UnderWay};
use crate::party::{IDEMPOTENCY_KEY, Party, Post};

/// Keys of the messages that are not simply the party's.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Messages that leave later. Their repetitions do not leave.
    held: BTreeSet<String>,
    /// Messages of which the party knows nothing.
    extra: BTreeSet<String>,
}

impl Outbox {
    pub fn is_extra(&self, key: &str) -> bool {
        self.extra.contains(key)
    }
}

impl<P: Party> Troubled<P> {
    /// A message that the party wants to send now: what leaves of it now.
    pub(super) fn send(&mut self, now: Timestamp, post: Post) -> Option<Post> {
        if self.messages.held.contains(&post.key) {
            return None;
        }
        let mut leaves_at = now;
        for (id, trouble) in self.troubles.hits(&mut self.draw, |trouble| trouble.on_message(&post)) {
            self.troubles.meet(id);
            match trouble {
                // It comes again by itself.
                Trouble::Down { .. } => return None,
                Trouble::MessageLost { .. } => {
                    self.party.answered(now, &post.key, StatusCode::OK);
                    return None;
                }
                Trouble::MessageLate { by, .. } => leaves_at = self.drawn_after(leaves_at, by),
                Trouble::MessageDoubled { after, new_key, .. } => {
                    let copy = if new_key { self.under_another_key(&post) } else { post.clone() };
                    let at = self.drawn_after(now, after);
                    self.put_under_way(at, UnderWay::Message { post: copy, repeated: false });
                }
                other => panic!("{} is not about messages", other.action()),
            }
        }
        if leaves_at == now {
            return Some(post);
        }
        self.messages.held.insert(post.key.clone());
        self.put_under_way(leaves_at, UnderWay::Message { post, repeated: true });
        None
    }

    /// A message that was late, or that only a trouble sends, once.
    pub(super) fn leaves(&mut self, post: Post, repeated: bool) -> Option<Post> {
        if repeated {
            self.messages.held.remove(&post.key);
        }
        (!self.is_down()).then_some(post)
    }

    /// A message of which the party knows nothing.
    pub(super) fn send_extra(&mut self, at: Timestamp, post: Post) {
        self.messages.extra.insert(post.key.clone());
        self.put_under_way(at, UnderWay::Message { post, repeated: false });
    }

    fn under_another_key(&mut self, post: &Post) -> Post {
        let mut copy = post.clone();
        copy.key = format!("{}.again", post.key);
        let key = HeaderValue::from_str(&copy.key).expect("keys of parties are plain ASCII");
        copy.request.headers_mut().insert(IDEMPOTENCY_KEY, key);
        self.messages.extra.insert(copy.key.clone());
        copy
    }
}
