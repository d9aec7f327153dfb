//! Which fields a TradeCaptureReport may have here, and in which order.
//!
//! A field that is not read could change what the sender means by the rest (a currency, a settlement date, on
//! whose behalf), so none is passed over: what is not listed is rejected, as unknown fields of JSON are.

use super::fix::{Fault, Message, Reason, fault};

pub const MSG_TYPE: u32 = 35;
pub const SIDE: u32 = 54;
pub const ORDER_ID: u32 = 37;
pub const ACCOUNT: u32 = 1;
pub const NO_SIDES: u32 = 552;
pub const POSS_DUP: u32 = 43;
pub const ORIG_SENDING_TIME: u32 = 122;

/// What may stand in the repeating group, Side being its first field.
pub const SIDE_FIELDS: [u32; 5] = [SIDE, ORDER_ID, 198, 11, ACCOUNT];
/// The standard header behind MsgType: sender, target, sequence, duplicates and their times, sub-ids.
const HEADER: [u32; 11] = [49, 56, 34, POSS_DUP, 97, 52, ORIG_SENDING_TIME, 50, 57, 142, 143];
/// The body outside the group.
const BODY: [u32; 12] = [571, 487, 828, 570, 150, 55, 32, 31, 75, 60, NO_SIDES, 58];
/// The last field that FIX 4.4 defines (volume 6).
const LAST_OF_FIX_4_4: u32 = 956;

/// Checks that each field is one of a report, and that header fields stand in front.
///
/// # Errors
/// The first that is not, or does not.
pub fn check(message: &Message) -> Result<(), Fault> {
    let mut in_body = false;
    for (tag, _) in message.fields.iter().skip(1) {
        if *tag == MSG_TYPE {
            return Err(fault(MSG_TYPE, Reason::TagAppearsTwice, "MsgType appears twice"));
        }
        let is_header = HEADER.contains(tag);
        if is_header && in_body {
            return Err(fault(*tag, Reason::TagOutOfOrder, "a field of the header behind one of the body"));
        }
        in_body |= !is_header;
        if !is_header && !BODY.contains(tag) && !SIDE_FIELDS.contains(tag) {
            return Err(match *tag <= LAST_OF_FIX_4_4 {
                true => fault(*tag, Reason::TagNotOfThisMessage, "not taken in a report here"),
                false => fault(*tag, Reason::UndefinedTag, "FIX 4.4 has no such field"),
            });
        }
    }
    Ok(())
}

/// Checks that no field stands twice, in a list in which none may.
///
/// # Errors
/// The first that does.
pub fn check_once(fields: &[(u32, &str)]) -> Result<(), Fault> {
    let twice =
        fields.iter().enumerate().find(|(at, (tag, _))| fields[..*at].iter().any(|(seen, _)| seen == tag));
    match twice {
        Some((_, (tag, _))) => Err(fault(*tag, Reason::TagAppearsTwice, format!("{tag} appears twice"))),
        None => Ok(()),
    }
}
