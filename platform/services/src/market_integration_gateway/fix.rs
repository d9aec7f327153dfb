//! FIX 4.4 framing: fields between SOH, BeginString, BodyLength and CheckSum (FIX 4.4, volume 2).
//!
//! Deliberately absent: data fields, whose values may hold a SOH (RawData 96 and its kin); encryption; other
//! versions. What the fields mean is not known here.

use bytes::Bytes;

pub const SOH: u8 = 1;
const BEGIN_STRING: &str = "FIX.4.4";
/// The longest value that an answer repeats of a broken message.
const ECHO_LEN_MAX: usize = 128;
/// The longest value that is written.
const VALUE_LEN_MAX: usize = 512;

/// SessionRejectReason (373), as far as this gateway has use for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    InvalidTagNumber = 0,
    RequiredTagMissing = 1,
    TagNotOfThisMessage = 2,
    UndefinedTag = 3,
    TagWithoutValue = 4,
    ValueIncorrect = 5,
    IncorrectDataFormat = 6,
    CompIdProblem = 9,
    InvalidMsgType = 11,
    TagAppearsTwice = 13,
    TagOutOfOrder = 14,
    IncorrectNumInGroup = 16,
}

/// What is wrong with a message, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub tag: u32,
    pub reason: Reason,
    pub text: String,
}

/// The fields between BodyLength and CheckSum, in order; MsgType (35) is the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub fields: Vec<(u32, String)>,
}

pub fn fault(tag: u32, reason: Reason, text: impl Into<String>) -> Fault {
    Fault { tag, reason, text: text.into() }
}

/// Reads one whole message.
///
/// # Errors
/// The first fault.
pub fn decode(bytes: &[u8]) -> Result<Message, Fault> {
    let all = fields(bytes)?;
    let [begin, length, rest @ ..] = all.as_slice() else {
        return Err(fault(8, Reason::RequiredTagMissing, "a message begins with BeginString and BodyLength"));
    };
    expect_tag(begin, 8)?;
    if begin.value != BEGIN_STRING {
        return Err(fault(8, Reason::ValueIncorrect, format!("BeginString is not {BEGIN_STRING}")));
    }
    expect_tag(length, 9)?;
    let Some((check_sum, body)) = rest.split_last().filter(|(last, _)| last.tag == 10) else {
        return Err(fault(10, Reason::RequiredTagMissing, "a message ends with CheckSum"));
    };
    let (body_start, body_end) = (length.end, check_sum.start);
    verify_length(&length.value, body_end - body_start)?;
    verify_sum(&check_sum.value, &bytes[..body_end])?;
    if body.first().is_none_or(|first| first.tag != 35) {
        return Err(fault(35, Reason::TagOutOfOrder, "MsgType is the third field"));
    }
    if let Some(field) = body.iter().find(|field| matches!(field.tag, 8..=10)) {
        return Err(fault(field.tag, Reason::TagAppearsTwice, "framing inside the body"));
    }
    Ok(Message { fields: body.iter().map(|field| (field.tag, field.value.clone())).collect() })
}

/// Frames the fields; MsgType (35) is the first of them.
pub fn encode(fields: &[(u32, String)]) -> Bytes {
    let mut body = Vec::new();
    for (tag, value) in fields {
        push(&mut body, *tag, value);
    }
    let mut message = Vec::with_capacity(body.len() + 32);
    push(&mut message, 8, BEGIN_STRING);
    push(&mut message, 9, &body.len().to_string());
    message.extend_from_slice(&body);
    let sum = format!("{:03}", sum(&message));
    push(&mut message, 10, &sum);
    message.into()
}

/// The first value of a tag, however broken the rest may be: what a reject can still echo. Values that no such
/// field has are not.
pub fn salvage(bytes: &[u8], tag: u32) -> Option<String> {
    let fields = bytes.split(|byte| *byte == SOH);
    let text = fields.filter_map(|field| std::str::from_utf8(field).ok());
    let mut values =
        text.filter_map(|field| field.split_once('=')).filter(|(name, _)| *name == tag.to_string());
    values
        .next()
        .map(|(_, value)| value.to_owned())
        .filter(|value| value.len() <= ECHO_LEN_MAX && is_text(value))
}

