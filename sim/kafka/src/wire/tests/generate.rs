//! Bodies of requests drawn from the table of shapes.

use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::ApiKey;

use crate::wire::frame;
use crate::wire::shape::{Field, Kind, Shape};
use crate::wire::shapes::shape_of;

/// A body that this API and version can have. The same seed draws the same body.
pub fn body(api: ApiKey, version: i16, seed: u64) -> Vec<u8> {
    let shape = shape_of(api).expect("only APIs that are offered are drawn");
    let mut draw =
        Draw { version, flexible: frame::is_flexible(api, version), state: seed | 1, out: BytesMut::new() };
    draw.row(shape);
    draw.out.to_vec()
}

struct Draw {
    version: i16,
    flexible: bool,
    state: u64,
    out: BytesMut,
}

impl Draw {
    /// xorshift64: any number is as good as another here.
    fn below(&mut self, limit: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % limit
    }

    fn row(&mut self, shape: &Shape) {
        for field in shape.fields {
            self.field(field);
        }
        if !self.flexible {
            return;
        }
        let version = self.version;
        let known = shape.tags.iter().filter(|(_, field)| (field.from..=field.to).contains(&version));
        let known: Vec<&(u32, Field)> = known.collect();
        // And one that nobody knows.
        self.varint(known.len() as u64 + 1);
        for (tag, field) in known {
            let mut inner = Draw { out: BytesMut::new(), ..*self };
            inner.value(&field.kind);
            self.varint(u64::from(*tag));
            self.varint(inner.out.len() as u64);
            self.out.extend_from_slice(&inner.out);
        }
        self.varint(1000);
        self.varint(3);
        self.out.put_slice(b"abc");
    }

    fn field(&mut self, field: &Field) {
        if (field.from..=field.to).contains(&self.version) {
            self.value(&field.kind);
        }
    }

    fn value(&mut self, kind: &Kind) {
        match kind {
            // Booleans are 0 and 1.
            Kind::Fixed(1) => self.out.put_u8(1),
            Kind::Fixed(size) => {
                for _ in 0..*size {
                    let byte = self.below(256);
                    self.out.put_u8(byte as u8);
                }
            }
            Kind::Text => self.text(2),
            Kind::Data => self.text(4),
            Kind::List(element) => self.each(|draw| draw.value(element)),
            Kind::Rows(shape) => self.each(|draw| draw.row(shape)),
            Kind::Option(shape) => {
                self.out.put_i8(1);
                self.row(shape);
            }
            Kind::Row(shape) => self.row(shape),
        }
    }

    fn text(&mut self, bytes: usize) {
        let length = self.below(5);
        self.length(length, bytes);
        for _ in 0..length {
            let letter = b'a' + self.below(26) as u8;
            self.out.put_u8(letter);
        }
    }

    fn each(&mut self, element: impl Fn(&mut Draw)) {
        let count = self.below(3);
        self.length(count, 4);
        (0..count).for_each(|_| element(self));
    }

    fn length(&mut self, length: u64, bytes: usize) {
        match bytes {
            _ if self.flexible => self.varint(length + 1),
            2 => self.out.put_i16(length as i16),
            _ => self.out.put_i32(length as i32),
        }
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.put_u8(value as u8);
    }
}
