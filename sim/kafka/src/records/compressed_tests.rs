//! Every codec, there and back, and what lies about itself.

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::*;

const CODECS: [Compression; 4] =
    [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

fn batch(records: usize) -> Bytes {
    let values: Vec<Vec<u8>> =
        (0..records).map(|n| format!("value {n} ").repeat(n % 50).into_bytes()).collect();
    let records: Vec<RecordView<'_>> = values
        .iter()
        .map(|value| RecordView { timestamp: 5, key: Some(b"k"), value: Some(value), headers: &[] })
        .collect();
    encode_batch(&records, None)
}

/// A compressed batch around bytes that are no records.
fn around(codec: Compression, inside: &[u8]) -> Bytes {
    let mut plain = BytesMut::from(&batch(1)[..HEADER_SIZE]);
    plain.extend_from_slice(inside);
    compress_batch(&plain.freeze(), codec)
}

#[test]
fn what_a_producer_compresses_is_judged_and_read() {
    for codec in CODECS {
        for records in [1, 3, 2_000] {
            let plain = batch(records);
            let compressed = compress_batch(&plain, codec);
            let header =
                BatchHeader::validate(&compressed).unwrap_or_else(|error| panic!("{codec:?}: {error}"));
            assert_eq!(header.compression(), Some(codec));
            let (_, read) = decode_batch(&compressed).expect("it is a batch");
            assert_eq!(read, decode_batch(&plain).expect("it is a batch").1, "{codec:?}");
        }
    }
}

#[test]
fn a_batch_that_has_more_or_fewer_records_than_it_says_is_refused() {
    let two = batch(2);
    for codec in CODECS.into_iter().chain([Compression::None]) {
        for said in [1i32, 3] {
            let mut lie = BytesMut::from(&two[..]);
            lie[RECORDS_COUNT..RECORDS_COUNT + 4].copy_from_slice(&said.to_be_bytes());
            lie[LAST_OFFSET_DELTA..LAST_OFFSET_DELTA + 4].copy_from_slice(&(said - 1).to_be_bytes());
            fill_crc(&mut lie);
            let mut lie = lie.freeze();
            if codec != Compression::None {
                lie = compress_batch(&lie, codec);
            }
            assert_eq!(
                BatchHeader::validate(&lie),
                Err(ResponseError::InvalidRecord),
                "{codec:?} says {said}"
            );
        }
    }
}

#[test]
fn raw_snappy_is_understood_too() {
    let plain = batch(3);
    let raw = snap::raw::Encoder::new().compress_vec(&plain[HEADER_SIZE..]).expect("small");
    assert_eq!(compression::decompress(Compression::Snappy, &raw).expect("raw"), plain[HEADER_SIZE..]);
}

#[test]
fn a_bomb_is_refused() {
    let zeroes = vec![0u8; MAX_DECOMPRESSED + 1];
    for codec in CODECS {
        let bomb = around(codec, &zeroes);
        assert!(bomb.len() < MAX_DECOMPRESSED / 10, "{codec:?}");
        assert_eq!(BatchHeader::validate(&bomb), Err(ResponseError::CorruptMessage), "{codec:?}");
        assert_eq!(decode_batch(&bomb), Err(Corrupt), "{codec:?}");
    }
}

#[test]
fn claims_of_memory_are_not_believed() {
    // Raw snappy that claims 4 GiB; a zstd frame with a window of 3.75 TiB.
    let claims: [(Compression, &[u8]); 2] = [
        (Compression::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0x00]),
        (Compression::Zstd, &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 0x00, 0x00, 0x00]),
    ];
    for (codec, bytes) in claims {
        assert_eq!(compression::decompress(codec, bytes), Err(Corrupt), "{codec:?}");
    }
}

#[test]
fn noise_is_corrupt_in_every_codec() {
    for codec in CODECS {
        let noise: Vec<u8> = (0..200u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for length in 0..noise.len() {
            let _ = compression::decompress(codec, &noise[..length]);
        }
        let good = compress(codec, b"hello hello hello hello");
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut broken = good.clone();
                broken[at] ^= 1 << bit;
                let _ = compression::decompress(codec, &broken);
            }
            let _ = compression::decompress(codec, &good[..at]);
        }
    }
}

#[test]
fn a_header_cannot_ask_for_more_memory_than_its_batch_has() {
    // One record that claims 2^40 bytes and as many headers.
    let mut inside = BytesMut::new();
    put_varint(&mut inside, 1 << 40);
    inside.put_slice(&[0, 0, 0, 1, 1]);
    put_varint(&mut inside, 1 << 40);
    let mut lie = BytesMut::from(&batch(1)[..HEADER_SIZE]);
    lie.extend_from_slice(&inside);
    assert_eq!(decode_batch(&lie.freeze()), Err(Corrupt));
}

#[test]
fn codecs_that_nobody_knows_are_refused() {
    let mut unknown = BytesMut::from(&batch(1)[..]);
    unknown[ATTRIBUTES + 1] |= 5;
    fill_crc(&mut unknown);
    assert_eq!(BatchHeader::validate(&unknown), Err(ResponseError::UnsupportedCompressionType));
}