/// FIX's String without its EncodedText: printable ASCII, where NUL, line ends and letters that only look like
/// others have no place.
fn is_text(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// A field, and where it stands: from `start` to `end`, its SOH included.
struct Field {
    tag: u32,
    value: String,
    start: usize,
    end: usize,
}

fn fields(bytes: &[u8]) -> Result<Vec<Field>, Fault> {
    let mut fields = Vec::new();
    let mut start = 0;
    while start < bytes.len() {
        let Some(len) = bytes[start..].iter().position(|byte| *byte == SOH) else {
            return Err(fault(10, Reason::IncorrectDataFormat, "the message does not end with SOH"));
        };
        let end = start + len + 1;
        fields.push(field(&bytes[start..end - 1], start, end)?);
        start = end;
    }
    Ok(fields)
}

fn field(bytes: &[u8], start: usize, end: usize) -> Result<Field, Fault> {
    let no_tag = |text: &str| fault(0, Reason::InvalidTagNumber, format!("{text} at byte {start}"));
    let text = std::str::from_utf8(bytes).map_err(|_| no_tag("no text"))?;
    let (tag, value) = text.split_once('=').ok_or_else(|| no_tag("no `=`"))?;
    let is_number = tag.bytes().all(|byte| byte.is_ascii_digit()) && !tag.starts_with('0');
    let tag: u32 = tag.parse().ok().filter(|_| is_number).ok_or_else(|| no_tag("no tag number"))?;
    if value.is_empty() {
        return Err(fault(tag, Reason::TagWithoutValue, "a field has a value"));
    }
    if !is_text(value) {
        return Err(fault(tag, Reason::IncorrectDataFormat, "a value is printable ASCII"));
    }
    Ok(Field { tag, value: value.to_owned(), start, end })
}

fn expect_tag(field: &Field, tag: u32) -> Result<(), Fault> {
    match field.tag == tag {
        true => Ok(()),
        false => Err(fault(tag, Reason::TagOutOfOrder, format!("{} stands where {tag} belongs", field.tag))),
    }
}

/// Characters from behind BodyLength's SOH to the SOH before CheckSum, that one included.
fn verify_length(stated: &str, actual: usize) -> Result<(), Fault> {
    let is_number = stated.bytes().all(|byte| byte.is_ascii_digit());
    match stated.parse::<usize>().ok().filter(|_| is_number) {
        Some(stated) if stated == actual => Ok(()),
        Some(_) => Err(fault(9, Reason::ValueIncorrect, format!("BodyLength is {actual}, not {stated}"))),
        None => Err(fault(9, Reason::IncorrectDataFormat, "BodyLength is not a number")),
    }
}

/// The sum of all bytes up to the SOH before CheckSum, that one included, modulo 256, in three digits.
fn verify_sum(stated: &str, summed: &[u8]) -> Result<(), Fault> {
    let actual = format!("{:03}", sum(summed));
    match stated == actual {
        true => Ok(()),
        false => Err(fault(10, Reason::ValueIncorrect, format!("CheckSum is {actual}, not {stated}"))),
    }
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

/// A SOH inside a value would end it: what is not printable ASCII becomes a space. What is long is cut.
fn push(bytes: &mut Vec<u8>, tag: u32, value: &str) {
    let printable = |c: char| if matches!(c, ' '..='~') { c } else { ' ' };
    let value: String = value.chars().map(printable).take(VALUE_LEN_MAX).collect();
    bytes.extend_from_slice(format!("{tag}={value}").as_bytes());
    bytes.push(SOH);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<(u32, String)> {
        [(35, "AE"), (49, "BROKER"), (58, "a=b"), (32, "100")].map(|(tag, value)| (tag, value.into())).into()
    }

    /// The execution report of Wikipedia's article on FIX: length and sum as others compute them.
    #[test]
    fn length_and_sum_are_those_of_a_published_message() {
        let text = "8=FIX.4.2|9=178|35=8|49=PHLX|56=PERS|52=20071123-05:30:00.000|11=ATOMNOCCC9990900|20=3|150=E|\
            39=E|55=MSFT|167=CS|54=1|38=15|40=2|44=15|58=PHLX EQUITY TESTING|59=0|47=C|32=0|31=0|151=15|14=0|6=0|";
        let bytes = text.replace('|', "\x01").into_bytes();
        let body_start = "8=FIX.4.2|9=178|".len();
        assert_eq!(verify_length("178", bytes.len() - body_start), Ok(()));
        assert_eq!(verify_sum("128", &bytes), Ok(()));
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let bytes = encode(&sample());
        assert_eq!(
            bytes.as_ref(),
            b"8=FIX.4.4\x019=30\x0135=AE\x0149=BROKER\x0158=a=b\x0132=100\x0110=118\x01"
        );
        assert_eq!(decode(&bytes), Ok(Message { fields: sample() }));
    }

    #[test]
    fn a_separator_inside_a_value_does_not_break_out_of_it() {
        let injected = encode(&[(35, "AE".into()), (58, "x\x0135=3".into())]);
        let expected = vec![(35, "AE".to_owned()), (58, "x 35=3".to_owned())];
        assert_eq!(decode(&injected), Ok(Message { fields: expected }));
    }

    /// A changed byte changes the sum; a changed sum is not the sum.
    #[test]
    fn no_single_changed_byte_passes() {
        let bytes = encode(&sample());
        for at in 0..bytes.len() {
            for change in [1_u8, 2, 0x0f, 0x80, 0xff] {
                let mut broken = bytes.to_vec();
                broken[at] ^= change;
                assert!(decode(&broken).is_err(), "byte {at} xor {change}");
            }
        }
    }

    #[test]
    fn no_part_of_a_message_and_nothing_behind_it_passes() {
        let bytes = encode(&sample());
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "the first {end} bytes");
        }
        for more in [&b"x"[..], b"\x01", b"58=x\x01", &bytes] {
            assert!(decode(&[&bytes[..], more].concat()).is_err(), "with {more:?} behind it");
        }
    }

    /// Any fields that have values come back as they were, whatever their sizes.
    #[test]
    fn framing_holds_for_fields_of_any_size() {
        let mut state = 1_u64;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..2_000 {
            let mut fields = vec![(35, "AE".to_owned())];
            for _ in 0..draw(12) {
                let tag = 11 + u32::try_from(draw(5_000)).expect("below 5,000");
                let len = 1 + draw(40);
                let value =
                    (0..len).map(|_| char::from(32 + u8::try_from(draw(95)).expect("below 95"))).collect();
                fields.push((tag, value));
            }
            assert_eq!(decode(&encode(&fields)), Ok(Message { fields }));
        }
    }

    #[test]
    fn each_fault_names_its_tag() {
        let framed = |text: &str| {
            let body = text.replace('|', "\x01");
            let sum = format!("{:03}", sum(body.as_bytes()));
            decode(format!("{body}10={sum}\x01").as_bytes()).map_err(|fault| (fault.tag, fault.reason))
        };
        for (text, tag, reason) in [
            ("", 8, Reason::RequiredTagMissing),
            ("9=5|8=FIX.4.4|35=0|", 8, Reason::TagOutOfOrder),
            ("8=FIX.4.2|9=5|35=0|", 8, Reason::ValueIncorrect),
            ("8=FIX.4.4|35=0|9=5|", 9, Reason::TagOutOfOrder),
            ("8=FIX.4.4|9=6|35=0|", 9, Reason::ValueIncorrect),
            ("8=FIX.4.4|9=x|35=0|", 9, Reason::IncorrectDataFormat),
            ("8=FIX.4.4|9=+5|35=0|", 9, Reason::IncorrectDataFormat),
            ("8=FIX.4.4|9=5|49=B|", 35, Reason::TagOutOfOrder),
            ("8=FIX.4.4|9=9|35=0|58=|", 58, Reason::TagWithoutValue),
            ("8=FIX.4.4|9=9|35=0|058=x|", 0, Reason::InvalidTagNumber),
            ("8=FIX.4.4|9=9|35=0|text|", 0, Reason::InvalidTagNumber),
            ("8=FIX.4.4|9=9|35=0|9=4|", 9, Reason::TagAppearsTwice),
        ] {
            assert_eq!(framed(text), Err((tag, reason)), "{text}");
        }
        let without_sum = decode(b"8=FIX.4.4\x019=5\x0135=0\x01").expect_err("no CheckSum");
        assert_eq!((without_sum.tag, without_sum.reason), (10, Reason::RequiredTagMissing));
    }

    #[test]
    fn a_broken_message_still_tells_who_sent_it() {
        let broken = b"8=FIX.4.4\x019=xx\x0135=AE\x0149=BROKER\x0134=7\xff\x01";
        assert_eq!(salvage(broken, 49).as_deref(), Some("BROKER"));
        assert_eq!(salvage(broken, 34), None);
    }
}
