//! Ids that a decision makes: a hash of what is named, so that deciding again gives the same id.
//!
//! Called by services inside decisions, and by the simulator's outside parties. Not cryptographic: whoever
//! can choose business keys can look for collisions, so nothing is authorised by knowing an id.

use std::fmt;

use xxhash_rust::xxh3::xxh3_128;

use crate::ids::{
    AccountId, EntryId, InstrumentId, ParticipantId, PaymentLegId, TradeId, Uetr, VenueId, checked,
};

/// A 128-bit hash, shown as 32 lower-case hex digits. Converts into any id that is plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashId(u128);

impl HashId {
    /// The hash as a number.
    pub const fn get(self) -> u128 {
        self.0
    }
}

impl fmt::Display for HashId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

macro_rules! from_hash {
    ($($name:ident),+) => {
        $(impl From<HashId> for $name {
            fn from(hash: HashId) -> Self {
                checked(Self::new(&hash.to_string()))
            }
        })+
    };
}

from_hash!(TradeId, AccountId, InstrumentId, ParticipantId, VenueId, PaymentLegId, EntryId);

/// The id of the `attempt`-th thing of a `kind` that the parts of `business_key` name.
///
/// `kind` keeps different things with the same key apart (`"trade"`, `"entry"`). The parts are hashed with
/// their lengths: `["ab", "c"]` and `["a", "bc"]` differ. XXH3-128 over `len(part) part …` of kind and key,
/// lengths as 8 bytes little-endian, then the attempt as 4. Stored ids depend on it: it must not change.
pub fn hash_id(kind: &str, business_key: &[&str], attempt: u32) -> HashId {
    let mut bytes = Vec::with_capacity(128);
    for part in std::iter::once(&kind).chain(business_key) {
        let len = u64::try_from(part.len()).expect("a text in memory is shorter than 2^64 bytes");
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes.extend_from_slice(&attempt.to_le_bytes());
    HashId(xxh3_128(&bytes))
}

/// The reference of one attempt to pay a leg: the hash with the version and variant bits of a version 4
/// UUID (RFC 9562, section 5.4). The same attempt always has the same reference; a new attempt, allowed
/// only after a definite refusal, has another.
pub fn uetr(leg: &PaymentLegId, attempt: u32) -> Uetr {
    const VERSION_4: u128 = 0x4 << 76;
    const VERSION_BITS: u128 = 0xf << 76;
    const VARIANT_RFC: u128 = 0b10 << 62;
    const VARIANT_BITS: u128 = 0b11 << 62;
    let hash = hash_id("uetr", &[leg.as_str()], attempt).get();
    let shaped = (hash & !VERSION_BITS & !VARIANT_BITS) | VERSION_4 | VARIANT_RFC;
    let hex = format!("{shaped:032x}");
    let groups = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    checked(Uetr::new(&groups.join("-")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn leg(text: &str) -> PaymentLegId {
        PaymentLegId::new(text).expect("a valid id")
    }

    /// Stored data holds these: a change of the hash would make every id of a replay new.
    #[test]
    fn ids_never_change_between_builds() {
        assert_eq!(
            hash_id("trade", &["client-1", "key-1"], 0).to_string(),
            "4a7dd9a3ce08ce65566c68dea23b526e"
        );
        assert_eq!(uetr(&leg("leg-1"), 1).as_str(), "988ceb8c-0d9c-41de-8bc8-40ae6d718958");
    }

    #[test]
    fn kind_every_part_and_attempt_all_count() {
        let ids = [
            hash_id("trade", &["a", "bc"], 0),
            hash_id("trade", &["ab", "c"], 0),
            hash_id("trade", &["abc"], 0),
            hash_id("trade", &["abc", ""], 0),
            hash_id("tradea", &["bc"], 0),
            hash_id("entry", &["abc"], 0),
            hash_id("trade", &["abc"], 1),
            hash_id("trade", &["abc"], 256),
        ];
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        assert_eq!(ids[0], hash_id("trade", &["a", "bc"], 0));
    }

    #[test]
    fn hashes_with_leading_zeros_keep_all_their_digits() {
        assert_eq!(HashId(0xab).to_string(), "000000000000000000000000000000ab");
        assert_eq!(TradeId::from(HashId(0xab)).as_str(), "000000000000000000000000000000ab");
    }

    /// `Uetr::new` checks the shape, so making many is the test of it.
    #[test]
    fn every_attempt_has_its_own_version_4_reference() {
        let (one, other) = (leg("leg-1"), leg("leg-2"));
        let references: BTreeSet<_> =
            (0..1_000).flat_map(|attempt| [uetr(&one, attempt), uetr(&other, attempt)]).collect();
        assert_eq!(references.len(), 2_000);
    }
}
