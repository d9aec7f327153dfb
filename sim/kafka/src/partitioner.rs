//! Where a key goes: librdkafka's CRC-32 and Java's murmur2, with what each does about missing keys.
//!
//! Sources: `org.apache.kafka.common.utils.Utils.murmur2`; librdkafka's `rdkafka_msg.c`. A record that may go anywhere
//! goes where the producer's sticky choice says; that is the producer's business. Omits `fnv1a`.

/// `partitioner`, by librdkafka's names; Java's default is [`Partitioner::Murmur2Random`] with another stickiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Partitioner {
    /// Anywhere.
    Random,
    /// CRC-32 of the key; without a key, partition 0.
    Consistent,
    /// CRC-32 of the key; with an empty key or none, anywhere. librdkafka's default.
    #[default]
    ConsistentRandom,
    /// murmur2 of the key; no key counts as an empty one.
    Murmur2,
    /// murmur2 of the key, also of an empty one; without a key, anywhere.
    Murmur2Random,
}

impl Partitioner {
    /// The partition of a key among `partitions` of a topic; `None`: any of them.
    pub fn partition_for(self, key: Option<&[u8]>, partitions: i32) -> Option<i32> {
        match (self, key) {
            (Partitioner::Random, _) => None,
            (Partitioner::ConsistentRandom, None | Some([])) | (Partitioner::Murmur2Random, None) => None,
            (Partitioner::Consistent | Partitioner::ConsistentRandom, key) => {
                Some(crc32_partition_for(key.unwrap_or_default(), partitions))
            }
            (Partitioner::Murmur2 | Partitioner::Murmur2Random, key) => {
                Some(partition_for(key.unwrap_or_default(), partitions))
            }
        }
    }
}

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

/// Java's partition of a key among `partitions` of a topic.
pub fn partition_for(key: &[u8], partitions: i32) -> i32 {
    to_positive(murmur2(key)) % partitions
}

/// zlib's CRC-32 (reflected, polynomial 0xedb88320).
pub fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = crc32_table();
    !bytes.iter().fold(u32::MAX, |crc, byte| TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8))
}

const fn crc32_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

/// librdkafka's partition of a key: the unsigned remainder.
pub fn crc32_partition_for(key: &[u8], partitions: i32) -> i32 {
    let partitions = u32::try_from(partitions).expect("a topic has at least one partition");
    i32::try_from(crc32(key) % partitions).expect("a remainder of an i32")
}
