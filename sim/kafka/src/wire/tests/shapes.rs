//! The table of shapes says what the decoder reads, for each API and each version that the decoder knows.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;

use super::generate;
use crate::protocol::SUPPORTED;
use crate::wire::shape::{self, MAX_ELEMENTS};
use crate::wire::{Malformed, codec, frame, offered, shapes};

fn offered_apis() -> impl Iterator<Item = ApiKey> {
    SUPPORTED.iter().map(|(api, ..)| *api).filter(|api| offered(*api).is_some())
}

#[test]
fn what_the_table_draws_is_what_the_decoder_reads_and_writes() {
    for api in offered_apis() {
        let versions = api.valid_versions();
        // Here the decoder's table of versions is ahead of its structs.
        let highest = match api {
            ApiKey::OffsetCommit | ApiKey::OffsetFetch => 9,
            ApiKey::InitProducerId => 5,
            _ => versions.max,
        };
        for version in versions.min..=highest {
            for seed in 0..50 {
                let body = generate::body(api, version, seed * 7919 + 3);
                let shape = shapes::shape_of(api).expect("offered");
                let at = format!("{api:?} v{version} seed {seed}");
                assert_eq!(
                    shape::check(shape, version, frame::is_flexible(api, version), &body),
                    Ok(()),
                    "{at}"
                );
                let mut rest = Bytes::from(body.clone());
                let kind = codec::decode_request(api, version, &mut rest);
                let kind = kind.unwrap_or_else(|| panic!("{at} is not decoded"));
                assert!(rest.is_empty(), "{at}: {} bytes are left", rest.len());
                let mut written = BytesMut::new();
                codec::encode_request(&kind, version, &mut written)
                    .unwrap_or_else(|| panic!("{at} is not encoded"));
                assert_eq!(written.len(), body.len(), "{at}");
            }
        }
    }
}

#[test]
fn every_version_that_is_offered_is_known_to_the_decoder() {
    for api in offered_apis() {
        let (lowest, highest) = offered(api).expect("offered");
        let known = api.valid_versions();
        assert!(known.min <= lowest && highest <= known.max, "{api:?}");
    }
}

#[test]
fn a_length_without_its_elements_is_refused_before_it_is_allocated() {
    let shape = shapes::shape_of(ApiKey::Metadata).expect("offered");
    let body = [0x7f, 0xff, 0xff, 0xff];
    assert_eq!(shape::check(shape, 1, false, &body), Err(Malformed::TooManyElements));
    let body = [0x00, 0x00, 0x00, 0x09, 0x00];
    assert_eq!(shape::check(shape, 1, false, &body), Err(Malformed::CutOff));
    let compact = [0xff, 0xff, 0xff, 0xff, 0x0f];
    assert_eq!(shape::check(shape, 9, true, &compact), Err(Malformed::TooManyElements));
}

#[test]
fn as_many_elements_as_a_large_fetch_needs_are_let_through() {
    let shape = shapes::shape_of(ApiKey::Metadata).expect("offered");
    let count = MAX_ELEMENTS;
    let mut body = i32::try_from(count).expect("small").to_be_bytes().to_vec();
    body.extend(std::iter::repeat_n([0u8, 0], count).flatten());
    assert_eq!(shape::check(shape, 1, false, &body), Ok(()));
}

#[test]
fn what_follows_a_request_is_ignored() {
    let shape = shapes::shape_of(ApiKey::ListGroups).expect("offered");
    assert_eq!(shape::check(shape, 0, false, b"more"), Ok(()));
}

#[test]
fn a_known_tag_holds_its_field_and_nothing_else() {
    let shape = shapes::shape_of(ApiKey::Fetch).expect("offered");
    let fetch_with_cluster_id = |tag: &[u8]| {
        let mut body = vec![0; 4 + 4 + 4 + 4 + 1 + 4 + 4];
        body.extend([1, 1, 1]); // no topics, none forgotten, no rack
        body.extend([1, 0]); // one tag: the cluster's id
        body.extend(tag);
        shape::check(shape, 12, true, &body)
    };
    assert_eq!(fetch_with_cluster_id(&[3, 3, b'i', b'd']), Ok(()));
    assert_eq!(fetch_with_cluster_id(&[3, 2, b'i', b'd']), Err(Malformed::Tag));
    assert_eq!(fetch_with_cluster_id(&[3, 4, b'i', b'd']), Err(Malformed::CutOff));
}
