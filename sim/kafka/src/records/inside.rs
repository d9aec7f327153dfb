//! A look over the records of a batch that nobody wants to read: are they as many as the batch says, and whole?
//!
//! Allocates nothing. What is let through here can be decoded.

use super::Corrupt;

/// Refuses what is not exactly `count` records with offsets in a row.
pub(super) fn check(records: &[u8], count: i32) -> Result<(), Corrupt> {
    let mut rest = records;
    for delta in 0..count {
        let size = length(varint(&mut rest)?)?;
        let (mut record, after) = rest.split_at_checked(size).ok_or(Corrupt)?;
        rest = after;
        skip(&mut record, 1)?; // attributes, unused
        varint(&mut record)?; // timestamp
        if varint(&mut record)? != i64::from(delta) {
            return Err(Corrupt);
        }
        nullable(&mut record)?; // key
        nullable(&mut record)?; // value
        for _ in 0..length(varint(&mut record)?)? {
            let name = length(varint(&mut record)?)?;
            let (name, value) = record.split_at_checked(name).ok_or(Corrupt)?;
            std::str::from_utf8(name).map_err(|_| Corrupt)?;
            record = value;
            nullable(&mut record)?;
        }
        if !record.is_empty() {
            return Err(Corrupt);
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(Corrupt) }
}

fn nullable(bytes: &mut &[u8]) -> Result<(), Corrupt> {
    match varint(bytes)? {
        -1 => Ok(()),
        size => skip(bytes, length(size)?),
    }
}

fn length(number: i64) -> Result<usize, Corrupt> {
    usize::try_from(number).map_err(|_| Corrupt)
}

fn skip(bytes: &mut &[u8], count: usize) -> Result<(), Corrupt> {
    let (_, rest) = bytes.split_at_checked(count).ok_or(Corrupt)?;
    *bytes = rest;
    Ok(())
}

/// A zigzag number of up to ten bytes.
fn varint(bytes: &mut &[u8]) -> Result<i64, Corrupt> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(Corrupt)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    Err(Corrupt)
}
