//! Java's default partitioner: murmur2 of the key, sign bit cleared, modulo the number of partitions.
//!
//! Source: `org.apache.kafka.common.utils.Utils.murmur2`. A record without a key goes where the producer's sticky
//! choice says; that is the producer's business.

/// The 32-bit murmur2 of Kafka's Java client, signed as Java has it.
pub fn murmur2(key: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;

    // Java hashes the length as an `int`: the cast wraps for keys over 2 GiB, as it does there.
    let mut hash = SEED ^ key.len() as u32;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ (hash >> 15)) as i32
}

/// Java's `Utils.toPositive`: clears the sign bit (this is not the absolute value).
pub fn to_positive(hash: i32) -> i32 {
    hash & 0x7fff_ffff
}

/// The partition of a key among `partitions` of a topic.
pub fn partition_for(key: &[u8], partitions: i32) -> i32 {
    to_positive(murmur2(key)) % partitions
}
