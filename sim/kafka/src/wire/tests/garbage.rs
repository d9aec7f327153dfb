//! Bytes that mean nothing, and requests with a few bytes changed: refused or understood, never a panic.

use bytes::Bytes;
use kafka_protocol::messages::ApiKey;
use proptest::prelude::*;

use super::{generate, request_frame};
use crate::protocol::SUPPORTED;
use crate::records::{self, BatchHeader};
use crate::wire::{NoTopicIds, decode_request, offered};

fn any_api() -> impl Strategy<Value = (ApiKey, i16)> {
    let apis: Vec<ApiKey> =
        SUPPORTED.iter().map(|(api, ..)| *api).filter(|api| offered(*api).is_some()).collect();
    proptest::sample::select(apis).prop_flat_map(|api| {
        let (lowest, highest) = offered(api).expect("offered");
        (Just(api), lowest..=highest)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn noise_is_no_request(frame in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_request(Bytes::from(frame), &NoTopicIds);
    }

    #[test]
    fn noise_behind_a_header((api, version) in any_api(), body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_request(request_frame(api, version, &body), &NoTopicIds);
    }

    #[test]
    fn what_can_be_said_is_understood((api, version) in any_api(), seed in any::<u64>()) {
        let body = generate::body(api, version, seed);
        prop_assert!(decode_request(request_frame(api, version, &body), &NoTopicIds).is_ok());
    }

    #[test]
    fn a_request_with_bytes_changed(
        (api, version) in any_api(),
        seed in any::<u64>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut body = generate::body(api, version, seed);
        for (at, byte) in changes {
            if !body.is_empty() {
                let at = at.index(body.len());
                body[at] = byte;
            }
        }
        body.truncate(cut.index(body.len() * 2 + 1));
        let _ = decode_request(request_frame(api, version, &body), &NoTopicIds);
    }

    #[test]
    fn noise_is_no_batch(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let bytes = Bytes::from(bytes);
        let _ = BatchHeader::validate(&bytes);
        let _ = records::decode_batch(&bytes);
        let _ = records::next_batch(&mut bytes.clone());
    }
}
