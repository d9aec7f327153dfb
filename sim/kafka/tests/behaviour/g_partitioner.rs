//! G: where a key goes.

use kafka::partitioner::{Partitioner, crc32, crc32_partition_for, murmur2, partition_for};

/// From Java 4.3 and zlib: key, murmur2, Java's partition of 8, librdkafka's partition of 8.
const VECTORS: [(&str, i32, i32, Option<i32>); 8] = [
    ("order-12345", -1_747_359_319, 1, Some(3)),
    ("AAPL", 1_691_292_177, 1, Some(4)),
    ("ACC-00000042", 1_424_864_499, 3, Some(3)),
    ("k0", -704_538_303, 1, Some(7)),
    ("k3", 1_676_809_936, 0, Some(5)),
    ("foobar", -790_332_482, 6, Some(5)),
    ("21", -973_932_308, 4, Some(4)),
    ("", 275_646_681, 1, None),
];

#[test]
fn g63_murmur2_and_partition_are_javas() {
    for (key, hash, partition, _) in VECTORS {
        let key = key.as_bytes();
        assert_eq!(murmur2(key), hash, "{key:?}");
        assert_eq!(partition_for(key, 8), partition, "{key:?}");
        assert_eq!(Partitioner::Murmur2Random.partition_for(Some(key), 8), Some(partition));
    }
}

#[test]
fn g63_crc32_and_partition_are_librdkafkas() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926, "the check value of CRC-32");
    for (key, _, _, partition) in VECTORS {
        assert_eq!(
            Partitioner::ConsistentRandom.partition_for(Some(key.as_bytes()), 8),
            partition,
            "{key:?}"
        );
    }
}

#[test]
fn g63_empty_and_missing_keys_go_where_each_partitioner_says() {
    let empty: Option<&[u8]> = Some(b"");
    assert_eq!(Partitioner::ConsistentRandom.partition_for(None, 8), None);
    assert_eq!(Partitioner::Consistent.partition_for(None, 8), Some(0));
    assert_eq!(Partitioner::Consistent.partition_for(empty, 8), Some(crc32_partition_for(b"", 8)));
    assert_eq!(Partitioner::Murmur2Random.partition_for(None, 8), None);
    assert_eq!(Partitioner::Murmur2Random.partition_for(empty, 8), Some(1));
    assert_eq!(Partitioner::Murmur2.partition_for(None, 8), Some(1));
    assert_eq!(Partitioner::Random.partition_for(Some(b"AAPL"), 8), None);
}
