//! Keys as bytes whose order is the order of their columns, so that trees compare memory instead of values.
//!
//! Each column encodes itself with its end, so a prefix of columns is a prefix of bytes, and [`ABOVE`] after a
//! prefix sorts behind everything that continues it. The order is PostgreSQL's ascending one: NULLS LAST
//! (manual 11.4), texts in the "C" collation (24.2). Types order by kind; PostgreSQL would refuse to mix them.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

use host::ports::store::Value;
use indexmap::IndexMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Greater than the first byte of any column.
pub const ABOVE: u8 = 0xFF;
/// PostgreSQL's limit of an index row on pages of 8 kB (`BTMaxItemSize`).
pub const KEY_BYTES_MAX: usize = 2704;
/// Tags below this are negative integers by their length, from this on the others.
const INT_ZERO: u8 = 0x18;
const TEXT: u8 = 0x30;
const BYTES: u8 = 0x40;
const NULL: u8 = 0xF0;
const TERMINATOR: [u8; 2] = [0x00, 0x01];
const ESCAPED_ZERO: [u8; 2] = [0x00, 0xFF];

pub fn encode<'a>(values: impl IntoIterator<Item = &'a Value>, into: &mut Vec<u8>) {
    for value in values {
        encode_value(value, into);
    }
}

pub fn encode_value(value: &Value, into: &mut Vec<u8>) {
    match value {
        Value::Null => into.push(NULL),
        Value::Int(value) => encode_int(*value, into),
        Value::Text(value) => encode_bytes(TEXT, value.as_bytes(), into),
        Value::Bytes(value) => encode_bytes(BYTES, value, into),
    }
}

/// As few bytes as the number needs, their count in the tag: small numbers are most numbers.
fn encode_int(value: i64, into: &mut Vec<u8>) {
    let magnitude = if value < 0 { !value } else { value };
    let unused = (magnitude.leading_zeros() / 8) as usize;
    let length = (8 - unused) as u8;
    into.push(if value < 0 { INT_ZERO - 1 - length } else { INT_ZERO + length });
    into.extend_from_slice(&value.to_be_bytes()[unused..]);
}

fn encode_bytes(tag: u8, bytes: &[u8], into: &mut Vec<u8>) {
    into.push(tag);
    if bytes.contains(&0) {
        for byte in bytes {
            match byte {
                0 => into.extend_from_slice(&ESCAPED_ZERO),
                byte => into.push(*byte),
            }
        }
    } else {
        into.extend_from_slice(bytes);
    }
    into.extend_from_slice(&TERMINATOR);
}

const INLINE: usize = 30;

/// An encoded key. Most fit into the tree's node; cloning never allocates.
#[derive(Clone)]
pub enum KeyBytes {
    Inline { length: u8, bytes: [u8; INLINE] },
    Shared(Arc<[u8]>),
}

impl KeyBytes {
    pub fn new(encoded: &[u8]) -> Self {
        if encoded.len() <= INLINE {
            let mut bytes = [0; INLINE];
            bytes[..encoded.len()].copy_from_slice(encoded);
            Self::Inline { length: encoded.len() as u8, bytes }
        } else {
            Self::Shared(encoded.into())
        }
    }

    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inline { length, bytes } => &bytes[..usize::from(*length)],
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Borrow<[u8]> for KeyBytes {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for KeyBytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for KeyBytes {}

impl PartialOrd for KeyBytes {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for KeyBytes {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

/// A key within a space: a table or a unique index. Found by hash, since nobody asks for a range of them.
#[derive(Clone, PartialEq, Eq)]
pub struct SpaceKey {
    pub space: u32,
    pub key: KeyBytes,
}

/// A map by key within a space, in the order of inserting. Kept and reused, it does not allocate.
pub type SpaceMap<V> = IndexMap<SpaceKey, V, BuildHasherDefault<KeyHasher>>;

impl Hash for SpaceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(xxh3_64_with_seed(self.key.as_slice(), u64::from(self.space)));
    }
}

/// Takes the hash that a key has computed of itself: the same in every process.
#[derive(Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, _: &[u8]) {
        unreachable!("a key hashes itself");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Int),
            (-300_i64..300).prop_map(Value::Int),
            "[a-c\u{0}\u{e9}]{0,4}".prop_map(Value::text),
            proptest::collection::vec(prop_oneof![Just(0), Just(1), Just(0xFF), any::<u8>()], 0..4)
                .prop_map(|bytes| Value::Bytes(Bytes::from(bytes))),
        ]
    }

    /// The order meant, written down naively.
    fn compare(a: &Value, b: &Value) -> Ordering {
        match (a, b) {
            (Value::Null, Value::Null) => Ordering::Equal,
            (Value::Null, _) => Ordering::Greater,
            (_, Value::Null) => Ordering::Less,
            (a, b) => a.cmp(b),
        }
    }

    fn encoded(values: &[Value]) -> Vec<u8> {
        let mut into = Vec::new();
        encode(values, &mut into);
        into
    }

    proptest! {
        #[test]
        fn bytes_order_as_columns_do(
            a in proptest::collection::vec(value(), 1..4),
            b in proptest::collection::vec(value(), 1..4),
        ) {
            let columns = a.iter().zip(&b).map(|(a, b)| compare(a, b)).find(|order| order.is_ne());
            let expected = columns.unwrap_or(a.len().cmp(&b.len()));
            prop_assert_eq!(encoded(&a).cmp(&encoded(&b)), expected);
            prop_assert_eq!(KeyBytes::new(&encoded(&a)).cmp(&KeyBytes::new(&encoded(&b))), expected);
        }

        #[test]
        fn above_a_prefix_is_above_all_that_continues_it(
            prefix in proptest::collection::vec(value(), 0..3),
            rest in proptest::collection::vec(value(), 0..3),
        ) {
            let mut above = encoded(&prefix);
            above.push(ABOVE);
            let whole: Vec<Value> = prefix.into_iter().chain(rest).collect();
            prop_assert!(encoded(&whole) < above);
        }
    }

    #[test]
    fn a_key_takes_32_bytes_in_a_node() {
        assert_eq!(size_of::<KeyBytes>(), 32);
    }
}
