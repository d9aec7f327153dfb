//! Webhook receivers of the participants: they take notices and count those that come twice.
//!
//! One party for all of them, by path. A receiver takes a notice each time it comes: deduplication is the
//! platform's duty, and the facts show whether it does it.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Request, StatusCode};
use invariants::Fact;
use model::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::party::{Handled, Party, answer, no_route, refusal, route};

/// Where the notices of a participant go, at the party `webhooks`.
pub fn path(participant: &str) -> String {
    format!("/hooks/{participant}")
}

#[derive(Debug, Default)]
pub struct Webhooks {
    /// How often each notice came: by participant, event and channel.
    taken: BTreeMap<(String, String, String), u32>,
}

/// What a receiver reads of a notice; the rest is the participant's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notice {
    event_id: String,
    channel: String,
}

impl Webhooks {
    pub fn new() -> Self {
        Self::default()
    }

    /// Different notices that were taken.
    pub fn notices(&self) -> usize {
        self.taken.len()
    }

    /// Notices beyond the first of each.
    pub fn duplicates(&self) -> u32 {
        self.taken.values().map(|times| times - 1).sum()
    }

    fn take(&mut self, participant: &str, body: &[u8]) -> Handled {
        let Ok(notice) = serde_json::from_slice::<Notice>(body) else {
            return Handled::answer(refusal(StatusCode::BAD_REQUEST, "a notice has eventId and channel"));
        };
        let key = (participant.to_owned(), notice.event_id.clone(), notice.channel.clone());
        *self.taken.entry(key).or_default() += 1;
        let fact = Fact::Notified {
            receiver: participant.to_owned(),
            event_id: notice.event_id,
            channel: notice.channel,
        };
        Handled { facts: vec![fact], ..Handled::answer(answer(StatusCode::OK, &json!({}))) }
    }
}

impl Party for Webhooks {
    /// `POST /hooks/{participant} {eventId, channel, …}`.
    fn handle(&mut self, _: Timestamp, request: &Request<Bytes>) -> Handled {
        let (method, path) = route(request);
        match (method, path.as_slice()) {
            ("POST", ["hooks", participant]) => self.take(participant, request.body()),
            _ => Handled::answer(no_route()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(webhooks: &mut Webhooks, path: &str, body: &'static str) -> (u16, Vec<Fact>) {
        let request = Request::post(path).body(Bytes::from(body)).expect("a request");
        let handled = webhooks.handle(Timestamp::UNIX_EPOCH, &request);
        let status = handled.response().expect("receivers answer").status().as_u16();
        (status, handled.facts)
    }

    #[test]
    fn every_notice_taken_is_a_fact_and_the_second_a_duplicate() {
        let mut webhooks = Webhooks::new();
        let notice = r#"{"eventId":"settlement-completed/t1","channel":"webhook","amount":"1.00"}"#;
        for duplicates in [0, 1, 2] {
            let (status, facts) = post(&mut webhooks, &path("P01"), notice);
            let expected = Fact::Notified {
                receiver: "P01".to_owned(),
                event_id: "settlement-completed/t1".to_owned(),
                channel: "webhook".to_owned(),
            };
            assert_eq!((status, facts), (200, vec![expected]));
            assert_eq!((webhooks.notices(), webhooks.duplicates()), (1, duplicates));
        }
        post(&mut webhooks, &path("P02"), notice);
        assert_eq!((webhooks.notices(), webhooks.duplicates()), (2, 2));
    }

    #[test]
    fn what_is_no_notice_is_refused_and_leaves_nothing() {
        let mut webhooks = Webhooks::new();
        assert_eq!(post(&mut webhooks, "/hooks/P01", "{}"), (400, vec![]));
        assert_eq!(post(&mut webhooks, "/hook/P01", "{}"), (404, vec![]));
        assert_eq!(webhooks.notices(), 0);
    }
}
