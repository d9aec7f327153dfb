//! Walks over a request's bytes before they are decoded, so that no length in them is believed unseen.
//!
//! `kafka-protocol` allocates a list by the length that it reads, before it reads one element: 20 bytes of garbage
//! would ask for gigabytes. This walk follows the table in [`super::shapes`], allocates nothing, and refuses what is
//! cut off and what has more elements than [`MAX_ELEMENTS`]. Bytes after the request are ignored, as by Kafka:
//! librdkafka sends some. What it lets through is
//! decoded in memory proportional to its size. The tests hold the table against the decoder, API by API.

use super::Malformed;

/// Elements of all lists of a request together. A fetch of 10,000 partitions has about as many.
pub(super) const MAX_ELEMENTS: usize = 200_000;

/// A field's type, as Kafka's message definitions name them.
pub(super) enum Kind {
    /// Numbers, booleans and UUIDs: so many bytes.
    Fixed(usize),
    /// `string`, nullable or not.
    Text,
    /// `bytes` and `records`, nullable or not.
    Data,
    /// An array of what is not a struct.
    List(&'static Kind),
    /// An array of structs.
    Rows(&'static Shape),
    /// A nullable struct.
    Option(&'static Shape),
    /// A struct.
    Row(&'static Shape),
}

/// A field with the versions that have it.
pub(super) struct Field {
    pub kind: Kind,
    pub from: i16,
    pub to: i16,
}

/// A struct: its fields, and those of its tagged fields that are known.
pub(super) struct Shape {
    pub fields: &'static [Field],
    pub tags: &'static [(u32, Field)],
}

/// Refuses the body of a request that does not begin with a value of this shape.
pub(super) fn check(shape: &Shape, version: i16, flexible: bool, body: &[u8]) -> Result<(), Malformed> {
    let mut walk = Walk { rest: body, version, flexible, elements: 0 };
    walk.row(shape)
}

struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
    elements: usize,
}

impl<'a> Walk<'a> {
    fn row(&mut self, shape: &Shape) -> Result<(), Malformed> {
        for field in shape.fields {
            if self.has(field) {
                self.value(&field.kind)?;
            }
        }
        if self.flexible { self.tags(shape.tags) } else { Ok(()) }
    }

    fn has(&self, field: &Field) -> bool {
        (field.from..=field.to).contains(&self.version)
    }

    fn value(&mut self, kind: &Kind) -> Result<(), Malformed> {
        match kind {
            Kind::Fixed(size) => self.skip(*size),
            Kind::Text => {
                let length = self.length(2)?;
                self.skip(length.unwrap_or(0))
            }
            Kind::Data => {
                let length = self.length(4)?;
                self.skip(length.unwrap_or(0))
            }
            Kind::List(element) => self.each(|walk| walk.value(element)),
            Kind::Rows(shape) => self.each(|walk| walk.row(shape)),
            Kind::Option(shape) => match self.take(1)?[0] as i8 {
                -1 => Ok(()),
                1 => self.row(shape),
                _ => Err(Malformed::NegativeLength),
            },
            Kind::Row(shape) => self.row(shape),
        }
    }

    fn each(&mut self, element: impl Fn(&mut Walk<'a>) -> Result<(), Malformed>) -> Result<(), Malformed> {
        let count = self.length(4)?.unwrap_or(0);
        self.count(count)?;
        for _ in 0..count {
            element(self)?;
        }
        Ok(())
    }

    /// A known tag must hold exactly its field: the decoder believes the field, not the size.
    fn tags(&mut self, known: &'static [(u32, Field)]) -> Result<(), Malformed> {
        let count = self.varint()?;
        self.count(count)?;
        for _ in 0..count {
            let tag = self.varint()?;
            let size = self.varint()?;
            let content = self.take(size)?;
            if let Some((_, field)) = known.iter().find(|(number, _)| usize::try_from(*number) == Ok(tag)) {
                if !self.has(field) {
                    return Err(Malformed::Tag);
                }
                let mut inner = Walk { rest: content, ..*self };
                inner.value(&field.kind)?;
                self.elements = inner.elements;
                if !inner.rest.is_empty() {
                    return Err(Malformed::Tag);
                }
            }
        }
        Ok(())
    }

    fn count(&mut self, more: usize) -> Result<(), Malformed> {
        self.elements = self.elements.saturating_add(more);
        if self.elements > MAX_ELEMENTS { Err(Malformed::TooManyElements) } else { Ok(()) }
    }

    /// `None` is null. Only flexible versions have lengths of a varying number of bytes.
    fn length(&mut self, bytes: usize) -> Result<Option<usize>, Malformed> {
        if self.flexible {
            return Ok(self.varint()?.checked_sub(1));
        }
        let length = match self.take(bytes)? {
            [a, b] => i32::from(i16::from_be_bytes([*a, *b])),
            [a, b, c, d] => i32::from_be_bytes([*a, *b, *c, *d]),
            _ => return Err(Malformed::CutOff),
        };
        match length {
            -1 => Ok(None),
            length => usize::try_from(length).map(Some).map_err(|_| Malformed::NegativeLength),
        }
    }

    fn varint(&mut self) -> Result<usize, Malformed> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let value = u32::try_from(value).map_err(|_| Malformed::Varint)?;
                return usize::try_from(value).map_err(|_| Malformed::Varint);
            }
        }
        Err(Malformed::Varint)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.take(bytes).map(|_| ())
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(Malformed::CutOff)?;
        self.rest = rest;
        Ok(taken)
    }
}
