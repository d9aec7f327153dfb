//! The codecs of record batches: what `compression.type` names.
//!
//! A broker stores a batch as it came, and looks inside to judge it. What comes out is bounded by
//! [`MAX_DECOMPRESSED`], whatever a batch claims: a few kilobytes can stand for gigabytes. Without the feature `tcp`
//! only `none` is understood. Fakes nothing; the levels of the codecs cannot be chosen.

use super::Corrupt;

/// Bytes that a batch may have when decompressed. Kafka has no such bound; its producers fill batches up to
/// `batch.size` before they compress.
pub const MAX_DECOMPRESSED: usize = 64 << 20;

/// `compression.type` of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

const MASK: i16 = 0x07;

impl Compression {
    /// From a batch's attributes; `None` for a codec that nobody knows.
    pub(super) fn of(attributes: i16) -> Option<Compression> {
        Some(match attributes & MASK {
            0 => Compression::None,
            1 => Compression::Gzip,
            2 => Compression::Snappy,
            3 => Compression::Lz4,
            4 => Compression::Zstd,
            _ => return None,
        })
    }

    /// Whether batches of this codec can be looked into here.
    pub(super) fn is_understood(self) -> bool {
        self == Compression::None || cfg!(feature = "tcp")
    }

    #[cfg(feature = "tcp")]
    pub(super) fn attribute(self) -> i16 {
        self as i16
    }
}

#[cfg(not(feature = "tcp"))]
pub(super) fn decompress(_: Compression, _: &[u8]) -> Result<Vec<u8>, Corrupt> {
    Err(Corrupt)
}

#[cfg(feature = "tcp")]
pub(super) use codecs::decompress;

#[cfg(feature = "tcp")]
pub use codecs::compress;

#[cfg(feature = "tcp")]
mod codecs {
    use std::io::{Read, Write};

    use super::{Compression, Corrupt, MAX_DECOMPRESSED};

    /// Block length of xerial's snappy framing, which Kafka's clients write and librdkafka and Java read.
    const SNAPPY_BLOCK: usize = 32 * 1024;
    const SNAPPY_MAGIC: &[u8; 16] = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01";
    const SNAPPY_MAGIC_LENGTH: usize = 8;
    /// A snappy element of 3 bytes stands for at most 64: a block that claims more than this is a lie.
    const SNAPPY_RATIO: usize = 64;
    const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

    pub fn decompress(codec: Compression, bytes: &[u8]) -> Result<Vec<u8>, Corrupt> {
        match codec {
            Compression::None => Ok(bytes.to_vec()),
            Compression::Gzip => read_bounded(flate2::read::MultiGzDecoder::new(bytes)),
            Compression::Snappy => snappy(bytes),
            Compression::Lz4 => read_bounded(lz4_flex::frame::FrameDecoder::new(bytes)),
            Compression::Zstd => zstd(bytes),
        }
    }

    /// As a producer does it, at each codec's usual level.
    pub fn compress(codec: Compression, bytes: &[u8]) -> Vec<u8> {
        const IN_MEMORY: &str = "writing to memory does not fail";
        match codec {
            Compression::None => bytes.to_vec(),
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(bytes).expect(IN_MEMORY);
                encoder.finish().expect(IN_MEMORY)
            }
            Compression::Snappy => {
                let mut out = SNAPPY_MAGIC.to_vec();
                for block in bytes.chunks(SNAPPY_BLOCK) {
                    let block = snap::raw::Encoder::new().compress_vec(block).expect("a block is small");
                    let length = u32::try_from(block.len()).expect("a block is small");
                    out.extend_from_slice(&length.to_be_bytes());
                    out.extend_from_slice(&block);
                }
                out
            }
            Compression::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(bytes).expect(IN_MEMORY);
                encoder.finish().expect(IN_MEMORY)
            }
            Compression::Zstd => {
                ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
            }
        }
    }

    fn read_bounded(reader: impl Read) -> Result<Vec<u8>, Corrupt> {
        let mut out = Vec::new();
        let limit = u64::try_from(MAX_DECOMPRESSED).unwrap_or(u64::MAX).saturating_add(1);
        reader.take(limit).read_to_end(&mut out).map_err(|_| Corrupt)?;
        if out.len() > MAX_DECOMPRESSED { Err(Corrupt) } else { Ok(out) }
    }

    /// Xerial's framing, or one raw block.
    fn snappy(bytes: &[u8]) -> Result<Vec<u8>, Corrupt> {
        let mut out = Vec::new();
        if !bytes.starts_with(&SNAPPY_MAGIC[..SNAPPY_MAGIC_LENGTH]) {
            snappy_block(bytes, &mut out)?;
            return Ok(out);
        }
        // Version and compatible version are not looked at, as by librdkafka.
        let mut rest = bytes.get(SNAPPY_MAGIC.len()..).ok_or(Corrupt)?;
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Corrupt)?;
            let (block, after) = after.split_at_checked(length).ok_or(Corrupt)?;
            snappy_block(block, &mut out)?;
            rest = after;
        }
        if rest.is_empty() { Ok(out) } else { Err(Corrupt) }
    }

    fn snappy_block(block: &[u8], out: &mut Vec<u8>) -> Result<(), Corrupt> {
        let length = snap::raw::decompress_len(block).map_err(|_| Corrupt)?;
        let start = out.len();
        if length > MAX_DECOMPRESSED - start || length > block.len().saturating_mul(SNAPPY_RATIO) {
            return Err(Corrupt);
        }
        out.resize(start + length, 0);
        let written = snap::raw::Decoder::new().decompress(block, &mut out[start..]).map_err(|_| Corrupt)?;
        if written == length { Ok(()) } else { Err(Corrupt) }
    }

    fn zstd(bytes: &[u8]) -> Result<Vec<u8>, Corrupt> {
        if zstd_window(bytes).ok_or(Corrupt)? > MAX_DECOMPRESSED as u64 {
            return Err(Corrupt);
        }
        let mut rest = bytes;
        let decoder = ruzstd::decoding::StreamingDecoder::new(&mut rest).map_err(|_| Corrupt)?;
        let out = read_bounded(decoder)?;
        if rest.is_empty() { Ok(out) } else { Err(Corrupt) }
    }

    /// The memory that a zstd frame asks for, from its header (RFC 8878, 3.1.1.1): the decoder allocates it unseen.
    fn zstd_window(bytes: &[u8]) -> Option<u64> {
        let (descriptor, rest) = bytes.strip_prefix(&ZSTD_MAGIC)?.split_first()?;
        let is_single_segment = descriptor & 0x20 != 0;
        if !is_single_segment {
            let window = rest.first()?;
            let base = 1u64 << (10 + (window >> 3));
            return Some(base + base / 8 * u64::from(window & 7));
        }
        let dictionary_id = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let size = rest.get(dictionary_id..)?;
        Some(match descriptor >> 6 {
            0 => u64::from(*size.first()?),
            1 => u64::from(u16::from_le_bytes(*size.first_chunk()?)) + 256,
            2 => u64::from(u32::from_le_bytes(*size.first_chunk()?)),
            _ => u64::from_le_bytes(*size.first_chunk()?),
        })
    }
}
