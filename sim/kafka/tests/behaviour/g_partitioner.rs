//! G: where a key goes.

use kafka::partitioner::{murmur2, partition_for};

/// From Java 4.3: key, murmur2, partition of 8.
const VECTORS: [(&str, i32, i32); 8] = [
    ("order-12345", -1_747_359_319, 1),
    ("AAPL", 1_691_292_177, 1),
    ("ACC-00000042", 1_424_864_499, 3),
    ("k0", -704_538_303, 1),
    ("k3", 1_676_809_936, 0),
    ("foobar", -790_332_482, 6),
    ("21", -973_932_308, 4),
    ("", 275_646_681, 1),
];

#[test]
fn g63_murmur2_and_partition_are_javas() {
    for (key, hash, partition) in VECTORS {
        assert_eq!(murmur2(key.as_bytes()), hash, "{key:?}");
        assert_eq!(partition_for(key.as_bytes(), 8), partition, "{key:?}");
    }
}
